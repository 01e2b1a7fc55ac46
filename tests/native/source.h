/*
 * A stream of the core, its fake ports, and what JACK's thread knows to be true of it.
 */
#ifndef JACKCAPTURE_NATIVE_SOURCE_H
#define JACKCAPTURE_NATIVE_SOURCE_H

#include "fake_jack.h"

typedef struct {
    jc_gap *gaps;
    size_t count, space;
} gap_list;

typedef struct source {
    jc_stream stream;
    uint64_t seed;
    uint32_t slot;
    fake_port *ports;
    uint32_t channels;        /* 0: MIDI */
    uint64_t hold;            /* told by the writer: odd while it guards the ring */

    /* JACK's thread's own, handed on when the stream is taken from the core */
    uint64_t cycles;
    uint64_t first_frame;
    uint64_t next_frame;
    uint64_t settled_frame;
    uint64_t delivered;
    uint64_t lost_frame, lost;
    uint32_t lost_cause;
    int was_down;
    gap_list gaps;            /* of what was lost, as the core must have pushed it */
} source;

source *source_new(uint64_t seed, uint32_t slot, uint32_t channels, uint32_t capacity);
void source_free(source *of);

void gap_list_add(gap_list *list, uint64_t frame, uint64_t frames, uint64_t delivered, uint32_t cause);

/* What the cycle that the fake libjack is in puts into the ring: frames, or bytes. */
uint64_t source_amount(const source *of);

/* Note a cycle of the stream, with which its ring grew by `grown` frames or bytes, if `was_kept`. */
void source_note(source *of, uint64_t frame, uint32_t nframes, uint64_t grown, int was_kept);

#endif
