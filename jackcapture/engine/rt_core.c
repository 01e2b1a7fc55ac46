/*
 * The real-time core: what runs in JACK's process callback, and the functions by which other threads look at it.
 *
 * In the callback: no lock, no allocation, no system call, no print, no interpreter, no page that a disk backs.
 * It touches the core, the attached streams, their rings (locked shared memory) and JACK's port buffers.
 * tests/contract/test_rt_core.py checks the symbols that the object file refers to.
 */
#include "rt_internal.h"

#define JC_FREEWHEEL_PATIENCE_USECS 8000000u   /* jackd waits 10 s for a client in freewheel */
#define JC_FREEWHEEL_PAUSE_USECS 500u

/* ---- the process callback ---- */

/* The first frame: JACK's own, or, after an earlier client of ours, that one's, moved on by what the counter of the
 * same server says, or by the time that has passed since an earlier server. */
static uint64_t first_frame(const jc_core *core, uint32_t frame32, uint64_t usecs)
{
    if (core->resume_usecs == 0)
        return frame32;
    uint64_t passed = usecs <= core->resume_usecs ? 0
        : (uint64_t)((double)(usecs - core->resume_usecs) * core->sample_rate / 1e6 + 0.5);
    uint32_t ahead = frame32 - core->resume_frame32;
    int is_same = core->is_same_server == JC_SAME_SERVER;
    /* A counter may fall behind the time on a busy machine, by half of it at most, and never runs ahead of it. */
    if (core->is_same_server == JC_PERHAPS_SAME_SERVER)
        is_same = ahead <= passed + core->sample_rate && passed / 2 <= (uint64_t)ahead + core->sample_rate;
    if (is_same && ahead < 0x80000000u)  /* else it counts anew, as another driver of PipeWire's does */
        return core->resume_frame + ahead;
    return core->resume_frame + passed;
}

/* Extend JACK's 32-bit frame. Frames that JACK skipped show up as a frame after the expected one. */
static uint64_t extended_frame(jc_core *core, uint32_t frame32, uint64_t usecs)
{
    if (core->cycles == 0) {
        core->next_frame32 = frame32;
        return first_frame(core, frame32, usecs);
    }
    uint32_t ahead = frame32 - core->next_frame32;
    if (ahead >= 0x80000000u) {
        /* Backwards, as when jackd shortens its period: we go on, for what was delivered is not taken back. */
        ADD(core->backward_jumps, 1);
        core->next_frame32 = frame32;
        return core->next_frame;
    }
    core->next_frame32 += ahead;
    return core->next_frame + ahead;
}

static void lose(jc_stream *stream, uint64_t frame, uint64_t frames, uint32_t cause)
{
    if (stream->lost == 0) {
        stream->lost_frame = frame;
        stream->lost_cause = cause;
    }
    stream->lost += frames;
    STORE(stream->ring->lost_pending, stream->lost);
}

static void push_gap(jc_ring *ring, uint64_t frame, uint64_t frames, uint32_t cause)
{
    jc_gap *gap = &ring->gaps[ring->gaps_pushed % JC_GAP_SLOTS];
    gap->frame = frame;
    gap->frames = frames;
    gap->delivered = ring->delivered;
    gap->cause = cause;
    STORE(ring->gaps_pushed, ring->gaps_pushed + 1);
}

static int can_deliver(const jc_stream *stream, uint64_t amount, uint32_t gaps)
{
    const jc_ring *ring = stream->ring;
    if (gaps != 0 && ring->gaps_pushed + gaps - LOAD(ring->gaps_taken) > JC_GAP_SLOTS)
        return 0;
    return ring_has_room(ring, amount);
}

/* While freewheeling nothing hurries: wait for the writer, but not so long that JACK gives up on us. */
static void await_room(jc_core *core, const jc_stream *stream, uint64_t amount, uint32_t gaps, uint64_t *deadline)
{
    while (!can_deliver(stream, amount, gaps)) {
        uint64_t now = core->get_time();
        if (*deadline == 0)
            *deadline = now + JC_FREEWHEEL_PATIENCE_USECS;
        if (now >= *deadline || amount > stream->ring->capacity)
            return;
        core->pause(JC_FREEWHEEL_PAUSE_USECS);
    }
}

