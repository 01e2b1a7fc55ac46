#include "corners.h"

#include <string.h>

#include "check.h"

bench *bench_new(uint32_t channels, uint32_t capacity)
{
    bench *new = allocate(sizeof *new);
    jack = (fake_jack){ .frame = 1000, .counter = 1000, .usecs = 1000000, .time = 1000000 };
    fake_jack_serve(&new->core);
    new->stream = source_new(7, 0, channels, capacity);
    jc_set_stream(&new->core, 0, &new->stream->stream);
    if (channels == 0) {
        fake_port *port = &new->stream->ports[0];
        free(port->events);
        port->events = new->script;
        port->is_scripted = 1;
    }
    return new;
}

void script_nothing(bench *of)
{
    fake_port *port = &of->stream->ports[0];
    for (uint32_t i = 0; i < port->event_count; i++)
        free((void *)port->events[i].bytes);
    port->event_count = 0;
    port->is_lossy = 0;
}

void script(bench *of, uint32_t number, uint32_t time, uint32_t length, uint8_t first)
{
    if (number == 0)
        script_nothing(of);
    uint8_t *bytes = allocate(length);
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(first + i);
    CHECK(number == of->stream->ports[0].event_count && number < 64, "event %u", number);
    of->script[of->stream->ports[0].event_count++] = (port_event){ time, length, bytes, 0 };
}

void bench_free(bench *of)
{
    if (of->stream->channels == 0) {
        script_nothing(of);
        of->stream->ports[0].events = NULL;
    }
    source_free(of->stream);
    free(of);
}

void cycle(bench *of, uint32_t nframes, uint64_t skipped, int is_kept)
{
    jc_ring *ring = of->stream->stream.ring;
    uint64_t delivered = ring->delivered;
    if (of->count++ != 0)
        skipped += jack.nframes;
    jack.cycle++;
    jack.frame += skipped;
    jack.counter += (uint32_t)skipped;
    jack.usecs += skipped * 1000000 / RATE;
    jack.time = jack.usecs;
    jack.nframes = nframes;
    jack.paused = 0;
    CHECK(jc_process(nframes, &of->core) == 0, "the callback failed");
    CHECK(ring->delivered - delivered == (is_kept ? source_amount(of->stream) : 0), "%" PRIu64 " of %" PRIu64 " came",
          ring->delivered - delivered, source_amount(of->stream));
    CHECK((ring->settled_frame == jack.frame + nframes) == is_kept, "settled: %" PRIu64, ring->settled_frame);
    CHECK(ring->next_frame == jack.frame + nframes, "next frame %" PRIu64, ring->next_frame);
}

void expect_gap(bench *of, uint64_t frame, uint64_t frames, uint64_t delivered, uint32_t cause)
{
    jc_gap gap;
    CHECK(jc_ring_take_gaps(of->stream->stream.ring, &gap, 1) == 1, "no gap at %" PRIu64, frame);
    CHECK(gap.frame == frame && gap.frames == frames && gap.delivered == delivered && gap.cause == cause,
          "a gap at %" PRIu64 " of %" PRIu64 " after %" PRIu64 " for %u; not %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %u",
          gap.frame, gap.frames, gap.delivered, gap.cause, frame, frames, delivered, cause);
}

void expect_no_gap(bench *of)
{
    jc_gap gap;
    CHECK(jc_ring_take_gaps(of->stream->stream.ring, &gap, 1) == 0, "a gap at %" PRIu64, gap.frame);
}

void run_corners(void)
{
    audio_corners();
    midi_corners();
    mark_corners();
    output_corners();
}
