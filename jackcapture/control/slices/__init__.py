"""Cuts ranges out of streams.

- landmark: where a place lies in a stream; excerpt: the chunks that hold a range, sealed or not.
- layout: what the bytes of a file consist of; a virtual slice is one that is kept as it is.
- slicer: puts it together: an excerpt is written as a file (`files`, `midi_files`) or laid out, and entered.
"""
