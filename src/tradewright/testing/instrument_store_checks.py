"""The promises of ``InstrumentStore``, each as a check."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tradewright.domain.instruments import Instrument, InstrumentKey, Split
from tradewright.domain.ports import ImportCounts, KnownSplits, StoredBarDiffers
from tradewright.domain.timeframes import TIMEFRAMES
from tradewright.testing.store_material import Check, OpenStores, Stores, batch


def instrument(symbol: str, *, market: str = "crypto", active: bool = True, **more: str) -> Instrument:
    """A listed instrument; ``more`` are ``price_tick`` and ``name``."""
    tick = more.get("price_tick")
    base, _, quote = symbol.partition("/")
    return Instrument(
        market=market,
        symbol=symbol,
        base=base,
        quote=quote or "USD",
        active=active,
        price_tick=None if tick is None else Decimal(tick),
        order_types=("market", "limit"),
        name=more.get("name"),
    )


async def register(stores: Stores, *instruments: Instrument) -> None:
    """Import no bars of these instruments at the venue, so that they are registered alone."""
    nothing = [
        batch([], key=InstrumentKey(each.market, "venue", each.symbol).series(TIMEFRAMES["1m"]))
        for each in instruments
    ]
    counts = await stores.bars.import_bars(nothing, replace=False, instruments=instruments)
    assert counts == ImportCounts(0, 0, 0)


async def check_listing(stores: Stores) -> None:
    """A listing is kept as it is, by symbol ascending, each provider and market for itself."""
    store = stores.instruments
    first = [instrument("ETH/USDT", price_tick="0.010"), instrument("BTC/USDT", name="a'; DROP TABLE x; --")]
    await store.save_listing("venue", "crypto", first)
    await store.save_listing("other", "crypto", [instrument("XRP/USDT")])
    await store.save_listing("venue", "stocks", [instrument("SPY", market="stocks")])
    assert await store.instruments("crypto", "venue") == (first[1], first[0])
    tick = (await store.instruments("crypto", "venue"))[1].price_tick
    assert str(tick) == "0.010", "decimals keep their digits"
    changed = instrument("BTC/USDT", price_tick="0.5")
    await store.save_listing("venue", "crypto", [changed, instrument("ADA/USDT")])
    assert await store.instruments("crypto", "venue") == (instrument("ADA/USDT"), changed)
    assert await store.instrument(InstrumentKey("crypto", "venue", "BTC/USDT")) == changed
    assert await store.instrument(InstrumentKey("crypto", "venue", "ETH/USDT")) is None
    assert await store.instrument(InstrumentKey("stocks", "venue", "BTC/USDT")) is None
    assert [each.symbol for each in await store.instruments("crypto", "other")] == ["XRP/USDT"]
    assert [each.symbol for each in await store.instruments("stocks", "venue")] == ["SPY"]
    assert await store.instruments("stocks", "nobody") == ()
    try:
        await store.save_listing("venue", "stocks", [instrument("BTC/USDT")])
    except ValueError:
        return
    raise AssertionError("an instrument was listed in a market that is not its own")


async def check_delisting(stores: Stores) -> None:
    """What is listed no more stays, inactive, where it holds bars or was imported, until listed again."""
    store = stores.instruments
    held, imported, covered, gone = (instrument(f"{name}/USDT") for name in ("HELD", "IMP", "COV", "GONE"))
    await store.save_listing("venue", "crypto", [held, imported, covered, gone])
    await register(stores, instrument("IMP/USDT", price_tick="9"))
    held_key = InstrumentKey("crypto", "venue", "HELD/USDT").series(TIMEFRAMES["1m"])
    await stores.bars.write(batch([0], (0, 1), key=held_key))
    covered_key = InstrumentKey("crypto", "venue", "COV/USDT").series(TIMEFRAMES["1m"])
    await stores.bars.write(batch([], (0, 1), key=covered_key))
    await store.save_listing("venue", "crypto", [])
    left = await store.instruments("crypto", "venue")
    assert [(each.symbol, each.active) for each in left] == [("HELD/USDT", False), ("IMP/USDT", False)]
    assert left[1].price_tick is None, "what the venue said is not touched by an import"
    await store.save_listing("venue", "crypto", [held])
    left = await store.instruments("crypto", "venue")
    assert [(each.symbol, each.active) for each in left] == [("HELD/USDT", True), ("IMP/USDT", False)]


async def check_registering(stores: Stores) -> None:
    """An import's instrument is listed without its venue, and gives way to what the venue says."""
    store = stores.instruments
    local = instrument("BTC/USD", name="local")
    await register(stores, local, instrument("SPY", market="stocks"))
    assert await store.registered_providers("crypto") == ("venue",)
    assert await store.instruments("crypto", "venue") == (local,)
    assert [each.symbol for each in await store.instruments("stocks", "venue")] == ["SPY"]
    await register(stores, instrument("BTC/USD", name="again"))
    assert await store.instruments("crypto", "venue") == (local,), "registering twice changes nothing"
    listed = instrument("BTC/USD", name="from the venue", price_tick="1")
    await store.save_listing("venue", "crypto", [listed])
    assert await store.instrument(InstrumentKey("crypto", "venue", "BTC/USD")) == listed
    await store.save_listing("venue", "crypto", [])
    inactive = await store.instrument(InstrumentKey("crypto", "venue", "BTC/USD"))
    assert inactive is not None
    assert (inactive.active, inactive.name) == (False, "from the venue")


