/*
 * One core and one stream on one thread, cycle by cycle: for cases that threads meet too seldom. The files corners_*.c
 * hold the cases, corners.c runs them.
 */
#ifndef JACKCAPTURE_NATIVE_CORNERS_H
#define JACKCAPTURE_NATIVE_CORNERS_H

#include "reader.h"

typedef struct {
    jc_core core;
    source *stream;
    port_event script[64];    /* of a scripted MIDI port; each event's bytes have a memory block of their own */
    uint64_t count;           /* cycles */
} bench;

/* A core with a stream of `channels` (0: MIDI) at the frame 1000. */
bench *bench_new(uint32_t channels, uint32_t capacity);
void bench_free(bench *of);

/* One cycle of `nframes`, `skipped` frames after the last one. The core must keep it, or lose it. */
void cycle(bench *of, uint32_t nframes, uint64_t skipped, int is_kept);

/* Event `number` of the next cycle; the first takes the place of all before it. Its bytes count up from `first`. */
void script(bench *of, uint32_t number, uint32_t time, uint32_t length, uint8_t first);
void script_nothing(bench *of);

/* Take one gap and compare it. */
void expect_gap(bench *of, uint64_t frame, uint64_t frames, uint64_t delivered, uint32_t cause);
void expect_no_gap(bench *of);

/* corners_audio.c, corners_midi.c, corners_output.c */
void audio_corners(void);
void midi_corners(void);
void mark_corners(void);
void output_corners(void);

/* All of them. */
void run_corners(void);

#endif
