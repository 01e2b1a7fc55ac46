"""Sessions: several streams recorded together under one timeline.

- life_cycle.py: create, play, stop, close, delete.
- marks.py: marks, of users and of relocations.
- recorded.py: what streams have of a segment.
- transport_steps.py, transport_following.py: sessions that follow JACK's transport.
- clocks.py: all clocks at one frame of a session.
- document.py: what the store has of a session that is closed.
"""
