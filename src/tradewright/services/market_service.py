"""``MarketService``: plugin instances that are shared while in use, and the instruments of every provider."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from tradewright.domain.capabilities import ProviderInfo
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    Conflict,
    CredentialsRequired,
    NotFound,
    PluginError,
    StorageUnavailable,
    TimeoutPluginError,
    UnknownProvider,
    UnknownSymbol,
)
from tradewright.domain.instruments import Instrument, InstrumentKey
from tradewright.domain.ports import InstrumentStore, UserCredential, UserCredentialSource
from tradewright.domain.ticks import OrderBook, Ticker, Trade
from tradewright.plugins import PluginLoader
from tradewright.plugins.base import MarketPlugin, PluginSetup
from tradewright.runtime.calendars import Calendars, TradingCalendar
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.services.data_sources.door import FAILURE_MEMORY_S, DoorClosed, Doors
from tradewright.services.imported_data import ImportedDataPlugin, imported_provider
from tradewright.services.plugin_instances import IDLE_S, InstanceKey, Owner, PluginInstances

__all__ = ["IDLE_S", "LISTING_LIFETIME_S", "Listing", "ListingProblem", "MarketService"]

_log = logging.getLogger(__name__)

LISTING_LIFETIME_S: Final = 3600.0
LISTING_DEADLINE_S: Final = 30.0
LISTING_PATIENCE_S: Final = 8.0
CALL_DEADLINE_S: Final = 10.0
SWEEP_S: Final = 60.0
_READINGS_MAX: Final = 100


ListingProblem: TypeAlias = PluginError | StorageUnavailable | CredentialsRequired


@dataclass(frozen=True, slots=True)
class Listing:
    """The instruments of one provider in one market; ``problem`` says why they may be out of date."""

    instruments: tuple[Instrument, ...]
    problem: ListingProblem | None = None


@dataclass(slots=True)
class _ListingState:
    """How the last attempt to read a provider's instruments went; one plugin, all its markets."""

    read_at_s: float | None = None
    failed_at_s: float | None = None
    problem: ListingProblem | None = None
    running: asyncio.Task[None] | None = None


