#include <string.h>

#include "check.h"
#include "corners.h"

#define UNTIL_ALL UINT64_MAX

/* Compare the records of the newest cycle, from event `first` to before `end`, with what lies at `at`. */
static uint64_t check_script(const bench *of, uint32_t first, uint32_t end, const uint8_t *chunk, uint64_t at,
                             uint64_t to_position)
{
    for (uint32_t i = first; i < end; i++) {
        const port_event *event = &of->script[i];
        uint64_t position;
        uint32_t length;
        memcpy(&position, chunk + at, sizeof position);
        memcpy(&length, chunk + at + 8, sizeof length);
        CHECK(position == jack.frame + event->time + to_position, "event %u at %" PRIu64, i, position);
        CHECK(length == event->length, "event %u has %u bytes", i, length);
        CHECK(memcmp(chunk + at + 12, event->bytes, length) == 0, "event %u has other bytes", i);
        at += 12 + length;
    }
    return at;
}

/* Move all that is there into a chunk of its own and compare it with the newest cycle's events. */
static void expect_moved(bench *of, jc_midi_cursor *cursor, uint64_t to_position)
{
    jc_ring *ring = of->stream->stream.ring;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < of->stream->ports[0].event_count; i++)
        bytes += 12 + of->script[i].length;
    uint8_t *chunk = allocate(bytes);
    cursor->written = 0;
    jc_midi_move(ring, cursor, jc_ring_delivered(ring), UNTIL_ALL, to_position, chunk, bytes);
    CHECK(!cursor->is_full && cursor->written == bytes && cursor->taken == ring->delivered, "%" PRIu64 " of %" PRIu64
          " bytes", cursor->written, bytes);
    check_script(of, 0, of->stream->ports[0].event_count, chunk, 0, to_position);
    jc_ring_consume(ring, cursor->taken, 0);
    free(chunk);
}

/* Events of every length from every place of a ring, and so with every part of a record at the ring's end. */
static void every_offset(void)
{
    for (uint32_t start = 0; start < 16; start++) {
        bench *of = bench_new(0, 128);
        jc_midi_cursor cursor = { 0 };
        for (uint32_t i = 0; i < start; i++) {
            script(of, 0, 0, 12, 0);   /* 24 bytes; 16 of them are at every place of the ring */
            cycle(of, 8, 0, 1);
            expect_moved(of, &cursor, 0);
        }
        for (uint32_t length = 0; length <= 72; length++) {
            script(of, 0, 1, length, (uint8_t)length);
            script(of, 1, 1, 0, 0);
            script(of, 2, 7, length % 13, 200);
            cycle(of, 8, 0, 1);
            expect_moved(of, &cursor, (uint64_t)0 - 1000);
        }
        bench_free(of);
    }
}

static void full_ring(void)
{
    bench *of = bench_new(0, 64);
    jc_ring *ring = of->stream->stream.ring;
    jc_midi_cursor cursor = { 0 };
    script(of, 0, 0, 4, 1);
    script(of, 1, 0, 3, 2);
    script(of, 2, 5, 20, 3);
    cycle(of, 16, 0, 1);          /* 16, 16 and 32 bytes: the last one is used */
    script(of, 0, 2, 0, 0);
    cycle(of, 16, 0, 0);
    jc_ring_consume(ring, cursor.taken = 16, 0);
    script(of, 0, 0, 1, 1);       /* would fit, but not with the other */
    script(of, 1, 1, 1, 1);
    cycle(of, 16, 0, 0);
    CHECK(ring->delivered == 64 && ring->lost_pending == 32, "%" PRIu64 " bytes", ring->delivered);
    script_nothing(of);
    cycle(of, 16, 0, 1);          /* nothing fits: the gap has ended */
    expect_gap(of, 1016, 32, 64, JC_GAP_RING_OVERFLOW);
    script(of, 0, 15, 2, 1);
    cycle(of, 16, 0, 1);
    CHECK(jc_midi_skip(ring, 16, ring->delivered, 1005) == 32, "skipped");
    CHECK(jc_midi_skip(ring, 16, ring->delivered, 1006) == 64, "skipped");
    CHECK(jc_midi_skip(ring, 16, 64, UNTIL_ALL) == 64, "skipped");
    cursor.taken = 64;
    jc_ring_consume(ring, 64, 0);
    expect_moved(of, &cursor, 5);
    bench_free(of);
}

