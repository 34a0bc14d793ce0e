"""Backfills in the outbox: for a client that lags, the latest of a job; never another job in its place."""

from __future__ import annotations

import msgspec
import pytest

from tradewright.domain.backfills import BackfillJob
from tradewright.domain.streams import Update
from tradewright.services.subscription_service import TopicMessage
from tradewright.web.ws.outbox import Outbox, OutboxLimits

SMALL = OutboxLimits(lagging_messages=4, messages_max=20)


def message(seq: int, job_id: str) -> TopicMessage:
    """The update of that number, of a job that many bars far."""
    job = BackfillJob(
        id=job_id,
        market="crypto",
        provider="venue",
        symbol="BTC/USDT",
        start=0,
        end=60_000,
        bars=seq,
        created_ms=0,
        updated_ms=seq,
    )
    update = Update(topic="backfills", epoch="e", seq=seq, backfill=job)
    return TopicMessage("backfills", "backfills", msgspec.json.encode(update), update)


def outbox(lost: list[str]) -> Outbox:
    return Outbox(on_room=lost.append, limits=SMALL)


def taken(box: Outbox) -> list[Update]:
    return [msgspec.json.decode(text, type=Update) for text in box.take(10**9)]


def test_updates_of_one_job_are_joined_for_who_lags() -> None:
    box = outbox([])
    for seq in range(1, 51):
        box.offer(message(seq, "a"))
    updates = taken(box)
    assert len(updates) <= SMALL.lagging_messages + 1
    seq = 0
    for update in updates:
        left_out = 0 if update.conflated is msgspec.UNSET else update.conflated
        assert update.seq == seq + left_out + 1
        seq = update.seq
    last = updates[-1].backfill
    assert last is not msgspec.UNSET
    assert last.bars == 50


def test_updates_of_two_jobs_are_not_joined() -> None:
    box = outbox([])
    for seq in range(1, 11):
        box.offer(message(seq, "ab"[seq % 2]))
    assert [update.seq for update in taken(box)] == list(range(1, 11))


@pytest.mark.parametrize("jobs", [2, 3, 7])
async def test_who_lags_behind_many_jobs_begins_again(jobs: int) -> None:
    lost: list[str] = []
    box = outbox(lost)
    for seq in range(1, 200):
        box.offer(message(seq, str(seq % jobs)))
        assert box.waiting[0] <= SMALL.messages_max + 1
    box.take(10**9)
    box.reply(b"{}")
    assert lost == []
    box.take()
    box.begin_again()
    assert lost == ["backfills"]
