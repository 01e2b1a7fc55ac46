"""The control plane: owns store and catalog, the life cycle of streams, slicing, and every door to the outside.

- link: control's connection to the engine.
- spare: a staging chunk that the engine holds and has not begun.
- operation: one typed function; every door (ZeroMQ, command line, Python) leads to it.

Everything runs on one asyncio loop; what blocks (disk, SQLite, hashing) runs on threads.
"""
