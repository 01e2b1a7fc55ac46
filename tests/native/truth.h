/*
 * What JACK carries, as functions of the 64-bit frame: the fake libjack plays it, and the readers know it without
 * asking any other thread.
 */
#ifndef JACKCAPTURE_NATIVE_TRUTH_H
#define JACKCAPTURE_NATIVE_TRUTH_H

#include "core.h"

#define RATE 48000u
#define MOST_EVENTS_PER_FRAME 3u
#define MOST_EVENT_BYTES 300u

typedef struct {
    uint32_t length;
    uint8_t bytes[MOST_EVENT_BYTES];
} midi_event;

/* A sample that says its frame and channel; odd channels go beyond full scale. */
float audio_at(uint64_t frame, uint32_t channel);

/* Compare one stored sample with what `audio_at` becomes; 1 if it was clipped. */
int check_stored(const uint8_t *stored, uint32_t sample_format, uint64_t frame, uint32_t channel);

uint32_t midi_events_at(uint64_t seed, uint64_t frame, midi_event events[MOST_EVENTS_PER_FRAME]);

/* Whether JACK says of the cycle at a frame that it lost events. */
int midi_is_lossy(uint64_t seed, uint64_t cycle_frame);

/* Where the music is: different in each cycle, so that a mark that was put together from two can be told. */
void music_at(uint64_t frame, int32_t *bar, int32_t *beat, int32_t *tick, double *ticks_per_beat);

/* What a record takes in the ring. */
uint64_t record_bytes(uint64_t length);

void count_event(jc_midi_clock *clock, const uint8_t *bytes, uint32_t length);

#endif
