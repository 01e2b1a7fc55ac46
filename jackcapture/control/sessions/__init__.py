"""Sessions: several streams recorded together under one timeline.

- life_cycle.py: create, play, stop, close, delete.
- marks.py: marks, of users and of relocations.
- recorded.py: what streams have of a segment.
- transport_steps.py, transport_following.py: sessions that follow JACK's transport.
- trigger_detection.py, trigger_spans.py: what stands out, by arithmetic.
- watched_streams.py, segment_watch.py, watching.py: triggered sessions are watched for it.
- suggestions.py: what stood out is accepted or dismissed.
- clocks.py: all clocks at one frame of a session.
- document.py: what the store has of a session that is closed.
"""
