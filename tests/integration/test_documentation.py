"""The documentation does what it says: its commands and programs are run as a reader would."""

import os
import re
import sys
from pathlib import Path

import pytest

from parts.documentation import Reader, blocks
from parts.jackd import JackServer
from parts.rig import RATE, StartRig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLLOWED = ["recipes.md"]
NOT_RUN = {
    "README.md": "set-up, and what recipes.md shows",
    "rig.md": "sudo, systemd, a restart",
    "sessions.md": "recipes.md shows the same",
}
"""Pages with commands of ours that no test runs, and why."""


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.timeout(180)
def test_a_page_does_what_it_says(name: str, jack_server: JackServer, start_rig: StartRig, tmp_path: Path) -> None:
    rig = start_rig(jack_server)
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "jackcapture"
    command.write_text(f"#!{sys.executable}\nfrom jackcapture.cli.main import main\nmain()\n")
    command.chmod(0o755)
    reading = tmp_path / "reading"
    reading.mkdir()
    environment = {**rig.environment, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    with rig.client() as client:

        def pause() -> None:
            """As people do, type no faster than what records comes: pages speak of the last two seconds."""
            for stream in client.streams():
                if stream["status"] == "recording":
                    rig.wait_until_recorded(client, stream["uri"], stream["takes"][-1]["first_sample"] + 2 * RATE)

        assert Reader(reading, environment, pause).follow(ROOT / "docs" / name) > 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_ours_is_run_or_excepted(page: Path) -> None:
    shown = [
        block
        for block in blocks(page)
        if block.language != "console" and re.search(r"(?m)^(\$ )?(\S*/)?jackcapture ", block.text)
    ]
    if page.name not in NOT_RUN:
        assert shown == [], "make it a block ```console, and the page one of FOLLOWED"
    else:
        assert shown, "nothing is excepted any more"
