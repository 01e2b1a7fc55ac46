#include <string.h>

#include "check.h"
#include "corners.h"

static void check_read(bench *of, uint64_t from, uint32_t frames, uint64_t frame)
{
    static const uint32_t sample_bytes[] = { 4, 3, 2 };
    uint32_t channels = of->stream->channels;
    for (uint32_t format = 0; format < 3; format++) {
        uint64_t expected = 0;
        uint8_t *target = allocate((size_t)frames * channels * sample_bytes[format]), *at = target;
        uint64_t clipped = jc_ring_read(of->stream->stream.ring, from, frames, format, target);
        for (uint32_t i = 0; i < frames; i++)
            for (uint32_t c = 0; c < channels; c++, at += sample_bytes[format])
                expected += (uint64_t)check_stored(at, format, frame + i, c);
        CHECK(clipped == expected, "%" PRIu64 " clipped instead of %" PRIu64, clipped, expected);
        free(target);
    }
}

/* Cycles of every length from every place of a ring, and reads across its end. */
static void every_offset(void)
{
    for (uint32_t nframes = 1; nframes <= 32; nframes++) {
        bench *of = bench_new(3, 32);
        for (uint32_t i = 0; i < 40; i++) {
            cycle(of, nframes, 0, 1);
            uint64_t delivered = of->stream->stream.ring->delivered;
            uint32_t kept = delivered < 32 ? (uint32_t)delivered : 32;
            check_read(of, delivered - kept, kept, 1000 + delivered - kept);
            check_read(of, delivered, 0, 0);
        }
        bench_free(of);
    }
}

/* A guarded ring is filled to its last frame; what does not fit is one gap, with what JACK skips meanwhile. */
static void full_ring(void)
{
    bench *of = bench_new(2, 256);
    jc_ring *ring = of->stream->stream.ring;
    jc_ring_guard(ring, 0);
    for (uint32_t i = 0; i < 4; i++)
        cycle(of, 64, 0, 1);
    cycle(of, 1, 0, 0);
    jc_ring_consume(ring, 1, 0);
    cycle(of, 2, 9, 0);
    CHECK(ring->lost_pending == 12, "%" PRIu64 " pending", ring->lost_pending);
    expect_no_gap(of);
    cycle(of, 1, 0, 1);
    expect_gap(of, 1256, 12, 256, JC_GAP_RING_OVERFLOW);
    check_read(of, 1, 255, 1001);
    check_read(of, 256, 1, 1268);
    jc_ring_unguard(ring);
    cycle(of, 256, 0, 1);
    check_read(of, 257, 256, 1269);
    cycle(of, 257, 0, 0);   /* longer than the ring */
    cycle(of, 1, 0, 1);
    expect_gap(of, 1525, 257, 513, JC_GAP_RING_OVERFLOW);
    bench_free(of);
}

/* When all places for gaps are taken, frames are lost until one is free, and the last gap holds them all. */
static void no_place_for_gaps(void)
{
    bench *of = bench_new(1, 8192);
    jc_ring *ring = of->stream->stream.ring;
    cycle(of, 1, 0, 1);
    for (uint32_t i = 0; i < JC_GAP_SLOTS; i++)
        cycle(of, 2, 3, 1);
    uint64_t frame = ring->next_frame, delivered = ring->delivered;
    cycle(of, 2, 0, 1);     /* without a gap, none needs a place */
    cycle(of, 2, 3, 0);
    cycle(of, 2, 0, 0);
    expect_gap(of, 1001, 3, 1, JC_GAP_XRUN);
    cycle(of, 2, 0, 1);
    for (uint32_t i = 1; i < JC_GAP_SLOTS; i++)
        expect_gap(of, 1001 + 5 * i, 3, 1 + 2 * i, JC_GAP_XRUN);
    expect_gap(of, frame + 2, 7, delivered + 2, JC_GAP_XRUN);
    expect_no_gap(of);
    CHECK(ring->gaps_pushed == JC_GAP_SLOTS + 1, "%" PRIu64 " gaps", ring->gaps_pushed);
    bench_free(of);
}

static void port_without_buffer(void)
{
    bench *of = bench_new(2, 64);
    float silence[2 * 20];
    for (uint32_t i = 0; i < 3; i++)
        cycle(of, 20, 0, 1);
    of->stream->ports[0].has_no_buffer = of->stream->ports[1].has_no_buffer = 1;
    cycle(of, 20, 0, 1);
    jc_ring_read(of->stream->stream.ring, 60, 20, JC_F32, silence);
    for (uint32_t i = 0; i < 40; i++)
        CHECK(silence[i] == 0, "sample %u is %g", i, (double)silence[i]);
    check_read(of, 16, 44, 1016);
    bench_free(of);
}

static bench *waiting;

static void consume_late(void)
{
    if (jack.paused >= 3000)
        jc_ring_consume(waiting->stream->stream.ring, 64, 0);
}

/* In freewheel the callback waits, for eight seconds of JACK's at most. */
static void freewheel(void)
{
    bench *of = waiting = bench_new(1, 64);
    jc_freewheel(1, &of->core);
    jc_ring_guard(of->stream->stream.ring, 0);
    cycle(of, 64, 0, 1);
    cycle(of, 1, 0, 0);
    CHECK(jack.paused == 8000000, "%" PRIu64 " us", jack.paused);
    jack.while_paused = consume_late;
    cycle(of, 63, 0, 1);
    CHECK(jack.paused == 3000, "%" PRIu64 " us", jack.paused);
    cycle(of, 65, 0, 0);    /* no use waiting for that */
    CHECK(jack.paused == 0, "%" PRIu64 " us", jack.paused);
    expect_gap(of, 1064, 1, 64, JC_GAP_RING_OVERFLOW);
    bench_free(of);
}

/* 2^64 frames of a ring are nothing that ends; 2^32 of JACK's counter are seen as one row. */
static void counter(void)
{
    bench *of = bench_new(1, 64);
    jack.frame = jack.counter = UINT32_MAX - 10;
    cycle(of, 20, 0, 1);
    cycle(of, 20, 0, 1);
    CHECK(of->core.next_frame == (uint64_t)UINT32_MAX + 30, "frame %" PRIu64, of->core.next_frame);
    check_read(of, 0, 40, UINT32_MAX - 10);
    jack.counter -= 5;      /* back: frames are counted on */
    cycle(of, 20, 0, 1);
    CHECK(of->core.backward_jumps == 1, "%" PRIu64 " jumps", of->core.backward_jumps);
    cycle(of, 4, 0x7FFFFFFF - 20, 1);
    expect_gap(of, (uint64_t)UINT32_MAX + 50, 0x7FFFFFFF - 20, 60, JC_GAP_XRUN);
    bench_free(of);
}

void audio_corners(void)
{
    every_offset();
    full_ring();
    no_place_for_gaps();
    port_without_buffer();
    freewheel();
    counter();
}
