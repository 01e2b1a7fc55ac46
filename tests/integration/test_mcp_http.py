"""Who may call over HTTP: no page of another origin, nobody by another name, nobody without the token, on any route."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from jackcapture.processes.children import is_alive
from jackcapture.processes.http_door import HttpDoor, read_address
from jackcapture.processes.http_token import ensure_token
from jackcapture.settings import Settings
from parts.rig import wait_for

ROUTES = [
    ("POST", "/mcp"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("OPTIONS", "/mcp"),
    ("GET", "/artifacts/slice-0"),
    ("GET", "/health"),
    ("POST", "/health"),
    ("GET", "/"),
    ("GET", "/mcp/"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "//health"),
]
OPEN = [("GET", "/health")]

# Opens a door as `up` does, says where it is, and keeps it.
KEEPER = """
import json, sys, time
from jackcapture.processes.http_door import HttpDoor
from jackcapture.settings import Settings
with HttpDoor(Settings(**json.loads(sys.argv[1])), None) as door:
    door.open()
    print(json.dumps(door.address), flush=True)
    while True:
        door.keep()
        time.sleep(0.02)
"""


def settings_in(folder: Path, **more: Any) -> Settings:
    runtime = folder / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return Settings(
        root=str(folder / "store"),
        runtime=str(runtime),
        http_token_file=str(folder / "config" / "mcp-token"),
        **({"http_port": 0} | more),
    )


class Keeper:
    """A process with an HTTP door, as `up` is."""

    def __init__(self, settings: Settings) -> None:
        given = {name: getattr(settings, name) for name in Settings.__slots__}
        self.log = Path(settings.runtime, "keeper.log")
        with open(self.log, "wb") as log:
            command = [sys.executable, "-c", KEEPER, json.dumps(given)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())
        self.name = urlsplit(self.address["url"]).netloc
        self.token = Path(self.address["token_file"]).read_text(encoding="ascii").strip()

    def ask(self, method: str, path: str, *headers: tuple[str, str], body: str = "") -> http.client.HTTPResponse:
        """Ask with exactly these headers, besides those of the body."""
        connection = http.client.HTTPConnection(self.name, timeout=60)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in (*headers, ("Content-Length", str(len(body))), ("Content-Type", "application/json")):
            connection.putheader(name, value)
        connection.endheaders(body.encode() or None)
        answer = connection.getresponse()
        answer.text = answer.read().decode()  # type: ignore[attr-defined]
        connection.close()
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    settings = settings_in(tmp_path_factory.mktemp("door"))
    keeper = Keeper(settings)
    yield keeper
    server = server_of(keeper)
    keeper.end()
    wait_for(lambda: is_alive(server), lambda alive: not alive, "the server to end with who started it")


def server_of(keeper: Keeper) -> int:
    children = Path(f"/proc/{keeper.process.pid}/task/{keeper.process.pid}/children").read_text().split()
    (found,) = (int(pid) for pid in children if b"jackcapture.mcp" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return found


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_whoever_may_not_call_is_refused_on_every_route(keeper: Keeper, method: str, path: str) -> None:
    host, bearer = ("Host", keeper.name), ("Authorization", f"Bearer {keeper.token}")
    port = keeper.name.rpartition(":")[2]
    refused = {
        400: [[bearer], [host, ("Host", "evil.example"), bearer]],  # that is no HTTP
        421: [
            [("Host", "evil.example"), bearer],
            [("Host", f"evil.example:{port}"), bearer],
            [("Host", "127.0.0.1"), bearer],
            [("Host", "127.0.0.1:1"), bearer],
            [("Host", f"{keeper.name}.evil.example"), bearer],
            [("Host", f"{keeper.name}@evil.example"), bearer],
        ],
        403: [
            [host, bearer, ("Origin", "http://evil.example")],
            [host, bearer, ("Origin", "null")],
            [host, bearer, ("Origin", "")],
            [host, bearer, ("Origin", f"https://{keeper.name}")],
            [host, bearer, ("Origin", "http://127.0.0.1:1")],
            [host, bearer, ("Origin", f"http://{keeper.name}.evil.example")],
            [host, bearer, ("Origin", f"http://{keeper.name}"), ("Origin", "http://evil.example")],
            [host, bearer, ("Sec-Fetch-Site", "cross-site")],
            [host, bearer, ("Sec-Fetch-Site", "same-site")],
        ],
        401: [
            [host],
            [host, ("Authorization", f"Bearer {keeper.token}x")],
            [host, ("Authorization", f"Bearer {keeper.token[:-1]}")],
            [host, ("Authorization", f"Basic {keeper.token}")],
            [host, ("Authorization", keeper.token)],
            [host, ("Authorization", "Bearer ")],
            [host, ("Authorization", "Bearer \u00fc")],
            [host, bearer, bearer],
            [host, ("Cookie", f"token={keeper.token}")],
        ],
    }
    for status, requests in refused.items():
        if status == 401 and (method, path) in OPEN:
            continue
        for headers in requests:
            answer = keeper.ask(method, path, *headers)
            assert answer.status == status, f"{method} {path} {headers}: {answer.status} {answer.text}"  # type: ignore[attr-defined]
            assert answer.getheader("Access-Control-Allow-Origin") is None
            if status != 400:
                assert json.loads(answer.text)["error"]["message"]  # type: ignore[attr-defined]
    if (method, path) not in OPEN:
        assert keeper.ask(method, f"{path}?token={keeper.token}", host).status == 401
    for name in (keeper.name, f"localhost:{port}", f"[::1]:{port}"):
        answer = keeper.ask(method, path, ("Host", name), bearer, ("Origin", f"http://{name}"))
        assert answer.status not in (401, 403, 421), f"{method} {path} {name}: {answer.status}"
    assert keeper.token not in keeper.log.read_text()


def test_the_open_route_tells_nothing_but_that_it_is_there(keeper: Keeper) -> None:
    answer = keeper.ask("GET", "/health", ("Host", keeper.name))
    assert set(json.loads(answer.text)) == {"ok", "version"}  # type: ignore[attr-defined]


def test_what_is_no_call_is_answered_and_the_server_lives_on(keeper: Keeper) -> None:
    known = (("Host", keeper.name), ("Authorization", f"Bearer {keeper.token}"), ("Accept", "application/json"))
    for body in ("", "{", "[]", "[" * 100_000, '{"jsonrpc": "2.0", "id": 1, "method": "nothing"}', "x" * (5 << 20)):
        assert 400 <= keeper.ask("POST", "/mcp", *known, body=body).status < 500
    assert keeper.ask("GET", "/artifacts/slice-0", *known).status == 503, "there is no control here"
    assert keeper.ask("GET", "/health", *known).status == 200


def test_it_is_started_by_a_call_and_again_after_it_died(tmp_path: Path) -> None:
    keeper = Keeper(settings_in(tmp_path))
    try:
        children = Path(f"/proc/{keeper.process.pid}/task/{keeper.process.pid}/children")
        assert not children.read_text(), "nobody has called yet"
        assert keeper.ask("GET", "/health", ("Host", keeper.name)).status == 200
        first = server_of(keeper)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: is_alive(first), lambda alive: not alive, "its end")
        assert keeper.ask("GET", "/health", ("Host", keeper.name)).status == 200
        second = server_of(keeper)
        assert read_address(str(tmp_path / "run")) == keeper.address
    finally:
        keeper.end()
    wait_for(lambda: is_alive(second), lambda alive: not alive, "the server to end with who started it")
    assert read_address(str(tmp_path / "run")) is None, "who listened has died"


def test_a_port_that_is_taken_is_told_and_nothing_else_comes_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with HttpDoor(settings_in(tmp_path, http_port=port), None) as door:
            door.open()
            assert door.address is None
            door.keep()
        assert f"127.0.0.1 port {port}" in caplog.text
        assert "choose another http_port" in caplog.text
    assert read_address(str(tmp_path / "run")) is None


@pytest.mark.parametrize("host", ["", "no-such-host.invalid", "192.0.2.1", "a" * 300])
def test_an_address_that_cannot_be_had_ends_nothing(
    tmp_path: Path, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    with HttpDoor(settings_in(tmp_path, http_host=host), None) as door:
        door.open()
        assert door.address is None
        door.keep()
    assert bool(caplog.text) == bool(host)


def test_a_token_file_that_others_may_read_keeps_the_door_shut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_in(tmp_path)
    token = ensure_token(settings.http_token_file)
    os.chmod(settings.http_token_file, 0o644)
    with HttpDoor(settings, None) as door:
        door.open()
        assert door.address is None
    assert "mode 0600" in caplog.text
    assert token not in caplog.text
