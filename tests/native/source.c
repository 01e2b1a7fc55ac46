#include "source.h"

#include <string.h>

#include "check.h"

source *source_new(uint64_t seed, uint32_t slot, uint32_t channels, uint32_t capacity)
{
    source *new = allocate(sizeof *new);
    uint32_t ports = channels ? channels : 1;
    size_t bytes = JC_RING_HEADER_BYTES + (channels ? (size_t)channels * capacity * sizeof(float) : capacity);
    *new = (source){ .seed = seed, .slot = slot, .channels = channels };
    new->ports = allocate(ports * sizeof *new->ports);
    new->stream.ports = allocate(ports * sizeof *new->stream.ports);
    for (uint32_t i = 0; i < ports; i++) {
        if (channels)
            fake_audio_port(&new->ports[i], i);
        else
            fake_midi_port(&new->ports[i], seed);
        new->stream.ports[i] = &new->ports[i];
    }
    new->stream.ring = aligned_alloc(64, (bytes + 63) / 64 * 64);
    CHECK(new->stream.ring != NULL, "no memory for a ring of %zu bytes", bytes);
    memset(new->stream.ring, 0xA5, bytes);
    jc_ring_init(new->stream.ring, channels ? JC_AUDIO : JC_MIDI, ports, capacity, RATE);
    return new;
}

void source_free(source *of)
{
    for (uint32_t i = 0; i < (of->channels ? of->channels : 1); i++)
        fake_port_free(&of->ports[i]);
    free(of->stream.ring);
    free(of->stream.ports);
    free(of->ports);
    free(of->gaps.gaps);
    free(of);
}

void gap_list_add(gap_list *list, uint64_t frame, uint64_t frames, uint64_t delivered, uint32_t cause)
{
    GROW(list->gaps, list->count, list->space);
    list->gaps[list->count++] = (jc_gap){ frame, frames, delivered, cause, 0 };
}

uint64_t source_amount(const source *of)
{
    if (of->channels)
        return jack.nframes;
    uint64_t amount = 0;
    const fake_port *port = &of->ports[0];
    for (uint32_t i = 0; !port->has_no_buffer && i < port->event_count; i++)
        if (!port->events[i].is_unreadable)
            amount += record_bytes(port->events[i].length);
    return amount;
}

static void lose(source *of, uint64_t frame, uint64_t frames, uint32_t cause)
{
    if (of->lost == 0) {
        of->lost_frame = frame;
        of->lost_cause = cause;
    }
    of->lost += frames;
}

void source_note(source *of, uint64_t frame, uint32_t nframes, uint64_t grown, int was_kept)
{
    if (of->cycles == 0)
        of->first_frame = of->next_frame = of->settled_frame = frame;
    CHECK(frame >= of->next_frame, "frame %" PRIu64 " after %" PRIu64, frame, of->next_frame);
    if (frame > of->next_frame)
        lose(of, of->next_frame, frame - of->next_frame, of->was_down ? JC_GAP_SERVER_DOWN : JC_GAP_XRUN);
    of->was_down = 0;
    if (!was_kept) {
        lose(of, frame, nframes, JC_GAP_RING_OVERFLOW);
    } else {
        if (of->lost != 0)
            gap_list_add(&of->gaps, of->lost_frame, of->lost, of->delivered, of->lost_cause);
        of->lost = 0;
        if (of->channels == 0 && !of->ports[0].has_no_buffer && midi_is_lossy(of->seed, frame))
            gap_list_add(&of->gaps, frame, nframes, of->delivered, JC_GAP_MIDI_LOST);
        of->delivered += grown;
        of->settled_frame = frame + nframes;
    }
    of->next_frame = frame + nframes;
    of->cycles++;
}
