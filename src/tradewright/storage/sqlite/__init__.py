"""The embedded database: one SQLite file for bars and instruments, for one machine."""

from tradewright.storage.sqlite.bars import SQLiteBarStore
from tradewright.storage.sqlite.database import SQLiteDatabase
from tradewright.storage.sqlite.instruments import SQLiteInstrumentStore
from tradewright.storage.sqlite.jobs import SQLiteBackfillJobStore

__all__ = ["SQLiteBackfillJobStore", "SQLiteBarStore", "SQLiteDatabase", "SQLiteInstrumentStore"]
