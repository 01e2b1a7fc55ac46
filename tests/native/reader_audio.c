#include "check.h"
#include "reader.h"

/*
 * How much of the ring a start leaves alone: a callback that does not see the guard yet overwrites the oldest frames,
 * in the cycle that it is in.
 */
#define MARGIN (2 * MOST_PERIOD)

/* Gaps that begin where `position` is or before it lie before it. */
static void pass_gaps(reader *of)
{
    for (; of->next_gap < of->gaps.count && of->gaps.gaps[of->next_gap].delivered <= of->position; of->next_gap++) {
        const jc_gap *gap = &of->gaps.gaps[of->next_gap];
        CHECK(gap->frame == of->ring->first_frame + gap->delivered + of->lost_before,
              "the gap of frame %" PRIu64 " is not where %" PRIu64 " frames were delivered and %" PRIu64 " lost",
              gap->frame, gap->delivered, of->lost_before);
        of->lost_before += gap->frames;
        of->counts.lost_frames += gap->frames;
    }
}

static void move_to(reader *of, uint64_t position)
{
    of->position = position;
    pass_gaps(of);
}

static uint64_t frame_here(const reader *of)
{
    return of->ring->first_frame + of->position + of->lost_before;
}

static uint64_t reach(const reader *of)
{
    uint64_t delivered = jc_ring_delivered(of->ring);
    return delivered + MARGIN > of->ring->capacity ? delivered + MARGIN - of->ring->capacity : 0;
}

/* Guard first, then judge what is still there. */
static void hold(reader *of)
{
    uint64_t oldest = reach(of);
    jc_ring_guard(of->ring, oldest);
    reader_refresh(of);
    uint64_t now = reach(of);
    oldest = now > oldest ? now : oldest;
    oldest = oldest > of->position ? oldest : of->position;
    if (oldest > of->delivered)
        oldest = of->delivered;
    uint64_t start = oldest + below(&of->random, of->delivered - oldest + 1);
    move_to(of, start);
    jc_ring_consume(of->ring, start, 0);
    TELL(of->of->hold, of->of->hold + 1);
    of->is_holding = 1;
    of->counts.holds++;
}

static void let_go(reader *of)
{
    TELL(of->of->hold, of->of->hold + 1);
    jc_ring_unguard(of->ring);
    of->is_holding = 0;
}

static void read_run(reader *of, uint32_t frames)
{
    static const uint32_t sample_bytes[] = { 4, 3, 2 };
    uint32_t channels = of->of->channels, format = (uint32_t)below(&of->random, 3), bytes = sample_bytes[format];
    uint8_t *target = allocate((size_t)frames * channels * bytes);
    uint64_t clipped = jc_ring_read(of->ring, of->position, frames, format, target);
    uint64_t expected = 0, frame = frame_here(of);
    for (uint32_t i = 0; i < frames; i++)
        for (uint32_t c = 0; c < channels; c++)
            expected += (uint64_t)check_stored(target + ((size_t)i * channels + c) * bytes, format, frame + i, c);
    CHECK(clipped == expected, "%" PRIu64 " clipped samples instead of %" PRIu64, clipped, expected);
    free(target);
    of->counts.clipped += clipped;
    of->counts.frames += frames;
    move_to(of, of->position + frames);
    jc_ring_consume(of->ring, of->position, 0);
}

/* Read up to the settled frame, in runs that end at gaps. */
static void read_on(reader *of, int is_last)
{
    pass_gaps(of);
    while (frame_here(of) < of->settled_frame) {
        uint64_t frames = of->settled_frame - frame_here(of);
        if (of->next_gap < of->gaps.count && of->gaps.gaps[of->next_gap].delivered - of->position < frames)
            frames = of->gaps.gaps[of->next_gap].delivered - of->position;
        CHECK(of->position + frames <= of->delivered, "frames up to %" PRIu64 " are settled, but only %" PRIu64
              " came", of->settled_frame, of->delivered);
        uint64_t some = 1 + below(&of->random, 700);
        read_run(of, (uint32_t)(some < frames ? some : frames));
        if (!is_last && one_in(&of->random, 30))
            return;
    }
}

void reader_pass_audio(reader *of, int is_last)
{
    reader_refresh(of);
    if (!of->is_holding && (is_last || one_in(&of->random, 3)))
        hold(of);
    if (!of->is_holding)
        return;
    read_on(of, is_last);
    if (is_last || one_in(&of->random, 20))
        let_go(of);
}
