#include <string.h>

#include "check.h"
#include "reader.h"

/* Whether a frame was lost; those of a gap for lost events were not, as far as records are concerned. */
static int is_lost(reader *of, uint64_t frame)
{
    for (; of->next_gap < of->gaps.count; of->next_gap++) {
        const jc_gap *gap = &of->gaps.gaps[of->next_gap];
        if (frame < gap->frame)
            return 0;
        if (gap->cause != JC_GAP_MIDI_LOST && frame < gap->frame + gap->frames)
            return 1;
        if (gap->cause == JC_GAP_MIDI_LOST && frame < gap->frame + gap->frames)
            return 0;
    }
    return 0;
}

/* The events of the next frame, which is then passed; none if it was lost. */
static uint32_t next_events(reader *of, midi_event events[MOST_EVENTS_PER_FRAME])
{
    if (is_lost(of, of->frame)) {   /* with all the rest of the gap */
        const jc_gap *gap = &of->gaps.gaps[of->next_gap];
        of->counts.lost_frames += gap->frame + gap->frames - of->frame;
        of->frame = gap->frame + gap->frames;
        return 0;
    }
    return midi_events_at(of->of->seed, of->frame++, events);
}

static void new_chunk(reader *of)
{
    free(of->chunk);
    of->chunk_bytes = 1000 + below(&of->random, 3000);   /* no frame has more */
    of->chunk = allocate(of->chunk_bytes);
    of->cursor.written = 0;
    of->counts.chunks++;
}

/* Look for a frame's records in the chunk from `at` on; returns where they end. */
static uint64_t check_records(const reader *of, uint64_t at, uint64_t frame, const midi_event *events, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t position, room = of->cursor.written - at;
        uint32_t length = events[i].length, found;
        CHECK(room >= JC_MIDI_HEAD_BYTES + length, "event %u of frame %" PRIu64 " is missing", i, frame);
        memcpy(&position, of->chunk + at, sizeof position);
        memcpy(&found, of->chunk + at + sizeof position, sizeof found);
        CHECK(position == frame + of->to_position, "position %" PRIu64 " instead of %" PRIu64, position,
              frame + of->to_position);
        CHECK(found == length, "frame %" PRIu64 ": %u bytes instead of %u", frame, found, length);
        CHECK(memcmp(of->chunk + at + JC_MIDI_HEAD_BYTES, events[i].bytes, length) == 0, "frame %" PRIu64
              ": other bytes", frame);
        at += JC_MIDI_HEAD_BYTES + length;
    }
    return at;
}

static void check_full(const reader *of)
{
    midi_event events[MOST_EVENTS_PER_FRAME];
    uint64_t bytes = 0;
    uint32_t count = midi_events_at(of->of->seed, of->cursor.full_frame, events);
    while (count-- > 0)
        bytes += JC_MIDI_HEAD_BYTES + events[count].length;
    CHECK(of->cursor.written + bytes > of->chunk_bytes, "frame %" PRIu64 " would fit", of->cursor.full_frame);
    for (uint64_t at = of->cursor.written; at < of->chunk_bytes; at++)
        CHECK(of->chunk[at] == 0, "byte %" PRIu64 " behind the last record", at);
}

/* Move what comes before a frame, and judge it. */
static void move(reader *of, uint64_t until)
{
    while (of->frame < until) {
        uint64_t taken = of->cursor.taken, at = of->cursor.written;
        jc_midi_move(of->ring, &of->cursor, of->delivered, until, of->to_position, of->chunk, of->chunk_bytes);
        uint64_t end = of->cursor.is_full ? of->cursor.full_frame : until;
        CHECK(end >= of->frame && end <= until, "full at %" PRIu64, end);
        while (of->frame < end) {
            midi_event events[MOST_EVENTS_PER_FRAME];
            uint64_t frame = of->frame;
            uint32_t count = next_events(of, events);
            at = check_records(of, at, frame, events, count);
            for (uint32_t i = 0; i < count; i++) {
                taken += record_bytes(events[i].length);
                count_event(&of->true_clock, events[i].bytes, events[i].length);
            }
            of->counts.events += count;
        }
        CHECK(at == of->cursor.written, "%" PRIu64 " bytes too many before %" PRIu64, of->cursor.written - at, end);
        CHECK(taken == of->cursor.taken, "taken up to %" PRIu64 " instead of %" PRIu64, of->cursor.taken, taken);
        CHECK(memcmp(&of->true_clock, &of->cursor.clock, sizeof of->true_clock) == 0,
              "MIDI clock at %" PRIu64 ": %" PRIu64 " ticks, %" PRIu64 " since the start", end, of->cursor.clock.ticks,
              of->cursor.clock.ticks_since_start);
        jc_ring_consume(of->ring, of->cursor.taken, 0);
        if (of->cursor.is_full) {
            check_full(of);
            new_chunk(of);
        }
    }
}

/* Drop what comes before a frame, as while nobody records. */
static void skip(reader *of, uint64_t until)
{
    uint64_t taken = of->cursor.taken;
    while (of->frame < until) {
        midi_event events[MOST_EVENTS_PER_FRAME];
        uint32_t count = next_events(of, events);
        for (uint32_t i = 0; i < count; i++)
            taken += record_bytes(events[i].length);
        of->counts.skipped_records += count;
    }
    of->cursor.taken = jc_midi_skip(of->ring, of->cursor.taken, of->delivered, until);
    CHECK(taken == of->cursor.taken, "skipped up to %" PRIu64 " instead of %" PRIu64, of->cursor.taken, taken);
    jc_ring_consume(of->ring, of->cursor.taken, 0);
}

void reader_pass_midi(reader *of, int is_last)
{
    reader_refresh(of);
    if (of->chunk == NULL) {
        of->frame = of->ring->first_frame;
        of->to_position = spread(of->random);
        new_chunk(of);
    }
    if (is_last || of->settled_frame <= of->frame) {
        move(of, of->settled_frame);
        return;
    }
    if (one_in(&of->random, 20)) {
        skip(of, of->frame + below(&of->random, of->settled_frame - of->frame + 1));
        return;
    }
    move(of, of->frame + below(&of->random, of->settled_frame - of->frame + 1));
}
