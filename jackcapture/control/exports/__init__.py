"""Exports of sessions: all that a session has, in files that need no jackcapture. docs/sessions.md explains them.

- part: what one segment has of one stream, a WAV file or a MIDI file.
- plan: which parts there are, what their files are called, and where they lie on the session's one timeline.
- target: what the files are written into, a folder or a tar archive.
- exporter: writes a plan into a target, with the documents that explain it.

The same session gives the same bytes: nothing here asks what time it is, where it writes, or who runs it.
"""
