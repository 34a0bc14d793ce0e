"""How a venue misbehaves, on command. Everything set here stays until it is used up or healed.

`Faults` holds commands for requests and connections, `CandleFaults` (in `candle_faults`) for what is
in a page of candles. `Faults.random` mixes those for requests by chance, the same ones for a seed.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final, Literal, Protocol, TypeAlias, get_args

Action: TypeAlias = Literal["answer", "hang", "reset", "cut_body", "delay"]
MessageFilter: TypeAlias = Callable[[str, str], Sequence[str]]
"""Of a stream's name and a message's text, the texts to send in its place: none, it twice, another."""

RequestFault: TypeAlias = Literal[
    "latency",
    "server_error",
    "too_many",
    "reset",
    "cut_body",
    "malformed",
    "empty_body",
    "html",
    "deep",
    "hang",
]
QUICK_FAULTS: Final[tuple[RequestFault, ...]] = tuple(
    kind for kind in get_args(RequestFault) if kind not in ("hang", "too_many")
)
"""What costs its caller neither a time-out nor a time in which the venue wants no request."""

MALFORMED: Final = '{"result":[[1700000000000,"1","2'
HTML: Final = "<!DOCTYPE html><html><head><title>Just a moment</title></head><body></body></html>"
DEEP: Final = "[" * 100_000


@dataclass(slots=True)
class Rule:
    """What to do with requests whose path begins with `path`.

    `times` None is until healed, and `until_ms` until that time of the venue; before `from_ms` the rule
    sleeps. `retry_after_s` is written into the header of that name, as seconds or as a date.
    """

    path: str
    action: Action
    times: int | None = None
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    from_ms: int | None = None
    until_ms: int | None = None
    retry_after_s: float | None = None
    retry_after_as_date: bool = False
    used: int = 0
    came_ms: deque[int] = field(default_factory=lambda: deque(maxlen=1_000))
    """When requests came that met it, by the venue's time; the last thousand."""

    def spent(self, now_ms: int) -> bool:
        """Whether the rule has done its work."""
        out_of_time = self.until_ms is not None and now_ms >= self.until_ms
        return out_of_time or (self.times is not None and self.used >= self.times)

    def answers(self, path: str, now_ms: int) -> bool:
        """Whether a request that came just now is one for this rule."""
        return path.startswith(self.path) and (self.from_ms is None or now_ms >= self.from_ms)

    def headers_at(self, now_ms: int) -> dict[str, str]:
        """The answer's headers; where the rule ends at a time, `Retry-After` says when."""
        left_s = self.retry_after_s
        if left_s is None:
            return dict(self.headers)
        if self.until_ms is not None:
            left_s = max(0.0, (self.until_ms - now_ms) / 1000)
        when = formatdate(now_ms / 1000 + left_s, usegmt=True) if self.retry_after_as_date else None
        return {**self.headers, "Retry-After": when or str(-int(-left_s // 1))}


class Controls(Protocol):
    """What faults may do to the server."""

    def now_ms(self) -> int:
        """The venue's time."""
        ...

    def set_clock_offset(self, offset_ms: int) -> None:
        """Make the venue's clock wrong by that much."""
        ...

    def silence_sockets(self) -> int:
        """Make the websockets that are open now send nothing more."""
        ...

    def inject(self, text: str) -> int:
        """Send a text to every open websocket."""
        ...

    def abort_connections(self) -> int:
        """Reset every open connection."""
        ...

    async def listen(self) -> None:
        """Accept connections (again)."""
        ...

    def stop_listening(self) -> None:
        """Refuse new connections."""
        ...


class Faults:
    """Commands to misbehave now. `heal` ends them all."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._rules: list[Rule] = []
        self._chance: _Chance | None = None
        self.injected = 0
        """How many requests were met by a rule or by chance."""
        self.silent = False
        self.stream_delay_s = 0.0
        self.message_filter: MessageFilter | None = None

    # requests and websocket handshakes

    def answer(
        self,
        path: str = "",
        *,
        status: int = 200,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        times: int | None = 1,
    ) -> Rule:
        """Give that answer in place of the right one."""
        return self.add(Rule(path, "answer", times, status, body, headers or {}))

    def unavailable(self, path: str = "", times: int | None = None) -> Rule:
        """503 to everything."""
        return self.answer(path, status=503, body="Service Unavailable", times=times)

    def maintenance(
        self, *, from_ms: int | None = None, until_ms: int | None = None, status: int = 503, body: str = ""
    ) -> Rule:
        """Refuse every request between two times of the venue, in its own words where it has some."""
        text = body or "The system is under maintenance."
        return self.add(Rule("", "answer", None, status, text, from_ms=from_ms, until_ms=until_ms))

    def too_many(
        self,
        retry_after_s: float,
        path: str = "",
        *,
        status: int = 429,
        body: str = "",
        as_date: bool = False,
        tells: bool = True,
    ) -> Rule:
        """429 (or 418, a ban) to every request until that time has passed on the venue's clock.

        `Retry-After` says for how long, in whole seconds or as a date, where the venue tells it. `used`
        counts who came anyway.
        """
        until_ms = self._controls.now_ms() + int(retry_after_s * 1000)
        rule = Rule(path, "answer", None, status, body, until_ms=until_ms)
        rule.retry_after_s = retry_after_s if tells else None
        rule.retry_after_as_date = as_date
        return self.add(rule)

    def malformed(self, path: str = "", times: int | None = 1) -> Rule:
        """JSON that ends in the middle, with a status and a length that are right."""
        return self.answer(path, body=MALFORMED, times=times)

    def html(self, path: str = "", times: int | None = 1) -> Rule:
        """A page for people in place of data."""
        return self.answer(path, body=HTML, headers={"Content-Type": "text/html"}, times=times)

    def deep(self, path: str = "", times: int | None = 1) -> Rule:
        """JSON nested deeper than any parser goes."""
        return self.answer(path, body=DEEP, times=times)

    def huge(self, path: str = "", times: int | None = 1, *, size: int = 8_000_000) -> Rule:
        """A body of that many bytes."""
        return self.answer(path, body="x" * size, times=times)

    def delay(self, delay_s: float, path: str = "", times: int | None = None) -> Rule:
        """Answer right, but later."""
        return self.add(Rule(path, "delay", times, delay_s=delay_s))

    def hang(self, path: str = "", times: int | None = 1) -> Rule:
        """Take the request and never answer."""
        return self.add(Rule(path, "hang", times))

    def reset(self, path: str = "", times: int | None = 1) -> Rule:
        """Take the request and reset the connection."""
        return self.add(Rule(path, "reset", times))

    def cut_body(self, path: str = "", times: int | None = 1) -> Rule:
        """Promise a body and close in the middle of it."""
        return self.add(Rule(path, "cut_body", times))

    def random(
        self,
        seed: int,
        rate: float,
        *,
        kinds: Sequence[RequestFault] = QUICK_FAULTS,
        path: str = "",
        latency_s_max: float = 0.005,
    ) -> None:
        """From now on, break that share of the requests below `path`, each in a way drawn from `kinds`."""
        self._chance = _Chance(random.Random(seed), rate, tuple(kinds), path, latency_s_max)

    def match(self, path: str) -> Rule | None:
        """The rule for a request that came just now; counts as one use."""
        if not self._rules and self._chance is None:
            return None
        now_ms = self._controls.now_ms()
        self._rules = [rule for rule in self._rules if not rule.spent(now_ms)]
        for rule in self._rules:
            if rule.answers(path, now_ms):
                rule.used += 1
                rule.came_ms.append(now_ms)
                self.injected += 1
                return rule
        drawn = self._chance.draw(path) if self._chance is not None else None
        self.injected += drawn is not None
        return drawn

    def add(self, rule: Rule) -> Rule:
        """Put a rule behind the others: of those for one request, the first one counts."""
        self._rules.append(rule)
        return rule

    # the clock, connections and streams

    def wrong_clock(self, offset_ms: int) -> None:
        """Set the venue's clock wrong by that much: its time, its candles and its trades."""
        self._controls.set_clock_offset(offset_ms)

    def cut_sockets(self) -> int:
        """Reset every connection that is open now; returns how many."""
        return self._controls.abort_connections()

    def refuse_connections(self) -> None:
        """Stop listening, and cut what is open."""
        self._controls.stop_listening()
        self._controls.abort_connections()

    async def accept_connections(self) -> None:
        """Listen again, on the same port."""
        await self._controls.listen()

    def silence_sockets(self) -> int:
        """The websockets open now send nothing more, not even a pong, and stay open; new ones live."""
        return self._controls.silence_sockets()

    def inject(self, text: str) -> int:
        """Send this text, well formed or not, to every open websocket."""
        return self._controls.inject(text)

    async def heal(self) -> None:
        """Behave from now on; sockets that were silenced stay silent until they are closed."""
        self._rules.clear()
        self._chance = None
        self.silent = False
        self.stream_delay_s = 0.0
        self.message_filter = None
        self._controls.set_clock_offset(0)
        await self._controls.listen()


@dataclass(frozen=True, slots=True)
class _Chance:
    """Draws, for each request, whether and how it is broken."""

    source: random.Random
    rate: float
    kinds: tuple[RequestFault, ...]
    path: str
    latency_s_max: float

    def draw(self, path: str) -> Rule | None:
        if not path.startswith(self.path) or self.source.random() >= self.rate:
            return None
        match self.source.choice(self.kinds):
            case "latency":
                return Rule(path, "delay", delay_s=self.source.uniform(0, self.latency_s_max))
            case "server_error":
                return Rule(path, "answer", status=self.source.choice((500, 502, 503, 504)))
            case "too_many":
                return Rule(path, "answer", status=self.source.choice((418, 429)), retry_after_s=1)
            case "reset":
                return Rule(path, "reset")
            case "cut_body":
                return Rule(path, "cut_body")
            case "hang":
                return Rule(path, "hang")
            case "malformed":
                return Rule(path, "answer", body=MALFORMED)
            case "empty_body":
                return Rule(path, "answer")
            case "html":
                return Rule(path, "answer", body=HTML, headers={"Content-Type": "text/html"})
            case "deep":
                return Rule(path, "answer", body=DEEP)
