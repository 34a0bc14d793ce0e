"""The plugins under test, without the waits that a venue on the loopback does not need."""

from __future__ import annotations

from typing import Any, ClassVar

from tradewright.plugins.alpaca import AlpacaPlugin
from tradewright.plugins.ccxt import CCXTPlugin


class ImpatientPlugin(CCXTPlugin):
    """Takes a second without an answer for a time-out, and closes at once: CCXT waits a quarter of
    a second for the end of TLS, which is not spoken here."""

    http_timeout_s: ClassVar[float] = 1.0

    def _make_exchange(self) -> Any:
        exchange = super()._make_exchange()
        exchange.timeout_on_exit = 0
        return exchange


class ImpatientAlpaca(AlpacaPlugin):
    """Takes a second without an answer for a time-out, and smaller pages, so that there are more of them."""

    http_timeout_s: ClassVar[float] = 1.0
    page_bars: ClassVar[int] = 1_000

    @property
    def ohlcv_page_limit(self) -> int:
        return self.page_bars
