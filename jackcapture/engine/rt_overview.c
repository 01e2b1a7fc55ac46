/*
 * Overviews of chunks, from the floats in the ring: NaN counts as 0, lost frames are silence. On the writer thread:
 * `out` is a page that a disk backs.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "rt_core.h"
#include "rt_overview.h"

/* Compilers do not make vectors of sums by themselves, for that changes their last bits. */
#define LANES 4
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t masks __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef double half __attribute__((vector_size(2 * sizeof(double))));

enum { MIN, MAX, RMS };

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static const float *channel_at(const jc_ring *ring, uint32_t channel, uint32_t at)
{
    return (const float *)((const char *)ring + JC_RING_HEADER_BYTES) + (size_t)channel * ring->capacity + at;
}

static float number(float sample)
{
    return sample == sample ? sample : 0.0f;
}

static void widen(float *out, float sample)
{
    if (sample < out[MIN])
        out[MIN] = sample;
    if (sample > out[MAX])
        out[MAX] = sample;
}

static lanes choose(masks mask, lanes yes, lanes no)
{
    return (lanes)(((masks)yes & mask) | ((masks)no & ~mask));
}

/* Widen min and max to a run of samples; returns its sum of squares, which are exact in double. */
static double add_samples(const float *in, uint32_t frames, float *out)
{
    lanes lowest = out[MIN] - (lanes){ 0 }, highest = out[MAX] - (lanes){ 0 };
    half even = { 0 }, odd = { 0 };
    uint32_t i = 0;
    for (; i + LANES <= frames; i += LANES) {
        lanes samples;
        memcpy(&samples, in + i, sizeof samples);
        samples = (lanes)((masks)samples & (samples == samples));
        lowest = choose(samples < lowest, samples, lowest);
        highest = choose(samples > highest, samples, highest);
        half first = { samples[0], samples[1] }, second = { samples[2], samples[3] };
        even += first * first;
        odd += second * second;
    }
    for (int lane = 0; lane < LANES; lane++) {
        widen(out, lowest[lane]);
        widen(out, highest[lane]);
    }
    double sum = even[0] + even[1] + odd[0] + odd[1];
    for (; i < frames; i++) {
        float sample = number(in[i]);
        widen(out, sample);
        sum += (double)sample * sample;
    }
    return sum;
}

/* Add a run of one channel's samples to a block that has `before` frames. */
static void add_run(const float *in, uint32_t frames, uint32_t before, double *sum, float *out)
{
    if (before == 0) {
        out[MIN] = out[MAX] = number(in[0]);
        *sum = 0.0;
    }
    *sum += add_samples(in, frames, out);
    out[RMS] = (float)sqrt(*sum / (before + frames));
}

/* Add frames [from, from + frames) of the ring. */
void jc_overview_add(const jc_ring *ring, uint64_t from, uint32_t frames, uint64_t at, double *sums, float *out)
{
    uint32_t channels = ring->channels;
    while (frames != 0) {
        uint32_t place = (uint32_t)(from & (ring->capacity - 1));
        uint32_t before = (uint32_t)(at % JC_OVERVIEW_FRAMES);
        uint32_t run = least(least(frames, JC_OVERVIEW_FRAMES - before), ring->capacity - place);
        float *block = out + at / JC_OVERVIEW_FRAMES * channels * JC_OVERVIEW_VALUES;
        for (uint32_t c = 0; c < channels; c++)
            add_run(channel_at(ring, c, place), run, before, &sums[c], block + c * JC_OVERVIEW_VALUES);
        from += run;
        at += run;
        frames -= run;
    }
}

/* Add lost frames. Blocks of nothing else stay as they are: zeros, which are not written. */
void jc_overview_add_silence(uint32_t channels, uint32_t frames, uint64_t at, double *sums, float *out)
{
    uint32_t before = (uint32_t)(at % JC_OVERVIEW_FRAMES);
    uint32_t run = least(frames, JC_OVERVIEW_FRAMES - before);
    float *block = out + at / JC_OVERVIEW_FRAMES * channels * JC_OVERVIEW_VALUES;
    if (before != 0)
        for (uint32_t c = 0; c < channels; c++, block += JC_OVERVIEW_VALUES) {
            widen(block, 0.0f);
            block[RMS] = (float)sqrt(sums[c] / (before + run));
        }
    if (before == 0 || run < frames)   /* the block that is not finished begins with silence */
        memset(sums, 0, channels * sizeof *sums);
}
