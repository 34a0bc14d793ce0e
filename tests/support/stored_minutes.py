"""What is stored of a scripted venue's minutes, held against what happened there."""

from __future__ import annotations

from tests.unit.services.streaming_rig import BTC, Rig
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import ONE_MINUTE


async def stored_minutes(rig: Rig) -> IntervalSet:
    """Which minutes are stored; each of them is as the venue has it, or without a trade there too."""
    bars, known = await rig.store.read_with_coverage(BTC.series(ONE_MINUTE), 0, 2**53)
    assert bars.inside(known.complete).equals(bars), "no bar is stored without being covered"
    assert bars.rows() == rig.venue.minutes().inside(known.complete).rows(), "what is stored is the truth"
    return known.complete
