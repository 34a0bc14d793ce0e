"""Instruments in PostgreSQL, each as one JSON document under its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tradewright.domain.instruments import Instrument, InstrumentKey, Split
from tradewright.domain.ports import KnownSplits
from tradewright.storage.acceptance import by_symbol
from tradewright.storage.postgres.database import PostgresDatabase
from tradewright.storage.postgres.session import Session

# One listing at a time: the lock is the market's and provider's own, and ends with the transaction.
_LOCK_LISTING: Final = (
    "SELECT pg_advisory_xact_lock(hashtext('tradewright listing'), hashtext($1 || ' ' || $2))"
)
_LISTED: Final = (
    "SELECT symbol, detail, registered OR EXISTS ("
    "SELECT 1 FROM series WHERE series.market = instruments.market "
    "AND series.provider = instruments.provider AND series.symbol = instruments.symbol "
    "AND (EXISTS (SELECT 1 FROM bars WHERE series_id = series.id) "
    "OR EXISTS (SELECT 1 FROM minutes WHERE series_id = series.id))) "
    "FROM instruments WHERE market = $1 AND provider = $2"
)
_PUT_LISTED: Final = (
    "INSERT INTO instruments (market, provider, symbol, registered, detail) "
    "SELECT $1, $2, unnest($3::text[]), false, unnest($4::text[]) "
    "ON CONFLICT (market, provider, symbol) DO UPDATE SET detail = excluded.detail"
)
_REGISTER: Final = (
    "INSERT INTO instruments (market, provider, symbol, registered, detail) VALUES ($1, $2, $3, true, $4) "
    "ON CONFLICT (market, provider, symbol) DO UPDATE SET registered = true"
)
_DELETE: Final = "DELETE FROM instruments WHERE market = $1 AND provider = $2 AND symbol = ANY($3::text[])"
_READ_ALL: Final = "SELECT detail FROM instruments WHERE market = $1 AND provider = $2 ORDER BY symbol"
_READ_ONE: Final = "SELECT detail FROM instruments WHERE market = $1 AND provider = $2 AND symbol = $3"
_READ_PROVIDERS: Final = (
    "SELECT DISTINCT provider FROM instruments WHERE market = $1 AND registered ORDER BY provider"
)
_PUT_SPLITS: Final = (
    "INSERT INTO splits (market, provider, symbol, read_ms, detail) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (market, provider, symbol) "
    "DO UPDATE SET read_ms = excluded.read_ms, detail = excluded.detail"
)
_READ_SPLITS: Final = "SELECT detail, read_ms FROM splits WHERE market = $1 AND provider = $2 AND symbol = $3"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Instrument).decode
_decode_splits = msgspec.json.Decoder(tuple[Split, ...]).decode


class PostgresInstrumentStore:
    """An ``InstrumentStore`` in a PostgreSQL database, the one that holds the bars."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def save_listing(self, provider: str, market: str, instruments: Sequence[Instrument]) -> None:
        named = by_symbol(market, instruments)

        async def work(session: Session) -> None:
            await session.run(_LOCK_LISTING, market, provider)
            listed = {symbol: _text(instrument) for symbol, instrument in named.items()}
            known: dict[str, str] = {}
            gone: list[str] = []
            for symbol, detail, kept in await session.rows(_LISTED, market, provider):
                known[symbol] = detail
                if symbol in listed:
                    continue
                if kept:
                    listed[symbol] = _text(msgspec.structs.replace(_decode(detail), active=False))
                else:
                    gone.append(symbol)
            if gone:
                await session.run(_DELETE, market, provider, gone)
            changed = sorted(
                (symbol, detail) for symbol, detail in listed.items() if known.get(symbol) != detail
            )
            if changed:
                await session.run(_PUT_LISTED, market, provider, *map(list, zip(*changed, strict=True)))

        await self._database.write(work, repeatable=True)

    async def registered_providers(self, market: str) -> tuple[str, ...]:
        async def work(session: Session) -> tuple[str, ...]:
            return tuple(row[0] for row in await session.rows(_READ_PROVIDERS, market))

        return await self._database.read(work)

    async def instruments(self, market: str, provider: str) -> tuple[Instrument, ...]:
        async def work(session: Session) -> list[str]:
            return [row[0] for row in await session.rows(_READ_ALL, market, provider)]

        return tuple(_decode(detail) for detail in await self._database.read(work))

    async def instrument(self, key: InstrumentKey) -> Instrument | None:
        async def work(session: Session) -> Instrument | None:
            found = await session.row_or_none(_READ_ONE, key.market, key.provider, key.symbol)
            return None if found is None else _decode(found[0])

        return await self._database.read(work)

    async def save_splits(self, key: InstrumentKey, known: KnownSplits) -> None:
        detail = _encode(known.splits).decode()

        async def work(session: Session) -> None:
            names = key.market, key.provider, key.symbol
            await session.run(_PUT_SPLITS, *names, known.read_ms, detail)

        await self._database.write(work, repeatable=True)

    async def splits(self, key: InstrumentKey) -> KnownSplits | None:
        async def work(session: Session) -> KnownSplits | None:
            found = await session.row_or_none(_READ_SPLITS, key.market, key.provider, key.symbol)
            return None if found is None else KnownSplits(_decode_splits(found[0]), found[1])

        return await self._database.read(work)


async def register(session: Session, instruments: Mapping[InstrumentKey, Instrument]) -> None:
    """Add what an import brought, within the import's transaction."""
    rows = [
        (key.market, key.provider, key.symbol, _text(instrument))
        for key, instrument in sorted(instruments.items())
    ]
    await session.run_for_each(_REGISTER, rows)


def _text(instrument: Instrument) -> str:
    return _encode(instrument).decode()
