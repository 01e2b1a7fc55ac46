# One frame on a ROUTER socket: a request and its reply carry the same id.
@0xe1f0a97c5d3b4826;

using Common = import "common.capnp";
using Streams = import "streams.capnp";

struct OperationCall {
  name @0 :Text;
  arguments @1 :Text;       # a JSON object
}

struct OperationProgress {  # any number of these may precede the result
  done @0 :UInt64;
  total @1 :UInt64;         # 0: unknown
  unit @2 :Text;
}

struct OperationResult {
  result @0 :Text;          # a JSON value
}

struct OperationCancel {
  call @0 :UInt64;          # the id of the call, of the same peer
}

struct Envelope {
  id @0 :UInt64;
  version @1 :UInt16;       # protocolVersion of the sender
  payload :union {
    error @2 :Common.Error;
    done @3 :Void;

    streamAttach @4 :Streams.StreamAttach;
    streamDetach @5 :Streams.StreamDetach;
    streamStart @6 :Streams.StreamStart;
    streamSwitchChunk @7 :Streams.StreamSwitchChunk;
    streamStop @8 :Streams.StreamStop;
    chunkRelease @9 :Streams.ChunkRelease;
    stateRequest @10 :Streams.StateRequest;
    portsRequest @11 :Streams.PortsRequest;
    shutdown @12 :Void;     # end the process; refused while a stream records

    streamState @13 :Streams.StreamState;
    engineState @14 :Streams.EngineState;
    portList @15 :Streams.PortList;

    operationCall @16 :OperationCall;
    operationProgress @17 :OperationProgress;
    operationResult @18 :OperationResult;

    midiSend @19 :Streams.MidiSend;
    midiCancel @20 :Streams.MidiCancel;
    midiOutputState @21 :Streams.MidiOutputState;

    operationCancel @22 :OperationCancel;

    transportStart @23 :Void;
    transportStop @24 :Void;
    transportLocate @25 :Streams.TransportLocate;
    transportOutcome @26 :Streams.TransportOutcome;
  }
}
