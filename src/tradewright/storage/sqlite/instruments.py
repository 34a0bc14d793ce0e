"""Instruments in SQLite, each as one JSON document under its key."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tradewright.domain.instruments import Instrument, InstrumentKey, Split
from tradewright.domain.ports import KnownSplits
from tradewright.storage.acceptance import by_symbol
from tradewright.storage.sqlite.database import SQLiteDatabase

_LISTED: Final = (
    "SELECT symbol, detail, registered OR EXISTS ("
    "SELECT 1 FROM series JOIN bars ON bars.series_id = series.id WHERE series.market = instruments.market "
    "AND series.provider = instruments.provider AND series.symbol = instruments.symbol) "
    "FROM instruments WHERE market = ? AND provider = ?"
)
_PUT_LISTED: Final = (
    "INSERT INTO instruments (market, provider, symbol, registered, detail) VALUES (?, ?, ?, 0, ?) "
    "ON CONFLICT DO UPDATE SET detail = excluded.detail"
)
_REGISTER: Final = (
    "INSERT INTO instruments (market, provider, symbol, registered, detail) VALUES (?, ?, ?, 1, ?) "
    "ON CONFLICT DO UPDATE SET registered = 1"
)
_DELETE: Final = "DELETE FROM instruments WHERE market = ? AND provider = ? AND symbol = ?"
_READ_ALL: Final = "SELECT detail FROM instruments WHERE market = ? AND provider = ? ORDER BY symbol"
_READ_ONE: Final = "SELECT detail FROM instruments WHERE market = ? AND provider = ? AND symbol = ?"

_READ_PROVIDERS: Final = (
    "SELECT DISTINCT provider FROM instruments WHERE market = ? AND registered = 1 ORDER BY provider"
)
_PUT_SPLITS: Final = (
    "INSERT INTO splits (market, provider, symbol, read_ms, detail) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET read_ms = excluded.read_ms, detail = excluded.detail"
)
_READ_SPLITS: Final = "SELECT read_ms, detail FROM splits WHERE market = ? AND provider = ? AND symbol = ?"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Instrument).decode
_decode_splits = msgspec.json.Decoder(tuple[Split, ...]).decode


class SQLiteInstrumentStore:
    """An ``InstrumentStore`` in an embedded database, the one that holds the bars."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self._database = database

    async def save_listing(self, provider: str, market: str, instruments: Sequence[Instrument]) -> None:
        listed = {symbol: _text(instrument) for symbol, instrument in by_symbol(market, instruments).items()}

        def work(connection: sqlite3.Connection) -> None:
            known: dict[str, str] = {}
            for symbol, detail, kept in connection.execute(_LISTED, (market, provider)).fetchall():
                known[symbol] = detail
                if symbol in listed:
                    continue
                if kept:
                    listed[symbol] = _text(msgspec.structs.replace(_decode(detail), active=False))
                else:
                    connection.execute(_DELETE, (market, provider, symbol))
            connection.executemany(
                _PUT_LISTED,
                (
                    (market, provider, symbol, detail)
                    for symbol, detail in listed.items()
                    if known.get(symbol) != detail
                ),
            )

        await self._database.write(work)

    async def registered_providers(self, market: str) -> tuple[str, ...]:
        found = await self._database.read(
            lambda connection: connection.execute(_READ_PROVIDERS, (market,)).fetchall()
        )
        return tuple(provider for (provider,) in found)

    async def instruments(self, market: str, provider: str) -> tuple[Instrument, ...]:
        details = await self._database.read(
            lambda connection: connection.execute(_READ_ALL, (market, provider)).fetchall()
        )
        return tuple(_decode(detail) for (detail,) in details)

    async def instrument(self, key: InstrumentKey) -> Instrument | None:
        names = (key.market, key.provider, key.symbol)
        found = await self._database.read(lambda connection: connection.execute(_READ_ONE, names).fetchone())
        return None if found is None else _decode(found[0])

    async def save_splits(self, key: InstrumentKey, known: KnownSplits) -> None:
        detail = _encode(known.splits).decode()
        row = (key.market, key.provider, key.symbol, known.read_ms, detail)
        await self._database.write(lambda connection: connection.execute(_PUT_SPLITS, row).close())

    async def splits(self, key: InstrumentKey) -> KnownSplits | None:
        names = (key.market, key.provider, key.symbol)
        found = await self._database.read(
            lambda connection: connection.execute(_READ_SPLITS, names).fetchone()
        )
        return None if found is None else KnownSplits(_decode_splits(found[1]), found[0])


def register(connection: sqlite3.Connection, instruments: Mapping[InstrumentKey, Instrument]) -> None:
    """Add what an import brought, within the import's transaction."""
    rows = (
        (key.market, key.provider, key.symbol, _text(instrument)) for key, instrument in instruments.items()
    )
    connection.executemany(_REGISTER, rows)


def _text(instrument: Instrument) -> str:
    return _encode(instrument).decode()
