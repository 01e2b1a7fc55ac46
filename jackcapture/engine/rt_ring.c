/*
 * Rings: the ends that the process callback and the writer thread hold; audio in, and out as a chunk wants it.
 */
#include "rt_internal.h"

_Static_assert(sizeof(jc_ring) <= JC_RING_HEADER_BYTES, "the ring's head must fit before its data");

static float *ring_channel(const jc_ring *ring, uint32_t channel)
{
    return (float *)ring_data(ring) + (size_t)channel * ring->capacity;
}

/* ---- in the callback ---- */

/* Whether frames of audio, or bytes of MIDI, fit in without overwriting what is kept. */
int ring_has_room(const jc_ring *ring, uint64_t amount)
{
    if (amount > ring->capacity)
        return 0;
    return !LOAD(ring->guarded) || ring->delivered + amount - LOAD(ring->consumed) <= ring->capacity;
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

/* Put a cycle into the ring, which has room for it. */
void ring_put_audio(jc_core *core, const jc_stream *stream, uint32_t nframes)
{
    jc_ring *ring = stream->ring;
    uint32_t at = (uint32_t)(ring->delivered & (ring->capacity - 1));
    for (uint32_t i = 0; i < ring->channels; i++)
        copy_in(ring_channel(ring, i), ring->capacity, at, core->port_get_buffer(stream->ports[i], nframes), nframes);
    STORE(ring->delivered, ring->delivered + nframes);
}

/* ---- for other threads ---- */

void jc_ring_init(jc_ring *ring, uint32_t kind, uint32_t channels, uint32_t capacity, uint32_t sample_rate)
{
    memset(ring, 0, sizeof *ring);
    ring->version = JC_RING_VERSION;
    ring->kind = kind;
    ring->guarded = kind == JC_MIDI;   /* records that are overwritten could not be found again */
    ring->channels = channels;
    ring->capacity = capacity;
    ring->sample_rate = sample_rate;
    STORE(ring->magic, JC_RING_MAGIC);
}

/* All before this frame is in the ring or in a gap; to be read before `delivered` and the gaps. */
uint64_t jc_ring_settled_frame(const jc_ring *ring)
{
    return LOAD(ring->settled_frame);
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

/* Take the gaps pushed since the last call; all before a `settled_frame` that was read earlier are among them. */
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
    STORE(ring->guarded, ring->kind == JC_MIDI);
}

/* All before `moved_frame` is in chunks, so that what is before `consumed` may be overwritten. */
void jc_ring_consume(jc_ring *ring, uint64_t consumed, uint64_t moved_frame)
{
    STORE(ring->moved_frame, moved_frame);
    STORE(ring->consumed, consumed);
}

/*
 * Make a ring whole that a dead engine has left, and let a stream go on in it. What a cycle had begun to put in when
 * the engine died is not settled and is dropped; what was lost before and not yet pushed begins the stream's gap.
 */
void jc_ring_adopt(jc_ring *ring, jc_stream *stream)
{
    while (ring->gaps_pushed > 0 && ring->gaps[(ring->gaps_pushed - 1) % JC_GAP_SLOTS].frame >= ring->settled_frame)
        ring->gaps_pushed--;
    ring->gaps_taken = ring->gaps_pushed;
    if (ring->kind == JC_MIDI) {
        ring->delivered = jc_midi_skip(ring, ring->consumed, ring->delivered, ring->settled_frame);
    } else if (ring->gaps_pushed > 0) {
        const jc_gap *last = &ring->gaps[(ring->gaps_pushed - 1) % JC_GAP_SLOTS];
        ring->delivered = last->delivered + ring->settled_frame - last->frame - last->frames;
    } else {
        ring->delivered = ring->settled_frame - ring->first_frame;
    }
    if (ring->next_frame < ring->settled_frame)
        ring->next_frame = ring->settled_frame;
    ring->lost_pending = ring->next_frame - ring->settled_frame;
    stream->ring = ring;
    stream->lost = ring->lost_pending;
    stream->lost_frame = ring->settled_frame;
    stream->lost_cause = JC_GAP_RING_OVERFLOW;
    stream->skip_cause = JC_GAP_ENGINE_DIED;
}

/* Copy the newest gaps, JC_GAP_SLOTS at most, taken or not; for a ring that was adopted. */
uint32_t jc_ring_known_gaps(const jc_ring *ring, jc_gap *out)
{
    uint64_t first = ring->gaps_pushed > JC_GAP_SLOTS ? ring->gaps_pushed - JC_GAP_SLOTS : 0;
    uint32_t count = 0;
    for (uint64_t i = first; i < ring->gaps_pushed; i++)
        out[count++] = ring->gaps[i % JC_GAP_SLOTS];
    return count;
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
