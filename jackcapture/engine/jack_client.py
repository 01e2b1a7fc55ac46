"""The engine's JACK client: opened on a running server, its callbacks all in C."""

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import cffi

from jackcapture.engine._rt import ffi, lib
from jackcapture.engine.hooks import Hooks
from jackcapture.engine.ring import Anchor
from jackcapture.errors import ConflictError, InvalidValueError, UnreachableError
from jackcapture.model.patterns import compile_pattern
from jackcapture.model.takes import Latency
from jackcapture.protocol.messages import Port, PortType

try:
    import jack
except OSError as missing:
    raise UnreachableError("libjack is not installed; install jackd2 or pipewire-jack") from missing

log = logging.getLogger(__name__)

_CALLBACKS = {
    "jack_set_process_callback": ("JackProcessCallback", "jc_process"),
    "jack_set_xrun_callback": ("JackXRunCallback", "jc_xrun"),
    "jack_on_info_shutdown": ("JackInfoShutdownCallback", "jc_info_shutdown"),
    "jack_set_freewheel_callback": ("JackFreewheelCallback", "jc_freewheel"),
    "jack_set_port_registration_callback": ("JackPortRegistrationCallback", "jc_port_registration"),
    "jack_set_port_connect_callback": ("JackPortConnectCallback", "jc_port_connect"),
}

_TYPES = {True: b"32 bit float mono audio", False: b"8 bit raw midi"}
"""JACK's names for the types of audio and of MIDI ports."""

HEARTBEAT_SECONDS = 2.0
"""How long JACK may go on without calling us before we take it that it has deactivated us."""

# What JACK-Client 0.5 does not bind.
_unbound = cffi.FFI()
_unbound.cdef("""
    uint64_t jack_get_time(void);
    void jack_on_shutdown(void *, void (*)(void *), void *);
    int jack_get_cycle_times(const void *, uint32_t *, uint64_t *, uint64_t *, float *);
    uint32_t jack_transport_query(const void *, void *);
    uint32_t jack_midi_get_event_count(void *);
    int jack_midi_event_get(void *, void *, uint32_t);
    uint32_t jack_midi_get_lost_event_count(void *);
    void jack_midi_clear_buffer(void *);
    size_t jack_midi_max_event_size(void *);
    int jack_midi_event_write(void *, uint32_t, const unsigned char *, size_t);
    int jack_set_latency_callback(void *, void (*)(int, void *), void *);
    typedef struct { uint32_t min, max; } jack_latency_range_t;
    void jack_port_get_latency_range(void *, int, jack_latency_range_t *);
""")
_CAPTURE_LATENCY = 0
_libjack = _unbound.dlopen(jack._libname)

# What the core calls, by its field.
_CORE_FUNCTIONS = (
    ("get_cycle_times", "int(*)(void *, uint32_t *, uint64_t *, uint64_t *, float *)", "jack_get_cycle_times"),
    ("get_time", "uint64_t(*)(void)", "jack_get_time"),
    ("transport_query", "uint32_t(*)(void *, void *)", "jack_transport_query"),
    ("midi_get_event_count", "uint32_t(*)(void *)", "jack_midi_get_event_count"),
    ("midi_event_get", "int(*)(void *, void *, uint32_t)", "jack_midi_event_get"),
    ("midi_get_lost_event_count", "uint32_t(*)(void *)", "jack_midi_get_lost_event_count"),
    ("midi_clear_buffer", "void(*)(void *)", "jack_midi_clear_buffer"),
    ("midi_max_event_size", "size_t(*)(void *)", "jack_midi_max_event_size"),
    ("midi_event_write", "int(*)(void *, uint32_t, const uint8_t *, size_t)", "jack_midi_event_write"),
)

_c_library = cffi.FFI()
_c_library.cdef("int usleep(uint32_t);")
_libc = _c_library.dlopen(None)


def _address(foreign_ffi: Any, function: Any) -> int:
    return int(foreign_ffi.cast("uintptr_t", function))


