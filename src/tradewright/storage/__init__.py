"""Where state is kept: the only SQL and the only Redis of the program.

Services know nothing of this package; ``app`` hands its stores in behind the ports of ``domain.ports``.
"""
