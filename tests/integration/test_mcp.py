"""Agents at a real rig: the same work over stdio and HTTP, in both eras of the protocol, exact to the frame."""

import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
import numpy as np
import pytest
import soundfile
from mcp import Client
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import ResourceUpdatedNotification

from jackcapture import AsyncClient
from jackcapture.mcp.contents import INLINE_BYTES
from jackcapture.mcp.subscriptions import Subscriptions
from jackcapture.mcp.tools import TOOLS
from parts import processes
from parts.agents import DOORS, ERAS, Era, agent, blocks_of, done, read, text_of, token_of
from parts.jackd import JackServer
from parts.rig import RATE, RigProcess, settings_file, wait_for
from parts.sources import FrameSource, expected_samples

pytestmark = pytest.mark.realtime

RECORDED = "stream://desk/recorded"


@pytest.fixture(scope="module")
def rig(frame_source_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RigProcess]:
    """A rig with an HTTP door, a frame source, and a stream of two seconds that has stopped."""
    folder = tmp_path_factory.mktemp("agents")
    environment = settings_file(folder, http_host="127.0.0.1", http_port=0)
    with (
        JackServer() as server,
        FrameSource(frame_source_program, server),
        RigProcess(folder, server, None, environment) as rig,
    ):
        with rig.client() as client:
            client.call("stream_create", uri=RECORDED, channels=2, sources=["source:out_1", "source:out_2"])
            client.call("stream_start", uris=[RECORDED])
            rig.wait_until_recorded(client, RECORDED, 2 * RATE)
            client.call("stream_stop", uris=[RECORDED])
        yield rig


async def head_reaches(client: Client, uri: str, frames: int) -> dict[str, Any]:
    with anyio.fail_after(30):
        while (status := await done(client, "stream_status", uri=uri))["head_sample"] < frames:
            await anyio.sleep(0.05)
    found: dict[str, Any] = status
    return found


@contextlib.asynccontextmanager
async def told_of(client: Client, era: Era, uri: str, told: asyncio.Queue[str]) -> AsyncIterator[None]:
    """Subscribe to a resource for the block, as each era does."""
    if era == "legacy":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)  # of the newer era, in which this is gone
            await client.subscribe_resource(uri)
        yield
        return
    async with client.listen(resource_subscriptions=[uri]) as subscription:

        async def pass_on() -> None:
            async for event in subscription:
                told.put_nowait(cast(Any, event).uri)

        task = asyncio.create_task(pass_on())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(("door", "era"), DOORS)
