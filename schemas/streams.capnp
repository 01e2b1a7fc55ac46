# What control asks of the engine, and what the engine tells.
@0xc3b87e2d94f6a015;

using Common = import "common.capnp";

const atOnce :UInt64 = 0xffffffffffffffff;

# --- commands ---

struct StreamAttach {       # register the stream's ports; its ring begins to fill
  definition @0 :Common.StreamDefinition;
}

struct StreamDetach {       # remove its ports and its ring
  uri @0 :Text;
}

struct StreamStart {        # begin a take in an attached stream, or attach it first
  uri @0 :Text;
  definition @1 :Common.StreamDefinition;
  chunkPath @2 :Text;
  startFrame @3 :UInt64 = 0xffffffffffffffff;   # 64-bit JACK frame, as far back as the ring holds; default: at once
  takeNumber @4 :UInt32;
  firstSample @5 :UInt64;   # the sample position that startFrame gets
}

struct StreamSwitchChunk {  # one more spare: the engine goes on in it when the chunk in progress is full
  uri @0 :Text;
  newChunkPath @1 :Text;
}

struct StreamStop {
  uri @0 :Text;
  stopFrame @1 :UInt64 = 0xffffffffffffffff;    # the first JACK frame that is not recorded; default: at once
}

struct ChunkRelease {       # control has sealed this chunk: forget it
  uri @0 :Text;
  path @1 :Text;
}

struct StateRequest {
  drain @0 :Bool;           # first move all that JACK has delivered from the rings to the chunks
  uris @1 :List(Text);      # only these streams; empty: all
  hold @2 :Bool;            # a start of those that do not record, or a stop of those that do, follows within seconds
  holdFrames @3 :UInt64;    # how far before now the start may lie
}

struct PortsRequest {
  pattern @0 :Text;         # a regular expression over full port names; empty: all
}

struct MidiEvent {
  frame @0 :UInt64;         # frames after the first event's
  data @1 :Data;            # one whole MIDI message
}

struct MidiSend {           # send events from an output port of ours, each at its frame
  output @0 :Text;          # name of the port; it is registered when it is first named
  destinations @1 :List(Text);            # port names or regular expressions: connected first
  startFrame @2 :UInt64 = 0xffffffffffffffff;   # 64-bit JACK frame of the first event; default: as soon as may be
  events @3 :List(MidiEvent);
}

struct MidiCancel {         # send nothing more of what an output has left, and end the notes that sound
  output @0 :Text;
}

struct TransportLocate {    # relocate JACK's transport
  frame @0 :UInt32;         # JACK's own frame numbers have 32 bits
}

# --- replies ---

struct JackTransport {      # JACK's transport at the start of a cycle; as an event: it has changed there
  frame @0 :UInt64;         # 64-bit JACK frame of the cycle; 0, with all of the rest: there is no server
  monotonicUs @1 :UInt64;
  wallClock @2 :Int64;
  period @3 :UInt32;        # frames of the cycle
  transport @4 :Common.Transport;
  reasons @5 :List(Common.ClockReason);   # what has changed: server, transport, relocation; none: it was asked for
  number @6 :UInt64;        # of a change: counts from 1 per engine; else that of the newest change that is known
}

struct TransportOutcome {   # what came of a command to the transport
  now @0 :JackTransport;
  isReached @1 :Bool;       # it does what was asked
}

struct LateEvent {
  index @0 :UInt32;         # in MidiSend.events
  frames @1 :UInt64;        # how much after its frame it was sent
}

struct MidiOutputState {
  output @0 :Text;
  port @1 :PortConnections;
  startFrame @2 :UInt64;    # of the events given last
  events @3 :UInt32;
  sent @4 :UInt32;
  late @5 :List(LateEvent);
  isDone @6 :Bool;
  error @7 :Text;           # why not all were sent
  lateCount @8 :UInt32;     # of which `late` lists the first 1,000
}

enum StreamStatus {
  stopped @0;
  recording @1;
  starved @2;               # recording into the ring, without a chunk to move it to
  error @3;
}

