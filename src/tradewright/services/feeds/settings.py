"""The times and bounds that feeds keep to."""

from __future__ import annotations

from dataclasses import dataclass, field

from tradewright.runtime.retry import Backoff


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Times in seconds. The defaults are what the documentation promises."""

    grace_s: float = 30.0
    """How long a stream that nobody watches any more is kept."""
    poll_interval_s: float = 2.0
    closed_poll_interval_s: float = 60.0
    """How often a market is polled that its calendar calls closed."""
    call_deadline_s: float = 10.0
    watchdog_s: float = 15.0
    doubt_s: float = 3.0
    """How long a silent stream is still called live while a call checks it."""
    unchecked_silence_s: float = 60.0
    """The silence after which a stream is renewed that can't be checked by a single call."""
    stable_s: float = 30.0
    """A connection that lived this long starts with a clean record when it breaks."""
    failures_until_polling: int = 3
    synchronise_attempts: int = 3
    keep_within_s: float = 300.0
    """How long minutes wait at most for a word of the venue by which they may be stored; then it is asked."""
    coalesce_s: float = 0.1
    """The least time between two states of what is forming, of one topic."""
    reconnect: Backoff = field(default_factory=lambda: Backoff(first_s=0.5, max_s=30.0))
    repeat: Backoff = field(default_factory=lambda: Backoff(first_s=2.0, max_s=50.0))
    """Between attempts at calls that failed."""
    owed_repeat_s: float = 40.0
    """The longest pause between them while viewers lack what could not be asked for."""


@dataclass(frozen=True, slots=True)
class SharingSettings:
    """The times, in seconds, by which processes share feeds. A dead keeper is followed within
    ``lease_s`` + 1."""

    lease_s: float = 4.0
    margin_s: float = 0.8
    """So long before a lease can have run out its keeper falls silent."""
    beat_s: float = 1.0
    """How often leases are renewed, the keeper says that it is there, and listeners say what they want."""
    heartbeat_s: float = 2.0
    """How often a topic on which nothing is published says up to where it has come."""
    quiet_s: float = 2.5
    """A keeper that is not heard for so long may be gone: its lease is tried for."""
    try_s: float = 0.25
    alone_after_s: float = 1.5
    """How long the leases must have been unavailable before a process runs a feed without one."""
    call_deadline_s: float = 1.0
    answer_s: float = 2.0
    """How long the state of a topic is asked for."""
    ask_again_s: float = 0.5
    closing_s: float = 2.0
    """How long a lease is held while an upstream connection ends."""