class JackClient:
    """A connection to one JACK server; main thread only, but for `core`, `clock` sources and flags."""

    def __init__(self, name: str, server: str, anchors: Mapping[int, Anchor], hooks: Hooks) -> None:
        """Open and activate; raises `UnreachableError` without a server, `ConflictError` if the name is taken.

        `anchors`, by sample rate, are what earlier clients left, so that frames run on.
        """
        self.server = server
        self._client = _open(name, server)
        self.name: str = self._client.name
        self.sample_rate: int = self._client.samplerate
        self.forgets_ports = "PipeWire" not in jack.version_string()
        """Whether ports that come during a freewheel are lost at its end, as jackd's are."""
        self.core = ffi.new("jc_core *")
        self.core.client = ffi.cast("void *", _address(jack._ffi, self._client._ptr))
        for field, kind, function in _CORE_FUNCTIONS:
            setattr(self.core, field, self._function(kind, _unbound, _libjack, function))
        self.core.last_frame_time = self._function("uint32_t(*)(void *)", jack._ffi, jack._lib, "jack_last_frame_time")
        self.core.port_get_buffer = self._function(
            "void *(*)(void *, uint32_t)", jack._ffi, jack._lib, "jack_port_get_buffer"
        )
        self.core.pause = self._function("int(*)(uint32_t)", _c_library, _libc, "usleep")
        self.core.sample_rate = self.sample_rate
        self.core.frame_offset = hooks.frame_offset
        self.core.fail_at_cycle = hooks.fail_at_cycle
        anchor = anchors.get(self.sample_rate)
        if anchor is not None:
            self.core.resume_frame, self.core.resume_usecs = anchor.frame, anchor.monotonic_us
            if anchor.counter is not None:
                self.core.is_same_server = lib.JC_SAME_SERVER if anchor.is_certain else lib.JC_PERHAPS_SAME_SERVER
            self.core.resume_frame32 = anchor.counter or 0
        self._heard = (time.monotonic(), 0, 0)
        for setter, (kind, function) in _CALLBACKS.items():
            self._set_callback(setter, kind, function)
        client = _unbound.cast("void *", _address(jack._ffi, self._client._ptr))
        _libjack.jack_on_shutdown(  # the only one that PipeWire calls
            client,
            _unbound.cast("void (*)(void *)", _address(ffi, ffi.addressof(lib, "jc_shutdown"))),
            _unbound.cast("void *", _address(ffi, self.core)),
        )
        if _libjack.jack_set_latency_callback(
            client,
            _unbound.cast("void (*)(int, void *)", _address(ffi, ffi.addressof(lib, "jc_latency"))),
            _unbound.cast("void *", _address(ffi, self.core)),
        ):
            raise UnreachableError(f"JACK server {server!r} refuses jack_set_latency_callback")
        self._client.activate()

    @property
    def period(self) -> int:
        """Frames of a JACK cycle."""
        return int(self._client.blocksize)

    @property
    def xruns(self) -> int:
        """Xruns that JACK has told of since the client was opened."""
        return int(self.core.xruns)

    @property
    def has_shut_down(self) -> bool:
        """Whether the server has gone."""
        return bool(self.core.shut_down)

    def is_deactivated(self) -> bool:
        """Tell whether JACK goes on without calling us, as it does to a client that failed, without telling it.

        To be asked again and again: it takes `HEARTBEAT_SECONDS` to be sure. A server that stands still is no such
        case: its frame counter stands, too.
        """
        now, cycles = time.monotonic(), self.cycles
        frame = int(self.core.last_frame_time(self.core.client))
        since, cycles_then, frame_then = self._heard
        if cycles != cycles_then or frame == frame_then:
            self._heard = (now, cycles, frame)
            return False
        return now - since > HEARTBEAT_SECONDS

    def anchor(self) -> Anchor | None:
        """Give where a next client goes on; None if this one, which is closed, has run no cycle."""
        now = ffi.new("jc_mark *")
        if not lib.jc_read_now(self.core, now):
            return None
        # At the end of the cycle: the next client's first one must not overlap it.
        usecs = int(now.clock.usecs) + int(now.clock.nframes) * 1_000_000 // self.sample_rate
        return Anchor(self.next_frame, usecs, None if self.has_shut_down else int(self.core.next_frame32))

    @property
    def port_changes(self) -> int:
        """A count that grows with each port that comes or goes."""
        return int(self.core.port_changes)

    @property
    def connection_changes(self) -> int:
        """A count that grows with each connection made or broken, and when the latencies of the graph change.

        JACK computes them anew after a connection, in a cycle that may be later than the connection's.
        """
        return int(self.core.connection_changes)

    @property
    def is_freewheeling(self) -> bool:
        """Whether JACK runs as fast as its clients can."""
        return bool(self.core.is_freewheeling)

    @property
    def cycles(self) -> int:
        """JACK cycles since the client was activated."""
        return int(lib.jc_cycles(self.core))

    @property
    def next_frame(self) -> int:
        """The 64-bit JACK frame after the newest finished cycle."""
        return int(lib.jc_next_frame(self.core))

    @staticmethod
    def get_time() -> int:
        """Give JACK's time in microseconds; only while a client is open."""
        return int(_libjack.jack_get_time())

    def register_input(self, name: str, pretty_name: str, order: int, *, is_audio: bool) -> Any:
        """Register one input port, for audio or for MIDI, with its metadata."""
        ports = self._client.inports if is_audio else self._client.midi_inports
        try:
            port = ports.register(name, is_terminal=True)
        except jack.JackError as error:
            raise self._port_refused(name, error) from error
        for key, value, kind in (
            (jack.METADATA_PRETTY_NAME, pretty_name, ""),
            (jack.METADATA_ORDER, str(order), "http://www.w3.org/2001/XMLSchema#int"),
        ):
            try:
                self._client.set_property(port.uuid, key, value, kind)
            except (jack.JackError, ValueError):  # ValueError is what JACK-Client 0.5 raises here
                break  # a server without metadata records as well as any other
        return port

    def register_output(self, name: str) -> Any:
        """Register one MIDI output port."""
        try:
            return self._client.midi_outports.register(name, is_terminal=True)
        except jack.JackError as error:
            raise self._port_refused(name, error) from error

    def _port_refused(self, name: str, error: Exception) -> ConflictError:
        return ConflictError(
            f"JACK refuses the port {self.name}:{name}: {error}; a port of that name exists, or the server has no more "
            "ports (jackd --port-max)",
            port=f"{self.name}:{name}",
        )

    def pointer_of(self, port: Any) -> Any:
        """Give a port's address as the core takes it."""
        return ffi.cast("void *", _address(jack._ffi, port._ptr))

    def unregister(self, port: Any) -> None:
        """Remove a port of ours; the core must have let go of it."""
        try:
            port.unregister()
        except jack.JackError as error:  # the server has just gone, and the port with it
            log.warning("a port is not unregistered: %s", error)

    def connections(self, port: Any) -> tuple[str, ...]:
        """Name what is connected to a port of ours."""
        return tuple(self._connected_to(port._ptr))

    def connect(self, source: str, port: Any) -> None:
        """Connect a source to a port of ours, if it is not so already."""
        try:
            self._client.connect(source, port)
        except jack.JackErrorCode as error:
            if error.code != errno.EEXIST:
                raise ConflictError(f"JACK does not connect {source} to {port.name}: {error}") from error

    def connect_output(self, port: Any, destination: str) -> None:
        """Connect a port of ours to a destination, if it is not so already."""
        try:
            self._client.connect(port, destination)
        except jack.JackErrorCode as error:
            if error.code != errno.EEXIST:
                raise ConflictError(f"JACK does not connect {port.name} to {destination}: {error}") from error

    def midi_inputs(self) -> list[str]:
        """Name all MIDI input ports of the graph, in JACK's order."""
        return self._port_names(_TYPES[False], jack._lib.JackPortIsInput)

    def outputs(self, is_audio: bool) -> list[str]:
        """Name all output ports of the graph for audio, or for MIDI, in JACK's order."""
        return self._port_names(_TYPES[is_audio], jack._lib.JackPortIsOutput)

    def capture_latency(self, port: Any) -> Latency:
        """Give the capture latency of what is connected to a port of ours, as JACK has computed it last."""
        found = _unbound.new("jack_latency_range_t *")
        pointer = _unbound.cast("void *", _address(jack._ffi, port._ptr))
        _libjack.jack_port_get_latency_range(pointer, _CAPTURE_LATENCY, found)
        return Latency(int(found.min), int(found.max))

    def ports(self, pattern: str) -> list[Port]:
        """List the graph's ports whose full name matches a regular expression (empty: all)."""
        matches = pattern_matcher(pattern) if pattern else None
        found = []
        # The pattern stays here: one that does not compile has crashed jack_get_ports.
        for name in self._port_names(b"", 0):
            if matches is None or matches(name):
                try:
                    port = self._client.get_port_by_name(name)
                except jack.JackError:
                    continue  # it has gone since
                kind = PortType.AUDIO if port.is_audio else PortType.MIDI if port.is_midi else PortType.OTHER
                linked = tuple(self._connected_to(port._ptr))
                found.append(Port(name, kind, port.is_output, port.is_physical, linked, tuple(port.aliases)))
        return found

    def transport_start(self) -> None:
        """Let the transport roll, once the clients that are slow to get ready are so."""
        self._client.transport_start()

    def transport_stop(self) -> None:
        """Stop the transport."""
        self._client.transport_stop()

    def transport_locate(self, frame: int) -> None:
        """Relocate the transport to one of its frames, which have 32 bits; it takes JACK a cycle or two."""
        try:
            self._client.transport_frame = frame
        except jack.JackError as error:
            raise ConflictError(f"JACK does not locate its transport to frame {frame}: {error}", frame=frame) from error

    def _port_names(self, kind: bytes, flags: int) -> list[str]:
        # Not JACK-Client's get_ports: it looks up each name, and raises when a port has gone in between.
        return _take_names(jack._lib.jack_get_ports(self._client._ptr, b"", kind, flags))

    def _connected_to(self, pointer: Any) -> list[str]:
        return _take_names(jack._lib.jack_port_get_all_connections(self._client._ptr, pointer))

    def close(self) -> None:
        """Leave the graph; afterwards no callback runs."""
        if not self.has_shut_down:
            self._client.deactivate()
            # To a client that closes, jackd tells of each port that it takes from it, and nobody reads that any more:
            # with some forty ports the pipe is full, and both wait for ever. While we are open it is read.
            for ports in (self._client.inports, self._client.midi_inports):
                with contextlib.suppress(jack.JackError):  # the server may go meanwhile
                    ports.clear()
        self._client.close()

    def _function(self, kind: str, foreign_ffi: Any, library: Any, name: str) -> Any:
        return ffi.cast(kind, _address(foreign_ffi, foreign_ffi.addressof(library, name)))

    def _set_callback(self, setter: str, kind: str, function: str) -> None:
        target = jack._ffi.cast(kind, _address(ffi, ffi.addressof(lib, function)))
        argument = jack._ffi.cast("void *", _address(ffi, self.core))
        if getattr(jack._lib, setter)(self._client._ptr, target, argument):
            raise UnreachableError(f"JACK server {self.server!r} refuses {setter}")


