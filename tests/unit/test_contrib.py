"""What lies in contrib: well formed, and with the names that engine and command line really have."""

import configparser
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from jackcapture.model.uris import StreamUri, port_name

CONTRIB = Path(__file__).parents[2] / "contrib"
UNITS = sorted((CONTRIB / "systemd" / "user").glob("*.service"))
PATCHBAYS = sorted((CONTRIB / "patchbays").iterdir())
DESK = {f"jackcapture:{port_name(StreamUri('stream://desk/main'), channel)}" for channel in range(2)}


def test_every_file_is_explained() -> None:
    explained = (CONTRIB / "README.md").read_text()
    for path in CONTRIB.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert path.name in explained, path


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_units_are_what_systemd_takes(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    # Its place differs from machine to machine, and systemd looks whether it is there.
    (tmp_path / path.name).write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text))
    for other in UNITS:
        if other != path:
            (tmp_path / other.name).write_text(
                re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", other.read_text())
            )
    done = subprocess.run(
        ["systemd-analyze", "--user", "--man=no", "verify", str(tmp_path / path.name)],
        capture_output=True, text=True, check=False,
        env={"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if path.name in line]
    assert (done.returncode, said) == (0, []), done.stderr


@pytest.mark.parametrize(
    "path", [*UNITS, *(CONTRIB / "systemd" / "system").rglob("*.conf")], ids=lambda path: path.name
)
def test_units_have_the_limits_that_audio_needs(path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text())
    assert unit["Service"]["LimitRTPRIO"] == "95"
    assert unit["Service"]["LimitMEMLOCK"] == "infinity"


def ports_of(path: Path) -> set[str]:
    """The ports of ours that a patchbay names."""
    root = ET.fromstring(path.read_text())
    if root.tag == "patchbay":
        sockets = root.findall("./input-sockets/socket")
        return {f"{it.get('client')}:{plug.text}" for it in sockets for plug in it.findall("plug")}
    if root.tag == "aj-snapshot":
        return {str(it.get("port")) for it in root.iter("connection")}
    return {str(it.text) for it in root.iter("Target")}


@pytest.mark.parametrize("path", PATCHBAYS, ids=lambda path: path.name)
def test_patchbays_name_the_ports_that_the_engine_registers(path: Path) -> None:
    assert ports_of(path) == DESK


def test_the_desktop_file_starts_a_command_that_there_is() -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(CONTRIB / "applications" / "jackcapture.desktop")
    program, command = entry["Desktop Entry"]["Exec"].split()
    assert program == "jackcapture"
    done = subprocess.run(
        [sys.executable, "-c", "from jackcapture.cli.main import main; main()", command, "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    if shutil.which("desktop-file-validate"):
        subprocess.run(["desktop-file-validate", CONTRIB / "applications" / "jackcapture.desktop"], check=True)
