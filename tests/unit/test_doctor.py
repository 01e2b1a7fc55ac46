"""What the doctor finds: each check on this machine, and its judgement on what other machines would show."""

import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jackcapture.doctor import (
    Circumstances,
    JackFacts,
    Severity,
    StreamFacts,
    disks,
    examine,
    jack_server,
    machine,
    report,
)
from jackcapture.doctor import limits as granted
from jackcapture.doctor.disks import DiskSpeed


@pytest.fixture
def here(tmp_path: Path) -> Circumstances:
    (tmp_path / "store").mkdir()
    return Circumstances(str(tmp_path / "store"), str(tmp_path / "run"), "default", "/dev/shm/jackcapture-none", 10.0)


@pytest.fixture
def limit() -> Iterator[None]:
    """Put the limits back that a test has lowered."""
    kinds = (resource.RLIMIT_RTPRIO, resource.RLIMIT_MEMLOCK, resource.RLIMIT_NOFILE)
    before = {kind: resource.getrlimit(kind) for kind in kinds}
    yield
    for kind, value in before.items():
        resource.setrlimit(kind, value)


def with_jack(
    here: Circumstances, *, period: int = 256, xruns: int = 0, clients: tuple[str, ...] = ("system",)
) -> Circumstances:
    jack = JackFacts("default", 48000, period, xruns, clients)
    return replace(here, is_running=True, jack=jack)


def test_every_check_says_something_with_a_remedy_where_one_is_needed(here: Circumstances) -> None:
    found = examine(here)
    assert {it.check for it in found} >= {
        "rtprio", "memlock", "shared-memory", "open-files", "cpu-governor", "clock", "runtime", "jack", "file-system",
        "room", "disk-speed",
    }  # fmt: skip
    for finding in found:
        assert finding.message
        if finding.severity in (Severity.WARNING, Severity.PROBLEM):
            assert finding.remedy, finding
    assert os.listdir(here.root) == []  # what was written to the disk is gone
    assert report(found).ok is all(it.severity is not Severity.PROBLEM for it in found)


def test_a_check_that_fails_does_not_stop_the_others(here: Circumstances, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_broken(_: Circumstances) -> None:
        raise PermissionError(13, "not for you")

    monkeypatch.setattr("jackcapture.doctor.examination.CHECKS", (check_broken, machine.check_runtime))
    broken, runtime = examine(here)
    assert (broken.check, broken.severity) == ("broken", Severity.NOTE)
    assert "not for you" in broken.message
    assert runtime.check == "runtime"


def test_warnings_of_the_running_processes_are_findings(here: Circumstances) -> None:
    assert examine(replace(here, warnings=("the rings are not locked",)))[-1].message == "the rings are not locked"


@pytest.mark.usefixtures("limit")
def test_limits_that_are_too_low(here: Circumstances, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "one.ring").write_bytes(bytes(8192))
    rings = replace(here, ring_directory=str(tmp_path))
    monkeypatch.setattr(granted, "_may_set_any_priority", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, resource.getrlimit(resource.RLIMIT_RTPRIO)[1]))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    assert granted.check_priority(here).severity is Severity.PROBLEM
    assert "limits.d" in granted.check_priority(here).remedy
    locked = granted.check_locked_memory(rings)
    assert locked.severity is Severity.PROBLEM
    assert "4096 bytes may be locked (RLIMIT_MEMLOCK), and the rings take" in locked.message
    assert granted.check_open_files(here).severity is Severity.WARNING


def test_rings_on_a_disk_are_a_problem(here: Circumstances) -> None:
    if disks.file_system_of("/sys") == "tmpfs":
        pytest.skip("no file system that is not in memory")
    on_disk = replace(here, ring_directory="/sys")
    assert granted.check_shared_memory(on_disk).severity is Severity.PROBLEM
    assert granted.check_shared_memory(here).check == "shared-memory"


def test_an_engine_without_a_real_time_thread(here: Circumstances) -> None:
    jack = with_jack(here).jack
    itself = replace(here, engine_pid=os.getpid(), jack=jack)
    found = granted.check_engine_threads(itself)
    assert found is not None
    assert found.severity is Severity.PROBLEM
    assert granted.check_engine_threads(here) is None


