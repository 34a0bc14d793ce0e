"""A venue whose every minute is known, so that any answer can be compared with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.capabilities import Capability, ProviderInfo
from tradewright.domain.errors import CredentialsRequired, UnknownSymbol
from tradewright.domain.instruments import ALWAYS_OPEN, Instrument, Split
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.plugins.base import MarketPlugin, NetworkPluginError, PluginError, PluginSetup, VenueStatus

SYMBOL = "BTC/USDT"
START_MS = 1_704_067_200_000  # 2024-01-01, a Monday


def random_minutes(seed: int, minutes: int, *, quiet: float = 0.2, start_ms: int = START_MS) -> Bars:
    """A random walk of ``minutes`` minutes, of which the share ``quiet`` has no trade, some in long runs."""
    rng = np.random.default_rng(seed)
    time = start_ms + np.arange(minutes, dtype=np.int64) * MINUTE_MS
    close = np.round(30_000 * np.exp(np.cumsum(rng.normal(0, 1e-3, minutes))), 2)
    open_ = np.concatenate(([30_000.0], close[:-1]))
    high = np.round(np.maximum(open_, close) * (1 + rng.random(minutes) * 1e-3), 2)
    low = np.round(np.minimum(open_, close) * (1 - rng.random(minutes) * 1e-3), 2)
    traded = rng.random(minutes) >= quiet
    for run in rng.integers(0, minutes, max(1, minutes // 1_500)):
        traded[run : run + int(rng.integers(2, 90))] = False
    traded[0] = True
    return Bars(time, open_, high, low, close, np.round(rng.random(minutes) * 10, 4)).take(traded)


def as_of(minutes: Bars, now_ms: int) -> Bars:
    """The minutes as they look at ``now_ms``: nothing of the future, and half of the forming one."""
    past = minutes.between(0, ONE_MINUTE.floor(now_ms))
    forming = minutes.between(ONE_MINUTE.floor(now_ms), now_ms + 1)
    half = Bars(forming.time, forming.open, forming.open, forming.open, forming.open, forming.volume / 2)
    return Bars.concat((past, half))


class LedgerPlugin(MarketPlugin):
    """Serves ``minutes``; everything about it is set on the class by ``ledger_plugin``."""

    minutes: ClassVar[Bars]
    others: ClassVar[dict[str, Bars]]
    """What else is listed."""
    page_limit: ClassVar[int]
    native: ClassVar[tuple[str, ...]]
    market: ClassVar[str] = "crypto"
    calendar: ClassVar[str] = ALWAYS_OPEN
    splits: ClassVar[tuple[Split, ...] | None] = None
    split_questions: ClassVar[int] = 0
    status: ClassVar[VenueStatus | None] = None
    ranking: ClassVar[tuple[str, ...]] = ()
    """What it says is traded most."""
    beside: ClassVar[list[str]]
    """What else it was asked: other symbols, the first bar, the status, the ranking."""
    failure: ClassVar[PluginError | CredentialsRequired | None]
    refusals: ClassVar[int] = 0
    requests: ClassVar[list[tuple[str, int, int]]]
    served: ClassVar[list[list[tuple[str, int]]]]
    """Timeframe and opening of each bar of each page that could not change any more."""
    made: ClassVar[list[LedgerPlugin]]

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self.closed = 0
        self.streams_ended = 0
        self.made.append(self)

    @classmethod
    def get_plugin_key(cls) -> str:
        return "ledger"

    @classmethod
    def get_supported_markets(cls) -> tuple[str, ...]:
        return (cls.market,)

    @classmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        if market != cls.market:
            return ()
        info = ProviderInfo(
            provider="ledger",
            name="Ledger",
            market=cls.market,
            plugin="ledger",
            timeframes=cls.native,
            capabilities=tuple(cls._offers()),
        )
        return (info,)

    @classmethod
    def _offers(cls) -> frozenset[Capability]:
        more = () if cls.splits is None else (Capability.SPLITS,)
        return frozenset({Capability.OHLCV, *more})

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self._offers()

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        return tuple(TIMEFRAMES[name] for name in self.native)

    @property
    def ohlcv_page_limit(self) -> int:
        return self.page_limit

    async def end_streams(self) -> None:
        self.streams_ended += 1

    async def fetch_instruments(self) -> Sequence[Instrument]:
        self._fail()
        return tuple(
            Instrument(
                market=self.market,
                symbol=symbol,
                base=symbol.split("/")[0],
                quote="USDT",
                calendar=self.calendar,
            )
            for symbol in (SYMBOL, *self.others)
        )

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        self._fail()
        now_ms = self.clock.now_ms()
        if symbol != SYMBOL and symbol not in self.others:
            raise UnknownSymbol("ledger does not list this symbol.")
        minutes = self.minutes if symbol == SYMBOL else self.others[symbol]
        bars = resample(as_of(minutes, now_ms), timeframe).between(start_ms, end_ms)
        page = bars[: min(self.page_limit, limit or self.page_limit)]
        if symbol == SYMBOL:
            self.requests.append((timeframe.name, start_ms, end_ms))
        if symbol != SYMBOL:
            self.beside.append(symbol)
        elif limit == 1:
            self.beside.append("first bar")
        if limit is None:
            final = page.between(0, timeframe.floor(now_ms - self.settling_ms))
            self.served.append([(timeframe.name, time) for time in final.time.tolist()])
        return page

    async def fetch_splits(self, symbol: str) -> Sequence[Split]:
        self._fail()
        type(self).split_questions += 1
        return self.splits or ()

    async def fetch_status(self) -> VenueStatus | None:
        self._fail()
        self.beside.append("status")
        return self.status

    async def fetch_most_traded(self) -> Sequence[str]:
        self._fail()
        self.beside.append("ranking")
        return self.ranking

    async def close(self) -> None:
        self.closed += 1

    def _fail(self) -> None:
        if self.failure is not None:
            type(self).refusals += 1
            raise self.failure


def ledger_plugin(
    minutes: Bars,
    *,
    page_limit: int = 500,
    native: tuple[str, ...] = ("1m", "1h", "1d"),
    others: dict[str, Bars] | None = None,
) -> type[LedgerPlugin]:
    """A plugin class of its own over these minutes."""
    return type(
        "OwnLedgerPlugin",
        (LedgerPlugin,),
        {
            "minutes": minutes,
            "others": others or {},
            "page_limit": page_limit,
            "native": native,
            "failure": None,
            "refusals": 0,
            "requests": [],
            "served": [],
            "made": [],
            "beside": [],
        },
    )


def unreachable() -> NetworkPluginError:
    """What a venue raises that is not there."""
    return NetworkPluginError("ledger can't be reached.")
