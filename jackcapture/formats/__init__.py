"""File formats as pure functions between typed values and bytes; no I/O, but for FLAC, which libsndfile writes.

- WAV: the RIFF/WAVE file, a row of parts that begin with a name and a length.
- RIFF chunk: such a part. The format says just "chunk", which here is the unit of storage.
- RF64: a WAV file of more than 4 GiB: its 32-bit sizes say 0xFFFFFFFF, and the RIFF chunk `ds64` holds the
  real ones.
- header: all bytes of a file before the first sample; what follows is the samples as they lie in the store.
- block: 256 frames of a chunk, in its overview: min, max and RMS of each channel.
- point: what some blocks are combined to, to be drawn; min and max of one, and the file of them, are peaks.
- lane: the strip of a picture that shows one channel, or neighbours that share it; it has a point for each column.
- chasing: to bring what MIDI events before a range have left in force and sounding into its beginning.
- tick: the unit of time of a Standard MIDI File, a fraction of a quarter note.
- padding: the byte after an odd number of sample bytes that keeps the next RIFF chunk on an even offset.
"""
