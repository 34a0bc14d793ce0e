"""The outbox: bounded whatever is offered, and honest about what it leaves out."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewright.domain.streams import StreamKind, Update
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.services.subscription_service import TopicMessage
from tradewright.web.protocol import Resync
from tradewright.web.ws.outbox import Outbox, OutboxLimits, joined

SMALL = OutboxLimits(
    lagging_messages=4, lagging_bytes=4_000, messages_max=20, bytes_max=20_000, bytes_total_max=40_000
)
MINUTE = 60_000


class Feeder:
    """Publishes on some topics as their owner would, and tells what it published."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._seq: dict[str, int] = {}
        self._minute: dict[str, int] = {}
        self._final: dict[str, bool] = {}
        self.published: list[tuple[Update, TopicMessage]] = []

    def next(self, kind: StreamKind, topic: str) -> TopicMessage:
        seq = self._seq[topic] = self._seq.get(topic, 0) + 1
        update = Update(topic=topic, epoch="e", seq=seq)
        number = float(seq)
        match kind:
            case "ohlcv":
                if self._final.get(topic):
                    self._minute[topic] = self._minute.get(topic, 0) + MINUTE
                final = self._final[topic] = self._rng.random() < 0.3
                row = (self._minute.get(topic, 0), 1.0, number, 1.0, number, number)
                update = msgspec.structs.replace(update, bars=(row,), final=final)
            case "ticker":
                update = msgspec.structs.replace(update, ticker=Ticker(t=seq, last=number))
            case "order_book":
                book = OrderBook(t=seq, bids=((number, 1.0),), asks=((number + 1, 1.0),))
                update = msgspec.structs.replace(update, order_book=book)
            case "trades":
                update = msgspec.structs.replace(update, trades=(Trade(seq, str(seq), None, 1.0, 1.0),))
        message = TopicMessage(topic, kind, msgspec.json.encode(update), update)
        self.published.append((update, message))
        return message


def decoded(texts: list[str]) -> list[Update | Resync]:
    return [msgspec.json.decode(text, type=Update | Resync) for text in texts]


def everything(outbox: Outbox) -> list[str]:
    texts: list[str] = []
    while outbox.waiting[0]:
        texts += outbox.take()
    return texts


def test_a_client_that_keeps_up_gets_the_shared_text_of_every_update() -> None:
    outbox, feeder = Outbox(on_room=lambda _: None, limits=SMALL), Feeder(random.Random(1))
    for _ in range(100):
        message = feeder.next("ticker", "t")
        outbox.offer(message)
        (text,) = outbox.take()
        assert text is message.text


def test_a_lagging_client_gets_the_last_state_of_every_bar_and_every_final_one() -> None:
    outbox, feeder = Outbox(on_room=lambda _: None, limits=SMALL), Feeder(random.Random(2))
    for _ in range(200):
        outbox.offer(feeder.next("ohlcv", "t"))
    shown: dict[int, tuple[float, ...]] = {}
    finals: set[int] = set()
    seq = 0
    for update in decoded(everything(outbox)):
        assert isinstance(update, Update)
        assert isinstance(update.bars, tuple)
        left_out = update.conflated if isinstance(update.conflated, int) else 0
        assert update.seq == seq + left_out + 1
        seq = update.seq
        shown.update({row[0]: row for row in update.bars})
        finals |= {row[0] for row in update.bars[:-1]}
        if update.final:
            finals.add(update.bars[-1][0])
    expected: dict[int, tuple[float, ...]] = {}
    final_times = set()
    for published, _ in feeder.published:
        assert isinstance(published.bars, tuple)
        expected[published.bars[0][0]] = published.bars[0]
        if published.final:
            final_times.add(published.bars[0][0])
    assert shown == expected
    assert finals == final_times
    assert seq == 200


def test_a_correction_joined_with_the_bar_at_work_leaves_that_open() -> None:
    forming, closed = (MINUTE, 1.0, 2.0, 1.0, 2.0, 2.0), (0, 1.0, 9.0, 1.0, 2.0, 9.0)
    update = Update(topic="t", epoch="e", seq=7, bars=(forming,), final=False)
    correction = Update(topic="t", epoch="e", seq=8, bars=(closed,), final=True)
    both = joined(update, correction)
    assert (both.bars, both.final, both.seq, both.conflated) == ((closed, forming), False, 8, 1)
    other = msgspec.structs.replace(update, seq=9)
    assert joined(correction, other).final is False


