"""What clients do to a server that mean it ill, or only come all at once; and what has to be so afterwards.

Each storm returns what it measured and raises ``AssertionError`` where a promise is broken. Times are real.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.fanout_control import resident_bytes
from tests.support.storm_site import Refused, StormClient, StormSite, storm_site
from tests.unit.services.streaming_viewer import Viewer
from tradewright.services.feeds.hub import RING_MESSAGES
from tradewright.services.feeds.topic import RECENT_TRADES

CLOSED_S_MAX = 10.0
BACK_S_MAX = 15.0
DEAF_BYTES_MAX = 5 * 2**20
DELAY_GROWTH_MAX = 1.10
BOOKS = 3


class Delay(NamedTuple):
    """In real time, and in this process's own processor time, which no other program makes longer."""

    real: float
    work: float


@dataclass
class Deaf:
    """A client that reads nothing: how soon it was closed, what it took, and what the others felt."""

    closed_s: list[float] = field(default_factory=list)
    bytes_of_it: list[int] = field(default_factory=list)
    p99_ms: list[tuple[Delay, Delay]] = field(default_factory=list)

    @property
    def growth(self) -> Delay:
        """How many times as late the others' updates were."""
        ratios = [(during.real / before.real, during.work / before.work) for before, during in self.p99_ms]
        real, work = zip(*ratios, strict=True)
        return Delay(statistics.median(real), statistics.median(work))


async def deaf(others: int, rounds: int, *, seconds: float = 4.0) -> Deaf:
    """One client after the other stops reading a firehose, among others that read."""
    found = Deaf()
    async with storm_site(coalesce_s=0.0) as site:
        delays: list[Delay] = []
        begun: dict[float, Delay] = {}
        loop = asyncio.get_running_loop()

        def heard(message: dict[str, object]) -> None:
            ticker = message.get("ticker")
            if message["type"] == "update" and isinstance(ticker, dict):
                since = begun[ticker["last"]]
                delays.append(Delay(time.perf_counter() - since.real, time.thread_time() - since.work))

        async def trade(while_s: float) -> Delay:
            delays.clear()
            ends_s = loop.time() + while_s
            while loop.time() < ends_s:
                price = 1_000.0 + len(begun)
                begun[price] = Delay(time.perf_counter(), time.thread_time())
                site.rig.venue.trade(price)
                await asyncio.sleep(0.01)
            real, work = zip(*delays, strict=True)
            return Delay(*(statistics.quantiles(each, n=100)[98] * 1000 for each in (real, work)))

        async def watch_books(client: StormClient) -> None:
            for number in range(BOOKS):
                await client.watch(stream="order_book", symbol=f"S{number}/USDT")
                client.viewers.clear()  # what they remember is not the server's

        for client in await site.clients(others):
            await client.watch(stream="ticker")
            client.heard = heard
            client.viewers.clear()
        await watch_books(await site.client())
        # What a topic remembers is full, so that what grows from here on is the client's own.
        while not all(len(hub._ring) == RING_MESSAGES for hub in site.rig.service._hubs.values()):
            await trade(1.0)
        for _ in range(rounds):
            before = await trade(seconds)
            bytes_before = resident_bytes()
            client = await site.client(receive_buffer=16 * 1024)
            await watch_books(client)
            client.transport.pause_reading()
            stopped_s = loop.time()
            during = await trade(seconds)
            while len(site.site.connections) > others + 1:
                await trade(0.5)
                assert loop.time() - stopped_s <= CLOSED_S_MAX, "it must not be kept"
            found.closed_s.append(loop.time() - stopped_s)
            found.bytes_of_it.append(resident_bytes() - bytes_before)
            found.p99_ms.append((before, during))
            client.transport.abort()
    return found


