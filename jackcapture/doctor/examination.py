"""All checks in their order, each alone: one that fails tells so, and the others go on."""

from collections.abc import Callable

from jackcapture.doctor import disks, jack_server, limits, machine
from jackcapture.doctor.circumstances import Circumstances
from jackcapture.doctor.findings import Finding, Severity
from jackcapture.model.results import DoctorResult, FindingResult

Check = Callable[[Circumstances], Finding | None]

CHECKS: tuple[Check, ...] = (
    limits.check_priority,
    limits.check_locked_memory,
    limits.check_shared_memory,
    limits.check_open_files,
    limits.check_engine_threads,
    machine.check_governor,
    machine.check_clock,
    machine.check_runtime,
    jack_server.check_running,
    jack_server.check_mode,
    jack_server.check_xruns,
    jack_server.check_graph,
    disks.check_file_system,
    disks.check_room,
    disks.check_speed,
)


def examine(circumstances: Circumstances, check: Callable[[], None] = lambda: None) -> tuple[Finding, ...]:
    """Make all checks, some of which write to the disk for up to some seconds; `check` is asked before each."""
    found = []
    for look in CHECKS:
        check()
        try:
            finding = look(circumstances)
        except (OSError, ValueError, LookupError) as error:
            name = look.__name__.removeprefix("check_").replace("_", "-")
            finding = Finding(name, Severity.NOTE, f"could not be checked: {error}")
        if finding is not None:
            found.append(finding)
    found += [Finding("running", Severity.WARNING, warning) for warning in circumstances.warnings]
    return tuple(found)


def report(findings: tuple[Finding, ...]) -> DoctorResult:
    """Give findings as doors show them."""
    return DoctorResult(
        all(found.severity is not Severity.PROBLEM for found in findings),
        tuple(FindingResult(it.check, it.severity.value, it.message, it.remedy or None) for it in findings),
    )