struct PortConnections {
  port @0 :Text;
  connections @1 :List(Text);
  latency @2 :Common.Latency;   # of capture: how long ago the sources heard it
}

struct ChunkInProgress {
  path @0 :Text;            # empty: none
  index @1 :UInt32;
  firstSample @2 :UInt64;
  samples @3 :UInt64;
  bytes @4 :UInt64;
}

struct StreamState {
  uri @0 :Text;
  status @1 :StreamStatus;
  definition @2 :Common.StreamDefinition;
  takeNumber @3 :UInt32;    # of the take that runs or ran last; 0: none since the stream was attached
  startFrame @4 :UInt64;
  firstSample @5 :UInt64;
  headSample @6 :UInt64;    # the position after the newest frame that is in a chunk
  headBytes @7 :UInt64;     # bytes of the take up to there
  chunk @8 :ChunkInProgress;
  chunksDone @9 :List(StreamChunkFull);   # all that control has not released
  spares @10 :List(Text);
  ringFill @11 :Float32;    # 0 to 1
  gaps @12 :List(Common.Gap);             # those in the chunk in progress
  lostFrames @13 :UInt64;   # of the take
  ports @14 :List(PortConnections);
  error @15 :Text;
  clocks @16 :List(Common.ClockSnapshot); # those in the chunk in progress
  gapCount @17 :UInt64;     # of the take
  clippedSamples @18 :UInt64;   # of the take
  absentSources @19 :List(Text);          # sources of the definition that name no port there is
  oldestFrame @20 :UInt64;  # at which a take may start, as of the last hold of StateRequest; 0: none
}

struct EngineState {
  engineId @0 :Text;        # made anew at each start of an engine
  pid @1 :UInt32;
  since @2 :Int64;          # wall clock of its start
  version @3 :Text;         # of the package
  server @4 :Text;          # name of the JACK server
  connected @5 :Bool;       # to that server
  clientName @6 :Text;
  sampleRate @7 :UInt32;
  period @8 :UInt32;        # frames
  xruns @9 :UInt64;
  frame @10 :UInt64;        # the 64-bit JACK frame after the newest finished cycle
  wallClock @11 :Int64;     # of that frame
  streams @12 :List(StreamState);
  warnings @13 :List(Text);
  midiOutputs @14 :List(MidiOutputState);
  transport @15 :JackTransport;           # at the start of the newest cycle
  transportChanges @16 :List(JackTransport);  # the newest, at most 64, in order; none if streams were named
}

struct Port {
  name @0 :Text;
  type @1 :PortType;
  isOutput @2 :Bool;
  isPhysical @3 :Bool;
  connections @4 :List(Text);
  aliases @5 :List(Text);
}

enum PortType {
  audio @0;
  midi @1;
  other @2;
}

struct PortList {
  ports @0 :List(Port);
}

# --- events ---

struct StreamHeadPosition {
  streamUri @0 :Text;
  samplePosition @1 :UInt64;
  bytePosition @2 :UInt64;
  wallClock @3 :Int64;
  jackFrame @4 :UInt64;
  ringFill @5 :Float32;
}

struct StreamChunkFull {
  streamUri @0 :Text;
  path @1 :Text;
  bytesWritten @2 :UInt64;
  samplesWritten @3 :UInt64;
  wallClock @4 :Int64;      # of the frame after the last one
  takeNumber @5 :UInt32;
  chunkIndex @6 :UInt32;    # in the take, from 0
  firstSample @7 :UInt64;
  gaps @8 :List(Common.Gap);              # those that begin in this chunk
  clocks @9 :List(Common.ClockSnapshot);  # taken while it was written
  clippedSamples @10 :UInt64;
}

struct StreamError {
  streamUri @0 :Text;
  error @1 :Text;
  recoverable @2 :Bool;     # false: the take has ended
}

struct StreamGap {
  streamUri @0 :Text;
  gap @1 :Common.Gap;
}

struct JackState {          # the engine has gained or lost the JACK server
  server @0 :Text;
  connected @1 :Bool;
  reason @2 :Text;
}
