"""The embedded database: one SQLite file for bars and instruments, for one machine."""

from tradewright.storage.sqlite.bars import SQLiteBarStore
from tradewright.storage.sqlite.database import SQLiteDatabase
from tradewright.storage.sqlite.instruments import SQLiteInstrumentStore

__all__ = ["SQLiteBarStore", "SQLiteDatabase", "SQLiteInstrumentStore"]
