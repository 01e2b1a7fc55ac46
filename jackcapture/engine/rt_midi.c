/*
 * MIDI capture: events as JACK gave them, with their frames, into a ring of records and from there into chunks.
 *
 * A record in the ring: u64 frame, u32 length, bytes, filled up to a multiple of 8. In a chunk: u64 sample position,
 * u32 length, bytes. Both little-endian, as the machines are that this runs on.
 */
#include "rt_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are written as they lie in memory");

/* libjack's jack_midi_event_t (jack/midiport.h). */
typedef struct {
    uint32_t time;
    size_t size;
    const uint8_t *buffer;
} jack_event;

static uint64_t padded(uint64_t length)
{
    return (JC_MIDI_HEAD_BYTES + length + 7) & ~(uint64_t)7;
}

/* ---- in the callback ---- */

/* A port that has just gone has no buffer. */
static uint32_t event_count(jc_core *core, void *buffer)
{
    return buffer == NULL ? 0 : core->midi_get_event_count(buffer);
}

int midi_was_lost(jc_core *core, void *buffer)
{
    return buffer != NULL && core->midi_get_lost_event_count(buffer) != 0;
}

/* The room that a cycle's events need in the ring; more than any ring has if they have more bytes than a chunk. */
uint64_t midi_ring_bytes(jc_core *core, void *buffer)
{
    uint64_t in_ring = 0, in_chunk = 0;
    uint32_t count = event_count(core, buffer);
    for (uint32_t i = 0; i < count; i++) {
        jack_event event;
        if (core->midi_event_get(&event, buffer, i) != 0)
            continue;
        in_ring += padded(event.size);
        in_chunk += JC_MIDI_HEAD_BYTES + event.size;
    }
    return in_chunk > JC_MIDI_CYCLE_BYTES ? UINT64_MAX : in_ring;
}

static void put_bytes(jc_ring *ring, uint64_t at, const void *bytes, size_t length)
{
    size_t place = at & (ring->capacity - 1);
    size_t first = ring->capacity - place < length ? ring->capacity - place : length;
    memcpy(ring_data(ring) + place, bytes, first);
    memcpy(ring_data(ring), (const uint8_t *)bytes + first, length - first);
}

/* Put a cycle's events into the ring, which has room for them. */
void ring_put_midi(jc_core *core, jc_ring *ring, void *buffer, uint64_t frame)
{
    uint64_t at = ring->delivered;
    uint32_t count = event_count(core, buffer);
    for (uint32_t i = 0; i < count; i++) {
        jack_event event;
        if (core->midi_event_get(&event, buffer, i) != 0)
            continue;
        uint64_t event_frame = frame + event.time;
        uint32_t length = (uint32_t)event.size;
        put_bytes(ring, at, &event_frame, sizeof event_frame);
        put_bytes(ring, at + sizeof event_frame, &length, sizeof length);
        put_bytes(ring, at + JC_MIDI_HEAD_BYTES, event.buffer, length);
        at += padded(length);
    }
    STORE(ring->delivered, at);
}

/* ---- on the writer thread ---- */

static void get_bytes(const jc_ring *ring, uint64_t at, void *bytes, size_t length)
{
    size_t place = at & (ring->capacity - 1);
    size_t first = ring->capacity - place < length ? ring->capacity - place : length;
    memcpy(bytes, ring_data(ring) + place, first);
    memcpy((uint8_t *)bytes + first, ring_data(ring), length - first);
}

static void get_head(const jc_ring *ring, uint64_t at, uint64_t *frame, uint32_t *length)
{
    get_bytes(ring, at, frame, sizeof *frame);
    get_bytes(ring, at + sizeof *frame, length, sizeof *length);
}

/* Pass over the records from `taken` to `delivered` that come before a frame; returns the bytes taken then. */
uint64_t jc_midi_skip(const jc_ring *ring, uint64_t taken, uint64_t delivered, uint64_t until_frame)
{
    while (taken < delivered) {
        uint64_t frame;
        uint32_t length;
        get_head(ring, taken, &frame, &length);
        if (frame >= until_frame)
            break;
        taken += padded(length);
    }
    return taken;
}

/* MIDI 1.0: 0xF8 tick, 0xFA start, 0xFB continue, 0xFC stop, 0xF2 song position in units of six ticks. */
static void count_clock(jc_midi_clock *clock, const uint8_t *bytes, uint32_t length)
{
    if (length == 0)
        return;
    switch (bytes[0]) {
    case 0xF8:
        clock->ticks++;
        clock->ticks_since_start += clock->is_running;
        break;
    case 0xFA:
        clock->ticks_since_start = 0;
        clock->is_running = 1;
        break;
    case 0xFB:
        clock->is_running = 1;
        break;
    case 0xFC:
        clock->is_running = 0;
        break;
    case 0xF2:
        if (length == 3)
            clock->ticks_since_start = 6 * ((uint64_t)bytes[1] | (uint64_t)bytes[2] << 7);
        break;
    default:
        break;
    }
}

/*
 * Move the records from the cursor to `delivered` that come before `until_frame` into the chunk, their frames turned
 * into positions by adding `frame_to_position`. The chunk is full at the first frame whose records do not all fit:
 * none of that frame's are in it then.
 */
void jc_midi_move(const jc_ring *ring, jc_midi_cursor *cursor, uint64_t delivered, uint64_t until_frame,
                  uint64_t frame_to_position, uint8_t *chunk, uint64_t chunk_bytes)
{
    jc_midi_cursor now = *cursor, at_frame = *cursor;   /* `at_frame`: before the first record of the present frame */
    uint64_t present = UINT64_MAX;
    now.is_full = at_frame.is_full = 0;
    while (now.taken < delivered) {
        uint64_t frame;
        uint32_t length;
        get_head(ring, now.taken, &frame, &length);
        if (frame >= until_frame)
            break;
        if (frame != present) {
            present = frame;
            at_frame = now;
        }
        if (now.written + JC_MIDI_HEAD_BYTES + length > chunk_bytes) {
            memset(chunk + at_frame.written, 0, now.written - at_frame.written);
            now = at_frame;
            now.full_frame = frame;
            now.is_full = 1;
            break;
        }
        uint8_t *record = chunk + now.written;
        uint64_t position = frame + frame_to_position;
        memcpy(record, &position, sizeof position);
        memcpy(record + sizeof position, &length, sizeof length);
        get_bytes(ring, now.taken + JC_MIDI_HEAD_BYTES, record + JC_MIDI_HEAD_BYTES, length);
        count_clock(&now.clock, record + JC_MIDI_HEAD_BYTES, length);
        now.taken += padded(length);
        now.written += JC_MIDI_HEAD_BYTES + length;
    }
    *cursor = now;
}
