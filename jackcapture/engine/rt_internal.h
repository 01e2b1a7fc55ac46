/* What the parts of the real-time core share and nobody else sees. */
#ifndef JACKCAPTURE_RT_INTERNAL_H
#define JACKCAPTURE_RT_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "rt_core.h"

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define ADD(field, value) __atomic_fetch_add(&(field), (value), __ATOMIC_ACQ_REL)

static inline uint8_t *ring_data(const jc_ring *ring)
{
    return (uint8_t *)ring + JC_RING_HEADER_BYTES;
}

/* rt_ring.c */
int ring_has_room(const jc_ring *ring, uint64_t amount);
void ring_put_audio(jc_core *core, const jc_stream *stream, uint32_t nframes);

/* rt_midi.c */
int midi_was_lost(jc_core *core, void *buffer);
uint64_t midi_ring_bytes(jc_core *core, void *buffer);
void ring_put_midi(jc_core *core, jc_ring *ring, void *buffer, uint64_t frame);

/* rt_marks.c */
void observe_cycle(jc_core *core, const jc_clock *clock, uint64_t skipped);

/* rt_output.c */
void send_midi(jc_core *core, uint64_t frame, uint32_t nframes);

#endif