class MarketService:
    """Knows every market and provider, lends out plugin instances, and answers what one call answers.

    An instance is made once however many ask at the same time, is kept while anybody uses it, and is
    closed after ``IDLE_S`` without a user. Instances of a provider and network share what the venue allows
    our address, and nothing else: what befalls one is no other's matter.
    """

    def __init__(
        self,
        loader: PluginLoader,
        instruments: InstrumentStore,
        clock: Clock,
        *,
        provider_options: Mapping[str, Mapping[str, object]],
        operator_credentials: Mapping[str, Credentials] | None = None,
        user_credentials: UserCredentialSource | None = None,
        calendars: Calendars | None = None,
    ) -> None:
        self._loader = loader
        self._store = instruments
        self._clock = clock
        self._options = provider_options
        self._operator_credentials = dict(operator_credentials or {})
        self._user_credentials = user_credentials
        self._calendars = calendars or Calendars()
        self._imported: dict[tuple[str, str], ProviderInfo] = {}
        self._listings: dict[tuple[type[MarketPlugin], str], _ListingState] = {}
        self._tasks = TaskSupervisor("market_service")
        self._instances = PluginInstances(clock, self._tasks)
        self.doors = Doors(clock)
        """Through which everybody goes who asks a venue for readers."""

    def start(self) -> None:
        """Begin to close idle instances from time to time."""
        self._tasks.keep("close idle plugins", self._sweep, self._clock)

    async def close(self) -> None:
        """End the service's tasks and close every instance."""
        await self._tasks.close()
        await self._instances.close()

    # What there is

    def markets(self) -> tuple[str, ...]:
        """The markets that some plugin serves."""
        return self._loader.markets()

    async def plugin_counts(self) -> tuple[tuple[str, str, int], ...]:
        """``(market, plugin, number of providers)`` for each pair."""
        counts: Counter[tuple[str, str]] = Counter()
        for market in self.markets():
            counts.update((market, info.plugin) for info in await self.providers(market))
        return tuple((market, plugin, count) for (market, plugin), count in sorted(counts.items()))

    async def providers(self, market: str) -> tuple[ProviderInfo, ...]:
        """The market's providers, and behind them those that are known from imports alone;
        ``UnknownMarket`` where there is no such market."""
        listed = self._loader.providers(market)
        names = {info.provider for info in listed}
        imported = await self._store.registered_providers(market)
        return listed + tuple(imported_provider(market, name) for name in imported if name not in names)

    async def provider(self, market: str, provider: str) -> ProviderInfo:
        """One provider; ``UnknownMarket`` or ``UnknownProvider`` where there is none."""
        try:
            return self._loader.provider(market, provider)
        except UnknownProvider:
            known = self._imported.get((market, provider))
            if known is None and provider in await self._store.registered_providers(market):
                # What an import registered stays registered, so there are as many as the store has.
                known = self._imported[market, provider] = imported_provider(market, provider)
            if known is None:
                raise
            return known

    def listed_provider(self, market: str, provider: str) -> ProviderInfo:
        """One that a plugin serves; ``UnknownMarket`` or ``UnknownProvider`` where none does."""
        return self._loader.provider(market, provider)

    # Instances

    @asynccontextmanager
    async def plugin(
        self,
        market: str,
        provider: str,
        *,
        credentials: Credentials | None = None,
        testnet: bool = False,
    ) -> AsyncIterator[MarketPlugin]:
        """An instance for the provider, which stays open while the context lasts. Without
        ``credentials`` it is the one that feeds the shared data, with the operator's key if there is one.
        """
        if credentials is None and not testnet:
            credentials = self._operator_credentials.get(provider)
        kind = await self._plugin_class(market, provider)
        async with self._lent(kind, provider, credentials, testnet) as plugin:
            yield plugin

    def _lent(
        self,
        kind: type[MarketPlugin],
        provider: str,
        credentials: Credentials | None,
        testnet: bool,
        owner: Owner | None = None,
    ) -> AbstractAsyncContextManager[MarketPlugin]:
        """An instance, made where there is none of that key yet; nothing is waited for before it is lent."""
        fingerprint = credentials.fingerprint() if credentials else "public"
        setup = PluginSetup(
            provider=provider,
            credentials=credentials,
            testnet=testnet,
            options=self._options.get(provider, {}),
            clock=self._clock,
            shared=self._instances.shared(kind, provider, testnet=testnet),
        )
        return self._instances.lend(InstanceKey(kind, provider, fingerprint, testnet, owner), setup)

    async def _plugin_class(self, market: str, provider: str) -> type[MarketPlugin]:
        info = await self.provider(market, provider)
        imported = info.plugin == ImportedDataPlugin.get_plugin_key()
        return ImportedDataPlugin if imported else self._loader.plugin_class(market, provider)

    @asynccontextmanager
    async def account_plugin(self, user_id: str, credential_id: str) -> AsyncIterator[MarketPlugin]:
        """An instance with a user's own key, for that user's orders and balances and never for shared
        data; ``NotFound`` where the user has no such credential."""
        for _ in range(_READINGS_MAX):
            seen = self._instances.retirements
            stored = await self._get_user_api_credentials(user_id, credential_id)
            kind = await self._plugin_class(stored.market, stored.provider)
            if seen == self._instances.retirements:
                break
            # Some key was changed or deleted meanwhile, perhaps this one.
        else:
            raise Conflict("Keys are being changed all the time. Try again.")
        owner = Owner(user_id, credential_id)
        async with self._lent(kind, stored.provider, stored.credentials, stored.testnet, owner) as plugin:
            yield plugin

    async def _get_user_api_credentials(self, user_id: str, credential_id: str) -> UserCredential:
        if self._user_credentials is None:
            raise NotFound("There is no such credential.")
        return await self._user_credentials.get(user_id, credential_id)

    async def retire_account(self, user_id: str, credential_id: str | None = None) -> None:
        """Close the instances with that key of a user's, or with any of theirs, since it was changed,
        deleted, or is not theirs to use any more. Their streams end now. Who is in the middle of a call has
        ``RETIRED_GRACE_S`` to end it, since an order that is cut off would be in doubt; nobody else is lent
        the instance."""
        await self._instances.retire(user_id, credential_id)

    def keys_in_use(self) -> tuple[tuple[Owner, str], ...]:
        """Whose keys there are instances with, each with the key's fingerprint."""
        return self._instances.owned()

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            await self.close_idle()

    async def close_idle(self) -> int:
        """Close the instances that nobody has used for ``IDLE_S``; how many there were."""
        return await self._instances.close_idle()

    # Instruments

    async def listing(self, market: str, provider: str) -> Listing:
        """All known instruments. The venue is asked when its last answer is old; while it can't be
        reached the stored ones are served, and where nothing is stored its error is raised."""
        await self.provider(market, provider)
        problem = await self._refresh_listing(market, provider)
        instruments = await self._store.instruments(market, provider)
        if not instruments:
            if problem is not None:
                raise problem
            self._check_key_for(market, provider)
        return Listing(instruments, problem)

    async def known_instruments(self, market: str, provider: str) -> tuple[Instrument, ...]:
        """All instruments that are stored, without asking the venue."""
        return await self._store.instruments(market, provider)

    async def instrument(self, key: InstrumentKey, deadline_s: float | None = None) -> Instrument:
        """One instrument; ``UnknownSymbol`` where the provider lists none of that name, and the provider's
        own error where it could not be asked. A stored instrument is served without asking. The venue is
        waited for until ``deadline_s``, a time of the event loop, if one is given: what is being asked then
        goes on without the caller, and a later call finds it."""
        await self.provider(key.market, key.provider)
        known = await self._store.instrument(key)
        if known is not None:
            return known
        problem = await self._refresh_listing(key.market, key.provider, deadline_s)
        known = await self._store.instrument(key)
        if known is not None:
            return known
        if problem is not None:
            raise problem
        if not await self._store.instruments(key.market, key.provider):
            self._check_key_for(key.market, key.provider)
        raise UnknownSymbol(f"{key.provider} lists no {key.symbol} in {key.market}.")

    def _check_key_for(self, market: str, provider: str) -> None:
        """``CredentialsRequired`` where a provider lists nothing in a market because the operator has no key
        with it: of two markets it may serve one to everybody."""
        if (
            provider not in self._operator_credentials
            and self._loader.provider(market, provider).credential_fields
        ):
            raise CredentialsRequired(
                f"{provider} serves {market} to key holders, and the operator has set no key."
            )

    async def calendar(self, instrument: Instrument) -> TradingCalendar:
        """The sessions in which the instrument trades."""
        return await self._calendars.get(instrument.calendar, self._clock.now_ms())

    async def _refresh_listing(
        self, market: str, provider: str, deadline_s: float | None = None
    ) -> ListingProblem | None:
        """Read the venue's instruments where that is due; why it failed, or None."""
        kind = await self._plugin_class(market, provider)
        state = self._listings.setdefault((kind, provider), _ListingState())
        now_s = self._clock.monotonic()
        if state.read_at_s is not None and now_s - state.read_at_s < LISTING_LIFETIME_S:
            return None
        if state.failed_at_s is not None and now_s - state.failed_at_s < FAILURE_MEMORY_S:
            return state.problem
        failure = self.doors.of(market, provider).refusal() if state.running is None else None
        if failure is not None:
            return failure
        if state.running is None:
            state.running = self._tasks.start(f"list {provider}", self._read_listing(market, provider, state))
        # The venue may be slow, and CCXT is imported at its first use: whoever waits gives up before the
        # reading does, so that a later call finds it done.
        patience_s = LISTING_PATIENCE_S
        if deadline_s is not None:
            left_s = deadline_s - asyncio.get_running_loop().time()
            patience_s = max(0.0, min(patience_s, left_s))
        await asyncio.wait({state.running}, timeout=patience_s)
        if state.running is not None:
            return TimeoutPluginError(
                f"{provider} is still being asked for its symbols. Try again in a moment."
            )
        return state.problem

    async def _read_listing(self, market: str, provider: str, state: _ListingState) -> None:
        try:
            async with (
                self.plugin(market, provider) as plugin,
                self._door(market, provider, LISTING_DEADLINE_S),
            ):
                found = await plugin.fetch_instruments()
            by_market: dict[str, list[Instrument]] = {}
            for instrument in found:
                by_market.setdefault(instrument.market, []).append(instrument)
            for of_market, instruments in by_market.items():
                await self._store.save_listing(provider, of_market, instruments)
            if state.problem is not None:
                _log.info("%s lists its symbols again", provider)
            state.read_at_s, state.problem = self._clock.monotonic(), None
        except (PluginError, StorageUnavailable, CredentialsRequired) as error:
            self._note_failure(provider, state, error)
        finally:
            state.running = None

    def _note_failure(self, provider: str, state: _ListingState, problem: ListingProblem) -> None:
        if state.problem is None:
            _log.warning("%s can't list its symbols: %s", provider, problem.message)
        state.failed_at_s, state.problem = self._clock.monotonic(), problem

    # One call, one answer

    async def ticker(self, key: InstrumentKey) -> Ticker:
        """The state of a market now, from the venue."""
        await self.instrument(key)
        async with self._call(key) as plugin:
            return await plugin.fetch_ticker(key.symbol)

    async def order_book(self, key: InstrumentKey, depth: int) -> OrderBook:
        """The best ``depth`` levels of each side now, from the venue."""
        await self.instrument(key)
        async with self._call(key) as plugin:
            return (await plugin.fetch_order_book(key.symbol, depth)).top(depth)

    async def trades(self, key: InstrumentKey, limit: int) -> Sequence[Trade]:
        """The newest public trades, newest last, from the venue."""
        await self.instrument(key)
        async with self._call(key) as plugin:
            return (await plugin.fetch_trades(key.symbol, limit))[-limit:]

    @asynccontextmanager
    async def _call(self, key: InstrumentKey) -> AsyncIterator[MarketPlugin]:
        async with (
            self.plugin(key.market, key.provider) as plugin,
            self._door(key.market, key.provider, CALL_DEADLINE_S),
        ):
            yield plugin

    @asynccontextmanager
    async def _door(self, market: str, provider: str, patience_s: float) -> AsyncIterator[None]:
        """One call through the venue's door; what failed before is raised where it is closed."""
        try:
            deadline_s = asyncio.get_running_loop().time() + patience_s
            async with self.doors.of(market, provider).call(deadline_s):
                yield
        except DoorClosed as closed:
            raise closed.again() from None
