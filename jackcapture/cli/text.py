"""Results as text for people."""

from collections.abc import Sequence
from typing import Any

_BINARY = 1024


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in aligned columns; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def amount(count: float) -> str:
    """Give a number of bytes in a readable unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < _BINARY:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _BINARY
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Give a length of time as hours, minutes and seconds."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{seconds % 60:06.3f}"


def stream(result: dict[str, Any]) -> None:
    """Print one stream."""
    print(f"{result['uri']}: {result['status']}")
    if result["error"]:
        print(f"  error: {result['error']}")
    rate = result["format"]["sample_rate"]
    form = f"MIDI, {rate} Hz"
    if (audio := result["format"])["type"] == "audio":
        form = f"{audio['channels']} channels, {rate} Hz, {audio['sample_format']}"
    print(f"  {form}, chunks of {result['chunk_size_bytes']} bytes")
    print(f"  {retention(result['retention'])}")
    print(f"  head {result['head_sample']} ({duration(result['head_sample'] / rate)}), {len(result['takes'])} takes")
    chunks = result["chunks"]
    print(f"  {chunks['sealed']} chunks sealed, {chunks['staging']} in staging, ring {result['ring_fill']:.0%} full")
    print(f"  {result['gap_count']} gaps, {result['lost_frames']} frames lost")
    if result["clipped_samples"]:
        print(f"  {result['clipped_samples']} samples clipped")
    for connection in result["connections"]:
        late = latency(connection["latency"])
        print(f"  {connection['port']} <- {', '.join(connection['connections']) or 'not connected'}{late}")
    for source in result["unconnected"]:
        print(f"  unconnected: {source} (there is no such port; its channel is silent)")


def retention(result: dict[str, Any]) -> str:
    """Give how much is kept in words."""
    limits = []
    if result["keep_seconds"] is not None:
        limits.append(f"the last {duration(result['keep_seconds'])}")
    if result["keep_bytes"] is not None:
        limits.append(f"{amount(result['keep_bytes'])}")
    if result["keep_chunks"] is not None:
        limits.append(f"{result['keep_chunks']} chunks")
    return f"keeps at most {' and '.join(limits)}" if limits else "keeps everything"


def pins(results: list[dict[str, Any]]) -> None:
    """Print pins as a table."""
    if not results:
        print("nothing is pinned")
        return
    rows = [("PIN", "STREAM", "FROM", "TO", "MADE")]
    rows += [
        (pin["name"], pin["stream_uri"], *(str(at) for at in pin["sample_range"]), pin["created_at"]) for pin in results
    ]
    table(rows)


def garbage(result: dict[str, Any]) -> None:
    """Print what was removed, or would be, and what is held."""
    done = "would be removed" if result["dry_run"] else "removed"
    for run in result["removed"]:
        first, last = run["sample_range"]
        print(f"{run['stream_uri']} take {run['take']}, {first} to {last}: {run['chunks']} chunks ({run['reason']})")
    print(f"{result['chunks']} chunks {done}, {amount(result['bytes'])}")
    for run in result["held"]:
        first, last = run["sample_range"]
        print(f"held by {run['held_by']}: {run['stream_uri']} take {run['take']}, {first} to {last}")


def latency(result: dict[str, Any]) -> str:
    """Give a capture latency as the end of a line; nothing if there is none."""
    least, most = result["min"], result["max"]
    if not most:
        return ""
    return f", latency {least} frames" if least == most else f", latency {least} to {most} frames"


def streams(results: list[dict[str, Any]]) -> None:
    """Print streams as a table."""
    if not results:
        print("no streams; 'jackcapture stream create' makes one")
        return
    rows = [("STREAM", "STATUS", "CHANNELS", "LENGTH", "GAPS")]
    for result in results:
        seconds = result["head_sample"] / result["format"]["sample_rate"]
        channels = str(result["format"].get("channels", "MIDI"))
        rows.append((result["uri"], result["status"], channels, duration(seconds), str(result["gap_count"])))
    table(rows)


def slice_(result: dict[str, Any]) -> None:
    """Print a slice."""
    first, last = result["sample_range"]
    print(f"{result['stream_uri']} {first} to {last} ({duration((last - first) / result['sample_rate'])})")
    print(f"  artifact {result['artifact_id']}, {amount(result['bytes'])}, blake3 {result['content_hash']}")
    if result["wall_clock"]:
        at = result["wall_clock"]
        print(f"  {at['from']} to {at['to']}, within {at['error_ms']} ms")
    if result["clipped"]:
        print("  less was recorded than was asked for")
    for port, late in enumerate(result["capture_latency"], 1):
        if late["max"]:
            print(f"  channel {port}{latency(late)}")
    for gap in result["gaps"]:
        print(f"  gap: {gap['frames']} frames at {gap['position']} ({gap['cause']})")
    if result["path"]:
        print(f"  {result['path']}")


def waveform(result: dict[str, Any]) -> None:
    """Print what was drawn."""
    first, last = result["sample_range"]
    print(f"{result['stream_uri']} {first} to {last} ({duration((last - first) / result['sample_rate'])})")
    print(f"  artifact {result['artifact_id']}, {amount(result['bytes'])}, blake3 {result['content_hash']}")
    size = f"{result['width']} x {result['height']} pixels" if result["width"] else f"{result['points']} points"
    print(f"  {size}, {result['frames_per_point']:g} frames {'a column' if result['width'] else 'each'}")
    if result["path"]:
        print(f"  {result['path']}")


def slices(results: list[dict[str, Any]]) -> None:
    """Print several slices."""
    for result in results:
        slice_(result)


def ports(results: list[dict[str, Any]]) -> None:
    """Print ports as a table."""
    if not results:
        print("no port matches")
        return
    rows = [("PORT", "TYPE", "DIRECTION", "CONNECTED TO")]
    rows += [(port["name"], port["type"], port["direction"], ", ".join(port["connections"])) for port in results]
    table(rows)


def artifacts(results: list[dict[str, Any]]) -> None:
    """Print artifacts as a table."""
    if not results:
        print("no artifacts")
        return
    rows = [("ARTIFACT", "KIND", "SIZE", "MADE", "STREAM")]
    rows += [
        (item["id"], item["kind"], amount(item["bytes"]), item["created_at"], item["stream_uri"] or "")
        for item in results
    ]
    table(rows)


def artifact(result: dict[str, Any]) -> None:
    """Print one artifact."""
    for name in ("id", "kind", "mime_type", "bytes", "content_hash", "content_path", "created_at", "stream_uri"):
        print(f"{name}: {result[name]}")
    print(f"parents: {', '.join(result['parents']) or 'none'}")
    print(f"tags: {', '.join(result['tags']) or 'none'}")
    for name, value in result["metadata"].items():
        print(f"{name}: {value}")


def store(result: dict[str, Any]) -> None:
    """Print the store."""
    left = "nothing is recording" if result["seconds_left"] is None else duration(result["seconds_left"]) + " left"
    left += ", too little" if result["disk_low"] else ""
    print(f"store {result['root']}: {amount(result['bytes'])} kept, {amount(result['free_bytes'])} free, {left}")


def check(result: dict[str, Any]) -> None:
    """Print what a check of the store found."""
    for problem in result["problems"]:
        print(f"{problem['kind']}: {problem['address']}: {problem['message']}")
    if result["problem_count"] > len(result["problems"]):
        print(f"and {result['problem_count'] - len(result['problems'])} more")
    counts = result["checked"]
    how = "every byte read" if result["read_data"] else "without their bytes (--read-data reads these, too)"
    print(
        f"checked {counts['content']} files, {counts['chunks']} chunks, {counts['artifacts']} artifacts, {how}: "
        + ("nothing is wrong" if result["ok"] else f"{result['problem_count']} problems")
    )


def rebuild(result: dict[str, Any]) -> None:
    """Print what a new catalog has, and what could not be known."""
    for lost in result["lost"]:
        first, last = lost["sample_range"]
        print(f"lost: {lost['stream_uri']} take {lost['take']}, {first} to {last}: {lost['chunks']} chunks")
    for item in result["recovered"]:
        print(f"recovered: {item['artifact_id']}, {item['mime_type']}, {amount(item['bytes'])}")
    for what in result["unknown"]:
        print(f"not known: {what}")
    print(
        f"a new catalog with {result['streams']} streams, {result['takes']} takes, {result['chunks']} chunks, "
        f"{result['sessions']} sessions, {result['artifacts']} artifacts"
    )
    if result["replaced"] is not None:
        print(f"the old one is {result['replaced']}")


def doctor(result: dict[str, Any]) -> None:
    """Show what would cost samples: what is wrong first, each with its remedy."""
    order = ("problem", "warning", "note", "ok")
    for finding in sorted(result["findings"], key=lambda it: order.index(it["severity"])):
        print(f"{finding['severity']:<8} {finding['check']}: {finding['message']}")
        if finding["remedy"]:
            print(f"{'':8} -> {finding['remedy']}")


def status(result: dict[str, Any]) -> None:
    """Print everything at a glance."""
    jack = result["jack"]
    if jack["running"]:
        print(
            f"JACK {jack['server']}: {jack['sample_rate']} Hz, {jack['period']} frames a period, {jack['xruns']} xruns"
        )
    else:
        print(f"JACK {jack['server']}: not running")
    for name in ("engine", "control"):
        process = result[name]
        print(f"{name}: " + (f"process {process['pid']} since {process['since']}" if process else "not running"))
    store(result["store"])
    if result["http"]:
        print(f"MCP: {result['http']['url']}, with the token in {result['http']['token_file']}")
    streams(result["streams"])
    if result["sessions"]:
        sessions(result["sessions"])
    for warning in result["warnings"]:
        print(f"warning: {warning}")


def midi_output(result: dict[str, Any]) -> None:
    """Print a MIDI output."""
    port = result["port"]
    print(f"{port['port'] or result['output']} -> {', '.join(port['connections']) or 'not connected'}")
    if result["events"]:
        state = "done" if result["done"] else "sending"
        print(f"  {result['sent']} of {result['events']} events from frame {result['start_frame']} on: {state}")
    for late in result["late"]:
        print(f"  event {late['index']} was {late['frames']} frames late")
    if result["late_count"] > len(result["late"]):
        print(f"  {result['late_count']} events were late in all")
    if result["error"]:
        print(f"  error: {result['error']}")


def midi_outputs(results: list[dict[str, Any]]) -> None:
    """Print several MIDI outputs."""
    if not results:
        print("no MIDI outputs; 'jackcapture midi send' makes one")
    for result in results:
        midi_output(result)


def clocks(result: dict[str, Any]) -> None:
    """Print what every clock showed at a position."""
    lost = ", in a gap" if result["in_gap"] else ""
    print(f"{result['stream_uri']} sample {result['sample_position']}, take {result['take']}{lost}")
    print(f"  JACK frame {result['jack_frame']}")
    for name, moment in (("JACK's time", result["monotonic"]), ("wall clock", result["wall_clock"])):
        if moment is not None:
            unit = " us" if name == "JACK's time" else ""
            drift = "" if moment["drift_ppm"] is None else f", drift {moment['drift_ppm']:+g} ppm"
            print(f"  {name} {moment['at']}{unit}, within {moment['error_ms']:g} ms{drift}")
    transport = result["transport"]
    if transport is not None:
        bars = "" if transport["bar"] is None else f", bar {transport['bar']}.{transport['beat']}.{transport['tick']:g}"
        print(f"  transport {transport['state']} at frame {transport['frame']}{bars}")
    midi = result["midi_clock"]
    if midi is not None:
        print(f"  MIDI clock {midi['ticks']:g} ticks, {'running' if midi['is_running'] else 'stopped'}")


def transport(result: dict[str, Any]) -> None:
    """Print JACK's transport."""
    if result["is_reached"] is False:
        print(f"asked for {result['asked']}, which it has not come to yet")
    print(
        f"{result['state']} at frame {result['frame']} ({result['seconds']:.3f} s), JACK frame {result['jack_frame']}"
    )
    if result["bar"] is not None:
        measure = f"{result['beats_per_bar']:g}/{result['beat_type']:g}"
        place = f"{result['bar']}.{result['beat']}.{result['tick']}"
        print(f"  bar {place}, {result['beats_per_minute']:g} beats a minute, {measure}")