def test_an_agent_records_and_hands_over_what_was_played(rig: RigProcess, tmp_path: Path, door: str, era: Era) -> None:
    uri = f"stream://{door}/take-{era}"
    told: asyncio.Queue[str] = asyncio.Queue()

    async def note(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            told.put_nowait(message.params.uri)

    async def work() -> None:
        async with agent(rig, door, era, message_handler=note) as client:
            assert client.protocol_version == ("2026-07-28" if era != "legacy" else "2025-11-25")
            assert [tool.name for tool in (await client.list_tools()).tools] == list(TOOLS)
            ports = await done(client, "ports", pattern="source:.*")
            sources = [port["name"] for port in ports if port["direction"] == "output"]
            created = await done(client, "stream_create", uri=uri, channels=2, sources=sources)
            assert [it["connections"] for it in created["connections"]] == [["source:out_1"], ["source:out_2"]]
            resource = uri.replace("stream://", "jackcapture://streams/")
            async with told_of(client, era, resource, told):
                started = (await done(client, "stream_start", uris=[uri]))[0]["takes"][0]["start_frame"]
                with anyio.fail_after(30):
                    assert await told.get() == resource
            session = (await done(client, "session_create", streams=[uri], name="by an agent"))["id"]
            await done(client, "session_play", session_id=session)
            head = (await head_reaches(client, uri, RATE))["head_sample"]
            marked = await done(client, "session_mark", session_id=session, name="here")
            await head_reaches(client, uri, head + RATE // 2)

            grabbed = (await done(client, "grab", duration="1s", uris=[uri]))[0]
            first, last = grabbed["sample_range"]
            assert last - first == RATE
            np.testing.assert_array_equal(rig.samples(grabbed), expected_samples(started + first, RATE, 2))

            around = {"from_place": "mark:here", "to_place": "mark:here+100ms"}
            answer = await client.call_tool("stream_slice", {"uri": uri, "output_format": "flac", **around})
            cut: Any = answer.structured_content
            assert cut["sample_range"][0] == marked["positions"][uri]
            assert [block.type for block in blocks_of(answer)] == ["text", "resource_link"]
            heard = blocks_of(await client.call_tool("artifact_read", {"artifact_id": cut["artifact_id"]}))[1]
            assert (heard.type, heard.mime_type) == ("audio", "audio/flac")
            samples = soundfile.read(io.BytesIO(base64.b64decode(heard.data)), dtype="float32", always_2d=True)[0]
            np.testing.assert_array_equal(samples, expected_samples(started + cut["sample_range"][0], RATE // 10, 2))

            drawn = await client.call_tool("stream_waveform", {"uri": uri, **around})
            _, picture, link = blocks_of(drawn)
            assert (picture.type, picture.mime_type, link.type) == ("image", "image/png", "resource_link")
            kept = rig.content(drawn.structured_content["content_hash"]).read_bytes()
            assert base64.b64decode(picture.data) == kept
            assert base64.b64decode((await read(client, link.uri)).blob) == kept

            tagged = await done(client, "artifact_tag", artifact_id=cut["artifact_id"], tags=[f"{door}-{era}"])
            found = await done(client, "artifact_list", tag=f"{door}-{era}", limit=5)
            assert found == [tagged]

            await done(client, "session_stop", session_id=session, close=True)
            await done(client, "stream_stop", uris=[uri])
            out = tmp_path / "export"
            exported = await done(client, "session_export", session_id=session, out=str(out))
            part = exported["parts"][0]
            samples = soundfile.read(out / part["path"], dtype="float32", always_2d=True)[0]
            begin, end = part["sample_range"]
            np.testing.assert_array_equal(samples, expected_samples(started + begin, end - begin, 2))
            status = json.loads((await read(client, f"jackcapture://sessions/{session}")).text)
            assert (status["status"], [mark["name"] for mark in status["marks"]]) == ("closed", ["here"])

    anyio.run(work)


def test_all_doors_give_the_same_slice(rig: RigProcess) -> None:
    places = {"from_place": "sample:1000", "to_place": "sample:25000"}

    async def by_agent(door: str, era: Era) -> Any:
        async with agent(rig, door, era) as client:
            return await done(client, "stream_slice", uri=RECORDED, **places)

    async def by_asyncio() -> Any:
        async with AsyncClient(runtime=str(rig.runtime)) as jc:
            found = await jc.slice(RECORDED, **places)
            array = await found.array()
        return found.data, array

    with rig.client() as client:
        take = client.slice(RECORDED, **places)
        python, array = take.data, take.array()
    by_async, async_array = asyncio.run(by_asyncio())
    given = [python, by_async, rig.cli("slice", RECORDED, "--from", "sample:1000", "--to", "sample:25000")]
    given += [anyio.run(by_agent, "stdio", ERAS[0]), anyio.run(by_agent, "http", ERAS[1])]
    ids = [found.pop("artifact_id") for found in given]
    assert len(set(ids)) == len(ids) == 5
    assert all(found == given[0] for found in given)
    np.testing.assert_array_equal(array, async_array)


@pytest.mark.parametrize("era", ERAS)
def test_a_call_tells_how_far_it_is_and_can_be_cancelled(rig: RigProcess, era: Era) -> None:
    steps: list[float] = []
    events = [{"ms": 50.0 * n, "data": "90 40 40"} for n in range(20)]
    far = [{"ms": 0.0, "data": "90 40 40"}, {"ms": 3_600_000.0, "data": "80 40 40"}]

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert (total, message) == (20, "events")
        steps.append(progress)

    async def work() -> None:
        async with agent(rig, "stdio", era) as client, AsyncClient(runtime=str(rig.runtime)) as jc:

            async def output() -> dict[str, Any]:
                found: dict[str, Any] = next(it for it in await jc.call("midi_list") if it["output"] == f"at-{era}")
                return found

            await client.call_tool("midi_send", {"events": events, "output": f"at-{era}"}, progress_callback=note)
            assert steps == sorted(steps)
            assert len(steps) > 2
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "midi_send", {"events": far, "output": f"at-{era}"})
                with anyio.fail_after(20):
                    while (await output())["events"] != 2:
                        await anyio.sleep(0.02)
                group.cancel_scope.cancel()
            with anyio.fail_after(20):
                while not (await output())["done"]:
                    await anyio.sleep(0.02)
            left = await output()
            assert (left["sent"] < 2, left["error"] is not None) == (True, True)
            assert not (await client.call_tool("status", {})).is_error

    anyio.run(work)


def test_what_is_long_is_given_as_a_link_or_in_parts(rig: RigProcess) -> None:
    async def work() -> None:
        async with agent(rig, "http", "2026-07-28") as client:
            cut = await done(client, "stream_slice", uri=RECORDED, from_place="start", to_place="sample:96000")
            name = {"artifact_id": cut["artifact_id"]}
            whole = rig.content(cut["content_hash"]).read_bytes()
            assert len(whole) > INLINE_BYTES
            refused = await client.call_tool("artifact_read", name)
            assert "artifact_save" in text_of(refused)
            link = blocks_of(refused)[1]
            assert (link.type, link.size) == ("resource_link", len(whole))
            parts = b""
            while len(parts) < len(whole):
                answer = await client.call_tool("artifact_read", {**name, "offset": len(parts), "length": INLINE_BYTES})
                parts += base64.b64decode(blocks_of(answer)[1].resource.blob)
            assert parts == whole
            with pytest.raises(MCPError, match=f"has {len(whole)} bytes.*offset=0"):
                await client.read_resource(link.uri)
            part = await read(client, f"{link.uri}?offset=44&length=1000")
            assert base64.b64decode(part.blob) == whole[44:1044]
            artifacts = await done(client, "artifact_list")
            drawn = await read(client, f"{stream_of(RECORDED)}/waveform?from=start&to=head")
            assert base64.b64decode(drawn.blob).startswith(b"\x89PNG")
            assert await done(client, "artifact_list") == artifacts, "reading a resource changed something"

    anyio.run(work)


def test_the_file_of_an_artifact_is_streamed_over_http_and_everybody_tells_where(rig: RigProcess) -> None:
    with rig.client() as client:
        cut = client.slice(RECORDED, "start", "sample:96000", virtual=True)
        whole = rig.content(client.slice(RECORDED, "start", "sample:96000")["content_hash"]).read_bytes()
        told = client.call("status")["http"]
    assert told == {key: rig.ready["http"][key] for key in ("url", "token_file")}
    found = rig.cli("mcp", "--token")
    assert found == {**told, "token": token_of(rig)}
    assert rig.run("mcp", "--token").stdout.strip() == token_of(rig)
    assert token_of(rig) not in rig.run("status").stdout
    base = told["url"].removesuffix("/mcp")
    with httpx2.Client(headers={"Authorization": f"Bearer {token_of(rig)}"}, timeout=60) as http:
        answer = http.get(f"{base}/artifacts/{cut['artifact_id']}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/vnd.wave")
        assert answer.content == whole
        missing = http.get(f"{base}/artifacts/slice-0")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
        assert http.post(f"{base}/artifacts/{cut['artifact_id']}").status_code == 405
    assert len(whole) > 96_000 * 8


def stream_of(uri: str) -> str:
    return uri.replace("stream://", "jackcapture://streams/")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("jackcapture://streams/desk/nobody", "no stream stream://desk/nobody"),
        ("jackcapture://streams/desk", "no resource"),
        ("jackcapture://streams/../../etc", "no resource"),
        ("jackcapture://streams/DESK/recorded", "no resource"),
        ("jackcapture://nothing", "no resource 'jackcapture://nothing'; there are jackcapture://status"),
        ("file:///etc/passwd", "no resource"),
        ("status", "no resource"),
        ("jackcapture://status?x=1", "no resource"),
        ("jackcapture://sessions/session-0", "no session"),
        ("jackcapture://artifacts/../x/content", "no resource"),
        ("jackcapture://artifacts/slice-0/content", "no artifact"),
        ("jackcapture://artifacts/slice-0/content?offset=-1", "must be a number"),
        ("jackcapture://artifacts/slice-0/content?length=99999999", "at most"),
        ("jackcapture://artifacts/slice-0/content?offset=1&offset=2", "each once"),
        ("jackcapture://streams/desk/recorded/waveform?from=nowhere", "nowhere"),
        ("jackcapture://streams/desk/recorded/waveform?out=/tmp/x", "each once"),
    ],
)
def test_a_resource_that_is_none_is_refused_with_what_there_is(rig: RigProcess, uri: str, reason: str) -> None:
    async def work() -> None:
        async with agent(rig, "process", "2026-07-28") as client:
            with pytest.raises(MCPError, match=reason.replace("?", r"\?").replace("(", r"\(")) as caught:
                await client.read_resource(uri)
            assert caught.value.data["code"] in ("invalid_value", "not_found")

    anyio.run(work)


def test_the_http_server_starts_again_after_it_was_killed(rig: RigProcess) -> None:
    async def work() -> None:
        async with agent(rig, "http", "2026-07-28") as client:
            await done(client, "status")

    anyio.run(work)
    assert rig.process is not None
    server = next(it for it in processes.of_run(os.environ[processes.MARK]) if is_http_server(it, rig.process.pid))
    os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: "the MCP server ended with status -9" in rig.log, bool, "up to see that")
    anyio.run(work)
    assert rig.process.poll() is None
    assert token_of(rig) not in rig.log


def is_http_server(process: processes.Process, up: int) -> bool:
    return process.parent == up and "-m jackcapture.mcp" in process.command


def test_a_subscriber_that_leaves_is_forgotten(rig: RigProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Subscriptions] = []
    begin = Subscriptions.__init__

    def noted(self: Subscriptions) -> None:
        begin(self)
        made.append(self)

    monkeypatch.setattr(Subscriptions, "__init__", noted)
    uri = stream_of(RECORDED)

    async def work(era: Era, told: asyncio.Queue[str], leave: Callable[[], Any]) -> None:
        async with agent(rig, "process", era) as client, told_of(client, era, uri, told):
            assert set(made[-1]._watched) == {uri}
            with pytest.raises(MCPError, match="no state that changes"):
                async with told_of(client, era, "jackcapture://artifacts/slice-0/content", told):
                    pass
            await leave()

    async def nothing() -> None:
        return None

    for era in ERAS:
        anyio.run(work, era, asyncio.Queue(), nothing)
        assert not made[-1]._watched
