# One frame on a PUB socket.
@0x9b62d8e4f7a1c350;

using Streams = import "streams.capnp";

struct Broadcast {
  sequence @0 :UInt64;      # counts from 1; a hole means that the subscriber missed something
  publisher @1 :Text;       # engineId of the sender; sequence begins anew when it changes
  event :union {
    streamHeadPosition @2 :Streams.StreamHeadPosition;
    streamChunkFull @3 :Streams.StreamChunkFull;
    streamError @4 :Streams.StreamError;
    streamGap @5 :Streams.StreamGap;
    jackState @6 :Streams.JackState;
    midiOutputState @7 :Streams.MidiOutputState;
  }
}
