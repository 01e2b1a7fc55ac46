"""Where a setting comes from, and what is said of one that cannot be."""

import os
from pathlib import Path

import pytest

from jackcapture import settings
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.settings import Settings, load_settings


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def write(tmp_path: Path, text: str, name: str = "config/jackcapture/config.toml") -> str:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_hold_where_nothing_is_said(tmp_path: Path, environment: dict[str, str]) -> None:
    found = load_settings({"root": None}, environment)
    assert os.path.isabs(found.root)
    token = os.path.realpath(tmp_path / "config" / "jackcapture" / "mcp-token")
    runtime = os.path.realpath(tmp_path / "run" / "jackcapture")
    assert found == Settings(root=found.root, runtime=runtime, http_token_file=token)


def test_who_is_started_without_an_environment_finds_the_same_sockets(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del environment["XDG_RUNTIME_DIR"]
    monkeypatch.setattr(settings, "_RUNTIME_PARENT", str(tmp_path))
    assert load_settings({}, environment).runtime == f"/tmp/jackcapture-{os.getuid()}"
    (tmp_path / str(os.getuid())).mkdir()
    assert load_settings({}, environment).runtime == os.path.realpath(tmp_path / str(os.getuid()) / "jackcapture")


def test_each_source_overrules_the_one_before(tmp_path: Path, environment: dict[str, str]) -> None:
    assert load_settings({}, environment).server == "default"
    write(tmp_path, 'server = "file"\nring_seconds = 3\n')
    assert load_settings({}, environment).server == "file"
    environment["JACK_DEFAULT_SERVER"] = "environment"
    assert load_settings({}, environment).server == "environment"
    found = load_settings({"server": "override"}, environment)
    assert (found.server, found.ring_seconds) == ("override", 3)


def test_directories_come_from_every_source_and_are_absolute(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path, f'root = "{tmp_path}/file"\nring_directory = "~/rings"\n')
    environment["JACKCAPTURE_RUNTIME"] = f"{tmp_path}/link"
    found = load_settings({"root": f"{tmp_path}/x/../override"}, environment)
    assert found.root == os.path.realpath(tmp_path / "override")
    assert found.runtime == os.path.realpath(tmp_path / "real")
    assert found.rings == found.ring_directory == os.path.realpath(os.path.expanduser("~/rings"))


def test_an_empty_variable_counts_as_not_set(environment: dict[str, str]) -> None:
    assert load_settings({}, environment | {"JACK_DEFAULT_SERVER": "", "JACKCAPTURE_CONFIG": ""}).server == "default"


def test_a_named_file_replaces_the_usual_one(tmp_path: Path, environment: dict[str, str]) -> None:
    write(tmp_path, 'server = "usual"\nseal_threads = 9')
    environment["JACKCAPTURE_CONFIG"] = write(tmp_path, 'server = "variable"', "variable.toml")
    assert load_settings({}, environment).server == "variable"
    found = load_settings({}, environment, config=write(tmp_path, 'server = "option"', "option.toml"))
    assert (found.server, found.seal_threads) == ("option", 4)


def test_a_named_file_that_is_missing_is_told(tmp_path: Path, environment: dict[str, str]) -> None:
    missing = str(tmp_path / "missing.toml")
    with pytest.raises(NotFoundError, match=r"missing\.toml does not exist"):
        load_settings({}, environment, config=missing)
    with pytest.raises(NotFoundError, match=r"missing\.toml does not exist"):
        load_settings({}, environment | {"JACKCAPTURE_CONFIG": missing})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ring_second = 3", "unknown key 'ring_second'; did you mean 'ring_seconds'"),
        ("zzz = 3", "unknown key 'zzz'; there are root, runtime, server"),
        ("[ring_seconds]", "ring_seconds = {}: it must be of type float"),
        ('ring_seconds = "3"', "it must be of type float"),
        ("seal_threads = 2.5", "it must be of type int"),
        ("seal_threads = true", "it must be of type int"),
        ("server = 5", "it must be of type str"),
        ("ring_seconds = 0.5", "ring_seconds = 0.5: it must be 1.0 to 600.0"),
        ("ring_seconds = nan", "ring_seconds = nan"),
        ("seal_threads = 65", "it must be 1 to 64"),
        ("disk_reserve_bytes = -1", "disk_reserve_bytes = -1"),
        ('server = ""', "server = '': it must have 1 to 63"),
        ('client_name = "a:b"', "without '/' and ':'"),
        ('root = ""', "root = ''"),
        ("http_port = 65536", "http_port = 65536: it must be 0 to 65535"),
        ('http_host = "0.0.0.0"', "must be the one address, or name, by which clients call this machine"),
        ('http_host = "http://localhost"', "must be the one address, or name, by which clients call this machine"),
        ('runtime = "a\\u0000b"', "runtime = 'a"),
        ("server = ", "config.toml: "),
        ('server = "\udc80"', "config.toml: "),
    ],
)
def test_what_does_not_hold_up_is_refused_with_the_reason(
    tmp_path: Path, environment: dict[str, str], text: str, reason: str
) -> None:
    path = Path(write(tmp_path, ""))
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidValueError) as caught:
        load_settings({}, environment)
    assert reason in caught.value.message


def test_rings_lie_in_shared_memory_one_directory_per_runtime_directory() -> None:
    one, two = (Settings(root="/store", runtime=runtime).rings for runtime in ("/run/one", "/run/two"))
    assert one != two
    assert os.path.dirname(one) == "/dev/shm"
    assert one == Settings(root="/other", runtime="/run/one").rings
