#include "truth.h"

#include <math.h>
#include <string.h>

#include "check.h"

float audio_at(uint64_t frame, uint32_t channel)
{
    int64_t whole = (int64_t)((frame * 4099 + channel * (uint64_t)65537) % (1u << 24)) - (1 << 23);
    return (float)((double)whole / (1 << 23) * (channel % 2 ? 2.0 : 1.0));
}

int check_stored(const uint8_t *stored, uint32_t sample_format, uint64_t frame, uint32_t channel)
{
    float sample = audio_at(frame, channel);
    if (sample_format == JC_F32) {
        float found;
        memcpy(&found, stored, sizeof found);
        CHECK(found == sample, "frame %" PRIu64 " channel %u: %.9g instead of %.9g", frame, channel, (double)found,
              (double)sample);
        return 0;
    }
    double full_scale = sample_format == JC_I16 ? 32768.0 : 8388608.0;
    double nearest = nearbyint((double)sample * full_scale);
    double expected = fmax(-full_scale, fmin(full_scale - 1, nearest));
    int32_t found = sample_format == JC_I16 ? (int16_t)(stored[0] | stored[1] << 8)
                                            : (int32_t)((uint32_t)stored[0] << 8 | (uint32_t)stored[1] << 16
                                                        | (uint32_t)stored[2] << 24) / 256;
    CHECK(found == (int32_t)expected, "frame %" PRIu64 " channel %u: %d instead of %.0f", frame, channel, found,
          expected);
    return expected != nearest;
}

/* Channel messages, MIDI clock with all that starts, stops and moves it, system exclusive, and events without bytes. */
static void make_event(uint64_t number, midi_event *event)
{
    static const uint8_t real_time[] = { 0xF8, 0xF8, 0xF8, 0xFA, 0xFB, 0xFC };
    uint64_t kind = number % 100;
    uint64_t bits = spread(number);
    uint8_t *bytes = event->bytes;
    if (kind < 40) {
        event->length = kind < 10 ? 2 : 3;
        bytes[0] = (uint8_t)((kind < 10 ? 0xC0 : 0x90) | (bits & 15));
    } else if (kind < 75) {
        event->length = 1;
        bytes[0] = real_time[bits % sizeof real_time];
        return;
    } else if (kind < 85) {
        event->length = kind < 83 ? 3 : 2;   /* one that is cut short moves nothing */
        bytes[0] = 0xF2;
    } else if (kind < 90) {
        event->length = 0;
        return;
    } else {
        event->length = 2 + (uint32_t)(bits % (MOST_EVENT_BYTES - 1));
        bytes[0] = 0xF0;
    }
    for (uint32_t i = 1; i < event->length; i++)
        bytes[i] = (uint8_t)(spread(number + i) & 0x7F);
}

uint32_t midi_events_at(uint64_t seed, uint64_t frame, midi_event events[MOST_EVENTS_PER_FRAME])
{
    uint64_t number = spread(seed ^ spread(frame));
    if (number % 32 != 0)
        return 0;
    uint32_t count = 1 + (uint32_t)(number / 32 % MOST_EVENTS_PER_FRAME);
    for (uint32_t i = 0; i < count; i++)
        make_event(spread(number + i), &events[i]);
    return count;
}

int midi_is_lossy(uint64_t seed, uint64_t cycle_frame)
{
    return spread(~seed ^ spread(cycle_frame)) % 50 == 0;
}

void music_at(uint64_t frame, int32_t *bar, int32_t *beat, int32_t *tick, double *ticks_per_beat)
{
    *bar = 1 + (int32_t)(spread(frame) % 10000);
    *beat = (int32_t)(spread(frame + 1) % 10000);
    *tick = (int32_t)(spread(frame + 2) % 10000);
    *ticks_per_beat = (double)(spread(frame + 3) % 10000);
}

uint64_t record_bytes(uint64_t length)
{
    return (JC_MIDI_HEAD_BYTES + length + 7) / 8 * 8;
}

void count_event(jc_midi_clock *clock, const uint8_t *bytes, uint32_t length)
{
    uint8_t status = length > 0 ? bytes[0] : 0;
    if (status == 0xF8) {
        clock->ticks += 1;
        clock->ticks_since_start += clock->is_running ? 1 : 0;
    }
    if (status == 0xFA || status == 0xFB)
        clock->is_running = 1;
    if (status == 0xFC)
        clock->is_running = 0;
    if (status == 0xFA)
        clock->ticks_since_start = 0;
    if (status == 0xF2 && length == 3)   /* song position: in sixteenth notes, of six ticks each */
        clock->ticks_since_start = (uint64_t)(bytes[1] + 128 * bytes[2]) * 6;
}
