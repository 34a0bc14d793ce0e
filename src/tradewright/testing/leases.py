"""What every keeper of leases must keep to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tradewright.domain.ports import Lease, Leases

_LONG_S: Final = 600.0
_SHORT_S: Final = 0.5
_ROUNDS_MAX: Final = 100


async def check_leases(leases: Leases, *, wait: Callable[[float], Awaitable[None]]) -> None:
    """Raise ``AssertionError`` where ``leases``, of which nobody has any, breaks a promise of ``Leases``.

    ``wait(seconds)`` lets time pass for it.
    """
    await _check_one_owner(leases)
    await _check_renewing(leases)
    await _check_running_out(leases, wait)


async def _check_one_owner(leases: Leases) -> None:
    first = await leases.acquire("one:a/b {c}", "A", _LONG_S)
    assert first is not None, "a free lease is to be had"
    assert (first.name, first.owner) == ("one:a/b {c}", "A"), "it says what and whose it is"
    assert await leases.acquire("one:a/b {c}", "B", _LONG_S) is None, "not by two at once"
    assert await leases.acquire("another", "B", _LONG_S) is not None, "names are apart"
    again = await leases.acquire("one:a/b {c}", "A", _LONG_S)
    assert again is not None, "who has it may have it anew"
    assert again.token > first.token, "each lease has a higher token"
    await leases.release(first)
    assert await leases.acquire("one:a/b {c}", "B", _LONG_S) is None, "an old lease releases nothing"
    await leases.release(again)
    await leases.release(again)
    taken = await leases.acquire("one:a/b {c}", "B", _LONG_S)
    assert taken is not None, "what was let go is free"
    assert taken.token > again.token, "tokens rise from owner to owner"


async def _check_renewing(leases: Leases) -> None:
    assert await leases.renew([], _LONG_S) == [], "no lease, no answer"
    many = [await leases.acquire(f"many:{number}", "A", _LONG_S) for number in range(50)]
    held = [lease for lease in many if lease is not None]
    assert await leases.renew(held, _LONG_S) == [True] * 50, "one call renews many"
    await leases.release(held[7])
    newer = await leases.acquire("many:9", "A", _LONG_S)
    assert newer is not None
    false = Lease("many:8", "B", held[8].token)
    answers = await leases.renew([*held[6:10], false, newer], _LONG_S)
    assert answers == [True, False, True, False, False, True], "only the present lease is renewed, in order"
    assert await leases.acquire("many:7", "B", _LONG_S) is not None, "renewing brings nothing back"


async def _check_running_out(leases: Leases, wait: Callable[[float], Awaitable[None]]) -> None:
    ended = await leases.acquire("brief", "A", _SHORT_S)
    kept = await leases.acquire("kept", "A", _SHORT_S)
    assert ended is not None
    assert kept is not None
    assert await leases.renew([kept], _LONG_S) == [True]
    for _ in range(_ROUNDS_MAX):
        taken = await leases.acquire("brief", "B", _LONG_S)
        if taken is not None:
            break
        await wait(_SHORT_S / 5)
    assert taken is not None, "a lease runs out"
    assert taken.token > ended.token, "and its successor has a higher token"
    assert await leases.renew([ended], _LONG_S) == [False], "which its owner is told"
    await leases.release(ended)
    assert await leases.renew([taken], _LONG_S) == [True], "and can't undo"
    assert await leases.acquire("kept", "B", _LONG_S) is None, "a renewed one has not run out"