@pytest.mark.parametrize(
    ("governor", "driver", "severity"),
    [
        ("powersave", "acpi-cpufreq", Severity.WARNING),
        ("powersave", "intel_pstate", Severity.OK),
        ("performance", "acpi-cpufreq", Severity.OK),
    ],
)
def test_governors(here: Circumstances, tmp_path: Path, governor: str, driver: str, severity: Severity) -> None:
    for number in range(2):
        folder = tmp_path / f"cpu{number}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n")
        (folder / "scaling_driver").write_text(f"{driver}\n")
    finding = machine.check_governor(here, str(tmp_path))
    assert finding.severity is severity
    assert f"{governor} (2)" in finding.message


def test_clocks() -> None:
    assert machine.judge_clock(0, 0x2001, 12000).severity is Severity.OK
    assert machine.judge_clock(5, 0x40, 16_000_000).severity is Severity.WARNING


def test_a_folder_of_sockets_that_others_may_enter(here: Circumstances) -> None:
    assert machine.check_runtime(here).severity is Severity.OK
    os.mkdir(here.runtime, 0o755)
    os.chmod(here.runtime, 0o755)
    found = machine.check_runtime(here)
    assert found.severity is Severity.PROBLEM
    assert "0755" in found.message
    os.chmod(here.runtime, 0o700)
    assert machine.check_runtime(here).severity is Severity.OK


def test_servers(here: Circumstances) -> None:
    assert jack_server.check_running(here).severity is Severity.NOTE
    gone = replace(here, server="studio", is_running=True)
    found = jack_server.check_running(gone)
    assert found.severity is Severity.PROBLEM
    assert "'studio' is not running" in found.message
    assert jack_server.check_running(with_jack(here)).severity is Severity.OK
    assert jack_server.check_running(with_jack(here, period=32)).severity is Severity.WARNING
    xruns = jack_server.check_xruns(with_jack(here, xruns=3))
    assert xruns is not None
    assert (xruns.severity, "3 xruns" in xruns.message) == (Severity.WARNING, True)
    alone = jack_server.check_graph(with_jack(here, clients=()))
    assert alone is not None
    assert "nothing to record" in alone.message


@pytest.mark.parametrize(
    ("command", "server", "is_it", "waits"),
    [
        ("jackd -n studio -S -d dummy -r 48000", "studio", True, True),
        ("jackd -nstudio -d alsa -S", "studio", True, False),
        ("jackd -RS -d alsa", "default", True, True),
        ("jackd --sync --name studio -d alsa", "studio", True, True),
        ("jackd -n other -d alsa", "studio", False, False),
    ],
)
def test_command_lines_of_jackd(command: str, server: str, is_it: bool, waits: bool) -> None:
    assert jack_server._is_of(command.split(), server) is is_it
    assert jack_server._has_flag(command.split(), "S", "sync") is waits


@pytest.mark.parametrize(
    ("megabytes", "sync_seconds", "streams", "severity"),
    [
        (100, 0.01, 0, Severity.OK),
        (100, 0.01, 40, Severity.OK),
        (100, 0.01, 60, Severity.WARNING),
        (100, 0.01, 120, Severity.PROBLEM),
        (100, 0.9, 10, Severity.WARNING),
    ],
)
def test_speeds(here: Circumstances, megabytes: int, sync_seconds: float, streams: int, severity: Severity) -> None:
    facts = tuple(StreamFacts(f"stream://desk/{number}", 1_000_000) for number in range(streams))
    bringing = replace(here, streams=facts)
    finding = disks.judge_speed(DiskSpeed(megabytes * 1e6, sync_seconds), bringing)
    assert finding.severity is severity
    assert "260 channels" in finding.message


def test_a_disk_is_measured_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "TEST_BYTES", 4 << 20)
    speed = disks.measure_disk(str(tmp_path))
    assert speed.bytes_per_second > 0
    assert speed.slowest_sync_seconds > 0
    assert os.listdir(tmp_path) == []


def test_a_store_that_cannot_be_written(here: Circumstances, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert disks.check_speed(here).severity is Severity.PROBLEM


def test_file_systems() -> None:
    assert disks.file_system_of("/proc") == "proc"
    assert disks.file_system_of("/dev/shm") == "tmpfs"
    shown = Circumstances("/dev/shm/store", "/run", "default", "/dev/shm", 10.0)
    assert disks.check_file_system(shown).severity is Severity.WARNING
