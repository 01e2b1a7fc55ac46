"""Operations on suggestions: what stood out in triggered sessions."""

import asyncio

from jackcapture.control.operations.describe_suggestions import describe_suggestions
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.sessions.suggestions import Formats
from jackcapture.errors import InvalidValueError
from jackcapture.model.streams import parse_sample_format
from jackcapture.model.suggestion_results import AcceptedResult, SuggestionResult
from jackcapture.model.suggestions import Suggestion, parse_suggestion_status

_AUDIO_FORMATS = ("wav", "flac", "raw")


@operation
async def suggestion_list(
    context: Context, session_id: str | None = None, status: str | None = None
) -> tuple[SuggestionResult, ...]:
    """List the newest suggestions (at most 1,000), newest first; of a session, of a status.

    A triggered session makes one whenever something stands out: `open` while it goes on, `pending` when it has ended,
    then `accepted` or `dismissed`.
    """
    found = None if status is None else parse_suggestion_status(status)
    catalog = context.services.catalog

    def look() -> tuple[SuggestionResult, ...]:
        if session_id is not None:
            catalog.sessions.get(session_id)
        return describe_suggestions(catalog, catalog.suggestions.newest(session_id=session_id, status=found))

    return await asyncio.to_thread(look)


@operation(cancellable=True)
async def suggestion_accept(
    context: Context, suggestion_id: str, output_format: str | None = None, sample_format: str | None = None
) -> AcceptedResult:
    """Cut the suggested range out of all streams of the session, into one artifact of each: all of them, or none.

    Audio becomes wav (unless given), flac or raw, in `sample_format` f32, i24 or i16 (the stream's, unless given);
    MIDI becomes a MIDI file. It must have ended, and nobody may have decided it.
    """
    if output_format is not None and output_format not in _AUDIO_FORMATS:
        raise InvalidValueError(
            f"{output_format[:80]!r} is not a format for what a suggestion has of audio: there are "
            f"{', '.join(_AUDIO_FORMATS)}",
            output_format=output_format[:80],
        )
    formats = Formats(output_format, None if sample_format is None else parse_sample_format(sample_format))
    accepted, slices = await context.services.suggestions.accept(suggestion_id, formats, context.progress)
    return AcceptedResult(await _described(context, accepted), slices)


@operation
async def suggestion_dismiss(context: Context, suggestion_id: str) -> SuggestionResult:
    """Note that a suggestion is not wanted. Nothing is removed; it must have ended, and nobody may have decided it."""
    return await _described(context, await context.services.suggestions.dismiss(suggestion_id))


async def _described(context: Context, suggestion: Suggestion) -> SuggestionResult:
    catalog = context.services.catalog
    return (await asyncio.to_thread(describe_suggestions, catalog, [suggestion]))[0]
