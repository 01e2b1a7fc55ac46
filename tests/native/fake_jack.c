#include "fake_jack.h"

#include <sched.h>
#include <string.h>

#include "check.h"

fake_jack jack;

static uint32_t last_frame_time(void *client)
{
    CHECK(client == &jack, "another client");
    return jack.counter;
}

static int get_cycle_times(void *client, uint32_t *frames, uint64_t *usecs, uint64_t *next_usecs, float *period)
{
    CHECK(client == &jack, "another client");
    *frames = jack.counter;
    *usecs = jack.usecs;
    *next_usecs = jack.usecs + 1;
    *period = 1;
    return jack.clock_fails ? -1 : 0;
}

static uint64_t get_time(void)
{
    if (jack.asked_time == 0)
        jack.asked_time = jack.time;
    return jack.time;
}

static int pause_for(uint32_t usecs)
{
    jack.time += usecs;
    jack.paused += usecs;
    if (jack.while_paused != NULL)
        jack.while_paused();
    else
        sched_yield();
    return 0;
}

/* As jack_position_t lies in memory. */
static uint32_t transport_query(void *client, void *position)
{
    CHECK(client == &jack, "another client");
    uint8_t *at = position;
    uint32_t rate = RATE;
    memset(at, 0, 128);
    memcpy(at + 16, &rate, 4);
    memcpy(at + 20, &jack.transport_frame, 4);
    memcpy(at + 24, &jack.transport_valid, 4);
    memcpy(at + 28, &jack.bar, 4);
    memcpy(at + 32, &jack.beat, 4);
    memcpy(at + 36, &jack.tick, 4);
    memcpy(at + 48, &jack.beats_per_bar, 4);
    memcpy(at + 52, &jack.beat_type, 4);
    memcpy(at + 56, &jack.ticks_per_beat, 8);
    memcpy(at + 64, &jack.beats_per_minute, 8);
    return jack.transport_state;
}

static void *audio_buffer(fake_port *port, uint32_t nframes)
{
    CHECK(nframes <= MOST_PERIOD, "%u frames", nframes);
    float *buffer = port->audio + MOST_PERIOD - nframes;
    for (uint32_t i = 0; i < nframes; i++)
        buffer[i] = audio_at(jack.frame + i, port->channel);
    return buffer;
}

static void *midi_buffer(fake_port *port, uint32_t nframes)
{
    if (port->is_scripted)
        return port;
    port->event_count = 0;
    port->is_lossy = midi_is_lossy(port->seed, jack.frame);
    for (uint32_t time = 0; time < nframes; time++) {
        midi_event *events = port->event_bytes + port->event_count;
        uint32_t count = midi_events_at(port->seed, jack.frame + time, events);
        for (uint32_t i = 0; i < count; i++)
            port->events[port->event_count++] = (port_event){ time, events[i].length, events[i].bytes, 0 };
    }
    return port;
}

static void *port_get_buffer(void *of_port, uint32_t nframes)
{
    fake_port *port = of_port;
    CHECK(nframes == jack.nframes, "%u frames of a cycle of %u", nframes, jack.nframes);
    if (port->has_no_buffer)
        return NULL;
    if (port->audio != NULL)
        return audio_buffer(port, nframes);
    return port->events != NULL ? midi_buffer(port, nframes) : port;
}

/* libjack's jack_midi_event_t. */
typedef struct {
    uint32_t time;
    size_t size;
    const uint8_t *buffer;
} jack_event;

static uint32_t midi_get_event_count(void *buffer)
{
    const fake_port *port = buffer;
    return port->event_count;
}

static int midi_event_get(void *event, void *buffer, uint32_t index)
{
    const fake_port *port = buffer;
    CHECK(index < port->event_count, "event %u of %u", index, port->event_count);
    const port_event *found = &port->events[index];
    if (found->is_unreadable)
        return -1;
    *(jack_event *)event = (jack_event){ found->time, found->length, found->bytes };
    return 0;
}