async def slow_among_many(total: int, slow: int, seconds: float) -> int:
    """Many of the viewers read now and then; the others get everything, unjoined. How many updates each."""
    async with storm_site(coalesce_s=0.02) as site:
        clients = await site.clients(total)
        for client in clients:
            for stream in ("trades", "order_book"):
                await client.watch(stream=stream)
            await client.watch(stream="ohlcv", timeframe="1m")
        laggards, fast = clients[:slow], clients[slow:]
        loop = asyncio.get_running_loop()
        for client in laggards:
            client.transport.pause_reading()
        ends_s, number = loop.time() + seconds, 0
        while loop.time() < ends_s:
            site.rig.venue.trade(100 + number % 50)
            number += 1
            if number % 40 == 0:
                for client in laggards[number // 40 % 4 :: 4]:
                    if not client.transport.is_closing():
                        client.transport.resume_reading()
                        loop.call_later(0.01, _pause, client)
            await asyncio.sleep(0.05)
        truth = site.rig.venue.trades

        def behind() -> int:
            assert not [client for client in fast if client.ended.is_set()], "none of them may be closed"
            viewers = [client.viewers["trades:crypto:scripted:BTC/USDT"] for client in fast]
            return sum(len(truth) - len(viewer.trades) for viewer in viewers)

        # The clients are in this process, too: on a busy machine they need time to read what they have.
        while (left := behind()) > 0:
            await site.until(lambda left=left: behind() < left)  # type: ignore[misc]
        for client in fast:
            assert client.close_code is None
            assert client.conflated == 0
            assert client.viewers["trades:crypto:scripted:BTC/USDT"].trades == truth
            bars = client.viewers["ohlcv:crypto:scripted:BTC/USDT:1m"]
            await site.until(lambda bars=bars: bars.series() == site.rig.venue.bars("1m"))  # type: ignore[misc]
        return len(truth)


def _pause(client: StormClient) -> None:
    if not client.transport.is_closing():
        client.transport.pause_reading()


async def greedy(wanted: int) -> tuple[int, int]:
    """One client wants more topics than it may have. How many it got, and how many errors."""
    async with storm_site() as site:
        client = await site.client()
        for number in range(wanted):
            message = {"type": "subscribe", "stream": "ticker", "market": "crypto", "provider": "scripted"}
            client.ask(**message, symbol=f"S{number}/USDT")
            if number % 100 == 99:
                await asyncio.sleep(0)
        await site.until(lambda: len(client.viewers) + len(client.errors) >= wanted, 120)
        # At a legal speed every message has its own answer.
        answers = []
        for number in range(250):
            fields = {"market": "crypto", "provider": "scripted", "symbol": f"T{number}/USDT"}
            answers.append(client.ask(type="subscribe", stream="ticker", **fields))
            await asyncio.sleep(0.055)
            if len(client.viewers) >= 200 and number >= 5:
                break
        assert (await answers[-1])["code"] == "too_many_subscriptions"
        topics = set(client.viewers)
        assert len(topics) <= 200
        assert len(site.rig.registry.watched) == len(topics)
        assert len(site.rig.streaming.references) == len(topics)
        assert {error["code"] for error in client.errors} <= {"rate_limited", "too_many_subscriptions"}
        assert (await client.ask(type="ping"))["type"] in ("pong", "error")
        client.transport.close()
        await site.until(lambda: not site.rig.registry.connections)
        return len(topics), len(client.errors)


async def half_open(count: int, *, interval_s: float, timeout_s: float) -> float:
    """Peers that are gone without a word. How long the last of them was kept."""
    async with storm_site(ws_ping_interval=interval_s, ws_ping_timeout=timeout_s) as site:
        peers = await site.clients(count, pongs=False)
        alive = await site.client()
        for peer in peers:
            await peer.watch(stream="ticker")
            peer.transport.pause_reading()
        last_s = await site.until(lambda: len(site.site.connections) == 1, 3 * (interval_s + timeout_s) + 10)
        await site.until(lambda: len(site.server.server_state.connections) == 1)
        assert not alive.ended.is_set()
        for peer in peers:
            peer.transport.abort()
        return last_s


async def reconnect(count: int, rng: random.Random) -> tuple[float, int]:
    """All clients are cut off at once and come back as browsers do. When the last was back, and how many
    handshakes it took."""
    async with storm_site(handshakes_per_s=200.0) as site:
        attempts = 0
        loop = asyncio.get_running_loop()

        async def arrive() -> StormClient:
            nonlocal attempts
            delay_s = 0.5
            while True:
                attempts += 1
                try:
                    client = await site.client()
                except Refused:
                    await asyncio.sleep(delay_s * (0.5 + rng.random()))
                    delay_s = min(5.0, delay_s * 2)
                else:
                    await client.watch(stream="ohlcv", timeframe="1m", history=500)
                    return client

        clients = await asyncio.gather(*(arrive() for _ in range(count)))
        await site.until(lambda: site.rig.venue.open_now == 1)
        upstream, attempts = site.rig.venue.opened, 0
        for client in clients:
            client.transport.abort()

        async def trade() -> None:
            while True:  # a feed that hears nothing would be renewed
                site.rig.venue.trade(100)
                await asyncio.sleep(0.5)

        trading = asyncio.create_task(trade())

        async def back() -> StormClient:
            await asyncio.sleep(rng.random())
            return await arrive()

        began_s = loop.time()
        clients = await asyncio.gather(*(back() for _ in range(count)))
        took_s = loop.time() - began_s
        trading.cancel()
        await site.until(lambda: all(each.snapshots for c in clients for each in c.viewers.values()))
        assert site.rig.venue.opened == upstream, "the feeds did not notice"
        assert took_s <= BACK_S_MAX
        for client in clients:
            client.transport.abort()
        return took_s, attempts


class Traces(logging.Handler):
    """Counts what is logged as an error or with a trace."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(record.getMessage())


async def garbage(count: int, rng: random.Random) -> dict[int | None, int]:
    """Inputs that nobody should send. By which codes sockets were closed."""
    traces = Traces()
    logging.getLogger().addHandler(traces)
    closes: dict[int | None, int] = {}
    try:
        async with storm_site(speed=1_000.0) as site:
            client = await site.client()
            for number in range(count):
                if client.transport.is_closing():
                    await client.ended.wait()
                    closes[client.close_code] = closes.get(client.close_code, 0) + 1
                    client = await site.client()
                client.transport.write(_spoiled(rng))
                if number % 10 == 9:
                    await asyncio.sleep(0)
                if number % 500 == 499:
                    client.transport.abort()
                    client = await site.client()
                    assert (await client.ask(type="ping"))["type"] == "pong", "the server lives"
            client.transport.abort()
    finally:
        logging.getLogger().removeHandler(traces)
    assert traces.found == []
    return closes


def _spoiled(rng: random.Random) -> bytes:
    """One frame of a kind that is wrong in one of many ways."""
    words = [b'"type":"subscribe"', b'"id":1', b'"stream":"steal"', b'"symbol":null', b'"id":-1', b'"x":[[]]']
    match rng.randrange(9):
        case 0:
            payload = rng.randbytes(rng.randrange(200))
            return bytes((0x82, 0xFE)) + len(payload).to_bytes(2, "big") + bytes(4) + payload
        case 1:
            return _frame(rng.randbytes(rng.randrange(1, 200)))  # hardly ever UTF-8
        case 2:
            return _frame(b"[" * rng.randrange(1, 60_000))
        case 3:
            return _frame(b'{"a":' * rng.randrange(1, 10_000))
        case 4 if rng.random() < 0.05:
            payload = b"x" * 70_000
            return bytes((0x81, 0xFF)) + len(payload).to_bytes(8, "big") + bytes(4) + payload
        case 5 if rng.random() < 0.2:
            return bytes((0x80 | rng.randrange(3, 8), 0x80)) + bytes(4)  # an opcode that there is not
        case 6:
            return _frame(
                b'{"type":"' + rng.choice([b"steal", b"authenticate", b"ok"]) + b'","id":5,"token":"t"}'
            )
        case _:
            return _frame(b"{" + b",".join(rng.sample(words, rng.randrange(1, 5))) + b"}")


def _frame(payload: bytes) -> bytes:
    return bytes((0x81, 0xFE)) + len(payload).to_bytes(2, "big") + bytes(4) + payload


async def resumes(clients: int, times: int, rng: random.Random) -> tuple[int, int]:
    """Clients lose their line again and again, and resume. How often, and how many had to begin anew."""
    async with storm_site(coalesce_s=0.01) as site:
        done = asyncio.Event()

        async def trade() -> None:
            while not done.is_set():
                site.rig.venue.trade(100 + rng.randrange(50))
                await asyncio.sleep(0.02)

        arrived = 0

        async def come_and_go() -> tuple[Viewer, Viewer, int]:
            nonlocal arrived
            tape, bars, anew = Viewer(), Viewer(), 0
            for _ in range(times):
                begun = len(tape.snapshots)
                client = await site.client()
                await client.watch(tape, stream="trades")
                await client.watch(bars, stream="ohlcv", timeframe="1m")
                await asyncio.sleep(rng.random() * 0.1)
                client.transport.abort()
                await client.ended.wait()
                anew += len(tape.snapshots) - begun
                await asyncio.sleep(rng.random() * 0.1)
            client = await site.client()
            await client.watch(tape, stream="trades")
            await client.watch(bars, stream="ohlcv", timeframe="1m")
            arrived += 1
            await done.wait()
            return tape, bars, anew

        trading = asyncio.create_task(trade())
        running = [asyncio.create_task(come_and_go()) for _ in range(clients)]
        await site.until(lambda: arrived == clients, 30 + times)
        done.set()
        await trading
        found = await asyncio.gather(*running)
        for tape, bars, _ in found:
            await site.until(lambda tape=tape: tape.trades[-1:] == site.rig.venue.trades[-1:])  # type: ignore[misc]
            assert tape.trades[-RECENT_TRADES:] == site.rig.venue.trades[-RECENT_TRADES:][-len(tape.trades) :]
            await site.until(lambda bars=bars: bars.series() == site.rig.venue.bars("1m"))  # type: ignore[misc]
        return clients * times, sum(anew for _, _, anew in found) - clients


async def logins(count: int, rng: random.Random) -> float:
    """Tokens run out and sessions are ended. How late the last socket was closed, in the server's seconds."""
    async with storm_site(speed=0.5) as site:  # so that a busy machine is not taken for a late server
        clock, auth = site.rig.clock, site.site.authenticator
        late: list[float] = []

        async def log_in(client: StormClient, number: int) -> float:
            while True:  # where all come at once, a token may have run out before it is looked at
                lifetime_s = 0.3 + 0.3 * rng.random()
                due_s = clock.monotonic() + lifetime_s
                token = auth.issue(f"user {number}", session=f"s{number}", lifetime_s=lifetime_s)
                answer = await client.ask(type="authenticate", token=token)
                if answer["type"] == "ok":
                    return due_s

        async def one(number: int) -> None:
            client = await site.client()
            due_s = await log_in(client, number)
            if number % 2:
                await asyncio.sleep(rng.random() * 0.5)
                due_s = clock.monotonic()
                auth.end(f"s{number}")
            await client.ended.wait()
            assert client.close_code == 4401
            late.append(clock.monotonic() - due_s)

        await asyncio.gather(*(one(number) for number in range(count)))
        assert max(late) <= 1.0
        return max(late)


async def churn(connections: int, views: int, rng: random.Random) -> tuple[int, int]:
    """Clients come, watch, leave topics and go, in any order. Tasks and bytes that are left over."""
    async with storm_site(speed=20.0) as site:

        async def one() -> None:
            await asyncio.sleep(rng.random() * connections / 500)
            client = await site.client()
            topics = []
            for _ in range(views):
                stream = rng.choice(["ticker", "trades", "order_book", "ohlcv"])
                more = {"timeframe": rng.choice(["1m", "5m", "1h"])} if stream == "ohlcv" else {}
                symbol = f"S{rng.randrange(50)}/USDT"
                topics.append(await client.watch(None, stream=stream, symbol=symbol, **more))
                if rng.random() < 0.3:
                    client.ask(type="unsubscribe", topic=topics.pop(rng.randrange(len(topics))))
            if rng.random() < 0.5:
                client.transport.abort()
            else:
                client.transport.close()

        async def round_of_all() -> tuple[int, int]:
            await asyncio.gather(*(one() for _ in range(connections)))
            await _empty(site)
            return len(asyncio.all_tasks()), resident_bytes()

        await (await site.client()).watch(stream="ticker")
        await _empty(site)  # what runs for as long as the server has been begun
        tasks = len(asyncio.all_tasks())
        # The first time the process takes the memory that it needs for so many at once, and keeps it.
        tasks_once, size = await round_of_all()
        tasks_again, size_again = await round_of_all()
        return max(tasks_once, tasks_again) - tasks, size_again - size


async def _empty(site: StormSite) -> None:
    """Everything goes that nobody wants any more."""
    for client in list(site.server.server_state.connections):
        client.transport.abort()
    await site.until(lambda: not site.rig.registry.connections, 60)
    assert not site.rig.registry.watched
    await site.until(lambda: not site.rig.service.hubs and not site.rig.streaming.feeds, 60)
    assert not site.rig.streaming.references
    await site.until(lambda: site.rig.venue.open_now == 0)
    gc.collect()