/* A cycle with too many bytes for any chunk is lost as a whole, and a freewheel does not wait for it. */
static void too_long(void)
{
    bench *of = bench_new(0, 1 << 17);
    jc_midi_cursor cursor = { 0 };
    script(of, 0, 3, JC_MIDI_CYCLE_BYTES - 12, 1);
    cycle(of, 16, 0, 1);
    expect_moved(of, &cursor, 0);
    script(of, 0, 3, JC_MIDI_CYCLE_BYTES - 11, 1);
    cycle(of, 16, 0, 0);
    jc_freewheel(1, &of->core);
    cycle(of, 16, 0, 0);
    CHECK(jack.paused == 0, "%" PRIu64 " us", jack.paused);
    for (uint32_t i = 0; i < 4; i++)
        script(of, i, i, JC_MIDI_CYCLE_BYTES / 4 - 12, 1);
    cycle(of, 16, 0, 1);
    expect_moved(of, &cursor, 0);
    expect_gap(of, 1016, 32, cursor.taken - 4 * record_bytes(JC_MIDI_CYCLE_BYTES / 4 - 12), JC_GAP_RING_OVERFLOW);
    script(of, 4, 4, 0, 0);
    cycle(of, 16, 0, 0);
    bench_free(of);

    of = bench_new(0, 64);        /* not too long for a chunk, but for the ring */
    script(of, 0, 0, 53, 1);
    cycle(of, 16, 0, 0);
    script(of, 0, 0, 52, 1);
    cycle(of, 16, 0, 1);
    expect_gap(of, 1000, 16, 0, JC_GAP_RING_OVERFLOW);
    bench_free(of);
}

/* JACK lost events: the cycle is a gap, and what was delivered of it is kept. Two gaps need two places. */
static void lossy(void)
{
    bench *of = bench_new(0, 1024);
    jc_ring *ring = of->stream->stream.ring;
    jc_midi_cursor cursor = { 0 };
    script(of, 0, 3, 3, 1);
    of->stream->ports[0].is_lossy = 1;
    cycle(of, 16, 0, 1);
    expect_gap(of, 1000, 16, 0, JC_GAP_MIDI_LOST);
    expect_moved(of, &cursor, 0);
    cycle(of, 16, 4, 1);
    expect_gap(of, 1016, 4, 16, JC_GAP_XRUN);
    expect_gap(of, 1020, 16, 16, JC_GAP_MIDI_LOST);
    expect_moved(of, &cursor, 0);
    for (uint32_t i = 0; i < JC_GAP_SLOTS - 1; i++) {
        cycle(of, 16, 0, 1);
        expect_moved(of, &cursor, 0);
    }
    uint64_t frame = ring->next_frame, delivered = ring->delivered;
    cycle(of, 16, 4, 0);          /* one place is left, for two gaps */
    script_nothing(of);
    cycle(of, 16, 0, 1);
    for (uint32_t i = 0; i < JC_GAP_SLOTS - 1; i++)
        expect_gap(of, 1036 + 16 * i, 16, 32 + 16 * i, JC_GAP_MIDI_LOST);
    expect_gap(of, frame, 20, delivered, JC_GAP_XRUN);
    expect_no_gap(of);
    bench_free(of);
}

