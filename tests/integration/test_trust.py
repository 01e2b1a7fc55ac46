"""Whom a client trusts: only what its own user serves, in a directory that nobody else may enter."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from jackcapture import Client
from jackcapture.errors import InvalidValueError, UnreachableError
from jackcapture.protocol import sockets

NOBODY = 65534
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make what belongs to another user")

LISTEN = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as door:
    door.bind(sys.argv[1])
    door.listen()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime directory: short, as the path of a socket must be."""
    with TemporaryDirectory(prefix="jct-") as folder:
        os.chmod(folder, 0o711)
        path = Path(folder) / "run"
        path.mkdir(mode=0o700)
        yield path


@needs_root
def test_a_directory_of_another_user_is_refused(runtime: Path) -> None:
    os.chown(runtime, NOBODY, NOBODY)
    with pytest.raises(InvalidValueError, match=f"{runtime} .mode 0700, user {NOBODY}. must be a directory of user 0"):
        Client(runtime=str(runtime))


def test_a_directory_that_others_may_enter_is_refused(runtime: Path) -> None:
    runtime.chmod(0o750)
    with pytest.raises(InvalidValueError, match="mode 0750"):
        Client(runtime=str(runtime))


def test_a_directory_that_changes_hands_is_noticed_at_the_next_call(runtime: Path) -> None:
    with Client(runtime=str(runtime)) as client:
        with pytest.raises(UnreachableError):
            client.call("status")
        runtime.chmod(0o777)
        with pytest.raises(InvalidValueError, match="mode 0777"):
            client.call("status")


@needs_root
def test_a_control_of_another_user_is_refused(runtime: Path) -> None:
    """Who listens is asked of the kernel: a socket that was there before the directory was closed is no way in."""
    runtime.chmod(0o777)
    path = runtime / sockets.CONTROL
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(path), str(NOBODY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        runtime.chmod(0o700)
        with (
            Client(runtime=str(runtime)) as client,
            pytest.raises(InvalidValueError, match=f"served by process {other.pid} of user {NOBODY}: it must be"),
        ):
            client.call("status")
        assert other.stdin is not None
        other.stdin.close()


def test_a_peer_of_ours_is_told_by_its_process(runtime: Path) -> None:
    with socket.socket(socket.AF_UNIX) as door, socket.socket(socket.AF_UNIX) as peer:
        door.bind(str(runtime / "x"))
        door.listen()
        peer.connect(str(runtime / "x"))
        assert sockets.check_peer(peer, "x") == os.getpid()
