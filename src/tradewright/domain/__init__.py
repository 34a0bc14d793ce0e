"""The words of the trade: bars, timeframes, instruments, ticks, streams, errors, and the ports.

Nothing here does I/O, reads a clock or knows a venue.
"""
