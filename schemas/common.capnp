# What commands, events and state have in common.
# Positions are frames, wallClock is nanoseconds since the Unix epoch, all text is UTF-8.
@0xa4d1c6f5b2e90371;

const protocolVersion :UInt16 = 1;

enum SampleFormat {
  f32 @0;
  i16 @1;
  i24 @2;
}

struct AudioFormat {
  sampleRate @0 :UInt32;    # Hz
  channels @1 :UInt16;
  sampleFormat @2 :SampleFormat;
}

struct StreamFormat {
  union {
    audio @0 :AudioFormat;
    midi @1 :Void;
  }
}

struct StreamDefinition {
  uri @0 :Text;
  deviceIdentity @1 :Text;
  format @2 :StreamFormat;
  chunkSizeBytes @3 :UInt32;
  sources @4 :List(Text);   # JACK port names or regular expressions, in channel order
}

enum GapCause {
  xrun @0;
  ringOverflow @1;
  serverDown @2;
  engineDied @3;
  midiLost @4;
}

struct Gap {
  position @0 :UInt64;      # sample position of the first lost frame
  frames @1 :UInt64;
  cause @2 :GapCause;
}

struct ClockSnapshot {
  samplePosition @0 :UInt64;
  jackFrame @1 :UInt64;
  monotonicUs @2 :UInt64;   # JACK's clock, microseconds
  wallClock @3 :Int64;
}

struct Error {
  code @0 :Text;            # a code of jackcapture.errors
  message @1 :Text;
  details @2 :Text;         # a JSON object
}
