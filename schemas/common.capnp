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

struct MidiFormat {
  sampleRate @0 :UInt32;    # Hz
}

struct StreamFormat {
  union {
    audio @0 :AudioFormat;
    midi @1 :MidiFormat;
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
  reasons @4 :List(ClockReason);
  period @5 :UInt32;        # frames of the cycle
  isFreewheeling @6 :Bool;
  transport @7 :Transport;
  midiClock @8 :MidiClock;
}

enum ClockReason {
  server @0;
  gap @1;
  xrun @2;
  period @3;
  freewheel @4;
  transport @5;
  relocation @6;
  tempo @7;
  take @8;
}

enum TransportState {
  stopped @0;
  rolling @1;
  starting @2;
}

struct Transport {
  state @0 :TransportState;
  frame @1 :UInt32;
  bar @2 :Int32;            # 0: no client gives musical time
  beat @3 :Int32;
  tick @4 :Int32;
  beatsPerBar @5 :Float32;
  beatType @6 :Float32;
  ticksPerBeat @7 :Float64;
  beatsPerMinute @8 :Float64;
}

struct MidiClock {
  ticks @0 :UInt64;         # since the take began
  ticksSinceStart @1 :UInt64;
  isRunning @2 :Bool;
}

struct Latency {
  min @0 :UInt32;           # frames
  max @1 :UInt32;
}

struct Error {
  code @0 :Text;            # a code of jackcapture.errors
  message @1 :Text;
  details @2 :Text;         # a JSON object
}
