"""Writes a slice into a staging file, in any of its formats. Everything here blocks."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jackcapture.catalog import Catalog
from jackcapture.clock.answers import Moment
from jackcapture.clock.distance import frames_apart
from jackcapture.control.slices.excerpts import Excerpt
from jackcapture.control.slices.layouts import Layout, blocks_of_layout, layout_of, write_at, write_layout
from jackcapture.control.slices.requests import BetweenTakes, SliceOptions
from jackcapture.errors import ConflictError, StorageError, StorageFullError
from jackcapture.formats.bext import Broadcast, broadcast_header, coding_history_line, samples_since_midnight
from jackcapture.formats.flac import FlacTags, write_flac
from jackcapture.formats.samples import convert_samples
from jackcapture.formats.wav import wav_padding
from jackcapture.model.addresses import Staging
from jackcapture.model.progress import Progress
from jackcapture.model.streams import AudioFormat
from jackcapture.model.times import iso
from jackcapture.store import Store

_FLAC_ROOM = 1 << 16  # beyond the samples: a FLAC file of noise is hardly longer than they are


@dataclass(frozen=True, slots=True)
class SliceFile:
    """A staging file, its length in bytes, and what is to be noted of it besides what the request says."""

    staging: Staging
    bytes: int
    metadata: dict[str, Any] = field(default_factory=dict)


def audio_layout(catalog: Catalog, excerpt: Excerpt, options: SliceOptions) -> Layout:
    """Give the samples of an excerpt as the stream has them, with what is between takes; raises `ConflictError`."""
    if len(excerpt.takes) > 1 and options.between_takes is BetweenTakes.ERROR:
        raise ConflictError(
            f"the range {excerpt.from_sample} to {excerpt.to_sample} of {excerpt.definition.uri} covers the takes "
            f"{', '.join(map(str, excerpt.takes))}; cut one of them, or let the slice join them, or have silence "
            "between them",
            takes=list(excerpt.takes),
        )
    if options.between_takes is not BetweenTakes.SILENCE:
        return layout_of(excerpt)
    frame_bytes = excerpt.definition.audio.frame_bytes
    return layout_of(excerpt, [(take, frames * frame_bytes) for take, frames in silences(catalog, excerpt)])


def silences(catalog: Catalog, excerpt: Excerpt) -> Iterator[tuple[int, int]]:
    """Give for each take but the first of an excerpt how many frames nothing was recorded before it.

    By JACK's frames where both takes ran under one server, else by the wall clock.
    """
    records = {record.take.number: record for record in catalog.takes(excerpt.definition.uri)}
    rate = excerpt.definition.sample_rate
    for before, after in zip(excerpt.takes, excerpt.takes[1:], strict=False):
        ended, begun = records[before].take, records[after].take
        samples = records[before].end_sample - ended.first_sample
        ended_at_ns = ended.ended_at_ns if ended.ended_at_ns is not None else begun.started_at_ns
        by_frames = begun.start_frame - (ended.start_frame + samples)
        yield after, frames_apart(by_frames, begun.started_at_ns - ended_at_ns, rate)[0]


def write_audio(
    store: Store,
    catalog: Catalog,
    excerpt: Excerpt,
    options: SliceOptions,
    began: Moment | None,
    progress: Progress,
) -> SliceFile:
    """Write an audio slice; `began` is the moment of its first frame."""
    samples = audio_layout(catalog, excerpt, options)
    stored, wanted = excerpt.definition.audio, options.audio(excerpt.definition)
    frames = samples.length // stored.frame_bytes
    moved = counter(progress, samples.length)
    if options.output_format != "flac" and wanted == stored:
        return write_whole(store, catalog, with_header(store, excerpt, samples, options, began), moved)
    converted = convert_samples(
        blocks_of_layout(store, catalog, samples, moved), stored.sample_format, wanted.sample_format
    )
    if options.output_format == "flac":
        tags = FlacTags(excerpt.definition.uri, "" if began is None else iso(began.ns), f"store {store.uuid}")
        with _new_staging(store, frames * wanted.frame_bytes + _FLAC_ROOM) as (staging, target):
            write_flac(target, wanted, converted, tags)
            return SliceFile(staging, os.lseek(target, 0, os.SEEK_END))
    head, tail = _ends(store, excerpt, wanted, frames, options, began)
    size = len(head) + frames * wanted.frame_bytes + len(tail)
    with _new_staging(store, size) as (staging, target):
        position = 0
        for block in itertools.chain([head], converted, [tail]):
            write_at(target, block, position)
            position += len(block)
    return SliceFile(staging, size)


def with_header(store: Store, excerpt: Excerpt, samples: Layout, options: SliceOptions, began: Moment | None) -> Layout:
    """Give the file of samples that need no conversion."""
    audio = excerpt.definition.audio
    return samples.between(*_ends(store, excerpt, audio, samples.length // audio.frame_bytes, options, began))


def write_whole(store: Store, catalog: Catalog, layout: Layout, moved: Callable[[int], None]) -> SliceFile:
    """Write a layout; its chunks are copied by the kernel. `moved` is told the bytes of each step, and may raise."""
    with _new_staging(store, layout.length) as (staging, target):
        write_layout(store, catalog, layout, target, moved)
    return SliceFile(staging, layout.length)


def write_records(store: Store, catalog: Catalog, excerpt: Excerpt, progress: Progress) -> SliceFile:
    """Write the records of a MIDI excerpt."""
    records = layout_of(excerpt)
    return write_whole(store, catalog, records, counter(progress, records.length))


def _ends(
    store: Store, excerpt: Excerpt, audio: AudioFormat, frames: int, options: SliceOptions, began: Moment | None
) -> tuple[bytes, bytes]:
    """Give what is before and after the samples in the file; the same range always has the same."""
    if options.output_format != "wav":
        return b"", b""
    description = f"{excerpt.definition.uri}, samples {excerpt.from_sample} to {excerpt.to_sample}, store {store.uuid}"
    return wav_ends(store, excerpt, audio, frames, began, description)


def wav_ends(
    store: Store, excerpt: Excerpt, audio: AudioFormat, frames: int, began: Moment | None, description: str
) -> tuple[bytes, bytes]:
    """Give what is before and after the samples of an excerpt in a Broadcast Wave file, as `audio`, of `frames`."""
    history = "jackcapture"
    if audio != excerpt.definition.audio:
        history += f" from {excerpt.definition.audio.sample_format}"
    head = broadcast_header(
        audio,
        frames,
        Broadcast(
            description=description,
            originator_reference=f"{store.uuid[:8]}-{excerpt.from_sample}",
            originated_at_ns=None if began is None else began.ns,
            time_reference=0 if began is None else samples_since_midnight(began.ns, audio.sample_rate),
            coding_history=coding_history_line(audio, history),
        ),
    )
    return head, wav_padding(audio, frames)


@contextmanager
def _new_staging(store: Store, size: int) -> Iterator[tuple[Staging, int]]:
    """Give a staging file with room for `size` bytes and a descriptor of it; nothing is left of it after an error."""
    staging = store.create_staging(size)
    path = store.path(staging)
    try:
        target = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield staging, target
        finally:
            os.close(target)
    except OSError as error:
        store.discard(staging)
        kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(f"the slice cannot be written to {path}: {error.strerror}", path=path) from error
    except BaseException:
        store.discard(staging)
        raise


def counter(progress: Progress, total: int) -> Callable[[int], None]:
    """Give what sums up the bytes of steps and tells the progress."""
    done = 0

    def moved(step: int) -> None:
        nonlocal done
        done += step
        progress(done, total, "bytes")

    return moved
