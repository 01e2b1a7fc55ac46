"""Which operations are tools, and when an agent needs each. To add one: a line in TOOLS and in docs/mcp.md.

An operation that is no tool stands in NOT_TOOLS, with the reason. Arguments, results and help are control's own
(`operation_list`): here is only what an agent has to know besides.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Shows(enum.Enum):
    """What an agent gets besides a tool's result."""

    NOTHING = enum.auto()
    LINKS = enum.auto()
    """A link to the content of each artifact in the result."""
    PICTURE = enum.auto()
    """The picture in the result, and the link to it."""
    CONTENT = enum.auto()
    """The content itself, as sound, picture, text or bytes, in place of the base64 in the result."""


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool: its title, when to use it, what it does to the world (MCP's four annotations), and what it shows."""

    title: str
    when: str
    reads_only: bool = False
    destroys: bool = False
    idempotent: bool = False
    open_world: bool = False
    """It acts on programs and instruments beyond the recorder."""
    shows: Shows = Shows.NOTHING

    @property
    def is_idempotent(self) -> bool:
        """Tell whether to repeat it changes nothing more."""
        return self.idempotent or self.reads_only


TOOLS: Mapping[str, ToolEntry] = {
    "status": ToolEntry(
        "Status of everything",
        "Use first, to see whether JACK and the recorder run, which streams and sessions there are, what records now, "
        "and how long the disk lasts; and again when something does not work.",
        reads_only=True,
    ),
    "ports": ToolEntry(
        "List JACK ports",
        "Use to find what can be recorded (ports of direction output) or played (MIDI ports of direction input), "
        "before stream_create and midi_send.",
        reads_only=True,
    ),
    "stream_create": ToolEntry(
        "Define a stream",
        "Use when an instrument or input is to be recorded and no stream has it as a source yet. To connect it, name "
        "its ports as sources. It does not record yet: stream_start, or session_play, begins.",
    ),
    "stream_start": ToolEntry(
        "Start recording",
        "Use when streams are to be recorded on and on, by themselves; for a take with marks and an export use a "
        "session. With `at`, recording begins in the past, if something good was just played and nothing recorded it.",
    ),
    "stream_stop": ToolEntry(
        "Stop recording",
        "Use to end what stream_start began, when the user says so: until then everything is kept.",
    ),
    "stream_status": ToolEntry(
        "Status of a stream",
        "Use to see how far one stream has come (`head_sample`), its takes, gaps, and what its ports are connected to.",
        reads_only=True,
    ),
    "stream_slice": ToolEntry(
        "Cut a range",
        "Use to keep a certain range of a stream, also while it records: by time, sample, take, mark or bar. For the "
        "last seconds of all that records use grab. To hear the slice, read it with artifact_read (flac is shortest).",
        shows=Shows.LINKS,
    ),
    "grab": ToolEntry(
        "Keep the last seconds",
        "Use for 'that was good, keep it': cuts what was just played out of everything that records, on one common "
        "range, while the recording goes on.",
        shows=Shows.LINKS,
    ),
    "stream_waveform": ToolEntry(
        "Draw a waveform",
        "Use to look at a range before you cut it: where it is loud, silent, or has gaps. You get the picture.",
        shows=Shows.PICTURE,
    ),
    "session_create": ToolEntry(
        "Create a session",
        "Use when several streams belong together: they are recorded from one frame on, with marks, and are exported "
        "together. Its streams must exist (see status and stream_create), or be a template's (see session_templates).",
    ),
    "session_play": ToolEntry("Record a session", "Use to begin recording in a session that is not playing."),
    "session_stop": ToolEntry(
        "Stop a session",
        "Use when the user has played; session_play begins the next segment of the same session. Close it only when "
        "nothing more is to be recorded in it.",
    ),
    "session_status": ToolEntry(
        "Status of a session",
        "Use to see a session's segments, its marks and timeline, by which stream_slice finds places.",
        reads_only=True,
    ),
    "session_mark": ToolEntry(
        "Mark a moment",
        "Use when the user says that something is to be found again: 'mark this', 'the solo began ten seconds ago'.",
    ),
    "session_export": ToolEntry(
        "Export a session",
        "Use to hand over a whole session as files for a DAW, an archive or another person. Stop the session first.",
    ),
    "session_templates": ToolEntry(
        "List session templates",
        "Use before session_create, to see whether a template makes the streams and settings that the user wants.",
        reads_only=True,
    ),
    "session_request": ToolEntry(
        "Play an instrument and keep its answer",
        "Use for 'play this at my synth and keep what it does': sends a MIDI file, an artifact or notes at exact "
        "frames, records every stream of the session until the answer has decayed, and gives it with its latency. The "
        "session must have the mode request-response; name the instrument's MIDI port in `to`, if it has none.",
        open_world=True,
    ),
    "suggestion_list": ToolEntry(
        "What stood out",
        "Use to see what was worth keeping while a session of the mode triggered recorded on, such as over night.",
        reads_only=True,
    ),
    "suggestion_accept": ToolEntry(
        "Keep what stood out",
        "Use when the user wants a suggestion: it is cut out of all streams of its session.",
    ),
    "suggestion_dismiss": ToolEntry(
        "Not worth keeping",
        "Use when the user does not want a suggestion; nothing that was recorded goes.",
    ),
    "artifact_list": ToolEntry(
        "Find artifacts",
        "Use to find what was cut, drawn or kept before: by kind, tag or stream, newest first. Give a small `limit`.",
        reads_only=True,
    ),
    "artifact_tag": ToolEntry(
        "Tag an artifact",
        "Use to give something that was cut a name by which artifact_list finds it later, such as 'keeper'.",
        idempotent=True,
    ),
    "artifact_read": ToolEntry(
        "Hear or see an artifact",
        "Use to listen to a short slice, look at a picture, or read a document: you get it as content. What is longer "
        "than this door carries is given as a link; ask for a shorter slice, for flac, or write it with artifact_save.",
        reads_only=True,
        shows=Shows.CONTENT,
    ),
    "artifact_save": ToolEntry(
        "Save an artifact as a file",
        "Use when the user wants the file itself, at a path of theirs.",
    ),
    "transport_status": ToolEntry(
        "Status of JACK's transport",
        "Use to see whether JACK's transport rolls, where, and at what tempo.",
        reads_only=True,
    ),
    "transport_start": ToolEntry(
        "Roll JACK's transport",
        "Use to start every program that follows JACK's transport: sequencers, DAWs, and sessions that follow it.",
        idempotent=True,
        open_world=True,
    ),
    "transport_stop": ToolEntry(
        "Stop JACK's transport", "Use to stop every program that follows it.", idempotent=True, open_world=True
    ),
    "transport_locate": ToolEntry(
        "Move JACK's transport",
        "Use to jump to a place of the song, in all programs that follow the transport.",
        idempotent=True,
        open_world=True,
    ),
    "doctor": ToolEntry(
        "What would cost samples",
        "Use when there are gaps, xruns or a set-up that does not work: limits, disk, clock, JACK, and what helps.",
        reads_only=True,
    ),
    "midi_send": ToolEntry(
        "Send MIDI",
        "Use to play an instrument: notes, controllers, program changes, each at its exact time. It sounds at once, so "
        "start what is to record the answer first. End every note that you begin.",
        open_world=True,
    ),
}

_FOR_ITS_OWNER = "what is kept and what goes is for the owner of the recordings to decide"
_FOR_UPKEEP = "it is upkeep of the store, which the user does at the command line"

NOT_TOOLS: Mapping[str, str] = {
    "artifact_delete": _FOR_ITS_OWNER,
    "artifact_show": "the resource jackcapture://artifacts/ID shows it, and artifact_list most of it",
    "artifact_materialise": "artifact_save and artifact_read make the file of a virtual slice, too",
    "midi_cancel": "to cancel the call of midi_send does the same",
    "midi_list": "the result of midi_send tells it",
    "operation_list": "tools/list tells it, as far as agents are concerned",
    "session_close": "session_stop closes a session, too",
    "session_list": "status lists them",
    "session_delete": _FOR_ITS_OWNER,
    "shutdown": "an agent must not end what others record with",
    "store_check": _FOR_UPKEEP,
    "store_gc": _FOR_UPKEEP,
    "store_status": "status has it",
    "stream_clock": "a slice tells its wall clock, and session_status the clocks of segments and marks",
    "stream_delete": _FOR_ITS_OWNER,
    "stream_keep": _FOR_ITS_OWNER,
    "stream_list": "status lists them",
    "stream_overview": "stream_waveform shows the same, as a picture, which is shorter and easier to read",
    "stream_pin": _FOR_ITS_OWNER,
    "stream_pins": _FOR_ITS_OWNER,
    "stream_unpin": _FOR_ITS_OWNER,
}

ARGUMENTS: Mapping[str, str] = {
    "uri": "The stream, in full: stream://<device>/<name>.",
    "uris": "Streams, in full: stream://<device>/<name>.",
    "streams": "The session's streams, in full: stream://<device>/<name>.",
    "stream": "One of the session's streams, in full.",
    "stream_uri": "A stream, in full: stream://<device>/<name>.",
    "session_id": "The session's full id, as session_create and status give it.",
    "suggestion_id": "The suggestion's full id, as suggestion_list gives it.",
    "file": "The absolute path of a MIDI file.",
    "template": "The name of a template, as session_templates lists it, or the absolute path of one.",
    "artifact_id": "The artifact's full id, as the result that made it, or artifact_list, gives it.",
    "from_place": "Where it begins: -30s, sample:N, take:2.start, mark:NAME, bar:17, 2026-11-22T10:00:00Z, start, ...",
    "to_place": "Where it ends, likewise; head is now.",
    "pattern": "A regular expression over full port names, such as system:capture_.*",
    "sources": "JACK output ports to record, in order of the channels: full names, or regular expressions over them.",
    "duration": "How long: 30s, 1m30s, 250ms.",
    "out": "An absolute path at which nothing is (for grab: of a directory that is there).",
    "path": "An absolute path at which nothing is.",
    "limit": "The most that are given.",
}
"""What arguments of a name mean, wherever they occur."""
