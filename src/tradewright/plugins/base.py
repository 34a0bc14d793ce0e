"""``MarketPlugin``: what a venue must offer, and in which words it fails.

An instance serves exactly one provider with one set of credentials, or none. It does no I/O before
its first call, tells apart what is its own failure by raising ``PluginError`` and its kin alone, and
after ``close`` holds no connection and no task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, Literal, TypeAlias, TypeVar

from tradewright.domain.bars import Bars
from tradewright.domain.capabilities import Capability, CredentialField, ProviderInfo
from tradewright.domain.credentials import Credentials, KeyPermissions
from tradewright.domain.errors import (
    AuthenticationPluginError,
    DataSourceError,
    MalformedAnswerPluginError,
    NetworkPluginError,
    PluginError,
    PluginFeatureNotSupportedError,
    RateLimitPluginError,
    TimeoutPluginError,
)
from tradewright.domain.instruments import Instrument, Split
from tradewright.domain.orders import (
    Balance,
    OrderRequest,
    Position,
    TradingFees,
    VenueFill,
    VenueOrder,
)
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.domain.timeframes import Timeframe
from tradewright.runtime.clock import Clock, SystemClock

__all__ = [
    "AuthenticationPluginError",
    "BarUpdate",
    "DataSourceError",
    "KeyPermissions",
    "MalformedAnswerPluginError",
    "MarketPlugin",
    "NetworkPluginError",
    "PluginError",
    "PluginFeatureNotSupportedError",
    "PluginSetup",
    "RateLimitPluginError",
    "SharedByInstances",
    "TimeoutPluginError",
    "VenueStatus",
]

_T = TypeVar("_T")

VenueStatus: TypeAlias = Literal["up", "down"]
"""``down`` is a venue that is shut or being worked on."""


class SharedByInstances:
    """What all instances of one provider and network have in common, whatever their keys: above all what the
    venue allows the address that they call from. It may be used from any thread."""

    def __init__(self) -> None:
        self._kept: dict[type[object], object] = {}

    def one_of(self, kind: type[_T], make: Callable[[], _T]) -> _T:
        """The one of that kind, made where there is none yet."""
        kept = self._kept.get(kind) or self._kept.setdefault(kind, make())
        assert isinstance(kept, kind)
        return kept


@dataclass(frozen=True, slots=True)
class PluginSetup:
    """What an instance is made from.

    ``options`` is the operator's table ``[providers.<id>]``; no user can put anything into it. ``shared`` is
    the same for all instances of the provider and network; a setup without it has its own.
    """

    provider: str
    credentials: Credentials | None = None
    testnet: bool = False
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    clock: Clock = field(default_factory=SystemClock)
    shared: SharedByInstances = field(default_factory=SharedByInstances, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class BarUpdate:
    """Bars that changed, ascending; ``final`` says whether the venue itself closed the last of them,
    and is None where the venue does not say. All but the last one are closed; those that open at a time in
    ``told`` were closed by the venue itself, in just this form."""

    bars: Bars
    final: bool | None = None
    told: frozenset[int] = frozenset()


class MarketPlugin(ABC):
    """One venue or data vendor, spoken to on behalf of one provider."""

    settling_ms: ClassVar[int] = 5_000
    """How long after a bar's end the venue may still change it."""
    option_names: ClassVar[tuple[str, ...]] = ()
    """What the operator may say in the table of one of its providers."""

    def __init__(self, setup: PluginSetup) -> None:
        self.setup = setup
        self.provider = setup.provider
        self.clock = setup.clock

    # What can be known without an instance

    @classmethod
    @abstractmethod
    def get_plugin_key(cls) -> str:
        """The plugin's unique name, such as ``ccxt``."""

    @classmethod
    @abstractmethod
    def get_supported_markets(cls) -> tuple[str, ...]:
        """The markets it has providers in."""

    @classmethod
    @abstractmethod
    def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
        """Its providers in that market; none where it does not support the market. No I/O to a venue."""

    @classmethod
    def option_problems(cls, provider: str, options: Mapping[str, object]) -> Sequence[str]:
        """A sentence for each thing that is wrong in the operator's table of one of its providers; asked
        before anything starts."""
        known = ", ".join(cls.option_names) or "nothing"
        return [
            f"[providers.{provider}] can't hold {name}: it takes {known}."
            for name in options
            if name not in cls.option_names
        ]

    # What this instance can do

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """What may be called; everything else raises ``PluginFeatureNotSupportedError``."""

    @property
    @abstractmethod
    def timeframes(self) -> tuple[Timeframe, ...]:
        """The timeframes in which the venue serves bars of its own."""

    @property
    def credential_fields(self) -> tuple[CredentialField, ...]:
        """The fields of a key at this provider."""
        return ()

    @property
    def ohlcv_page_limit(self) -> int:
        """How many bars one ``fetch_ohlcv`` gives at most."""
        return 500

    @property
    def ohlcv_reach_bars(self) -> int | None:
        """How many of the newest bars of each timeframe the venue serves, the forming one among them;
        None where it serves its whole history. What is older does not come, and that says nothing."""
        return None

    @property
    def late_bars(self) -> bool:
        """Whether the stream of bars may tell a change of the forming one many seconds after the trade that
        made it, while the stream of trades tells that at once."""
        return False

    @property
    def bars_from_next_minute(self) -> bool:
        """Whether a stream of bars says nothing of the minute in which it begins until that has ended: what
        was traded before is not known to it."""
        return False

    @property
    def counts_trades(self) -> bool:
        """Whether the ids of a symbol's public trades are numbers that rise by one, so that a missing one
        shows."""
        return False

    def served_from(self, timeframe: Timeframe, now_ms: int) -> int:
        """The oldest opening whose bar comes when it is asked for at ``now_ms``, venue time.

        One bar less than the venue serves, since time goes by until it answers.
        """
        reach = self.ohlcv_reach_bars
        return 0 if reach is None else max(0, timeframe.shift(timeframe.floor(now_ms), 2 - reach))

    def supports(self, capability: Capability) -> bool:
        """Whether the capability is among those declared."""
        return capability in self.capabilities

    async def venue_time_ms(self) -> int:
        """The venue's clock: ours plus the measured offset, where the venue tells its time. Raises
        ``PluginError`` where it would, and could never be asked: by our clock alone nothing is final."""
        return self.clock.now_ms()

    @property
    def time_is_guessed(self) -> bool:
        """Whether ``venue_time_ms`` gives nothing but our clock, which may be wrong, because the venue tells
        no time at all: what is final by it is told with a wide margin. False where our clock is the venue's.
        """
        return False

    def measured_time_ms(self) -> int | None:
        """The venue's clock by what was measured of it before, without asking; None where nothing was, or
        where that can't be trusted any more."""
        return None

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything, at once and for good; may be called twice."""

    async def end_streams(self) -> None:  # noqa: B027  a plugin without streams has nothing to end
        """End every stream now, and begin none any more; other calls go on until ``close``. An instance whose
        key is not to be used any more is treated so."""

    # Market data

    @abstractmethod
    async def fetch_instruments(self) -> Sequence[Instrument]:
        """All that the provider lists, of every market that it serves."""

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        """One page: the earliest bars that open in ``[start_ms, end_ms)``, at most ``limit`` and at most
        ``ohlcv_page_limit``; a page with fewer holds all of them. The last one may be forming. A time
        without trades has no bar. A bar that there is and that does not come, because its row can't be right
        or because it is older than what the venue gives, is no such time: a page that lacks one is a
        ``PageOfBars``; where no bar can be right ``MalformedAnswerPluginError`` is raised and tells the same.
        Source: the venue's own bars of that timeframe."""
        raise self._unsupported(Capability.OHLCV)

    async def fetch_ticker(self, symbol: str) -> Ticker:
        """The state of the market now."""
        raise self._unsupported(Capability.TICKER)

    async def fetch_order_book(self, symbol: str, depth: int) -> OrderBook:
        """The best levels now; at least ``depth`` of each side where the market has them, perhaps more."""
        raise self._unsupported(Capability.ORDER_BOOK)

    async def fetch_trades(self, symbol: str, limit: int) -> Sequence[Trade]:
        """The newest public trades, at most ``limit``, newest last."""
        raise self._unsupported(Capability.TRADES)

    async def fetch_splits(self, symbol: str) -> Sequence[Split]:
        """All splits of a stock that have happened, ascending by time."""
        raise self._unsupported(Capability.SPLITS)

    async def fetch_status(self) -> VenueStatus | None:
        """What the venue says of itself now, and of no other time; None where it does not tell."""
        return None

    async def fetch_most_traded(self) -> Sequence[str]:
        """Symbols of which most was traded in the last day, the most first, at most a hundred of each kind of
        instrument; none where the venue does not tell that in one call.
        Source: the venue's own figures."""
        return ()

    # Streams. Each runs until it is closed or fails; closing it ends its subscription at the venue.

    def watch_ohlcv(self, symbol: str, timeframe: Timeframe) -> AsyncIterator[BarUpdate]:
        """Every change of the forming bar and every closed one."""
        raise self._unsupported(Capability.WATCH_OHLCV)

    def watch_ticker(self, symbol: str) -> AsyncIterator[Ticker]:
        """The ticker at each of its changes."""
        raise self._unsupported(Capability.WATCH_TICKER)

    def watch_order_book(self, symbol: str) -> AsyncIterator[OrderBook]:
        """The best ``BOOK_DEPTH`` levels, whole, at each change; never a crossed book."""
        raise self._unsupported(Capability.WATCH_ORDER_BOOK)

    def watch_trades(self, symbol: str) -> AsyncIterator[Sequence[Trade]]:
        """New public trades, each once, in the venue's order."""
        raise self._unsupported(Capability.WATCH_TRADES)

    def watch_orders(self) -> AsyncIterator[VenueOrder]:
        """The account's orders at each change."""
        raise self._unsupported(Capability.WATCH_ORDERS)

    def watch_my_trades(self) -> AsyncIterator[VenueFill]:
        """The account's executions as they happen, each once, with the ids that ``fetch_my_trades`` gives."""
        raise self._unsupported(Capability.WATCH_MY_TRADES)

    def watch_balances(self) -> AsyncIterator[Sequence[Balance]]:
        """All that the account holds, after each change; who is slow gets the latest.

        It is what the venue answers to a question that is asked after the change, which may lag behind it.
        """
        raise self._unsupported(Capability.WATCH_BALANCES)

    def watch_positions(self) -> AsyncIterator[Sequence[Position]]:
        """All open positions of the account, after each change; who is slow gets the latest.

        It is what the venue answers to a question that is asked after the change, which may lag behind it.
        """
        raise self._unsupported(Capability.WATCH_POSITIONS)

    # Trading. Nothing here is ever retried by the plugin. A method that returns has the venue's word. Where
    # a write fails, NetworkPluginError and its kin and MalformedAnswerPluginError mean that its outcome is
    # unknown; every other error means that nothing was done: the venue refused, or nothing was sent at all
    # (RateLimitPluginError: the venue wants no call now). Who is cancelled learns nothing of the outcome.

    async def create_order(self, request: OrderRequest) -> VenueOrder:
        """Send the order once."""
        raise self._unsupported(Capability.CREATE_ORDER)

    async def cancel_order(self, symbol: str, *, venue_order_id: str) -> VenueOrder:
        """Ask for the cancellation; the order's last state may come later."""
        raise self._unsupported(Capability.CANCEL_ORDER)

    async def cancel_all_orders(self, symbol: str | None = None) -> None:
        """Ask for the cancellation of all open orders, of one symbol or of the account."""
        raise self._unsupported(Capability.CANCEL_ALL_ORDERS)

    async def edit_order(
        self,
        symbol: str,
        *,
        venue_order_id: str,
        amount: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
    ) -> VenueOrder:
        """Change an open order at the venue, where it does so in one step."""
        raise self._unsupported(Capability.EDIT_ORDER)

    async def fetch_order(
        self, symbol: str, *, venue_order_id: str | None = None, client_order_id: str | None = None
    ) -> VenueOrder | None:
        """The order by the venue's id or by ours; None where the venue answered that it has none."""
        raise self._unsupported(Capability.FETCH_ORDER)

    async def fetch_open_orders(self, symbol: str | None = None) -> Sequence[VenueOrder]:
        """The account's open orders."""
        raise self._unsupported(Capability.FETCH_OPEN_ORDERS)

    async def fetch_closed_orders(self, symbol: str, *, since_ms: int, limit: int) -> Sequence[VenueOrder]:
        """Orders that are final, the oldest first."""
        raise self._unsupported(Capability.FETCH_CLOSED_ORDERS)

    async def fetch_my_trades(self, symbol: str, *, since_ms: int, limit: int) -> Sequence[VenueFill]:
        """The account's executions, the oldest first."""
        raise self._unsupported(Capability.FETCH_MY_TRADES)

    async def key_permissions(self) -> KeyPermissions:
        """What the instance's key may do, as far as the venue says; where it says nothing, nothing is known,
        and nothing is asked. ``AuthenticationPluginError`` where it does not accept the key.
        Source: the venue's own word on that key."""
        return KeyPermissions()

    async def fetch_balances(self) -> Sequence[Balance]:
        """What the account holds; currencies with nothing may be left out."""
        raise self._unsupported(Capability.FETCH_BALANCES)

    async def fetch_positions(self) -> Sequence[Position]:
        """The account's open positions."""
        raise self._unsupported(Capability.FETCH_POSITIONS)

    async def fetch_fees(self, symbol: str) -> TradingFees:
        """The account's fee rates for the symbol."""
        raise self._unsupported(Capability.FETCH_FEES)

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Set the leverage of a symbol's position."""
        raise self._unsupported(Capability.SET_LEVERAGE)

    def _unsupported(self, capability: Capability) -> PluginFeatureNotSupportedError:
        return PluginFeatureNotSupportedError(f"{self.provider} does not offer {capability.value}.")
