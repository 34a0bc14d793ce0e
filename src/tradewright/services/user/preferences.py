"""What a person may choose, and in which form; nothing else is kept."""

from __future__ import annotations

import asyncio
import zoneinfo
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tradewright.domain.errors import InvalidInput
from tradewright.domain.people_stores import PreferenceStore

BYTES_MAX: Final = 16 * 1024
"""Of all of one person's preferences, as JSON."""

# No line ends, nothing that turns the direction of writing. By itself `$` would let a last line end pass.
_PLAIN: Final = r"^[^\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+$(?!\n)"

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=_PLAIN)]
Timeframe: TypeAlias = Literal[
    "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w", "1M"
]
Number: TypeAlias = Annotated[float, Meta(ge=-1e9, le=1e9)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of what is chosen; nothing unknown stands in it."""


class InstrumentChoice(_Part, frozen=True, kw_only=True):
    """An instrument."""

    market: Text
    provider: Text
    symbol: Text


class ChartChoice(InstrumentChoice, frozen=True, kw_only=True):
    """A chart that can be gone back to."""

    timeframe: Timeframe


class IndicatorChoice(_Part, frozen=True, kw_only=True):
    """An indicator on the chart, with its parameters."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,32}$(?!\n)")]
    params: Annotated[list[Number], Meta(max_length=12)]
    visible: bool = True


class ChartLook(_Part, frozen=True, kw_only=True):
    """How charts look."""

    type: Literal["candle_solid", "candle_up_stroke", "ohlc", "area"] | UnsetType = UNSET
    axis: Literal["normal", "logarithm"] | UnsetType = UNSET
    indicators: Annotated[list[IndicatorChoice], Meta(max_length=12)] | UnsetType = UNSET
    favourites: Annotated[list[Timeframe], Meta(max_length=13)] | UnsetType = UNSET
    side_panel: bool | UnsetType = UNSET


class Watchlist(_Part, frozen=True, kw_only=True):
    """Instruments under one name."""

    name: Text
    items: Annotated[list[InstrumentChoice], Meta(max_length=100)]


class Layout(_Part, frozen=True, kw_only=True):
    """Charts beside each other, under one name."""

    name: Text
    columns: Annotated[int, Meta(ge=1, le=4)] = 1
    charts: Annotated[list[ChartChoice], Meta(max_length=16)]


class Preferences(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person has chosen; what is left out was not. In a change null takes a choice back.

    ``timezone`` is ``browser``, ``utc`` or a name such as ``Europe/Berlin``; ``default_…`` say where a page
    begins that is not told otherwise.
    """

    theme: Literal["system", "dark", "light"] | UnsetType | None = UNSET
    timezone: Text | UnsetType | None = UNSET
    default_market: Text | UnsetType | None = UNSET
    default_provider: Text | UnsetType | None = UNSET
    default_symbol: Text | UnsetType | None = UNSET
    default_timeframe: Timeframe | UnsetType | None = UNSET
    chart: ChartLook | UnsetType | None = UNSET
    recent: Annotated[list[ChartChoice], Meta(max_length=20)] | UnsetType | None = UNSET
    watchlists: Annotated[list[Watchlist], Meta(max_length=20)] | UnsetType | None = UNSET
    layouts: Annotated[list[Layout], Meta(max_length=20)] | UnsetType | None = UNSET


_KINDS: Final = {field.name: field.type for field in msgspec.structs.fields(Preferences)}


class PreferenceDesk:
    """Reads and changes one person's preferences."""

    def __init__(self, store: PreferenceStore) -> None:
        self._store = store

    async def get(self, user_id: str) -> Preferences:
        """What they have chosen, as far as it still makes sense."""
        return _understood(await self._store.get(user_id))

    async def change(self, user_id: str, changes: Preferences) -> Preferences:
        """Change what is given, take back what is null, and leave the rest; ``InvalidInput`` where it
        can't be taken or all of it together would be longer than ``BYTES_MAX``."""
        await _check_zone(changes.timezone)
        given = {name: getattr(changes, name) for name in _KINDS}
        plain: dict[str, object] = {
            name: msgspec.to_builtins(value) for name, value in given.items() if value is not UNSET
        }
        kept = await self._store.merge(user_id, plain, bytes_max=BYTES_MAX)
        if kept is None:
            raise InvalidInput(
                f"All preferences together may be {BYTES_MAX // 1024} KiB of JSON.",
                dict.fromkeys(plain, "too much"),
            )
        return _understood(kept)

    async def forget(self, user_id: str) -> None:
        """Remove all of them."""
        await self._store.delete(user_id)


def _understood(kept: Mapping[str, object]) -> Preferences:
    """What was kept, without what another version of the program kept otherwise."""
    found: dict[str, Any] = {}
    for name, value in kept.items():
        try:
            found[name] = msgspec.convert(value, _KINDS[name])
        except (KeyError, msgspec.ValidationError):
            continue
    return Preferences(**found)


async def _check_zone(name: str | UnsetType | None) -> None:
    if not isinstance(name, str) or name in ("browser", "utc"):
        return
    if name not in await asyncio.to_thread(_zones):
        raise InvalidInput("There is no such time zone.", {"timezone": "no name of a time zone"})


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
