"""An emulated Binance spot venue that replays recorded or generated market data.

`async with BinanceVenue(...) as venue:` opens it; `venue.provider_options()` is what an operator
writes to reach it; `venue.faults` and `venue.candle_faults` make it misbehave.
`python -m tests.venues.binance` runs it alone.
"""

from __future__ import annotations

from tests.venues.binance.capture import Capture, load_capture
from tests.venues.binance.generate import generate_capture, write_capture
from tests.venues.binance.server import BinanceVenue
from tests.venues.faults import Faults

CAPTURE_FILE = "binance_spot_BTCUSDT_ws_2024-08-08.jsonl.gz"
XRPETH_FILE = "binance_XRPETH_1m_2019-10-11_13.parquet"

__all__ = [
    "CAPTURE_FILE",
    "XRPETH_FILE",
    "BinanceVenue",
    "Capture",
    "Faults",
    "generate_capture",
    "load_capture",
    "write_capture",
]
