/*
 * A libjack without a server: the functions that the core calls, about one cycle at a time. All of it belongs to the
 * thread that runs jc_process.
 */
#ifndef JACKCAPTURE_NATIVE_FAKE_JACK_H
#define JACKCAPTURE_NATIVE_FAKE_JACK_H

#include "core.h"
#include "truth.h"

#define MOST_PERIOD 512u
#define SENT_HEAD_BYTES 16u   /* an output event begins with: u32 schedule, u32 number, u64 frame */

typedef struct {
    uint32_t time;
    uint32_t length;
    const uint8_t *bytes;
    int is_unreadable;        /* jack_midi_event_get fails */
} port_event;

/* What was written to an output port. */
typedef struct {
    uint32_t schedule;
    uint32_t number;
    uint64_t frame;
} sent_event;

typedef struct fake_port {
    uint64_t seed;            /* of the MIDI that it carries, */
    uint32_t channel;         /* or the channel of audio */
    int has_no_buffer;
    int is_scripted;          /* `events` and `is_lossy` are the test's */

    float *audio;             /* MOST_PERIOD samples; a cycle's are the last ones, so that nothing lies behind them */

    port_event *events;
    uint32_t event_count;
    midi_event *event_bytes;
    int is_lossy;

    uint32_t output_room;     /* bytes that fit in one cycle; 0: as many as one likes */
    uint32_t output_used;
    uint32_t output_count;
    uint32_t output_time;
    uint64_t cleared_cycle;   /* of fake_jack.cycle */
    int refused_when_empty;
    int refused_when_full;
    int asked_for_room;
    sent_event *sent;
    size_t sent_count, sent_space;
} fake_port;

/* The present cycle. */
typedef struct {
    uint64_t cycle;
    uint64_t frame;           /* the true one */
    uint32_t nframes;
    uint32_t counter;         /* what JACK's counter says */
    uint64_t usecs;
    int clock_fails;
    uint64_t time;            /* what jack_get_time says; a pause moves it on */
    uint64_t asked_time;      /* what it said first in this cycle */
    uint64_t paused;          /* microseconds of this cycle */
    void (*while_paused)(void);
    uint32_t transport_state;
    uint32_t transport_frame;
    uint32_t transport_valid;
    int32_t bar, beat, tick;
    float beats_per_bar, beat_type;
    double ticks_per_beat, beats_per_minute;
} fake_jack;

extern fake_jack jack;

/* Give a core these functions. */
void fake_jack_serve(jc_core *core);

void fake_audio_port(fake_port *port, uint32_t channel);
void fake_midi_port(fake_port *port, uint64_t seed);
int fake_was_full(fake_port *port);
void fake_output_port(fake_port *port, uint32_t room);
void fake_port_free(fake_port *port);

#endif