async def test_trades_are_never_left_out_silently() -> None:
    lost: list[str] = []
    outbox, feeder = Outbox(on_room=lost.append, limits=SMALL), Feeder(random.Random(3))
    for _ in range(100):
        outbox.offer(feeder.next("trades", "t"))
    assert outbox.waiting[0] <= SMALL.messages_max
    assert lost == [], "there is no room yet"
    outbox.reply(b"{}")
    everything(outbox)
    assert lost == [], "and the client has not taken the last of it"
    outbox.begin_again()
    assert lost == ["t"], "the topic begins again now that there is room"
    outbox.offer_resync("t", "trades", "slow_client")
    outbox.offer(feeder.next("trades", "t"))
    resync, update = decoded(everything(outbox))
    assert isinstance(resync, Resync)
    assert resync.reason == "slow_client"
    assert isinstance(update, Update)


def test_a_resync_drops_what_waits_of_its_topic_alone() -> None:
    outbox, feeder = Outbox(on_room=lambda _: None, limits=SMALL), Feeder(random.Random(4))
    outbox.offer(feeder.next("ticker", "mine"))
    outbox.offer(feeder.next("ticker", "other"))
    outbox.offer_resync("mine", "ticker", "epoch_changed")
    other, resync = decoded(everything(outbox))
    assert isinstance(other, Update)
    assert other.topic == "other"
    assert isinstance(resync, Resync)


def test_updates_of_two_epochs_are_never_joined() -> None:
    outbox, feeder = Outbox(on_room=lambda _: None, limits=SMALL), Feeder(random.Random(5))
    for _ in range(10):
        outbox.offer(feeder.next("ticker", "t"))
    newer = Update(topic="t", epoch="f", seq=1, ticker=Ticker(t=1))
    outbox.offer(TopicMessage("t", "ticker", msgspec.json.encode(newer), newer))
    last = decoded(everything(outbox))[-1]
    assert last == newer


async def test_room_is_waited_for() -> None:
    outbox, feeder = Outbox(on_room=lambda _: None, limits=SMALL), Feeder(random.Random(6))
    for _ in range(5):
        outbox.offer(feeder.next("trades", "t"))
    assert outbox.lagging
    everything(outbox)
    await outbox.wait_for_room()
    assert not outbox.lagging


KINDS: dict[str, StreamKind] = {
    "bars": "ohlcv",
    "more bars": "ohlcv",
    "price": "ticker",
    "book": "order_book",
    "tape": "trades",
}


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 3)), max_size=300),
    seed=st.integers(0, 999),
)
def test_any_client_at_any_speed_can_follow(steps: list[tuple[str, int]], seed: int) -> None:
    """Numbers have no unexplained hole, and the client ends with the newest state of all topics."""
    lost: list[str] = []
    outbox, feeder = Outbox(on_room=lost.append, limits=SMALL), Feeder(random.Random(seed))
    seqs: dict[str, int] = {}

    def read(texts: list[str]) -> None:
        for update in decoded(texts):
            assert isinstance(update, Update)
            left_out = update.conflated if isinstance(update.conflated, int) else 0
            assert update.seq == seqs.get(update.topic, 0) + left_out + 1
            seqs[update.topic] = update.seq

    for topic, taken in steps:
        if topic not in lost:
            outbox.offer(feeder.next(KINDS[topic], topic))
        if taken == 3:
            read(outbox.take(bytes_max=300))
        # Besides the trades, one joined message of each topic may come on top.
        assert outbox.waiting[0] <= SMALL.messages_max + len(KINDS)
        assert not outbox.overwhelmed
    read(everything(outbox))
    newest = {update.topic: update.seq for update, _ in feeder.published}
    assert {topic: seq for topic, seq in seqs.items() if topic not in lost} == {
        topic: seq for topic, seq in newest.items() if topic not in lost
    }
