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
    sessionSuggestion @10 :SessionSuggestion;
  }
}

struct DiskLow {            # control: the space of a disk lasts for less than is set, or for long enough again
  isLow @0 :Bool;
  path @1 :Text;            # of the store, on that disk
  secondsLeft @2 :Float64;  # at the present rate, until the reserve is all that is left
  freeBytes @3 :UInt64;     # the reserve included
}

enum SuggestionStatus {
  open @0;                  # it goes on
  pending @1;               # it has ended, and nobody has decided
  accepted @2;
  dismissed @3;
}

enum SuggestionReason {
  level @0;
  midi @1;
}

struct SessionSuggestion {  # control: a suggestion of a triggered session has come, has ended or was decided
  sessionId @0 :Text;
  suggestionId @1 :Text;
  segment @2 :UInt32;
  status @3 :SuggestionStatus;
  reason @4 :SuggestionReason;  # what stood out first
  streamUri @5 :Text;       # in which stream
  peak @6 :Float32;         # of all audio streams so far, full scale 1; 0: only MIDI
  beginFrame @7 :UInt64;    # 64-bit JACK frames: what stood out
  endFrame @8 :UInt64;
  fromFrame @9 :UInt64;     # what is suggested
  toFrame @10 :UInt64;      # 0: it goes on
  foundAt @11 :Int64;       # wall clock
  problem @12 :Text;        # why it could not be accepted by itself
}