def session(result: dict[str, Any]) -> None:
    """Print one session."""
    named = "" if result["name"] == result["id"] else f" ({result['name']})"
    print(f"{result['id']}{named}: {result['mode']}, {result['status']}")
    print(f"  {', '.join(result['streams'])}")
    for segment in result["segments"]:
        ended = segment["ended_at"]
        print(
            f"  segment {segment['id']}: {segment['started_at']['wall_clock']} to "
            f"{'now' if ended is None else ended['wall_clock']}"
        )
        for uri, (first, last) in segment["sample_ranges"].items():
            print(f"    {uri} {first} to {'now' if last is None else last}")
    for found in result["marks"]:
        mark(found, indent="  ")
    for found in result["requests"]:
        request(found, indent="  ")


def mark(result: dict[str, Any], indent: str = "") -> None:
    """Print one mark."""
    print(f"{indent}mark {result['name']}: {result['wall_clock']}, in segment {result['segment']}")
    for uri, position in result["positions"].items():
        print(f"{indent}  {uri} {position}")


def request(result: dict[str, Any], indent: str = "") -> None:
    """Print one request and its answer."""
    late = f", {result['late_count']} of them late" if result["late_count"] else ""
    ended = result["ended_by"] or "under way"
    print(
        f"{indent}request {result['number']}: {result['sent']} of {result['events']} messages{late} to "
        f"{', '.join(result['to'])}, in segment {result['segment']}; {ended}"
    )
    if result["artifact_id"] is not None:
        print(f"{indent}  sent {result['artifact_id']}")
    for answer in result["answers"]:
        sound = answer["first_sound"]
        first = "nothing" if sound is None else f"first after {sound['ms']:g} ms ({sound['frames']} frames)"
        print(f"{indent}  {answer['stream_uri']} {answer['artifact_id']}: {first}")
    if result["hint"] is not None:
        print(f"{indent}  {result['hint']}")


