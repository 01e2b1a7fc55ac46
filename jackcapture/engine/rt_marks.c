/*
 * Marks: what JACK's clocks and its transport were at the start of a cycle; about ten a second, and one at each change.
 */
#include "rt_internal.h"

#define JC_MARK_USECS 100000u
#define JACK_ROLLING 1u
#define JACK_POSITION_BBT 0x10u

/* The head of libjack's jack_position_t (jack/types.h), up to what is read here, and room for the rest. */
typedef struct {
    uint64_t unique;
    uint64_t usecs;
    uint32_t frame_rate;
    uint32_t frame;
    uint32_t valid;
    int32_t bar;
    int32_t beat;
    int32_t tick;
    double bar_start_tick;
    float beats_per_bar;
    float beat_type;
    double ticks_per_beat;
    double beats_per_minute;
    uint64_t rest[32];
} position_head;

_Static_assert(offsetof(position_head, beats_per_minute) == 64, "as libjack lays it out, packed or not");

static void read_transport(jc_core *core, jc_mark *mark)
{
    position_head position;
    mark->transport_state = core->transport_query(core->client, &position);
    mark->transport_frame = position.frame;
    mark->bar = 0;
    if ((position.valid & JACK_POSITION_BBT) == 0)
        return;
    mark->bar = position.bar;
    mark->beat = position.beat;
    mark->tick = position.tick;
    mark->beats_per_bar = position.beats_per_bar;
    mark->beat_type = position.beat_type;
    mark->ticks_per_beat = position.ticks_per_beat;
    mark->beats_per_minute = position.beats_per_minute;
}

static int is_relocated(const jc_mark *last, const jc_mark *now, uint64_t skipped)
{
    uint32_t expected = last->transport_frame;
    if (last->transport_state == JACK_ROLLING)
        expected += last->clock.nframes;
    /* The transport of a server that left us out of some cycles went on meanwhile. */
    return now->transport_frame != expected && now->transport_frame != expected + (uint32_t)skipped;
}

static uint32_t changes(const jc_core *core, const jc_mark *last, const jc_mark *now, uint64_t skipped, uint32_t xruns)
{
    uint32_t reasons = skipped != 0 ? JC_MARK_GAP : 0;
    if (core->cycles == 0)
        return JC_MARK_SERVER;
    if (xruns != core->marked_xruns)
        reasons |= JC_MARK_XRUN;
    if (now->clock.nframes != last->clock.nframes)
        reasons |= JC_MARK_PERIOD;
    if (now->clock.is_freewheeling != last->clock.is_freewheeling)
        reasons |= JC_MARK_FREEWHEEL;
    if (now->transport_state != last->transport_state)
        reasons |= JC_MARK_TRANSPORT;
    if (is_relocated(last, now, skipped))
        reasons |= JC_MARK_RELOCATION;
    if ((now->bar != 0) != (last->bar != 0) || now->beats_per_minute != last->beats_per_minute
        || now->beats_per_bar != last->beats_per_bar || now->beat_type != last->beat_type)
        reasons |= JC_MARK_TEMPO;
    return reasons;
}

_Static_assert(sizeof(jc_mark) == JC_MARK_WORDS * sizeof(uint64_t), "a mark is published word by word");

/* Words that are stored whole, so that a reader that gets in between reads no torn one and sees the sequence change. */
static void publish(jc_core *core, const jc_mark *now)
{
    uint64_t words[JC_MARK_WORDS], sequence = core->now_sequence;
    memcpy(words, now, sizeof words);
    __atomic_store_n(&core->now_sequence, sequence + 1, __ATOMIC_RELAXED);
    for (int i = 0; i < JC_MARK_WORDS; i++)
        STORE(core->now[i], words[i]);
    STORE(core->now_sequence, sequence + 2);
}

/* Copy the mark of the newest cycle; 0 until there has been one. On any thread. */
int jc_read_now(const jc_core *core, jc_mark *out)
{
    uint64_t words[JC_MARK_WORDS];
    for (;;) {
        uint64_t before = LOAD(core->now_sequence);
        if (before == 0)
            return 0;
        if (before % 2 != 0)
            continue;
        for (int i = 0; i < JC_MARK_WORDS; i++)
            words[i] = LOAD(core->now[i]);
        if (__atomic_load_n(&core->now_sequence, __ATOMIC_RELAXED) == before) {
            memcpy(out, words, sizeof words);
            return 1;
        }
    }
}

/* Look at a cycle that begins, `skipped` frames after the end of the last one, and mark it if that is due. */
void observe_cycle(jc_core *core, const jc_clock *clock, uint64_t skipped)
{
    jc_mark now = { .clock = *clock };
    uint32_t xruns = LOAD(core->xruns);   /* once: one that comes from now on is the next cycle's */
    read_transport(core, &now);
    now.reasons = changes(core, &core->last_mark, &now, skipped, xruns) | core->held_reasons;
    core->marked_xruns = xruns;
    core->last_mark = now;
    publish(core, &now);
    core->held_reasons = 0;
    if (now.reasons == 0 && clock->usecs < core->mark_due)
        return;
    if (core->marks_pushed - LOAD(core->marks_taken) >= JC_MARK_SLOTS) {
        core->held_reasons = now.reasons;
        return;
    }
    core->mark_due = clock->usecs + JC_MARK_USECS;
    core->marks[core->marks_pushed % JC_MARK_SLOTS] = now;
    STORE(core->marks_pushed, core->marks_pushed + 1);
}

/* Take the marks made since the last call; on one thread. */
uint32_t jc_take_marks(jc_core *core, jc_mark *out, uint32_t most)
{
    uint64_t taken = core->marks_taken;
    uint64_t pushed = LOAD(core->marks_pushed);
    uint32_t count = 0;
    for (; taken < pushed && count < most; taken++)
        out[count++] = core->marks[taken % JC_MARK_SLOTS];
    STORE(core->marks_taken, taken);
    return count;
}
