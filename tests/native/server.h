/*
 * The life of one JACK server: the thread that runs jc_process, and what it knows to be true.
 */
#ifndef JACKCAPTURE_NATIVE_SERVER_H
#define JACKCAPTURE_NATIVE_SERVER_H

#include <pthread.h>

#include "fake_jack.h"

/* A cycle, and the mark that the core must have made of it. */
typedef struct {
    jc_mark mark;
    int is_marked;
} cycle_truth;

typedef struct {
    jc_core core;
    uint64_t seed;
    pthread_t thread, notifier;
    int must_end;             /* told by the main thread */
    uint64_t cycles_run;      /* told by JACK's thread */

    /* JACK's thread's own, handed on when it has ended */
    cycle_truth *cycles;
    size_t cycle_count, cycle_space;
    uint64_t skips, jumps_back, overflows, midi_events, freewheel_cycles;

    /* the notifier's own */
    uint32_t xruns, port_changes, connection_changes;
} server;

/* Told by the writer and by main: how often they came round. JACK's thread gets only so far ahead of them. */
extern uint64_t writer_passes, main_turns;

/* The first frame is `frame`, when JACK's counter says `counter` and its time is `usecs`. */
server *server_new(uint64_t seed, uint64_t frame, uint32_t counter, uint64_t usecs);
void server_start(server *of);
void server_end(server *of);
void server_free(server *of);

#endif
