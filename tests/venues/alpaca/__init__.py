"""An emulated Alpaca: data host, trading host with a ledger of its own, and the three streams.

`async with AlpacaVenue(...) as venue:` opens it; `venue.provider_options()` is what an operator writes
to reach it; `venue.faults` makes it misbehave. `python -m tests.venues.alpaca` runs it alone.
"""

from __future__ import annotations

from tests.venues.alpaca.server import API_KEY, SECRET, AlpacaVenue

DAYS_FILE = "us_equities_1d_1998_2021.parquet"
MINUTES_FILE = "us_equities_1m_SPY_IBM.parquet"

__all__ = ["API_KEY", "DAYS_FILE", "MINUTES_FILE", "SECRET", "AlpacaVenue"]
