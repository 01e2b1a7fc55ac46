"""Session templates: those that are shipped hold up, and what is wrong in one is told by file, line and key."""

import os
import time
from pathlib import Path

import pytest

from jackcapture.control.templates.library import Origin, all_templates, find_template, user_folder
from jackcapture.control.templates.reading import MAX_BYTES, ReadTemplate, read_template
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.retention import Retention
from jackcapture.model.sessions import SessionMode
from jackcapture.model.streams import AudioFormat, MidiFormat, SampleFormat
from jackcapture.model.template_results import template_argument

SHIPPED = {
    "band-16ch": (SessionMode.PASSIVE, 16),
    "eurorack-request-response": (SessionMode.REQUEST_RESPONSE, 1),
    "midi-jam": (SessionMode.PASSIVE, 2),
    "overnight-triggered": (SessionMode.TRIGGERED, 1),
    "stereo-passive": (SessionMode.PASSIVE, 1),
    "transport-take": (SessionMode.PASSIVE, 2),
}

WHOLE = """
description = "All there is"
about = '''
More
words.'''
mode = "request-response"
pre_roll_seconds = 2

[request]
to = ["fluidsynth:.*"]
max_seconds = 5.0

[[streams]]
uri = "stream://a/audio"
channels = 2
sources = ["system:capture_1", 'card:.*_2']
format = "i16"
chunk_size_bytes = 65536
sample_rate = 96000
device_identity = "usb 1234"
keep = "24h"
keep_bytes = "50GB"
keep_chunks = 1000

[[streams]]
uri = "stream://a/midi"
midi = true
keep_bytes = 1000000
"""


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's templates, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = Path(user_folder())
    assert folder == tmp_path / "config" / "jackcapture" / "session_templates"
    return folder


def written(folder: Path, text: str | bytes, name: str = "mine") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def refused(folder: Path, text: str | bytes) -> InvalidValueError:
    path = written(folder, text)
    with pytest.raises(InvalidValueError) as caught:
        read_template(path, "mine")
    assert caught.value.details["path"] == path
    assert caught.value.message.count(path) == 1
    caught.value.message = caught.value.message.replace(path, "mine.toml")
    return caught.value


def test_the_shipped_ones_are_all_there_and_hold_up() -> None:
    found = {template.name: template for template in all_templates()}
    assert {name: template.origin for name, template in found.items()} == dict.fromkeys(SHIPPED, Origin.SHIPPED)
    uris: set[str] = set()
    for name, (mode, streams) in SHIPPED.items():
        content = found[name].read().content
        assert (content.mode, len(content.streams)) == (mode, streams), name
        assert content.about
        for stream in content.streams:
            assert stream.sources
            stream.definition(48_000)
        # So that any two of them can be used in one store.
        assert uris.isdisjoint(stream.uri for stream in content.streams)
        uris |= {stream.uri for stream in content.streams}


def test_all_that_may_be_written_is_read(tmp_path: Path) -> None:
    read = read_template(written(tmp_path, WHOLE), "mine")
    content = read.content
    assert (content.description, content.about.split()) == ("All there is", ["More", "words."])
    assert content.mode is SessionMode.REQUEST_RESPONSE
    assert read.settings == {
        "pre_roll_seconds": 2,
        "request": {"to": ["fluidsynth:.*"], "max_seconds": 5.0},
    }
    audio, midi = (stream.definition(48_000) for stream in content.streams)
    assert audio.format == AudioFormat(96_000, 2, SampleFormat.I16)
    assert (audio.chunk_size_bytes, audio.device_identity) == (65536, "usb 1234")
    assert audio.sources == ("system:capture_1", "card:.*_2")
    assert content.streams[0].retention == Retention(24 * 3600 * 10**9, 50 * 10**9, 1000)
    assert (midi.format, midi.device_identity, midi.sources) == (MidiFormat(48_000), "a", ())
    assert content.streams[1].retention == Retention(None, 1_000_000, None)


