"""Wall clock of a position under drift, jitter and steps; settings and where they come from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.clock.wall import wall_clock_at
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.takes import ClockSnapshot
from jackcapture.settings import load_settings

RATE = 48000
NS = 1_000_000_000
EPOCH = 1_800_000_000 * NS


@given(
    ppm=st.integers(-100, 100),
    jitters=st.lists(st.integers(-90_000, 90_000), min_size=2, max_size=20),
    position=st.integers(0, 25 * RATE),
)
def test_error_bound_holds(ppm: int, jitters: list[int], position: int) -> None:
    """A clock that drifts by up to 100 ppm, observed each second with jitter: the answer is within its error."""

    def true_ns(at: int) -> int:
        return EPOCH + at * NS * (1_000_000 + ppm) // (RATE * 1_000_000)

    snapshots = [
        ClockSnapshot(second * RATE, second * RATE, 0, true_ns(second * RATE) + jitter)
        for second, jitter in enumerate(jitters)
    ]
    found = wall_clock_at(snapshots, position, RATE)
    assert found is not None
    assert abs(found.ns - true_ns(position)) <= found.error_ns


def test_step_shows_in_the_error() -> None:
    """A step of 2 s between two snapshots stays between them, and its size is the error there."""
    snapshots = [ClockSnapshot(second * RATE, 0, 0, EPOCH + second * NS + (second > 1) * 2 * NS) for second in range(4)]
    before, across, after = (wall_clock_at(snapshots, at * RATE // 2, RATE) for at in (1, 3, 5))
    assert before is not None
    assert across is not None
    assert after is not None
    assert before.ns == EPOCH + NS // 2
    assert after.ns == EPOCH + 5 * NS // 2 + 2 * NS
    assert before.error_ns == after.error_ns < across.error_ns
    assert across.error_ns >= 2 * NS


def test_no_snapshot_is_no_answer() -> None:
    """Without an observation nothing is made up."""
    assert wall_clock_at([], 0, RATE) is None


def test_order_of_settings(tmp_path: Path) -> None:
    """Defaults, then the file, then the environment, then the command line."""
    file = tmp_path / "config.toml"
    file.write_text('root = "/file/root"\nruntime = "/file/run"\nserver = "file"\nring_seconds = 4\n')
    environment = {"JACKCAPTURE_RUNTIME": "/environment/run", "JACK_DEFAULT_SERVER": "environment"}
    settings = load_settings({"server": "given", "root": None}, environment, str(file))
    assert (settings.root, settings.runtime, settings.server) == ("/file/root", "/environment/run", "given")
    assert (settings.ring_seconds, settings.spare_seconds) == (4, 2.0)
    home = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/1"}
    assert load_settings({}, home).runtime == "/run/user/1/jackcapture"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ring_second = 4", ("ring_second", "ring_seconds")),
        ("spice = 1", ("spice", "known are")),
        ('ring_seconds = "ten"', ("ring_seconds", "ten", "float")),
        ("seal_threads = true", ("seal_threads", "True", "int")),
        ("ring_seconds = 0.5", ("ring_seconds", "0.5", "1.0 to 600.0")),
        ("seal_threads = 0", ("seal_threads", "1 to 64")),
        ('server = "a/b"', ("server", "a/b")),
        ("server = ", ("config.toml",)),
    ],
)
def test_wrong_setting_is_named(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """A wrong key or value is an error that names it, and what would be right."""
    file = tmp_path / "config.toml"
    file.write_text(text + "\n")
    with pytest.raises(InvalidValueError) as caught:
        load_settings({}, {}, str(file))
    for word in words:
        assert word in caught.value.message


def test_named_file_must_exist(tmp_path: Path) -> None:
    """A configuration file that was named and is not there is an error."""
    with pytest.raises(NotFoundError, match=r"no\.toml"):
        load_settings({}, {}, str(tmp_path / "no.toml"))
