"""Sessions: several streams recorded together under one timeline.

- life_cycle.py: create, play, stop, close, delete, and marks.
- clocks.py: all clocks at one frame of a session.
- document.py: what the store has of a session that is closed.
"""
