/*
 * MIDI output: events sent at exact frames. A late one is sent at once, and the schedule tells when that was.
 */
#include "rt_internal.h"

enum fate { FULL, SENT, REFUSED };

/* Hand one event to JACK; FULL if its buffer has no room at present. */
static enum fate send_event(jc_core *core, void *buffer, const jc_midi_schedule *schedule, jc_midi_event *event,
                            uint64_t frame, int is_buffer_empty)
{
    uint32_t offset = event->frame > frame ? (uint32_t)(event->frame - frame) : 0;
    /* Asked first: JACK tells receivers that an event was lost each time that it refuses one. */
    if (core->midi_max_event_size(buffer) >= event->length
        && core->midi_event_write(buffer, offset, schedule->bytes + event->offset, event->length) == 0) {
        STORE(event->sent_frame, frame + offset);
        return SENT;
    }
    if (!is_buffer_empty)
        return FULL;
    STORE(event->sent_frame, JC_REFUSED);   /* it will never fit */
    return REFUSED;
}

/* Send what is due before `frame + nframes`; what is late goes first. */
void send_midi(jc_core *core, uint64_t frame, uint32_t nframes)
{
    for (uint32_t slot = 0; slot < JC_MAX_OUTPUTS; slot++) {
        jc_midi_output *output = LOAD(core->outputs[slot]);
        if (output == NULL)
            continue;
        void *buffer = core->port_get_buffer(output->port, nframes);
        if (buffer == NULL)
            continue;
        core->midi_clear_buffer(buffer);
        jc_midi_schedule *schedule = LOAD(output->schedule);
        if (schedule == NULL)
            continue;
        uint32_t next = schedule->next;
        int is_empty = 1;
        for (; next < schedule->count && schedule->events[next].frame < frame + nframes; next++) {
            enum fate fate = send_event(core, buffer, schedule, &schedule->events[next], frame, is_empty);
            if (fate == FULL)
                break;
            is_empty = is_empty && fate == REFUSED;
        }
        STORE(schedule->next, next);
    }
}

/* Publish an output to the callback, or take it away (NULL). It may be freed once `cycles` has grown by 2. */
void jc_set_output(jc_core *core, uint32_t slot, jc_midi_output *output)
{
    STORE(core->outputs[slot], output);
}

/* Give an output what to send, in place of what it has; the old schedule may be freed once `cycles` has grown by 2. */
void jc_set_schedule(jc_midi_output *output, jc_midi_schedule *schedule)
{
    STORE(output->schedule, schedule);
}

/* How many events are done: sent or refused. */
uint32_t jc_events_done(const jc_midi_schedule *schedule)
{
    return LOAD(schedule->next);
}

/* Find the next done event, from an index on, that was not sent at its frame; `count` if there is none. */
uint32_t jc_next_inexact(const jc_midi_schedule *schedule, uint32_t from)
{
    uint32_t done = jc_events_done(schedule);
    while (from < done && schedule->events[from].sent_frame == schedule->events[from].frame)
        from++;
    return from < done ? from : schedule->count;
}
