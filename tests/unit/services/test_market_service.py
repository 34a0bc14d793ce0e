"""Plugin instances that are shared and let go of, and listings that outlive their venue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from tests.support.ledger import SYMBOL, LedgerPlugin, ledger_plugin, random_minutes, unreachable
from tests.support.loaders import loader_of
from tradewright.domain.capabilities import ProviderInfo
from tradewright.domain.credentials import Credentials
from tradewright.domain.errors import (
    NetworkPluginError,
    NotFound,
    StorageUnavailable,
    UnknownMarket,
    UnknownProvider,
    UnknownSymbol,
)
from tradewright.domain.instruments import Instrument, InstrumentKey
from tradewright.domain.ports import UserCredential
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.services.data_sources.door import FAILURE_MEMORY_S
from tradewright.services.market_service import IDLE_S, LISTING_LIFETIME_S, MarketService
from tradewright.services.plugin_instances import RETIRED_GRACE_S
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.testing.clock import DrivenClock
from tradewright.testing.store_material import batch

KEY = InstrumentKey("crypto", "ledger", SYMBOL)


@pytest.fixture
def plugin() -> type[LedgerPlugin]:
    return ledger_plugin(random_minutes(1, 10))


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
def bars() -> MemoryBarStore:
    return MemoryBarStore()


@pytest.fixture
def store(bars: MemoryBarStore) -> MemoryInstrumentStore:
    return MemoryInstrumentStore(bars)


@pytest.fixture
def markets(plugin: type[LedgerPlugin], clock: DrivenClock, store: MemoryInstrumentStore) -> MarketService:
    return MarketService(loader_of(plugin), store, clock, provider_options={"ledger": {"urls": {"a": "b"}}})


async def test_everybody_shares_one_instance(markets: MarketService, plugin: type[LedgerPlugin]) -> None:
    async def use() -> None:
        async with markets.plugin("crypto", "ledger"):
            await asyncio.sleep(0)

    await asyncio.gather(*(use() for _ in range(50)))
    assert len(plugin.made) == 1


async def test_other_keys_are_other_instances(markets: MarketService, plugin: type[LedgerPlugin]) -> None:
    mine, yours = Credentials({"api_key": "a"}), Credentials({"api_key": "b"})
    for credentials in (mine, yours, mine, None):
        async with markets.plugin("crypto", "ledger", credentials=credentials):
            pass
    async with markets.plugin("crypto", "ledger", testnet=True):
        pass
    assert len(plugin.made) == 4


async def test_the_operators_options_reach_the_plugin(markets: MarketService) -> None:
    async with markets.plugin("crypto", "ledger") as plugin:
        assert plugin.setup.options == {"urls": {"a": "b"}}


async def test_an_idle_instance_is_closed_and_one_in_use_never(
    markets: MarketService, plugin: type[LedgerPlugin], clock: DrivenClock
) -> None:
    async with markets.plugin("crypto", "ledger"):
        await clock.advance(IDLE_S * 2)
        assert await markets.close_idle() == 0
    await clock.advance(IDLE_S - 1)
    assert await markets.close_idle() == 0
    await clock.advance(1)
    assert await markets.close_idle() == 1
    assert [instance.closed for instance in plugin.made] == [1]
    async with markets.plugin("crypto", "ledger"):
        assert len(plugin.made) == 2


async def test_a_periodic_task_closes_what_is_idle(
    markets: MarketService, plugin: type[LedgerPlugin], clock: DrivenClock
) -> None:
    markets.start()
    async with markets.plugin("crypto", "ledger"):
        pass
    await clock.advance(IDLE_S * 2)
    assert plugin.made[0].closed == 1
    await markets.close()


async def test_closing_the_service_closes_its_instances(
    markets: MarketService, plugin: type[LedgerPlugin]
) -> None:
    async with markets.plugin("crypto", "ledger"):
        pass
    await markets.close()
    assert plugin.made[0].closed == 1


async def test_what_nobody_serves_is_refused(markets: MarketService) -> None:
    with pytest.raises(UnknownMarket):
        await markets.providers("bonds")
    with pytest.raises(UnknownProvider):
        await markets.listing("crypto", "nowhere")
    with pytest.raises(UnknownSymbol):
        await markets.instrument(InstrumentKey("crypto", "ledger", "DOGE/USDT"))


async def test_a_listing_is_read_once_in_its_lifetime(
    markets: MarketService, plugin: type[LedgerPlugin], clock: DrivenClock
) -> None:
    listings = await asyncio.gather(*(markets.listing("crypto", "ledger") for _ in range(10)))
    assert all([i.symbol for i in listing.instruments] == [SYMBOL] for listing in listings)
    plugin.failure = unreachable()
    assert (await markets.listing("crypto", "ledger")).problem is None
    await clock.advance(LISTING_LIFETIME_S)
    late = await markets.listing("crypto", "ledger")
    assert late.problem is plugin.failure
    assert [instrument.symbol for instrument in late.instruments] == [SYMBOL]


async def test_a_venue_that_never_answered_is_an_error_and_then_recovers(
    markets: MarketService, plugin: type[LedgerPlugin], clock: DrivenClock
) -> None:
    plugin.failure = unreachable()
    with pytest.raises(NetworkPluginError):
        await markets.listing("crypto", "ledger")
    with pytest.raises(NetworkPluginError):
        await markets.instrument(KEY)
    plugin.failure = None
    await clock.advance(FAILURE_MEMORY_S)
    assert (await markets.instrument(KEY)).base == "BTC"


async def test_a_store_that_cannot_keep_a_listing_is_told_and_not_taken_for_an_empty_one(
    plugin: type[LedgerPlugin], clock: DrivenClock, caplog: pytest.LogCaptureFixture
) -> None:
    class FullStore(MemoryInstrumentStore):
        async def save_listing(self, provider: str, market: str, instruments: Sequence[Instrument]) -> None:
            raise StorageUnavailable("The disk is full.")

    full = FullStore(MemoryBarStore())
    markets = MarketService(loader_of(plugin), full, clock, provider_options={})
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await markets.instrument(KEY)
        with pytest.raises(StorageUnavailable):
            await markets.listing("crypto", "ledger")
        await clock.advance(FAILURE_MEMORY_S)
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None


async def test_a_stored_instrument_needs_no_venue(
    plugin: type[LedgerPlugin], store: MemoryInstrumentStore, clock: DrivenClock
) -> None:
    await MarketService(loader_of(plugin), store, clock, provider_options={}).listing("crypto", "ledger")
    plugin.failure = unreachable()
    later = MarketService(loader_of(plugin), store, clock, provider_options={})
    assert (await later.instrument(KEY)).symbol == SYMBOL


async def test_a_provider_known_from_imports_alone_is_served(
    markets: MarketService, bars: MemoryBarStore
) -> None:
    imported = Instrument(market="crypto", symbol="XRP/ETH", base="XRP", quote="ETH")
    key = InstrumentKey("crypto", "tapes", "XRP/ETH").series(TIMEFRAMES["1m"])
    await bars.import_bars([batch([0], (0, 1), key=key)], replace=False, instruments=[imported])
    assert [info.provider for info in await markets.providers("crypto")] == ["ledger", "tapes"]
    assert await markets.plugin_counts() == (("crypto", "imported", 1), ("crypto", "ledger", 1))
    listing = await markets.listing("crypto", "tapes")
    assert [(each.symbol, each.active) for each in listing.instruments] == [("XRP/ETH", True)]
    with pytest.raises(UnknownSymbol):
        await markets.instrument(InstrumentKey("crypto", "tapes", "BTC/USDT"))


def test_credentials_give_nothing_away() -> None:
    credentials = Credentials({"api_key": "AKIA-planted", "secret": "planted-secret"})
    shown = f"{credentials!r} {credentials} {credentials.fingerprint()}"
    assert "planted" not in shown
    assert credentials.reveal("secret") == "planted-secret"
    assert credentials.fingerprint() != Credentials({"api_key": "AKIA-planted"}).fingerprint()


class Vault:
    """The keys of two users."""

    def __init__(self) -> None:
        mine = UserCredential("crypto", "ledger", False, Credentials({"api_key": "mine"}))
        self._kept = {("me", "one"): mine}

    async def get(self, user_id: str, credential_id: str) -> UserCredential:
        try:
            return self._kept[user_id, credential_id]
        except KeyError:
            raise NotFound("There is no such credential.") from None


async def test_shared_data_is_read_with_the_operators_key_and_an_account_with_its_users(
    plugin: type[LedgerPlugin], clock: DrivenClock, store: MemoryInstrumentStore
) -> None:
    operators = Credentials({"api_key": "operator's"})
    markets = MarketService(
        loader_of(plugin),
        store,
        clock,
        provider_options={},
        operator_credentials={"ledger": operators},
        user_credentials=Vault(),
    )
    async with markets.plugin("crypto", "ledger") as shared, markets.account_plugin("me", "one") as own:
        assert shared.setup.credentials is operators
        assert own.setup.credentials is not None
        assert own.setup.credentials.reveal("api_key") == "mine"
        assert shared is not own
        assert shared.setup.shared is own.setup.shared, "they call from one address"
    async with markets.plugin("crypto", "ledger", testnet=True) as test:
        assert test.setup.shared is not shared.setup.shared
        assert test.setup.credentials is None, "the operator's key is not for a test network"
    for user, credential in (("you", "one"), ("me", "two")):
        with pytest.raises(NotFound):
            async with markets.account_plugin(user, credential):
                pass


async def test_without_accounts_there_is_no_users_key(markets: MarketService) -> None:
    with pytest.raises(NotFound):
        async with markets.account_plugin("me", "one"):
            pass


async def test_an_instance_that_can_not_be_closed_keeps_no_other_open(
    plugin: type[LedgerPlugin],
    clock: DrivenClock,
    store: MemoryInstrumentStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stubborn(plugin):  # type: ignore[misc, valid-type]
        async def close(self) -> None:
            await super().close()
            if self.setup.credentials is None:
                raise OSError("no")

    markets = MarketService(loader_of(Stubborn), store, clock, provider_options={})
    for credentials in (None, Credentials({"api_key": "a"})):
        async with markets.plugin("crypto", "ledger", credentials=credentials):
            pass
    await clock.advance(IDLE_S)
    assert await markets.close_idle() == 2
    assert [instance.closed for instance in plugin.made] == [1, 1]
    assert "could not be closed" in caplog.text


async def test_a_provider_of_two_plugins_has_a_listing_of_each(clock: DrivenClock) -> None:
    crypto, stocks = (ledger_plugin(random_minutes(1, 10)) for _ in range(2))

    class Tapes(stocks):  # type: ignore[valid-type,misc]
        market = "stocks"

        @classmethod
        def get_plugin_key(cls) -> str:
            return "tapes"

        @classmethod
        def list_configurable_providers(cls, market: str) -> Sequence[ProviderInfo]:
            known = super().list_configurable_providers(market)
            return tuple(msgspec.structs.replace(info, plugin="tapes") for info in known)

    listed = MemoryInstrumentStore(MemoryBarStore())
    markets = MarketService(loader_of(crypto, Tapes), listed, clock, provider_options={})
    Tapes.failure = unreachable()
    assert (await markets.instrument(KEY)).market == "crypto"
    with pytest.raises(NetworkPluginError):
        await markets.instrument(InstrumentKey("stocks", "ledger", SYMBOL))
    Tapes.failure = None
    await clock.advance(FAILURE_MEMORY_S)
    assert (await markets.instrument(InstrumentKey("stocks", "ledger", SYMBOL))).market == "stocks"
    assert (len(crypto.made), len(stocks.made)) == (1, 1)


class Closing(Vault):
    """Keys that a test changes."""

    def put(self, user_id: str, credential_id: str, api_key: str) -> None:
        key = UserCredential("crypto", "ledger", False, Credentials({"api_key": api_key}))
        self._kept[user_id, credential_id] = key


@pytest.fixture
def vault() -> Closing:
    return Closing()


@pytest.fixture
def accounts(
    plugin: type[LedgerPlugin], clock: DrivenClock, store: MemoryInstrumentStore, vault: Closing
) -> MarketService:
    return MarketService(loader_of(plugin), store, clock, provider_options={}, user_credentials=vault)


async def test_nobody_shares_an_instance_with_the_key_of_another(
    accounts: MarketService, vault: Closing, plugin: type[LedgerPlugin]
) -> None:
    for user in ("you", "me"):
        vault.put(user, "two", "the same")
    same = Credentials({"api_key": "the same"})
    async with (
        accounts.account_plugin("you", "two") as yours,
        accounts.account_plugin("me", "two") as mine,
        accounts.plugin("crypto", "ledger", credentials=same) as shared,
    ):
        assert len({yours, mine, shared}) == 3
    await accounts.retire_account("you")
    assert [made.closed for made in (yours, mine, shared)] == [1, 0, 0]  # type: ignore[attr-defined]


async def test_an_instance_that_is_retired_while_it_is_used(
    accounts: MarketService, vault: Closing, clock: DrivenClock
) -> None:
    vault.put("me", "two", "other")
    async with accounts.account_plugin("me", "one") as first, accounts.account_plugin("me", "two") as second:
        await accounts.retire_account("me", "one")
        assert (first.closed, second.closed) == (0, 0)  # type: ignore[attr-defined]
        assert (first.streams_ended, second.streams_ended) == (1, 0)  # type: ignore[attr-defined]
        async with accounts.account_plugin("me", "one") as new:
            assert new is not first
        assert first.closed == 0, "the other is another's"  # type: ignore[attr-defined]
    assert (first.closed, second.closed) == (1, 0)  # type: ignore[attr-defined]
    await clock.advance(RETIRED_GRACE_S)
    assert first.closed == 1, "and once is enough"  # type: ignore[attr-defined]


async def test_who_never_lets_go_is_not_waited_for(accounts: MarketService, clock: DrivenClock) -> None:
    async with accounts.account_plugin("me", "one") as plugin:
        await accounts.retire_account("me")
        await clock.advance(RETIRED_GRACE_S - 1)
        assert plugin.closed == 0  # type: ignore[attr-defined]
        await clock.advance(1)
        assert plugin.closed == 1  # type: ignore[attr-defined]
    assert plugin.closed == 1  # type: ignore[attr-defined]


async def test_a_service_that_ends_closes_what_is_retired(accounts: MarketService) -> None:
    async with accounts.account_plugin("me", "one") as plugin:
        await accounts.retire_account("me")
        await accounts.close()
        assert plugin.closed == 1  # type: ignore[attr-defined]


async def test_a_key_that_is_changed_while_it_is_being_read(
    accounts: MarketService, vault: Closing, plugin: type[LedgerPlugin]
) -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()
    read = vault.get

    async def slow(user_id: str, credential_id: str) -> UserCredential:
        found = await read(user_id, credential_id)
        reading.set()
        await go_on.wait()
        return found

    vault.get = slow  # type: ignore[method-assign]

    async def use() -> str | None:
        async with accounts.account_plugin("me", "one") as mine:
            assert mine.setup.credentials is not None
            return mine.setup.credentials.reveal("api_key")

    using = asyncio.ensure_future(use())
    await reading.wait()
    vault.put("me", "one", "the new one")
    await accounts.retire_account("me", "one")
    go_on.set()
    assert await using == "the new one"
    assert len(plugin.made) == 1, "with the old one nothing was made"
