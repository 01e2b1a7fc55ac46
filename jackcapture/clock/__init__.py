"""From observations of clocks to answers: arithmetic without I/O. `docs/time.md` explains it.

Positions are sample positions in frames, times are in ns. Each answer states how far it may be off.
"""
