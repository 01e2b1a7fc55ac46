"""The registry of operations: what a call may say, and the JSON that it gives."""

import asyncio
import inspect
import json
from typing import Any

import pytest

from jackcapture.control.operations import OPERATIONS, Context, call, registry
from jackcapture.control.result_json import as_json
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.latency_results import LatencyResult
from jackcapture.model.results import DoneResult, GapResult, SliceResult, WallClockRange


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> str:
    """An operation that gives back its arguments."""
    monkeypatch.setattr(registry, "OPERATIONS", {})

    async def echo(
        context: Context, uri: str, count: int = 1, loud: bool = False, names: list[str] | None = None
    ) -> dict[str, Any]:
        """Give back the arguments."""
        return {"uri": uri, "count": count, "loud": loud, "names": names}

    registry.operation(echo)
    return "echo"


def done(name: str, arguments: str) -> Any:
    context = Context(None, lambda done, total, unit: None)  # type: ignore[arg-type]
    return json.loads(asyncio.run(call(context, name, arguments)))


def test_arguments_arrive_and_those_left_out_have_their_defaults(echo: str) -> None:
    assert done(echo, '{"uri": "x"}') == {"uri": "x", "count": 1, "loud": False, "names": None}
    given = {"uri": "x", "count": 7, "loud": True, "names": ["a", "b"]}
    assert done(echo, json.dumps(given)) == given


def test_an_unknown_operation_is_named_with_those_there_are(echo: str) -> None:
    with pytest.raises(NotFoundError, match="no operation 'ech'; there are echo"):
        done("ech", "{}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ('{"uri": "x", "loudness": 3}', "loudness: .*not permitted.*given: '3'"),
        ('{"uri": "x", "count": "3"}', "count: .*integer.*given: \"'3'\"|count: .*integer.*given: '3'"),
        ('{"uri": "x", "count": 1.5}', "count: "),
        ('{"uri": "x", "count": true}', "count: "),
        ('{"uri": "x", "loud": 1}', "loud: "),
        ('{"uri": "x", "names": "abc"}', "names: "),
        ('{"uri": "x", "names": ["a", 1]}', r"names\.1: "),
        ('{"uri": null}', "uri: "),
        ("{}", "uri: Field required$"),
        ("", "uri: Field required$"),
        ('{"uri": 1, "count": "x"}', "uri: .*; count: "),
        ("[]", "arguments: "),
        ('"uri"', "arguments: "),
        ("{", "arguments: Invalid JSON"),
        ("nonsense", "arguments: Invalid JSON"),
        ('{"uri": "\\ud800"}', "arguments: Invalid JSON"),
        ("[" * 100_000, "arguments: "),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_the_reason(echo: str, arguments: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=f"echo: {reason}") as caught:
        done(echo, arguments)
    assert caught.value.details == {"operation": "echo"}
    assert len(caught.value.message) < 500


def test_a_result_becomes_json_under_the_names_that_doors_show() -> None:
    result = SliceResult(
        artifact_id="slice-1", content_hash="ab" * 32, mime_type="audio/vnd.wave", bytes=44, stream_uri="stream://a/b",
        sample_range=(1, 2), sample_rate=48_000, channels=2, sample_format="f32", source_chunks=("cd",), takes=(1,),
        gaps=(GapResult(1, 1, "xrun"),), wall_clock=WallClockRange("t0", "t1", 0.1, -12.5, 3.1),
        capture_latency=(LatencyResult(64, 128),),
    )  # fmt: skip
    assert as_json((result,)) == [
        {
            "artifact_id": "slice-1",
            "content_hash": "ab" * 32,
            "mime_type": "audio/vnd.wave",
            "bytes": 44,
            "stream_uri": "stream://a/b",
            "sample_range": [1, 2],
            "sample_rate": 48_000,
            "channels": 2,
            "sample_format": "f32",
            "source_chunks": ["cd"],
            "takes": [1],
            "gaps": [{"position": 1, "frames": 1, "cause": "xrun"}],
            "wall_clock": {"from": "t0", "to": "t1", "error_ms": 0.1, "drift_ppm": -12.5, "drift_error_ppm": 3.1},
            "virtual": False,
            "rendered_bytes": 0,
            "rendered_type": "",
            "clipped": False,
            "path": None,
            "capture_latency": [{"min": 64, "max": 128}],
        }
    ]
    assert as_json(DoneResult()) == {"done": True}
    assert as_json({"a": (DoneResult(), None)}) == {"a": [{"done": True}, None]}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_described_typed_and_asynchronous(name: str) -> None:
    found = OPERATIONS[name]
    signature = inspect.signature(found.function, eval_str=True)
    context, *arguments = signature.parameters.values()
    assert found.name == found.function.__name__ == name
    assert inspect.iscoroutinefunction(found.function)
    assert found.help.partition("\n")[0].endswith(".")
    assert context.annotation is Context
    assert signature.return_annotation is not inspect.Signature.empty
    assert set(found.arguments.model_fields) == {argument.name for argument in arguments}
    assert found.arguments.model_json_schema()["additionalProperties"] is False
