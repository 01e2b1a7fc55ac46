"""The real-time plane: from JACK's ports to chunks. It knows nothing of store, catalog, sessions or artifacts.

- core: the C code that JACK's process callback runs (rt_core.c).
- ring: shared memory into which the core puts a stream's frames; it outlives the process.
- writer: the thread that moves frames from the rings to the mapped chunks.
- recorder: what the writer does for one stream.
- delivered: the count of frames that went into a ring; frames lost in between are gaps.

Threads: JACK's own (only C runs there), the writer, and the main thread, which talks to JACK and to control.
"""
