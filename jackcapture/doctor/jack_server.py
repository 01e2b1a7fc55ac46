"""Checks of the JACK server that the engine is on, and of who else is there."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from jackcapture.doctor.circumstances import Circumstances
from jackcapture.doctor.findings import Finding, Severity

SMALL_PERIOD_SECONDS = 0.001
_NAMED = 20
_SERVERS = {"jackd", "jackdbus", "pipewire"}


def check_running(circumstances: Circumstances) -> Finding:
    """Check that there is a server, and tell its settings."""
    jack = circumstances.jack
    running = ", ".join(sorted({name for _, name in _server_processes()})) or "none"
    if jack is None and not circumstances.is_running:
        return Finding(
            "jack",
            Severity.NOTE,
            f"jackcapture does not run, so the JACK server {circumstances.server!r} was not asked; server processes of "
            f"this user: {running}",
            "run jackcapture up, then jackcapture doctor again",
        )
    if jack is None:
        return Finding(
            "jack",
            Severity.PROBLEM,
            f"JACK server {circumstances.server!r} is not running; server processes of this user: {running}",
            f"start it (jackd -n {circumstances.server} -R -d alsa ..., or QjackCtl), or name the right one: --server",
        )
    milliseconds = 1000 * jack.period / jack.sample_rate
    told = f"{jack.server}: {jack.sample_rate} Hz, {jack.period} frames a period ({milliseconds:.2f} ms)"
    if jack.period < SMALL_PERIOD_SECONDS * jack.sample_rate:
        return Finding(
            "jack",
            Severity.WARNING,
            f"{told}: few machines hold a period below 1 ms for long",
            "a recorder gains nothing by it: jackd -p 256, or PIPEWIRE_QUANTUM=256/48000",
        )
    return Finding("jack", Severity.OK, told)


def check_xruns(circumstances: Circumstances) -> Finding | None:
    """Check whether the server has missed its deadlines."""
    jack = circumstances.jack
    if jack is None:
        return None
    if jack.xruns:
        return Finding(
            "xruns",
            Severity.WARNING,
            f"JACK has told of {jack.xruns} xruns since the engine is there",
            "a larger period (-p), three periods for USB cards (-n 3), fewer clients; see the findings rtprio and "
            "cpu-governor",
        )
    return Finding("xruns", Severity.OK, "no xrun since the engine is there")


def check_mode(circumstances: Circumstances) -> Finding | None:
    """Tell whether jackd waits for its clients, where its command line is seen."""
    jack = circumstances.jack
    if jack is None:
        return None
    for pid, name in _server_processes():
        words = _command_line(pid)
        if not name.startswith("jackd") or not _is_of(words, jack.server):
            continue
        if _has_flag(words, "r", "no-realtime"):
            return Finding(
                "jack-mode",
                Severity.PROBLEM,
                f"jackd (process {pid}) runs without real-time scheduling (-r)",
                "start it with -R, which is the default",
            )
        if _has_flag(words, "S", "sync"):
            return Finding("jack-mode", Severity.OK, "jackd waits for its clients (synchronous, -S)")
        return Finding(
            "jack-mode",
            Severity.NOTE,
            "jackd does not wait for its clients (asynchronous): one that is late loses its cycle",
            "jackd -S waits for them, for one period of latency less and a little less slack",
        )
    return None


def check_graph(circumstances: Circumstances) -> Finding | None:
    """Tell who else is on the graph."""
    jack = circumstances.jack
    if jack is None:
        return None
    if not jack.clients:
        return Finding("graph", Severity.NOTE, "nobody else is on the JACK graph, so there is nothing to record")
    named = ", ".join(jack.clients[:_NAMED]) + (", ..." if len(jack.clients) > _NAMED else "")
    return Finding("graph", Severity.OK, f"{len(jack.clients)} other clients on the JACK graph: {named}")


def _server_processes() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text().strip()
            if name in _SERVERS and folder.stat().st_uid == os.getuid():
                yield int(folder.name), name
        except OSError:
            continue


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _is_of(words: list[str], server: str) -> bool:
    """Tell whether a jackd was started under a name: -nNAME, -n NAME, --name NAME; else it is default."""
    joined = " ".join(words).split(" -d")[0]
    found = re.search(r"(?:^| )(?:-n ?|--name[ =])(\S+)", joined)
    return (found[1] if found else "default") == server


def _has_flag(words: list[str], short: str, long: str) -> bool:
    """Tell whether one of jackd's own options is there, before those of its driver."""
    own = words[1 : words.index("-d")] if "-d" in words else words[1:]
    return any(word == f"--{long}" or re.fullmatch(rf"-[a-zA-Z]*{short}[a-zA-Z]*", word) is not None for word in own)