def _take_names(names: Any) -> list[str]:
    """Copy a list of names that libjack allocated, and free it."""
    found: list[str] = []
    if names:
        while names[len(found)]:
            found.append(jack._ffi.string(names[len(found)]).decode())
        jack._lib.jack_free(names)
    return found


def _open(name: str, server: str) -> Any:
    # libjack prints to standard error each time that a server is not there, which is no news while we wait for one.
    discard = _address(ffi, ffi.addressof(lib, "jc_discard_message"))
    jack._lib.jack_set_error_function(jack._ffi.cast("void (*)(const char *)", discard))
    try:
        return jack.Client(name, use_exact_name=True, no_start_server=True, servername=server)
    except jack.JackOpenError as error:
        if error.status.name_not_unique:
            raise ConflictError(
                f"JACK server {server!r} has a client named {name!r} already; end it or choose another client_name",
                client_name=name,
            ) from None
        raise UnreachableError(
            f"JACK server {server!r} is not running; start it (for instance: jackd -n {server} -d alsa) "
            "or name another with --server",
            server=server,
        ) from None
    finally:
        jack._lib.jack_set_error_function(jack._ffi.NULL)


def pattern_matcher(pattern: str) -> Callable[[str], Any]:
    """Compile a regular expression that is looked for anywhere in a port name; raises `InvalidValueError`."""
    try:
        search: Callable[[str], Any] = compile_pattern(pattern).search
    except InvalidValueError as error:
        raise InvalidValueError(
            f"{pattern[:100]!r} is not a regular expression over port names: {error.message}",
            pattern=pattern[:100],
        ) from None
    return search
