/*
 * The writer thread's side of a stream: it reads the ring as a take does, and judges every frame and every byte.
 */
#ifndef JACKCAPTURE_NATIVE_READER_H
#define JACKCAPTURE_NATIVE_READER_H

#include "source.h"

typedef struct {
    uint64_t frames, lost_frames, holds, clipped, events, chunks, skipped_records;
} reader_counts;

typedef struct {
    source *of;
    jc_ring *ring;
    uint64_t random;
    gap_list gaps;            /* as taken from the ring */
    uint64_t settled_frame;
    uint64_t delivered;

    int is_holding;           /* audio */
    uint64_t position;        /* the next frame of the ring to read, */
    size_t next_gap;          /* and the gaps before it */
    uint64_t lost_before;     /* and their length */

    jc_midi_cursor cursor;    /* MIDI */
    uint64_t frame;           /* the next frame to judge */
    uint64_t to_position;
    uint8_t *chunk;
    uint64_t chunk_bytes;
    jc_midi_clock true_clock;

    reader_counts counts;
} reader;

void reader_init(reader *of, source *stream, uint64_t seed);
void reader_free(reader *of);

/* One pass; the last one takes all that is there. */
void reader_pass(reader *of, int is_last);

/* reader_audio.c, reader_midi.c */
void reader_pass_audio(reader *of, int is_last);
void reader_pass_midi(reader *of, int is_last);

/* Look at what has come, in the order that the core asks for. */
void reader_refresh(reader *of);

#endif
