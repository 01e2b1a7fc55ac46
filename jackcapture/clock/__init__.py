"""From observations of clocks to answers: arithmetic without I/O. Positions in frames, wall clock in ns."""
