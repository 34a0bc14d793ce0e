"""Bars and instruments on PostgreSQL, with what TimescaleDB offers where the server has it."""

from tradewright.storage.postgres.bars import PostgresBarStore
from tradewright.storage.postgres.database import PostgresDatabase
from tradewright.storage.postgres.instruments import PostgresInstrumentStore
from tradewright.storage.postgres.jobs import PostgresBackfillJobStore

__all__ = ["PostgresBackfillJobStore", "PostgresBarStore", "PostgresDatabase", "PostgresInstrumentStore"]