def export(result: dict[str, Any]) -> None:
    """Print what an export has."""
    length = duration(result["frames"] / result["sample_rate"])
    files = len(result["files"])
    print(f"{result['path']}: {result['session_id']} as {result['format']}, {length}, {files} files")
    for part in result["parts"]:
        gaps = f", {part['gap_count']} gaps" if part["gap_count"] else ""
        print(f"  segment {part['segment']} {part['stream_uri']}: {part['path'] or 'nothing'}{gaps}")


def suggestions(results: list[dict[str, Any]]) -> None:
    """Print suggestions as a table."""
    if not results:
        print("no suggestions; a session with --mode triggered makes them while it plays")
        return
    table(
        [
            ("suggestion", "status", "began", "length", "peak", "first in"),
            *(
                (
                    it["id"],
                    it["status"],
                    it["began_at"],
                    "goes on" if it["seconds"] is None else duration(it["seconds"]),
                    "MIDI" if it["peak_db"] is None else f"{it['peak_db']:.1f} dB",
                    it["stream_uri"],
                )
                for it in results
            ),
        ]
    )
    for it in results:
        if it["problem"]:
            print(f"{it['id']} could not be accepted yet: {it['problem']}")


def accepted(result: dict[str, Any]) -> None:
    """Print what was cut for a suggestion."""
    print(f"{result['suggestion']['id']} is accepted")
    slices(result["slices"])


def sessions(results: list[dict[str, Any]]) -> None:
    """Print sessions as a table."""
    if not results:
        print("no sessions; 'jackcapture session create' makes one")
        return
    rows = [("SESSION", "NAME", "STATUS", "SEGMENTS", "MARKS", "STREAMS")]
    for result in results:
        counts = str(result["segment_count"]), str(result["mark_count"])
        rows.append((result["id"], result["name"], result["status"], *counts, ", ".join(result["streams"])))
    table(rows)