static void capture(jc_core *core, jc_stream *stream, const jc_clock *clock, uint64_t *deadline)
{
    jc_ring *ring = stream->ring;
    uint64_t frame = clock->frame, end = frame + clock->nframes;
    if (ring->cycles == 0) {
        ring->first_frame = frame;
        STORE(ring->settled_frame, frame);
    } else if (frame > ring->next_frame) {
        lose(stream, ring->next_frame, frame - ring->next_frame, stream->skip_cause);
    }
    stream->skip_cause = JC_GAP_XRUN;

    int is_midi = ring->kind == JC_MIDI;
    void *events = is_midi ? core->port_get_buffer(stream->ports[0], clock->nframes) : NULL;
    uint64_t amount = is_midi ? midi_ring_bytes(core, events) : clock->nframes;
    int events_lost = is_midi && midi_was_lost(core, events);
    uint32_t gaps = (stream->lost != 0) + events_lost;
    if (clock->is_freewheeling)
        await_room(core, stream, amount, gaps, deadline);
    if (can_deliver(stream, amount, gaps)) {
        if (stream->lost != 0) {
            push_gap(ring, stream->lost_frame, stream->lost, stream->lost_cause);
            stream->lost = 0;
            STORE(ring->lost_pending, 0);
        }
        if (events_lost)   /* in this cycle; those that JACK did deliver are kept */
            push_gap(ring, frame, clock->nframes, JC_GAP_MIDI_LOST);
        if (is_midi)
            ring_put_midi(core, ring, events, frame);
        else
            ring_put_audio(core, stream, clock->nframes);
        STORE(ring->settled_frame, end);
    } else {
        lose(stream, frame, clock->nframes, JC_GAP_RING_OVERFLOW);
    }
    ring->cycle_usecs = clock->usecs;
    ring->cycle_frames = clock->nframes;
    ring->next_frame32 = core->next_frame32 + clock->nframes;
    STORE(ring->next_frame, end);
    STORE(ring->cycles, ring->cycles + 1);
}

/* An asynchronous server calls us twice in one cycle when a client before us makes up for one in which it was late:
 * at the end of both of its own calls. These frames we have. */
static int is_called_again(const jc_core *core, uint32_t frame32, uint32_t nframes)
{
    return core->cycles != 0 && nframes == core->last_mark.clock.nframes && frame32 == core->next_frame32 - nframes;
}

int jc_process(uint32_t nframes, void *argument)
{
    jc_core *core = argument;
    uint32_t frame32, cycle_frame;
    uint64_t next_usecs;
    float period;

    frame32 = core->last_frame_time(core->client) + core->frame_offset;
    if (is_called_again(core, frame32, nframes))
        return 0;
    jc_clock clock = { .nframes = nframes, .is_freewheeling = LOAD(core->is_freewheeling) };
    if (core->get_cycle_times(core->client, &cycle_frame, &clock.usecs, &next_usecs, &period) != 0)
        clock.usecs = 0;
    if (clock.usecs == 0 || clock.is_freewheeling)   /* JACK's filtered time does not follow a freewheel */
        clock.usecs = core->get_time();
    clock.frame = extended_frame(core, frame32, clock.usecs);
    observe_cycle(core, &clock, core->cycles == 0 ? 0 : clock.frame - core->next_frame);
    send_midi(core, clock.frame, nframes);

    uint64_t deadline = 0;
    uint32_t slots = LOAD(core->stream_slots);
    for (uint32_t slot = 0; slot < slots; slot++) {
        jc_stream *stream = LOAD(core->streams[slot]);
        if (stream != NULL)
            capture(core, stream, &clock, &deadline);
    }
    core->next_frame32 += nframes;
    STORE(core->next_frame, clock.frame + nframes);
    STORE(core->cycles, core->cycles + 1);
    return core->fail_at_cycle != 0 && core->cycles >= core->fail_at_cycle;
}

/* ---- JACK's other callbacks: they count and set flags, which the engine's main thread looks at ---- */

int jc_xrun(void *argument)
{
    jc_core *core = argument;
    ADD(core->xruns, 1);
    return 0;
}

void jc_freewheel(int starting, void *argument)
{
    jc_core *core = argument;
    STORE(core->is_freewheeling, starting ? 1u : 0u);
}

void jc_shutdown(void *argument)
{
    jc_core *core = argument;
    STORE(core->shut_down, 1);
}

void jc_info_shutdown(int code, const char *reason, void *argument)
{
    (void)code;
    (void)reason;
    jc_shutdown(argument);
}

void jc_port_registration(uint32_t port, int registered, void *argument)
{
    jc_core *core = argument;
    (void)port;
    (void)registered;
    ADD(core->port_changes, 1);
}

void jc_port_connect(uint32_t a, uint32_t b, int connected, void *argument)
{
    jc_core *core = argument;
    (void)a;
    (void)b;
    (void)connected;
    ADD(core->connection_changes, 1);
}

void jc_latency(int mode, void *argument)
{
    jc_core *core = argument;
    (void)mode;
    ADD(core->connection_changes, 1);
}

void jc_discard_message(const char *message)
{
    (void)message;
}

/* ---- for other threads ---- */

uint64_t jc_cycles(const jc_core *core)
{
    return LOAD(core->cycles);
}

/* The frame after the newest finished cycle. */
uint64_t jc_next_frame(const jc_core *core)
{
    return LOAD(core->next_frame);
}

/* Publish a stream to the callback, or take it away (NULL). It may be freed once `cycles` has grown by 2. */
void jc_set_stream(jc_core *core, uint32_t slot, jc_stream *stream)
{
    STORE(core->streams[slot], stream);
    if (slot >= core->stream_slots)
        STORE(core->stream_slots, slot + 1);
}
