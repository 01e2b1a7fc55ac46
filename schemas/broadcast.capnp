# One frame on a PUB socket.
@0x9b62d8e4f7a1c350;

using Streams = import "streams.capnp";

struct Broadcast {
  sequence @0 :UInt64;      # counts from 1; a hole means that the subscriber missed something
  publisher @1 :Text;       # id of the process that sent it first; sequence begins anew when it changes
  event :union {
    streamHeadPosition @2 :Streams.StreamHeadPosition;
    streamChunkFull @3 :Streams.StreamChunkFull;
    streamError @4 :Streams.StreamError;
    streamGap @5 :Streams.StreamGap;
    jackState @6 :Streams.JackState;
    midiOutputState @7 :Streams.MidiOutputState;
    diskLow @8 :DiskLow;
    jackTransport @9 :Streams.JackTransport;
  }
}

struct DiskLow {            # control: the space of a disk lasts for less than is set, or for long enough again
  isLow @0 :Bool;
  path @1 :Text;            # of the store, on that disk
  secondsLeft @2 :Float64;  # at the present rate, until the reserve is all that is left
  freeBytes @3 :UInt64;     # the reserve included
}
