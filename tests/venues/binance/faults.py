"""How the venue misbehaves, on command. Everything set here stays until it is used up or healed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Action: TypeAlias = Literal["answer", "hang", "reset", "cut_body", "delay"]
MessageFilter: TypeAlias = Callable[[str, str], Sequence[str]]
"""Of a stream's name and a message's text, the texts to send in its place: none, it twice, another."""


@dataclass(slots=True)
class Rule:
    """What to do with requests whose path begins with `path`; `times` None is until healed."""

    path: str
    action: Action
    times: int | None = None
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    used: int = 0

    @property
    def spent(self) -> bool:
        """Whether the rule has done its work."""
        return self.times is not None and self.used >= self.times


class Controls(Protocol):
    """What faults may do to the server."""

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
        return self._add(Rule(path, "answer", times, status, body, headers or {}))

    def unavailable(self, path: str = "", times: int | None = None) -> Rule:
        """503 to everything."""
        return self.answer(path, status=503, body="Service Unavailable", times=times)

    def delay(self, delay_s: float, path: str = "", times: int | None = None) -> Rule:
        """Answer right, but later."""
        return self._add(Rule(path, "delay", times, delay_s=delay_s))

    def hang(self, path: str = "", times: int | None = 1) -> Rule:
        """Take the request and never answer."""
        return self._add(Rule(path, "hang", times))

    def reset(self, path: str = "", times: int | None = 1) -> Rule:
        """Take the request and reset the connection."""
        return self._add(Rule(path, "reset", times))

    def cut_body(self, path: str = "", times: int | None = 1) -> Rule:
        """Promise a body and close in the middle of it."""
        return self._add(Rule(path, "cut_body", times))

    def match(self, path: str) -> Rule | None:
        """The rule for a request that came just now; counts as one use."""
        self._rules = [rule for rule in self._rules if not rule.spent]
        for rule in self._rules:
            if path.startswith(rule.path):
                rule.used += 1
                return rule
        return None

    def _add(self, rule: Rule) -> Rule:
        self._rules.append(rule)
        return rule

    # connections and streams

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
        self.silent = False
        self.stream_delay_s = 0.0
        self.message_filter = None
        await self._controls.listen()
