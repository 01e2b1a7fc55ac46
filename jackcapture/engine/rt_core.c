/*
 * The real-time core: what runs in JACK's process callback, and the functions by which other threads look at it.
 *
 * In the callback: no lock, no allocation, no system call, no print, no interpreter, no page that a disk backs.
 * It touches the core, the attached streams, their rings (locked shared memory) and JACK's port buffers.
 * tests/contract/test_rt_core.py checks the symbols that the object file refers to.
 */
#include <stdint.h>
#include <string.h>

#include "rt_core.h"

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define ADD(field, value) __atomic_fetch_add(&(field), (value), __ATOMIC_ACQ_REL)

#define JC_FREEWHEEL_PATIENCE_USECS 8000000u   /* jackd waits 10 s for a client in freewheel */
#define JC_FREEWHEEL_PAUSE_USECS 500u

_Static_assert(sizeof(jc_ring) <= JC_RING_HEADER_BYTES, "the ring's head must fit before its samples");

static float *ring_channel(const jc_ring *ring, uint32_t channel)
{
    return (float *)((char *)ring + JC_RING_HEADER_BYTES) + (size_t)channel * ring->capacity;
}

/* ---- the process callback ---- */

static void publish_clock(jc_core *core, uint64_t frame, uint64_t usecs, uint32_t nframes)
{
    uint64_t sequence = core->clock_sequence;
    __atomic_store_n(&core->clock_sequence, sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    core->clock.frame = frame;
    core->clock.usecs = usecs;
    core->clock.nframes = nframes;
    STORE(core->clock_sequence, sequence + 2);
}

/* The first frame: JACK's own, or, after an earlier client of ours, that one's, moved on by what the counter of the
 * same server says, or by the time that has passed since an earlier server. */
static uint64_t first_frame(const jc_core *core, uint32_t frame32, uint64_t usecs)
{
    if (core->resume_usecs == 0)
        return frame32;
    uint32_t ahead = frame32 - core->resume_frame32;
    if (core->is_same_server && ahead < 0x80000000u)  /* else it counts anew, as another driver of PipeWire's does */
        return core->resume_frame + ahead;
    if (usecs <= core->resume_usecs)
        return core->resume_frame;
    return core->resume_frame + (uint64_t)((double)(usecs - core->resume_usecs) * core->sample_rate / 1e6 + 0.5);
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

static void lose(jc_stream *stream, uint64_t frames, uint32_t cause)
{
    if (stream->lost == 0)
        stream->lost_cause = cause;
    stream->lost += frames;
    STORE(stream->ring->lost_pending, stream->lost);
}

static int ring_has_room(const jc_stream *stream, uint32_t nframes)
{
    jc_ring *ring = stream->ring;
    if (stream->lost != 0 && ring->gaps_pushed - LOAD(ring->gaps_taken) >= JC_GAP_SLOTS)
        return 0;
    if (nframes > ring->capacity)
        return 0;
    return !LOAD(ring->guarded) || ring->delivered + nframes - LOAD(ring->consumed) <= ring->capacity;
}

static void push_gap(jc_stream *stream)
{
    jc_ring *ring = stream->ring;
    jc_gap *gap = &ring->gaps[ring->gaps_pushed % JC_GAP_SLOTS];
    gap->delivered = ring->delivered;
    gap->frames = stream->lost;
    gap->cause = stream->lost_cause;
    stream->lost = 0;
    STORE(ring->lost_pending, 0);
    STORE(ring->gaps_pushed, ring->gaps_pushed + 1);
}

static void copy_in(float *channel, uint32_t capacity, uint32_t at, const float *buffer, uint32_t nframes)
{
    uint32_t first = capacity - at < nframes ? capacity - at : nframes;
    if (buffer == NULL) {
        memset(channel + at, 0, first * sizeof(float));
        memset(channel, 0, (nframes - first) * sizeof(float));
        return;
    }
    memcpy(channel + at, buffer, first * sizeof(float));
    memcpy(channel, buffer + first, (nframes - first) * sizeof(float));
}

/* While freewheeling nothing hurries: wait for the writer, but not so long that JACK gives up on us. */
static void await_room(jc_core *core, const jc_stream *stream, uint32_t nframes, uint64_t *deadline)
{
    while (!ring_has_room(stream, nframes)) {
        uint64_t now = core->get_time();
        if (*deadline == 0)
            *deadline = now + JC_FREEWHEEL_PATIENCE_USECS;
        if (now >= *deadline || nframes > stream->ring->capacity)
            return;
        core->pause(JC_FREEWHEEL_PAUSE_USECS);
    }
}

static void capture(jc_core *core, jc_stream *stream, uint64_t frame, uint32_t nframes, uint64_t *deadline)
{
    jc_ring *ring = stream->ring;
    if (ring->cycles == 0)
        ring->first_frame = frame;
    else if (frame > ring->next_frame)
        lose(stream, frame - ring->next_frame, stream->was_down ? JC_GAP_SERVER_DOWN : JC_GAP_XRUN);
    stream->was_down = 0;

    if (LOAD(core->is_freewheeling))
        await_room(core, stream, nframes, deadline);
    if (ring_has_room(stream, nframes)) {
        if (stream->lost != 0)
            push_gap(stream);
        uint32_t at = (uint32_t)(ring->delivered & (ring->capacity - 1));
        for (uint32_t i = 0; i < ring->channels; i++)
            copy_in(ring_channel(ring, i), ring->capacity, at, core->port_get_buffer(stream->ports[i], nframes), nframes);
        STORE(ring->delivered, ring->delivered + nframes);
    } else {
        lose(stream, nframes, JC_GAP_RING_OVERFLOW);
    }
    STORE(ring->next_frame, frame + nframes);
    STORE(ring->cycles, ring->cycles + 1);
}

/* An asynchronous server calls us twice in one cycle when a client before us makes up for one in which it was late:
 * at the end of both of its own calls. These frames we have. */
static int is_called_again(const jc_core *core, uint32_t frame32, uint32_t nframes)
{
    return core->cycles != 0 && nframes == core->clock.nframes && frame32 == core->next_frame32 - nframes;
}

int jc_process(uint32_t nframes, void *argument)
{
    jc_core *core = argument;
    uint32_t frame32, cycle_frame;
    uint64_t usecs, next_usecs;
    float period;

    frame32 = core->last_frame_time(core->client) + core->frame_offset;
    if (is_called_again(core, frame32, nframes))
        return 0;
    if (core->get_cycle_times(core->client, &cycle_frame, &usecs, &next_usecs, &period) != 0)
        usecs = 0;
    if (usecs == 0 || LOAD(core->is_freewheeling))   /* JACK's filtered time does not follow a freewheel */
        usecs = core->get_time();
    uint64_t frame = extended_frame(core, frame32, usecs);
    publish_clock(core, frame, usecs, nframes);

    uint64_t deadline = 0;
    uint32_t slots = LOAD(core->stream_slots);
    for (uint32_t slot = 0; slot < slots; slot++) {
        jc_stream *stream = LOAD(core->streams[slot]);
        if (stream != NULL)
            capture(core, stream, frame, nframes, &deadline);
    }
    core->next_frame32 += nframes;
    STORE(core->next_frame, frame + nframes);
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
    ADD(core->graph_changes, 1);
}

void jc_port_connect(uint32_t a, uint32_t b, int connected, void *argument)
{
    jc_core *core = argument;
    (void)a;
    (void)b;
    (void)connected;
    ADD(core->graph_changes, 1);
}

void jc_discard_message(const char *message)
{
    (void)message;
}

/* ---- for other threads ---- */

/* Copy the clock of the newest cycle; 0 until there has been one. */
int jc_read_clock(const jc_core *core, jc_clock *out)
{
    for (;;) {
        uint64_t before = LOAD(core->clock_sequence);
        if (before == 0)
            return 0;
        if (before % 2 == 0) {
            *out = core->clock;
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(&core->clock_sequence, __ATOMIC_RELAXED) == before)
                return 1;
        }
    }
}

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

void jc_ring_init(jc_ring *ring, uint32_t channels, uint32_t capacity, uint32_t sample_rate)
{
    memset(ring, 0, sizeof *ring);
    ring->version = JC_RING_VERSION;
    ring->channels = channels;
    ring->capacity = capacity;
    ring->sample_rate = sample_rate;
    STORE(ring->magic, JC_RING_MAGIC);
}

uint64_t jc_ring_delivered(const jc_ring *ring)
{
    return LOAD(ring->delivered);
}

uint64_t jc_ring_next_frame(const jc_ring *ring)
{
    return LOAD(ring->next_frame);
}

uint64_t jc_ring_cycles(const jc_ring *ring)
{
    return LOAD(ring->cycles);
}

/* Take the gaps pushed since the last call. All gaps before a `delivered` that was read earlier are among them. */
uint32_t jc_ring_take_gaps(jc_ring *ring, jc_gap *out, uint32_t most)
{
    uint64_t taken = ring->gaps_taken;
    uint64_t pushed = LOAD(ring->gaps_pushed);
    uint32_t count = 0;
    for (; taken < pushed && count < most; taken++)
        out[count++] = ring->gaps[taken % JC_GAP_SLOTS];
    STORE(ring->gaps_taken, taken);
    return count;
}

/* From now on keep every frame from `consumed` on. */
void jc_ring_guard(jc_ring *ring, uint64_t consumed)
{
    STORE(ring->consumed, consumed);
    __atomic_store_n(&ring->guarded, 1, __ATOMIC_SEQ_CST);
}

void jc_ring_unguard(jc_ring *ring)
{
    STORE(ring->guarded, 0);
}

void jc_ring_consume(jc_ring *ring, uint64_t consumed)
{
    STORE(ring->consumed, consumed);
}

/* Round to nearest, ties to even, as numpy's rint does: adding 1.5 * 2^52 leaves no bit below one. */
static int32_t nearest(double value)
{
    union { double number; int64_t bits; } sum = { .number = value + 6755399441055744.0 };
    return (int32_t)sum.bits;
}

/* Scale to full scale and clip; NaN becomes 0. Returns the integer and counts a clip. */
static int32_t quantize(float sample, double full_scale, uint64_t *clipped)
{
    double value = (double)sample * full_scale;
    if (value >= full_scale - 0.5) {
        (*clipped)++;
        return (int32_t)full_scale - 1;
    }
    if (value < -full_scale - 0.5) {
        (*clipped)++;
        return -(int32_t)full_scale;
    }
    return value == value ? nearest(value) : 0;
}

/* Interleave one contiguous run of every channel. */
static uint64_t interleave(const jc_ring *ring, uint32_t at, uint32_t frames, uint32_t sample_format, uint8_t *out)
{
    uint32_t channels = ring->channels;
    uint64_t clipped = 0;
    for (uint32_t c = 0; c < channels; c++) {
        const float *in = ring_channel(ring, c) + at;
        if (sample_format == JC_F32) {
            float *to = (float *)out + c;
            for (uint32_t i = 0; i < frames; i++)
                to[(size_t)i * channels] = in[i];
        } else if (sample_format == JC_I16) {
            int16_t *to = (int16_t *)out + c;
            for (uint32_t i = 0; i < frames; i++)
                to[(size_t)i * channels] = (int16_t)quantize(in[i], 32768.0, &clipped);
        } else {
            uint8_t *to = out + (size_t)3 * c;
            for (uint32_t i = 0; i < frames; i++, to += (size_t)3 * channels) {
                uint32_t value = (uint32_t)quantize(in[i], 8388608.0, &clipped);
                to[0] = (uint8_t)value;
                to[1] = (uint8_t)(value >> 8);
                to[2] = (uint8_t)(value >> 16);
            }
        }
    }
    return clipped;
}

/* Write frames [from, from + frames) interleaved to `out`; returns how many samples were clipped. */
uint64_t jc_ring_read(const jc_ring *ring, uint64_t from, uint32_t frames, uint32_t sample_format, void *out)
{
    static const uint32_t sample_bytes[] = { 4, 3, 2 };
    uint32_t at = (uint32_t)(from & (ring->capacity - 1));
    uint32_t first = ring->capacity - at < frames ? ring->capacity - at : frames;
    uint8_t *rest = (uint8_t *)out + (size_t)first * ring->channels * sample_bytes[sample_format];
    uint64_t clipped = interleave(ring, at, first, sample_format, out);
    if (first < frames)
        clipped += interleave(ring, 0, frames - first, sample_format, rest);
    return clipped;
}
