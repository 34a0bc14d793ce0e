"""What the scripted provider of the streaming tests can do, and how its feeds are shared with nobody."""

from __future__ import annotations

from tradewright.domain.capabilities import Capability
from tradewright.services.feeds.settings import SharingSettings

MARKET_DATA = frozenset(
    {
        Capability.OHLCV,
        Capability.TICKER,
        Capability.ORDER_BOOK,
        Capability.TRADES,
        Capability.WATCH_OHLCV,
        Capability.WATCH_TICKER,
        Capability.WATCH_ORDER_BOOK,
        Capability.WATCH_TRADES,
    }
)

# One process alone has nobody to be in time for, and driven hours shall not be full of heartbeats.
ALONE = SharingSettings(lease_s=400, margin_s=80, beat_s=100, heartbeat_s=200, quiet_s=250)
ALONE_SILENT_S = 600.0
