"""What systemd is told, and what the journal gets."""

import io
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackcapture import logs
from jackcapture.cli.service import Service, summary
from jackcapture.processes.notify import Notifier

STATUS = {
    "jack": {"server": "studio", "running": True},
    "streams": [{"status": "recording", "gap_count": 1}, {"status": "stopped", "gap_count": 0}],
    "store": {"seconds_left": 7200.0},
}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().splitlines()


def test_a_service_manager_hears_what_happens(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "60000000"})
    assert notifier.watchdog_seconds == 60.0
    service = Service("/nowhere", notifier)
    service.ready(STATUS)
    assert heard(manager) == ["READY=1", f"STATUS={summary(STATUS)}"]
    notifier.alive("two\nlines")
    assert heard(manager) == ["WATCHDOG=1", "STATUS=two lines"]
    service.stopping()
    assert heard(manager) == ["STOPPING=1", "STATUS=sealing what is recorded"]


def test_a_manager_that_does_not_read_holds_up_nobody(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(10_000):
        notifier.alive("well")
    assert heard(manager)[0] == "WATCHDOG=1"


def test_a_control_that_does_not_answer_is_no_sign_of_life(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(str(tmp_path / "run"), Notifier({"NOTIFY_SOCKET": manager.getsockname()}))
    later = time.monotonic() + 3600
    monkeypatch.setattr("jackcapture.cli.service.time.monotonic", lambda: later)
    service.tend()
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


def test_the_summary_is_one_line() -> None:
    assert summary(STATUS) == "JACK studio, 1 of 2 streams record, 1 gaps, disk for 2:00:00.000"
    gone = {"jack": {"server": "studio", "running": False}, "streams": [], "store": {"seconds_left": None}}
    assert summary(gone) == "no JACK server studio, 0 of 0 streams record, 0 gaps"


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}, {"NOTIFY_SOCKET": "@jackcapture-test-nobody"}]
)
def test_without_a_manager_nothing_happens(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    notifier.ready("x")
    notifier.stopping()
    assert notifier.watchdog_seconds is None


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "x"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
    ],
)
def test_a_watchdog_is_heeded_by_whom_it_watches(environment: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environment).watchdog_seconds == seconds


def test_the_journal_gets_json_with_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines("control"))
    log = logging.getLogger("jackcapture.journal")
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [handler])
    log.warning("lost %d frames\nof %s", 64, "stream://desk/main")
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("while sealing")
    first, second = stream.getvalue().splitlines()
    assert (first[:3], second[:3]) == ("<4>", "<3>")
    entry = json.loads(first[3:])
    assert entry["message"] == "lost 64 frames\nof stream://desk/main"
    assert (entry["level"], entry["process"], entry["logger"]) == ("warning", "control", "jackcapture.journal")
    assert "ValueError: x" in json.loads(second[3:])["exception"]


def test_the_journal_is_known_by_its_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(tmp_path / "log", "w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        found = os.fstat(file.fileno())
        assert logs.is_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not logs.is_journal({"JOURNAL_STREAM": "1:2"})
        assert not logs.is_journal({})