STREAM = 'description = "x"\n[[streams]]\nuri = "stream://a/b"\nchannels = 1\n'
"""Four lines that hold up."""


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        (STREAM + "[[streams]]\nuri = 'stream://a/c'\nchanels = 2\nchannels = 2", 7, "streams[1].chanels",
         "mine.toml, line 7: streams[1].chanels: unknown; did you mean 'channels'?"),
        (STREAM + "sample_format = 'i16'", 5, "streams[0].sample_format", "unknown; did you mean 'format'?"),
        (STREAM + "rate = 1", 5, "streams[0].rate", "did you mean 'sample_rate'?"),
        (STREAM + "xyz = 1", 5, "streams[0].xyz", "there are uri, channels, midi"),
        ("description = 'x'\nmodus = 'passive'", 2, "modus", "did you mean 'mode'?"),
        ("description = 'x'\n\n[transport]\n\nfolow = true", 5, "transport.folow", "did you mean 'follow'?"),
        ("description = 'x'\ntransport.folow = true", 2, "transport.folow", "did you mean 'follow'?"),
        ("description = 'x'\ntransport = { folow = true }", 2, "transport.folow", "did you mean 'follow'?"),
        ("# nothing", 1, "description", "mine.toml, line 1: description: missing"),
        ("description = 'x'\n[[streams]]\nchannels = 1", 2, "streams[0].uri", "line 2: streams[0].uri: missing"),
        ("description = 'x'\nmode = 'pasive'", 2, "mode", "'pasive': Input should be 'passive'"),
        ("description = 'x'\npre_roll_seconds = '2'", 2, "pre_roll_seconds", "'2': Input should be a valid number"),
        ("description = 'x'\npre_roll_seconds = 601", 2, "pre_roll_seconds", "less than or equal to 600"),
        ("description = 'x'\npre_roll_seconds = 2026-01-01", 2, "pre_roll_seconds", "'2026-01-01'"),
        ("description = 'x'\nmode='request-response'\n[request]\nto = ['a',\n 3]", 5, "request.to[1]",
         "3: Input should be a valid string"),
        ("description = 'x'\n[trigger]\nauto = true", 2, "trigger", "settings of the mode triggered"),
        ("description = 'x'\npre_roll_seconds = 1.0\n[transport]\nfollow = true", 2, "pre_roll_seconds",
         "follows the transport"),
        ("description = 'x'\nabout = 3", 2, "about", "3: Input should be a valid string"),
        ("description = ' x'", 1, "description", "one line of printable characters"),
        ('description = "a\\nb"', 1, "description", "one line of printable characters"),
        ("description = 'x'\nstreams = 3", 2, "streams", "valid array"),
        ("description = 'x'\n[streams]\nuri = 'stream://a/b'", 2, "streams", "begin it with [[streams]]"),
        (STREAM.replace("1\n", "1.0\n"), 4, "streams[0].channels", "1.0: Input should be a valid integer"),
        (STREAM.replace("1\n", "0\n"), 4, "streams[0].channels", "greater than or equal to 1"),
        (STREAM.replace("channels = 1\n", "# none\n"), 2, "streams[0]", "give channels = 1 to 1024, or midi = true"),
        (STREAM + "midi = true", 4, "streams[0].channels", "not both"),
        (STREAM.replace("channels = 1", "midi = true") + "format = 'f32'", 5, "streams[0].format", "no samples"),
        (STREAM + "format = 'f64'", 5, "streams[0].format", "'f64': Input should be 'f32', 'i24' or 'i16'"),
        (STREAM.replace("//a", "/a"), 3, "streams[0].uri", "is not a stream URI"),
        (STREAM + "[[streams]]\nchannels = 2\nuri = 'stream://a/b'", 7, "streams[1].uri", "is there already"),
        (STREAM + "chunk_size_bytes = 4000", 5, "streams[0].chunk_size_bytes", "greater than or equal to 4096"),
        (STREAM.replace("channels = 1", "midi = true") + "chunk_size_bytes = 4096", 5, "streams[0].chunk_size_bytes",
         "at least 65536 for MIDI"),
        (STREAM + "keep = '1 day'", 5, "streams[0].keep", "'1 day' is not a duration"),
        (STREAM + "keep_bytes = '50 gigs'", 5, "streams[0].keep_bytes", "'50 gigs' is not a size"),
        (STREAM + "keep_bytes = true", 5, "streams[0].keep_bytes", "True is not a size"),
        (STREAM + "keep_bytes = 100", 5, "streams[0].keep_bytes", "less than one chunk"),
        (STREAM + "keep_chunks = 0", 5, "streams[0].keep_chunks", "greater than or equal to 1"),
        (STREAM + "sources = [\n'a',\n'']", 7, "streams[0].sources[1]", "at least 1 character"),
        (STREAM + "sources = 'a'", 5, "streams[0].sources", "valid array"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_file_line_and_key(tmp_path: Path, text: str, line: int, key: str, said: str) -> None:
    error = refused(tmp_path, text)
    assert (error.details["line"], error.details["key"]) == (line, key), error.message
    assert f"line {line}: {key}: " in error.message
    assert said in error.message


def test_all_problems_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    error = refused(tmp_path, "descripton = 'x'\nmode = 3\n" + "[[streams]]\nuri = 1\nchannels = 1\n" * 12)
    assert error.message.startswith(
        "mine.toml, line 1: description: missing; line 1: descripton: unknown; did you mean 'description'?; line 2: "
        "mode: 3: Input should be 'passive', 'request-response' or 'triggered'; line 4: streams[0].uri: 1: "
    )
    assert error.message.endswith("; and 5 more")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("description = 'x'\nmode passive", "mine.toml, line 2, column 6: not TOML: Expected '='"),
        ("description = 'x", "mine.toml, line 1: not TOML: Expected"),
        ("a = 1\na = 2", "line 2: not TOML: Cannot overwrite a value"),
        ("description = 'x'\na =", "line 2: not TOML: Invalid value"),
        (b"description = 'x'\n# \xff\n", "mine.toml, line 2: it is not UTF-8"),
        ("a = " + "9" * 1000 + ",", "line 1, column"),
        ("a = 0x" + "f" * 1000, "line 1: a: unknown"),
        ("x = '" + "a" * 1100 + "'", "mine.toml, line 1: it has 1106 bytes: at most 1024"),
        ("# x\n" * (MAX_BYTES // 4 + 1), f"longer than {MAX_BYTES} bytes"),
        ("a = " + "[\n" * 5000, "nested too deeply"),
        ("a = " + "[" * 300 + "]" * 300, "nested too deeply"),
        ("a = " + "[" * 50 + "]" * 50, "line 1: a: unknown"),
    ],
)
def test_what_is_no_toml_is_told_by_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    error = refused(tmp_path, text)
    assert said in error.message
    assert len(error.message) < 1500


def test_a_document_made_to_be_slow_is_read_in_bounded_time(tmp_path: Path) -> None:
    header = ".".join("a" * 500)
    began = time.thread_time()
    refused(tmp_path, f"[{header}]\n" + "\n".join(f"k{index:x}=1" for index in range(7000)))
    refused(tmp_path, "\n".join(f"{header}.k{index:x}=1" for index in range(60)))
    assert time.thread_time() - began < 30


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        read_template(str(tmp_path / "none.toml"), "none")
    with pytest.raises(InvalidValueError, match="not a regular file"):
        read_template(str(tmp_path), "folder")
    os.mkfifo(tmp_path / "pipe.toml")  # nobody writes to it: opening it must not wait
    with pytest.raises(InvalidValueError, match="not a regular file"):
        read_template(str(tmp_path / "pipe.toml"), "pipe")
    with pytest.raises(InvalidValueError, match="cannot be read"):
        read_template(str(tmp_path / "a\0b.toml"), "null")


def test_the_user_s_own_win_over_shipped_ones(configuration: Path) -> None:
    own = written(configuration, STREAM, "midi-jam")
    written(configuration, STREAM, "another")
    written(configuration, STREAM, ".hidden")
    (configuration / "notes.txt").write_text("no template")
    found = {template.name: template for template in all_templates()}
    assert sorted(found) == sorted([*SHIPPED, "another"])
    assert (found["midi-jam"].origin, found["midi-jam"].path) == (Origin.USER, own)
    assert found["midi-jam"].replaces_shipped
    assert not found["another"].replaces_shipped
    assert find_template("midi-jam").read().content.description == "x"


def test_a_template_is_found_by_name_or_path(tmp_path: Path, configuration: Path) -> None:
    path = written(tmp_path, STREAM, "My Band")
    found = find_template(path)
    assert (found.name, found.origin, found.path) == ("My Band", Origin.FILE, path)
    assert isinstance(found.read(), ReadTemplate)
    with pytest.raises(NotFoundError, match=r"no template 'midi-jm' .*; did you mean 'midi-jam'\?") as caught:
        find_template("midi-jm")
    assert str(configuration) in caught.value.message
    with pytest.raises(NotFoundError, match="there are band-16ch, eurorack-request-response"):
        find_template("xyz")
    for named in ("mine.toml", "folder/mine"):
        with pytest.raises(InvalidValueError, match="neither a name nor an absolute path"):
            find_template(named)
    with pytest.raises(InvalidValueError, match=r"rename it: .* is not a session's name"):
        find_template(written(tmp_path, STREAM, " x")).read()


def test_names_that_are_no_utf_8_do_no_harm(configuration: Path) -> None:
    configuration.mkdir(parents=True)
    with open(os.fsencode(configuration) + b"/\xff.toml", "w") as file:
        file.write("x = 1")
    broken = {template.name: template for template in all_templates()}["\ufffd"]
    with pytest.raises(InvalidValueError, match="unknown") as caught:
        broken.read()
    caught.value.message.encode()


def test_paths_become_absolute_where_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert template_argument("midi-jam") == "midi-jam"
    assert template_argument("mine.toml") == str(tmp_path / "mine.toml")
    assert template_argument("a/mine") == str(tmp_path / "a" / "mine")
    assert template_argument("~/mine.toml") == "/home/somebody/mine.toml"
    assert template_argument(Path("mine")) == str(tmp_path / "mine")
