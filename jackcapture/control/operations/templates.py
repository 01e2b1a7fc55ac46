"""The operation on session templates, and how a session comes to be from one."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.operations.streams import check_definition, sample_rate_for
from jackcapture.control.sessions.settings import MODE_PARTS
from jackcapture.control.templates.library import TemplateFile, all_templates, find_template
from jackcapture.control.templates.reading import ReadTemplate, as_text
from jackcapture.control.templates.schema import TemplateStream
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError, NotFoundError
from jackcapture.model.retention import Retention
from jackcapture.model.sessions import SessionMode
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.template_results import TemplateResult, TemplateStreamResult
from jackcapture.model.uris import StreamUri

log = logging.getLogger(__name__)


@operation
async def session_templates(context: Context, name: str | None = None) -> tuple[TemplateResult, ...]:
    """Give the session templates, by name: those shipped with the program, and the user's own; or the named one alone.

    The user's own lie in the folder session_templates of the configuration, and win over shipped ones of the same name.
    `name` may also be the absolute path of one. A template that cannot be used is listed with its `error`.
    """

    def described() -> tuple[TemplateResult, ...]:
        found = all_templates() if name is None else [find_template(name)]
        return tuple(map(_described, found))

    return await asyncio.to_thread(described)


async def load_template(named: str) -> ReadTemplate:
    """Find a template by its name or absolute path, and read it; raises `NotFoundError` or `InvalidValueError`."""
    return await asyncio.to_thread(lambda: find_template(named).read())


def merged_settings(template: ReadTemplate, mode: SessionMode, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give a template's settings with those that were given in their place, key by key.

    In another mode than the template's own, its settings of that mode do not count.
    """
    merged = {key: value for key, value in template.settings.items() if MODE_PARTS.get(key, mode) is mode}
    for key, value in given.items():
        own = merged.get(key)
        merged[key] = {**own, **value} if isinstance(own, dict) and isinstance(value, dict) else value
    return merged


@contextlib.asynccontextmanager
async def template_streams(context: Context, template: ReadTemplate) -> AsyncIterator[list[StreamUri]]:
    """Give the streams of a template; those that do not exist are made, and go again if that or the block fails.

    Raises `ConflictError` for one that exists and has another definition.
    """
    wanted = [await _wanted(context, template, index) for index in range(len(template.content.streams))]
    streams, made = context.services.streams, []
    try:
        for definition, retention in wanted:
            if definition.uri not in {stream.uri for stream in streams.all()}:
                made.append((await streams.create(definition, retention)).uri)
        yield [definition.uri for definition, _ in wanted]
    except BaseException:
        for uri in reversed(made):
            try:
                await streams.delete(uri)
            except JackCaptureError as error:  # somebody uses it already
                log.warning("%s was made for a session that did not come to be, and stays: %s", uri, error)
        raise


async def _wanted(context: Context, template: ReadTemplate, index: int) -> tuple[StreamDefinition, Retention]:
    """Give the definition of a template's stream and its retention; checked, against what there is as well."""
    stream, key = template.content.streams[index], ("streams", index)
    try:
        existing = context.services.streams.get(stream.uri).definition
    except NotFoundError:
        rate = await sample_rate_for(context, stream.sample_rate)
        definition = stream.definition(rate)
        try:
            await check_definition(context, definition)
        except InvalidValueError as error:
            raise template.problem((*key, "sources"), error.message) from None
    else:
        definition = stream.definition(existing.sample_rate)
        if definition != existing:
            raise ConflictError(
                f"{existing.uri} exists already, and is not what template {template.path} wants: "
                f"{'; '.join(_differences(existing, definition))}. A definition cannot change: delete the stream, or "
                "give the template's another URI",
                uri=existing.uri,
                path=template.path,
            )
    return definition, stream.retention


def _differences(existing: StreamDefinition, wanted: StreamDefinition) -> list[str]:
    """Say in what two definitions differ, by the words of templates."""
    has, wants = _flat(existing), _flat(wanted)
    return [
        f"{key} is {has.get(key, 'none')}, not {wants.get(key, 'none')}"
        for key in {**has, **wants}
        if has.get(key) != wants.get(key)
    ]


def _flat(definition: StreamDefinition) -> dict[str, Any]:
    values = definition.as_json()
    kind = values.pop("format")
    return {**kind, **values, "sources": ", ".join(definition.sources) or "none"}


def _described(template: TemplateFile) -> TemplateResult:
    where = template.name, template.origin.value, as_text(template.path), template.replaces_shipped
    try:
        read = template.read()
    except JackCaptureError as error:
        if template.origin.value == "file" and isinstance(error, NotFoundError):
            raise
        return TemplateResult(*where, "", "", None, {}, (), error.message)
    content = read.content
    streams = tuple(map(_stream, content.streams))
    return TemplateResult(*where, content.description, content.about, content.mode.value, dict(read.settings), streams)


def _stream(stream: TemplateStream) -> TemplateStreamResult:
    return TemplateStreamResult(
        stream.uri,
        stream.midi,
        stream.channels,
        stream.sources,
        None if stream.format is None else stream.format.value,
        stream.chunk_size_bytes,
        stream.sample_rate,
        stream.device_identity,
        stream.keep,
        stream.keep_bytes,
        stream.keep_chunks,
    )