async def check_registering_with_bars(stores: Stores) -> None:
    """An instrument is registered together with its bars, or neither is there."""
    key = InstrumentKey("crypto", "venue", "BTC/USDT").series(TIMEFRAMES["1m"])
    await stores.bars.write(batch([1], (1, 2), key=key))
    other = InstrumentKey("crypto", "tapes", "ETH/USDT").series(TIMEFRAMES["1m"])
    both = [batch([3], (3, 4), key=other), batch([1], (1, 2), key=key, version=1)]
    described = [instrument("ETH/USDT"), instrument("BTC/USDT")]
    try:
        await stores.bars.import_bars(both, replace=False, instruments=described)
    except StoredBarDiffers:
        pass
    else:
        raise AssertionError("an import was taken that contradicts what is stored")
    assert await stores.instruments.registered_providers("crypto") == (), "registered by a refused import"
    assert await stores.instruments.instruments("crypto", "tapes") == ()
    await stores.bars.import_bars(both, replace=True, instruments=described)
    assert await stores.instruments.registered_providers("crypto") == ("tapes", "venue")
    assert await stores.instruments.instruments("crypto", "tapes") == (instrument("ETH/USDT"),)
    assert await stores.instruments.instruments("crypto", "venue") == (instrument("BTC/USDT"),)
    try:
        await stores.bars.import_bars(both, replace=True, instruments=[instrument("XRP/USDT")])
    except ValueError:
        return
    raise AssertionError("an instrument was registered without a batch of it")


SPLITS: Final = KnownSplits((Split(-86_400_000, Decimal("0.10")), Split(86_400_000, Decimal(4))), read_ms=5)


async def check_splits(stores: Stores) -> None:
    """An instrument's splits are what was said last, digit for digit; none is not the same as never asked."""
    store = stores.instruments
    key, other = InstrumentKey("stocks", "venue", "AAPL"), InstrumentKey("stocks", "other", "AAPL")
    assert await store.splits(key) is None
    await store.save_splits(key, SPLITS)
    found = await store.splits(key)
    assert found == SPLITS
    assert [str(each.ratio) for each in found.splits] == ["0.10", "4"], "decimals keep their digits"
    assert await store.splits(other) is None, "each provider for itself"
    await store.save_splits(other, KnownSplits((), read_ms=6))
    assert await store.splits(other) == KnownSplits((), read_ms=6)
    await store.save_splits(key, KnownSplits(SPLITS.splits[1:], read_ms=7))
    assert await store.splits(key) == KnownSplits(SPLITS.splits[1:], read_ms=7)
    assert await store.instruments("stocks", "venue") == (), "splits list no instrument"
    await store.save_listing("venue", "stocks", [])
    assert await store.splits(key) == KnownSplits(SPLITS.splits[1:], read_ms=7), "whatever is listed"


async def check_instruments_survive_restart(open_stores: OpenStores) -> None:
    """Listings, registrations and splits are there after the store was closed and opened again."""
    name = "check_instruments_survive_restart"
    async with open_stores(name) as stores:
        await stores.instruments.save_listing("venue", "crypto", [instrument("BTC/USDT", price_tick="0.1")])
        await register(stores, instrument("ETH/USDT"))
        await stores.instruments.save_splits(InstrumentKey("stocks", "venue", "AAPL"), SPLITS)
    async with open_stores(name) as stores:
        assert await stores.instruments.splits(InstrumentKey("stocks", "venue", "AAPL")) == SPLITS
        known = await stores.instruments.instruments("crypto", "venue")
        assert known == (instrument("BTC/USDT", price_tick="0.1"), instrument("ETH/USDT"))
        await stores.instruments.save_listing("venue", "crypto", [])
        left = await stores.instruments.instruments("crypto", "venue")
        assert [(each.symbol, each.active) for each in left] == [("ETH/USDT", False)]


INSTRUMENT_STORE_CHECKS: Final[tuple[Check, ...]] = (
    check_listing,
    check_delisting,
    check_registering,
    check_registering_with_bars,
    check_splits,
)
