"""What authors of plugins and stores get for their tests: conformance checks and a clock to drive."""

from tradewright.testing.clock import DrivenClock
from tradewright.testing.plugins import check_market_plugin

__all__ = ["DrivenClock", "check_market_plugin"]
