/*
 * The engine's main thread and its writer thread, as far as the core sees them.
 */
#ifndef JACKCAPTURE_NATIVE_MAIN_THREAD_H
#define JACKCAPTURE_NATIVE_MAIN_THREAD_H

#include "reader.h"
#include "server.h"

/* ---- the writer thread (writer.c) ---- */

typedef struct {
    jc_mark *marks;
    size_t count, space;
} mark_list;

void writer_start(uint64_t seed);
void writer_end(void);

/* Each waits until the writer has done it. */
void writer_add(source *stream);
void writer_remove(source *stream, gap_list *taken, reader_counts *counts);
void writer_take_marks(jc_core *core);          /* from now on; NULL: none */
mark_list writer_marks(void);                   /* all that it has taken so far; the caller frees them */

/* ---- the main thread (main_thread.c) ---- */

typedef struct {
    reader_counts read;
    uint64_t streams, overflow_gaps, gaps, outputs, schedules, sent, late, refused, unsent, looks;
} main_counts;

typedef struct main_thread main_thread;

main_thread *main_thread_new(uint64_t seed);
/* Live through one server of so many cycles; streams stay attached from one to the next. */
void main_thread_live(main_thread *of, server *server, uint64_t cycles);
/* Detach everything that is left; no server runs. */
void main_thread_end(main_thread *of);
main_counts main_thread_free(main_thread *of);

/* ---- all of them together (threads.c) ---- */

void run_threads(uint64_t seed, uint64_t cycles);

#endif
