"""The asyncio twin of the client: calls side by side, slices, sessions, events, and what is cancelled."""

import asyncio
import inspect
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jackcapture import AsyncClient, Client
from jackcapture.client.async_results import AsyncSession, AsyncSlice
from jackcapture.client.sessions import Session
from jackcapture.client.slices import Slice
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError, UnreachableError
from jackcapture.protocol.messages import StreamHeadPosition
from parts.jackd import JackServer
from parts.midi import StartMidiSource
from parts.rig import RATE, StartRig
from parts.sources import StartSource, expected_samples

URI = "stream://desk/main"
KEYS = "stream://desk/keys"


@pytest.mark.parametrize(
    ("blocking", "twin"), [(Client, AsyncClient), (Slice, AsyncSlice), (Session, AsyncSession)], ids=str
)
def test_it_has_the_same_methods_with_the_same_arguments(blocking: type, twin: type) -> None:
    for name, method in inspect.getmembers(blocking, inspect.isfunction):
        if name.startswith("_"):
            continue
        other = getattr(twin, name)
        assert list(inspect.signature(method).parameters) == list(inspect.signature(other).parameters), name
        assert inspect.iscoroutinefunction(other) == (name != "events" or twin is AsyncSlice), name


def test_what_one_does_on_a_desk(
    jack_server: JackServer,
    frame_source: StartSource,
    midi_source: StartMidiSource,
    start_rig: StartRig,
    tmp_path: Path,
) -> None:
    frame_source(jack_server)
    keys = midi_source(jack_server, rate=100)
    rig = start_rig(jack_server)

    async def work() -> None:
        async with AsyncClient(runtime=str(rig.runtime)) as jc:
            await jc.call("stream_create", uri=URI, channels=2, sources=["source:out_1", "source:out_2"])
            await jc.call("stream_create", uri=KEYS, midi=True, sources=[keys.port])
            async with jc.events(timeout=30) as events:
                async with await jc.session(URI, KEYS, name="twin") as session:
                    await session.mark("here")
                    async for event in events:
                        if isinstance(event, StreamHeadPosition) and event.sample_position > RATE // 2:
                            break
                    assert (await session.status())["status"] == "playing"
                    several: list[Any] = await asyncio.gather(
                        *(jc.slice(URI, f"sample:{n * 100}", f"sample:{n * 100 + 50}") for n in range(20)),
                        jc.grab(0.1, URI),
                        jc.streams(),
                    )
                    assert [uri["uri"] for uri in several[-1]] == [KEYS, URI]
                    taken = await asyncio.gather(*(it.array() for it in several[:20]))
                    start = (await session.status())["segments"][0]["started_at"]["jack_frame"]
                    for n, array in enumerate(taken):
                        np.testing.assert_array_equal(array, expected_samples(start + n * 100, 50, 2))
                assert (await session.status())["status"] == "stopped"
            virtual = await jc.slice(URI, "start", "sample:1000", virtual=True)
            np.testing.assert_array_equal(await virtual.array(), expected_samples(start, 1000, 2))
            played = await jc.slice(KEYS, "start", "head")
            keys.stop_emitting()
            first, last = played["sample_range"]
            emitted = [(at - start, data) for at, data in keys.events() if first <= at - start < last]
            assert await played.events() == emitted
            assert Path(await played.save(tmp_path / "keys.mid")).is_file()
            with pytest.raises(ConflictError):
                await played.save(tmp_path / "keys.mid")
            with pytest.raises(InvalidValueError, match="no samples"):
                await played.array()
            assert (await jc.open_session(session.id)).id == session.id
            with pytest.raises(NotFoundError):
                await jc.open_session("session-0")
            assert (await jc.overview(URI, "start", "head", points=10))["points"] <= 10
            assert (await jc.waveform(URI, "start", "head", path=tmp_path / "a.png"))["path"] == str(tmp_path / "a.png")
            exported = await session.export(tmp_path / "export")
            assert len(exported["parts"]) == 2

    asyncio.run(work())


def test_a_call_is_cancelled_with_its_task_and_control_may_die(jack_server: JackServer, start_rig: StartRig) -> None:
    rig = start_rig(jack_server)
    far = [{"ms": 0.0, "data": "90 40 40"}, {"ms": 3_600_000.0, "data": "80 40 40"}]

    async def output(jc: AsyncClient) -> dict[str, Any]:
        found: list[dict[str, Any]] = await jc.call("midi_list")
        return found[0] if found else {"events": 0}

    async def ended(jc: AsyncClient) -> None:
        async with asyncio.timeout(20):
            while not (await output(jc))["done"]:
                await asyncio.sleep(0.02)

    async def sending(jc: AsyncClient, **how: Any) -> "asyncio.Task[Any]":
        task = asyncio.create_task(jc.call("midi_send", events=far, **how))
        async with asyncio.timeout(20):
            while (now := await output(jc))["events"] != 2 or now["done"]:
                await asyncio.sleep(0.02)
        return task

    async def work() -> None:
        async with AsyncClient(runtime=str(rig.runtime)) as jc:
            task = await sending(jc)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await ended(jc)

            def stop(done: int, total: int, unit: str) -> None:
                raise ValueError("no more")

            with pytest.raises(ValueError, match="no more"):
                await jc.call("midi_send", events=far, progress=stop)
            await ended(jc)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(jc.call("midi_send", events=far), 0.5)
            await ended(jc)
            task = await sending(jc)
            os.kill(rig.ready["control"], signal.SIGKILL)
            with pytest.raises(UnreachableError):
                await task
            async with asyncio.timeout(60):
                while True:
                    try:
                        assert (await jc.call("status"))["control"]["pid"] != rig.ready["control"]
                        break
                    except UnreachableError:
                        await asyncio.sleep(0.1)

    asyncio.run(work())


def test_without_control_it_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    async def work() -> None:
        async with AsyncClient(runtime=str(tmp_path)) as jc:
            with pytest.raises(UnreachableError, match="jackcapture up"):
                await jc.streams()
            with pytest.raises(UnreachableError, match="jackcapture up"):
                async for _ in jc.events():
                    pass
            with pytest.raises(UnreachableError):
                await jc.perform("status", {"operation": 1, "self": None})

    asyncio.run(work())
