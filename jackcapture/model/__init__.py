"""The words of jackcapture as typed values, without I/O.

- stream: a named, endless source, `stream://<device>/<name>`; its definition is immutable.
- take: one contiguous run of a stream, from start to stop. Sample positions run on over all takes of a stream.
- chunk: the unit of storage; staging while it is written, content once it is sealed.
- overview: min, max and RMS of every 256 frames of an audio chunk, per channel; kept beside the chunk.
- gap: a place where frames were lost; silence in the samples, recorded with position, length and cause.
- session: several streams recorded together under one timeline; a segment is one contiguous period of it, of each
  stream a range of one take; a mark is a named moment in a segment.
- place: a point in a stream's time, as a user writes it.
- sample position: the index of a frame in its stream; JACK frame - JACK frame at the take's start + what earlier
  takes hold.
- artifact: a catalog entry for a content hash: kind, MIME type, parents, tags, metadata.
"""