/* A chunk takes whole frames only, whatever its size, and is zero behind them. */
static void every_chunk_size(void)
{
    static const uint32_t times[] = { 2, 2, 9, 9, 9, 10 }, lengths[] = { 3, 5, 1, 0, 7, 40 };
    static const uint32_t frame_ends[] = { 2, 5, 6 };
    bench *of = bench_new(0, 1024);
    jc_ring *ring = of->stream->stream.ring;
    uint64_t ends[3], all = 0;
    for (uint32_t i = 0, frame = 0; i < 6; i++) {
        script(of, i, times[i], lengths[i], (uint8_t)((i < 4 ? 0xF8 : 0x90) + i));
        all += 12 + lengths[i];
        if (i + 1 == frame_ends[frame])
            ends[frame++] = all;
    }
    cycle(of, 16, 0, 1);
    for (uint64_t before = 0; before < 3; before++)   /* bytes that the chunk holds already */
        for (uint64_t size = before; size <= before + all + 1; size++) {
            uint32_t whole = 0;
            uint8_t *chunk = allocate(size);
            jc_midi_cursor cursor = { .written = before, .clock = { .ticks = 77 } };
            memset(chunk, 0xEE, before);
            while (whole < 3 && before + ends[whole] <= size)
                whole++;
            uint32_t events = whole ? frame_ends[whole - 1] : 0;
            jc_midi_move(ring, &cursor, ring->delivered, UNTIL_ALL, 1, chunk, size);
            CHECK(cursor.written == before + (whole ? ends[whole - 1] : 0), "%" PRIu64 " of %" PRIu64 " bytes written",
                  cursor.written, size);
            CHECK(cursor.is_full == (whole < 3), "full: %u", cursor.is_full);
            if (cursor.is_full)
                CHECK(cursor.full_frame == 1000 + times[events], "full at %" PRIu64, cursor.full_frame);
            /* The first event is a tick, the third a start. */
            CHECK(cursor.clock.ticks == 77 + (events > 0) && cursor.clock.is_running == (events > 2),
                  "%" PRIu64 " ticks", cursor.clock.ticks);
            CHECK(check_script(of, 0, events, chunk, before, 1) == cursor.written, "records");
            for (uint64_t at = 0; at < size; at++)
                if (at < before || at >= cursor.written)
                    CHECK(chunk[at] == (at < before ? 0xEE : 0), "byte %" PRIu64 " of %" PRIu64, at, size);
            free(chunk);
            /* The rest goes into another. */
            uint64_t taken = 0;
            for (uint32_t i = 0; i < events; i++)
                taken += record_bytes(lengths[i]);
            CHECK(taken == cursor.taken, "taken: %" PRIu64, cursor.taken);
            chunk = allocate(all);
            cursor.written = 0;
            jc_midi_move(ring, &cursor, ring->delivered, 1010, 1, chunk, all);
            check_script(of, events, events < 5 ? 5 : events, chunk, 0, 1);
            CHECK(!cursor.is_full && cursor.taken == (events < 6 ? 96 : 152), "taken: %" PRIu64, cursor.taken);
            free(chunk);
        }
    bench_free(of);
}

static void odd_ports(void)
{
    bench *of = bench_new(0, 256);
    jc_ring *ring = of->stream->stream.ring;
    jc_midi_cursor cursor = { 0 };
    script(of, 0, 0, 3, 1);
    script(of, 1, 1, 3, 2);
    script(of, 2, 1, 30, 3);
    of->script[1].is_unreadable = 1;
    cycle(of, 16, 0, 1);          /* that one is not there */
    CHECK(ring->delivered == 16 + 48, "%" PRIu64 " bytes", ring->delivered);
    jc_ring_consume(ring, cursor.taken = ring->delivered, 0);
    of->stream->ports[0].is_lossy = 1;
    of->stream->ports[0].has_no_buffer = 1;
    cycle(of, 16, 0, 1);
    CHECK(ring->delivered == 16 + 48, "%" PRIu64 " bytes", ring->delivered);
    expect_no_gap(of);
    jc_ring_unguard(ring);        /* a MIDI ring keeps what it has all the same */
    of->stream->ports[0].has_no_buffer = 0;
    of->stream->ports[0].is_lossy = 0;
    script(of, 0, 0, 240, 1);
    cycle(of, 16, 0, 1);
    cycle(of, 16, 0, 0);
    uint64_t kept_frame = jack.frame - 16;
    CHECK(jc_midi_skip(ring, cursor.taken, ring->delivered, kept_frame) == cursor.taken, "another frame");
    CHECK(jc_midi_skip(ring, cursor.taken, ring->delivered, kept_frame + 1) == ring->delivered, "another frame");
    bench_free(of);
}

void midi_corners(void)
{
    every_offset();
    full_ring();
    too_long();
    lossy();
    every_chunk_size();
    odd_ports();
}