static uint32_t midi_get_lost_event_count(void *buffer)
{
    const fake_port *port = buffer;
    return port->is_lossy ? 3 : 0;
}

static void midi_clear_buffer(void *buffer)
{
    fake_port *port = buffer;
    port->cleared_cycle = jack.cycle;
    port->output_used = port->output_count = port->output_time = 0;
    port->refused_when_empty = port->refused_when_full = port->asked_for_room = 0;
}

/* Who asks and does not write afterwards has refused the event itself. */
static void note_refusal(fake_port *port)
{
    if (port->asked_for_room)
        *(port->output_count == 0 ? &port->refused_when_empty : &port->refused_when_full) = 1;
    port->asked_for_room = 0;
}

static size_t midi_max_event_size(void *buffer)
{
    fake_port *port = buffer;
    note_refusal(port);
    port->asked_for_room = 1;
    return port->output_room == 0 ? SIZE_MAX : port->output_room - port->output_used;
}

int fake_was_full(fake_port *port)
{
    note_refusal(port);
    return port->refused_when_full;
}

static int midi_event_write(void *buffer, uint32_t time, const uint8_t *bytes, size_t length)
{
    fake_port *port = buffer;
    CHECK(port->cleared_cycle == jack.cycle, "written to a buffer that holds the last cycle's events");
    CHECK(time < jack.nframes && time >= port->output_time, "time %u after %u", time, port->output_time);
    port->asked_for_room = 0;
    CHECK(port->output_room == 0 || port->output_used + length <= port->output_room, "%zu bytes do not fit", length);
    port->output_used += (uint32_t)length;
    port->output_count++;
    port->output_time = time;

    sent_event sent = { .frame = jack.frame + time };
    uint64_t due;
    CHECK(length >= SENT_HEAD_BYTES, "%zu bytes", length);
    memcpy(&sent.schedule, bytes, 4);
    memcpy(&sent.number, bytes + 4, 4);
    memcpy(&due, bytes + 8, 8);
    for (size_t i = SENT_HEAD_BYTES; i < length; i++)
        CHECK(bytes[i] == (uint8_t)spread(due + i), "byte %zu of event %u is wrong", i, sent.number);
    CHECK(sent.frame == (due > jack.frame ? due : jack.frame), "event %u of frame %" PRIu64 " is sent at %" PRIu64,
          sent.number, due, sent.frame);
    GROW(port->sent, port->sent_count, port->sent_space);
    port->sent[port->sent_count++] = sent;
    return 0;
}

void fake_jack_serve(jc_core *core)
{
    core->client = &jack;
    core->last_frame_time = last_frame_time;
    core->get_cycle_times = get_cycle_times;
    core->port_get_buffer = port_get_buffer;
    core->get_time = get_time;
    core->transport_query = transport_query;
    core->midi_get_event_count = midi_get_event_count;
    core->midi_event_get = midi_event_get;
    core->midi_get_lost_event_count = midi_get_lost_event_count;
    core->midi_clear_buffer = midi_clear_buffer;
    core->midi_max_event_size = midi_max_event_size;
    core->midi_event_write = midi_event_write;
    core->pause = pause_for;
    core->sample_rate = RATE;
}

void fake_audio_port(fake_port *port, uint32_t channel)
{
    *port = (fake_port){ .channel = channel, .audio = allocate(MOST_PERIOD * sizeof(float)) };
}

void fake_midi_port(fake_port *port, uint64_t seed)
{
    size_t most = MOST_PERIOD * MOST_EVENTS_PER_FRAME;
    *port = (fake_port){ .seed = seed,
                         .events = allocate(most * sizeof(port_event)),
                         .event_bytes = allocate(most * sizeof(midi_event)) };
}

void fake_output_port(fake_port *port, uint32_t room)
{
    *port = (fake_port){ .output_room = room, .cleared_cycle = UINT64_MAX };
}

void fake_port_free(fake_port *port)
{
    free(port->audio);
    free(port->events);
    free(port->event_bytes);
    free(port->sent);
}
