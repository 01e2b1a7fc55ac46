"""Prompts: the common tasks, as a user picks them from a menu of their program."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

from jackcapture.mcp.door import Door


@dataclass(frozen=True, slots=True)
class PromptEntry:
    """A prompt: its arguments (name: what it means and what it is unless given), and its text with them in braces."""

    title: str
    help: str
    arguments: Mapping[str, tuple[str, str | None]]
    text: str


PROMPTS: Mapping[str, PromptEntry] = {
    "capture_what_i_just_played": PromptEntry(
        "Capture what I just played",
        "Keep the last seconds of all that records, and tell what is in them.",
        {"duration": ("How far back: 30s, 1m30s.", "30s"), "tag": ("A tag to find it by.", "keeper")},
        "I just played something that was good. Keep the last {duration} of it.\n"
        "1. status: does anything record? If so, grab the last {duration}.\n"
        "2. If nothing records, but there is a stream that I may have played into (status), start it with "
        "stream_start at -{duration}, or as far back as its error says that there is something, and grab then; leave "
        "it recording.\n"
        "3. Give each artifact the tag {tag} (artifact_tag), and look at it with stream_waveform over its "
        "sample_range.\n"
        "Tell me for each stream its artifact id, how long it is, where it is loud, and every gap. Stop nothing that "
        "records.",
    ),
    "play_and_keep_the_answer": PromptEntry(
        "Play this at my instrument and keep the answer",
        "Send MIDI to an instrument, record what it answers, and hand over the recording.",
        {
            "what": ("What to play: notes, a phrase, or bytes.", None),
            "instrument": ("The MIDI port to play at, or a part of its name.", None),
            "listen_to": ("The ports, or the stream, that hear the answer.", None),
        },
        "Play this at {instrument} and keep what it answers: {what}\n"
        "1. ports: find the one MIDI input port that is {instrument}, and the audio output ports that are {listen_to}. "
        "If it is not clear which they are, ask me.\n"
        "2. status: if no stream records {listen_to}, make one with stream_create, these ports as its sources.\n"
        "3. session_create with that stream, session_play, then midi_send with every note ended. Wait for the end of "
        "the sound: look with stream_waveform over -5s to head until it is quiet.\n"
        "4. session_stop, then stream_slice from session:ID.start to session:ID.end, with the session's id.\n"
        "Tell me the session's id, the artifact id, which of the events were late, and whether there are gaps.",
    ),
    "export_a_session": PromptEntry(
        "Export a session",
        "Stop a session if it plays, check it, and write it as files.",
        {
            "session": ("The session, by id or name.", None),
            "out": ("An absolute path at which nothing is.", None),
            "output_format": ("folder, tar, bagit or reaper.", "folder"),
        },
        "Export the session {session} to {out} as {output_format}.\n"
        "status has its id; if more than one could be meant, ask me. If it plays, ask me before you stop it. "
        "Then session_export. Tell me what files it wrote, how long it is, and every gap in its parts.",
    ),
}


async def list_prompts(context: ServerRequestContext[Door], params: PaginatedRequestParams | None) -> ListPromptsResult:
    """Give the prompts."""
    return ListPromptsResult(
        prompts=[
            Prompt(
                name=name,
                title=entry.title,
                description=entry.help,
                arguments=[
                    PromptArgument(name=argument, description=told, required=otherwise is None)
                    for argument, (told, otherwise) in entry.arguments.items()
                ],
            )
            for name, entry in PROMPTS.items()
        ]
    )


async def get_prompt(context: ServerRequestContext[Door], params: GetPromptRequestParams) -> GetPromptResult:
    """Give the text of a prompt; raises `MCPError` for arguments that do not fit."""
    entry = PROMPTS.get(params.name)
    if entry is None:
        raise MCPError(INVALID_PARAMS, f"no prompt {params.name[:80]!r}; there are {', '.join(PROMPTS)}")
    given = {name: value for name, value in (params.arguments or {}).items() if value}
    missing = [name for name, (_, otherwise) in entry.arguments.items() if otherwise is None and name not in given]
    unknown = [name[:80] for name in given if name not in entry.arguments]
    if missing or unknown:
        wrong = "; ".join(
            f"{what} {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names
        )
        raise MCPError(INVALID_PARAMS, f"{params.name}: {wrong}; its arguments are {', '.join(entry.arguments)}")
    values = {name: given.get(name, otherwise or "") for name, (_, otherwise) in entry.arguments.items()}
    text = entry.text.format_map(values)
    return GetPromptResult(
        description=entry.help, messages=[PromptMessage(role="user", content=TextContent(text=text))]
    )
