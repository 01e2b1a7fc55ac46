"""A JACK client that plays a phrase over and over, and sends its notes as MIDI: what the demo records.

`python -m jackcapture.processes.player --server NAME`. Its callback is Python, which a synchronous server on the dummy
driver waits for; it is no model for a real client.
"""

import argparse
import signal
import sys
import threading

import jack
import numpy as np
import numpy.typing as npt

NOTES = (57, 60, 64, 69, 67, 64, 60, 62)  # MIDI note numbers: a phrase in A minor
NOTE_SECONDS = 0.25
_SOUNDING_SECONDS = 0.2  # of each, as MIDI tells it
_VELOCITY = 96
_DECAY = 6.0  # per second
_LEVEL = 0.25


def phrase(sample_rate: int) -> npt.NDArray[np.float32]:
    """Render the phrase: float32, shape (2, frames); plucked tones that wander from left to right."""
    frames = int(NOTE_SECONDS * sample_rate)
    seconds = np.arange(frames) / sample_rate
    tones = []
    for index, note in enumerate(NOTES):
        frequency = 440.0 * 2.0 ** ((note - 69) / 12.0)
        wave = sum(np.sin(2 * np.pi * frequency * n * seconds) / n**2 for n in (1, 2, 3))
        tone = _LEVEL * wave * np.exp(-_DECAY * seconds) * np.minimum(1.0, seconds * 200)
        right = index / (len(NOTES) - 1)
        tones.append(np.stack([tone * np.sqrt(1 - right), tone * np.sqrt(right)]))
    return np.concatenate(tones, axis=1).astype(np.float32)


def notes(sample_rate: int) -> list[tuple[int, bytes]]:
    """Give the phrase as MIDI: the frame of each message, from the phrase's beginning, in order."""
    length, sounding = int(NOTE_SECONDS * sample_rate), int(_SOUNDING_SECONDS * sample_rate)
    found = []
    for index, note in enumerate(NOTES):
        found.append((index * length, bytes((0x90, note, _VELOCITY))))
        found.append((index * length + sounding, bytes((0x80, note, 0))))
    return found


def main() -> int:
    """Play until SIGTERM; prints `ready` once the ports are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--name", default="player")
    options = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    client = jack.Client(options.name, use_exact_name=True, no_start_server=True, servername=options.server)
    outputs = [client.outports.register(f"out_{side}") for side in ("left", "right")]
    keys = client.midi_outports.register("midi")
    loop, messages = phrase(client.samplerate), notes(client.samplerate)
    position = 0

    @client.set_process_callback  # type: ignore[untyped-decorator]
    def process(frames: int) -> None:
        nonlocal position
        at = np.arange(position, position + frames) % loop.shape[1]
        for output, samples in zip(outputs, loop, strict=True):
            output.get_array()[:] = samples[at]
        keys.clear_buffer()
        # In the order of their offsets, also where the phrase begins again within the cycle.
        for offset, message in sorted(((frame - position) % loop.shape[1], data) for frame, data in messages):
            if offset < frames:
                keys.write_midi_event(offset, message)
        position += frames

    @client.set_shutdown_callback  # type: ignore[untyped-decorator]
    def shutdown(_status: object, _reason: str) -> None:
        ended.set()

    with client:
        client.transport_start()
        print("ready", flush=True)
        ended.wait()
        client.transport_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
