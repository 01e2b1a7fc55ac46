#include "server.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "source.h"

#define FREEWHEEL_PATIENCE 8000000u

uint64_t writer_passes, main_turns;

/* What one cycle is looked at for, before and after it. */
typedef struct {
    source *streams[JC_MAX_STREAMS];
    uint32_t slots;
    uint64_t holds[JC_MAX_STREAMS];
    int had_room[JC_MAX_STREAMS];
    jc_midi_output *outputs[JC_MAX_OUTPUTS];
    jc_midi_schedule *schedules[JC_MAX_OUTPUTS];
    uint64_t marks_taken;
} before_cycle;

/* The observer's own model of marks. */
typedef struct {
    uint64_t due;
    uint32_t held;
    uint32_t marked_xruns;
    int is_relocated;
    int has_skipped;
} mark_model;

/* ---- what JACK does next ---- */

static void change_transport(uint64_t *random, mark_model *model, uint32_t last_nframes, uint64_t skipped)
{
    static const double tempi[] = { 60, 120, 133.5 };
    uint32_t moved = jack.transport_state == 1 ? last_nframes : 0;
    if (skipped != 0 && jack.transport_state == 1 && one_in(random, 2))
        moved += (uint32_t)skipped;     /* the server went on without us */
    jack.transport_frame += moved;
    model->is_relocated = one_in(random, 40);
    if (model->is_relocated)
        jack.transport_frame += 1u << 20;
    if (one_in(random, 30))
        jack.transport_state = (uint32_t[]){ 0, 1, 1, 3 }[below(random, 4)];
    if (one_in(random, 40))
        jack.transport_valid ^= 0x10;
    if (one_in(random, 40))
        jack.beats_per_minute = tempi[below(random, 3)];
    if (one_in(random, 100))
        jack.beats_per_bar = 3 + (float)below(random, 3);
    if (one_in(random, 100))
        jack.beat_type = (float)(4u << below(random, 2));
    music_at(jack.frame, &jack.bar, &jack.beat, &jack.tick, &jack.ticks_per_beat);
}

/* `frame` is true; the counter says so until it goes back, after which it counts on from there. */
static void next_cycle(server *of, uint64_t *random, mark_model *model)
{
    static const uint32_t periods[] = { 16, 64, 64, 100, 128, 256, MOST_PERIOD };
    uint32_t last = jack.nframes;
    uint64_t skipped = 0;
    if (of->cycle_count != 0) {
        if (one_in(random, 40))
            skipped = 1 + below(random, 2000);
        if (one_in(random, 2000))
            skipped = below(random, 1u << 30);
        int64_t back = one_in(random, 300) ? 1 + (int64_t)below(random, 300) : 0;
        if (back != 0)
            skipped = 0;
        of->jumps_back += back != 0;
        of->skips += skipped != 0;
        jack.frame += last + skipped;
        jack.counter += last + (uint32_t)skipped - (uint32_t)back;
        jack.usecs += (last + skipped) * 1000000 / RATE;
    }
    model->has_skipped = skipped != 0;
    if (last == 0 || one_in(random, 40))
        jack.nframes = periods[below(random, sizeof periods / sizeof *periods)];
    jack.cycle++;
    jack.clock_fails = of->cycle_count != 0 && one_in(random, 100);
    jack.time = jack.usecs + 7;
    jack.asked_time = 0;
    jack.paused = 0;
    change_transport(random, model, last, skipped);
}

/* ---- streams ---- */

static int has_room(const source *of, uint64_t amount, uint32_t gaps)
{
    jc_ring *ring = of->stream.ring;
    return ring->gaps_pushed + gaps - PEEK(ring->gaps_taken) <= JC_GAP_SLOTS
           && ring->delivered + amount - PEEK(ring->consumed) <= ring->capacity;
}

static uint32_t gaps_to_push(const source *of)
{
    uint32_t skipped = of->cycles != 0 && jack.frame > of->next_frame;
    uint32_t lossy = of->channels == 0 && midi_is_lossy(of->seed, jack.frame);
    return (of->lost != 0 || skipped) + lossy;
}

/* The fake port has a cycle's events only once it was asked for them. */
static uint64_t amount_to_come(const source *of)
{
    if (of->channels)
        return jack.nframes;
    uint64_t amount = 0;
    for (uint32_t i = 0; i < jack.nframes; i++) {
        midi_event events[MOST_EVENTS_PER_FRAME];
        uint32_t count = midi_events_at(of->seed, jack.frame + i, events);
        while (count-- > 0)
            amount += record_bytes(events[count].length);
    }
    return amount;
}

/* Only pointers of streams that the core has not seen yet: the core is who must make their contents visible. */
static void look_before(server *of, before_cycle *before)
{
    before->slots = PEEK(of->core.stream_slots);
    for (uint32_t slot = 0; slot < before->slots; slot++) {
        source *stream = (source *)PEEK(of->core.streams[slot]);
        int is_known = stream != NULL && stream == before->streams[slot];
        before->streams[slot] = stream;
        if (!is_known || stream->cycles == 0) {
            before->holds[slot] = 0;
            continue;
        }
        before->holds[slot] = PEEK(stream->hold);
        before->had_room[slot] = has_room(stream, amount_to_come(stream), gaps_to_push(stream));
    }
    for (uint32_t i = 0; i < JC_MAX_OUTPUTS; i++)
        before->outputs[i] = PEEK(of->core.outputs[i]);
    before->marks_taken = PEEK(of->core.marks_taken);
}

static void judge_room(server *of, const source *stream, const before_cycle *before, uint64_t amount, int was_kept)
{
    uint64_t hold = before->holds[stream->slot];
    int is_freewheeling = (int)of->core.last_mark.clock.is_freewheeling;
    if (hold % 2 == 0 || PEEK(stream->hold) != hold)
        return;
    if (before->had_room[stream->slot])
        CHECK(was_kept, "a cycle of frame %" PRIu64 " was lost, although there was room", jack.frame);
    if (!was_kept)
        CHECK(!is_freewheeling || jack.paused >= FREEWHEEL_PATIENCE, "lost in freewheel after %" PRIu64 " us",
              jack.paused);
    if (was_kept)
        CHECK(stream->stream.ring->delivered - PEEK(stream->stream.ring->consumed) <= stream->stream.ring->capacity,
              "overwritten: %" PRIu64 " bytes or frames came", amount);
}

static void judge_stream(server *of, source *stream, const before_cycle *before)
{
    const jc_ring *ring = stream->stream.ring;
    if (ring->cycles == 0 || ring->cycles == stream->cycles)
        return;                       /* it was taken away before the core came to it */
    if (stream->cycles == 0 && ring->cycles == 2) {   /* it came after the last cycle was looked at; all of it fit */
        const jc_clock *last = &of->cycles[of->cycle_count - 2].mark.clock;
        uint64_t grown = ring->delivered - source_amount(stream);
        source_note(stream, last->frame, last->nframes, grown, 1);
    }
    CHECK(ring->cycles == stream->cycles + 1, "%" PRIu64 " cycles after %" PRIu64, ring->cycles, stream->cycles);
    uint64_t amount = source_amount(stream), grown = ring->delivered - stream->delivered;
    uint64_t end = jack.frame + jack.nframes;
    int was_kept = ring->settled_frame == end;
    CHECK(grown == (was_kept ? amount : 0), "the ring grew by %" PRIu64 " of %" PRIu64, grown, amount);
    judge_room(of, stream, before, amount, was_kept);
    source_note(stream, jack.frame, jack.nframes, grown, was_kept);
    of->overflows += !was_kept;
    of->midi_events += stream->channels == 0 && was_kept ? stream->ports[0].event_count : 0;
    CHECK(ring->next_frame == end && ring->lost_pending == stream->lost && ring->gaps_pushed == stream->gaps.count,
          "next frame %" PRIu64 ", %" PRIu64 " pending, %" PRIu64 " gaps; not %" PRIu64 ", %" PRIu64 ", %zu",
          ring->next_frame, ring->lost_pending, ring->gaps_pushed, end, stream->lost, stream->gaps.count);
}

/* ---- outputs ---- */

static void judge_output(server *of, uint32_t slot, const before_cycle *before)
{
    jc_midi_output *output = before->outputs[slot];
    if (output == NULL || PEEK(of->core.outputs[slot]) != output)
        return;
    fake_port *port = output->port;
    CHECK(port->cleared_cycle == jack.cycle, "output %u sends the last cycle again", slot);
    jc_midi_schedule *schedule = PEEK(output->schedule);
    /* One that the core has begun with; of another its contents may not be visible yet. */
    if (schedule == NULL || schedule != before->schedules[slot] || fake_was_full(port))
        return;
    CHECK(schedule->next == schedule->count || schedule->events[schedule->next].frame >= jack.frame + jack.nframes,
          "event %u of frame %" PRIu64 " is not sent by %" PRIu64, schedule->next,
          schedule->events[schedule->next].frame, jack.frame + jack.nframes);
}

/* ---- marks ---- */

static uint32_t true_reasons(const server *of, const mark_model *model, const jc_mark *now)
{
    if (of->cycle_count == 0)
        return JC_MARK_SERVER;
    const jc_mark *last = &of->cycles[of->cycle_count - 1].mark;
    uint32_t reasons = 0;
    reasons |= model->has_skipped ? JC_MARK_GAP : 0;
    reasons |= of->core.marked_xruns != model->marked_xruns ? JC_MARK_XRUN : 0;
    reasons |= now->clock.nframes != last->clock.nframes ? JC_MARK_PERIOD : 0;
    reasons |= now->clock.is_freewheeling != last->clock.is_freewheeling ? JC_MARK_FREEWHEEL : 0;
    reasons |= now->transport_state != last->transport_state ? JC_MARK_TRANSPORT : 0;
    reasons |= model->is_relocated ? JC_MARK_RELOCATION : 0;
    if (now->bar == 0 && last->bar == 0)
        return reasons;
    if (now->bar == 0 || last->bar == 0 || now->beats_per_minute != last->beats_per_minute
        || now->beats_per_bar != last->beats_per_bar || now->beat_type != last->beat_type)
        reasons |= JC_MARK_TEMPO;
    return reasons;
}

static void judge_mark(server *of, mark_model *model, const before_cycle *before, uint64_t pushed_before)
{
    uint32_t wheel = of->core.last_mark.clock.is_freewheeling;
    jc_mark now = { .clock = { jack.frame, jack.usecs, jack.nframes, wheel },
                    .transport_state = jack.transport_state,
                    .transport_frame = jack.transport_frame };
    if (wheel || jack.clock_fails)
        now.clock.usecs = jack.asked_time;
    if (jack.transport_valid & 0x10) {
        now.bar = jack.bar;
        now.beat = jack.beat;
        now.tick = jack.tick;
        now.beats_per_bar = jack.beats_per_bar;
        now.beat_type = jack.beat_type;
        now.ticks_per_beat = jack.ticks_per_beat;
        now.beats_per_minute = jack.beats_per_minute;
    }
    now.reasons = true_reasons(of, model, &now) | model->held;
    CHECK(memcmp(&now, &of->core.last_mark, sizeof now) == 0,
          "at %" PRIu64 ", reasons %u and not %u, frame %" PRIu64 ", %u frames, %" PRIu64 " us, transport %u at %u",
          jack.frame, of->core.last_mark.reasons, now.reasons, of->core.last_mark.clock.frame,
          of->core.last_mark.clock.nframes, of->core.last_mark.clock.usecs, of->core.last_mark.transport_state,
          of->core.last_mark.transport_frame);
    int is_marked = of->core.marks_pushed != pushed_before;
    int is_due = now.reasons != 0 || now.clock.usecs >= model->due;
    if (is_marked)
        CHECK(is_due, "a mark for no reason at frame %" PRIu64, jack.frame);
    else
        CHECK(!is_due || pushed_before - before->marks_taken >= JC_MARK_SLOTS, "no mark at frame %" PRIu64, jack.frame);
    model->held = is_marked ? 0 : now.reasons;
    model->marked_xruns = of->core.marked_xruns;
    if (is_marked)
        model->due = now.clock.usecs + 100000;
    of->freewheel_cycles += wheel;
    GROW(of->cycles, of->cycle_count, of->cycle_space);
    of->cycles[of->cycle_count++] = (cycle_truth){ now, is_marked };
}

/* ---- threads ---- */

/* How many cycles JACK's thread may still run before the others must have come round. */
typedef struct {
    uint64_t passes, turns;
    uint64_t before_pass, before_turn;
} pace;

/* Let the writer keep up, mostly; sometimes get so far ahead that rings are full. Main need not look at each cycle. */
static void keep_pace(server *of, uint64_t *random, pace *now)
{
    if (now->before_turn-- == 0) {
        while (PEEK(main_turns) == now->turns && !PEEK(of->must_end))
            sched_yield();
        now->turns = PEEK(main_turns);
        now->before_turn = 20;
    }
    if (now->before_pass-- == 0) {
        while (PEEK(writer_passes) == now->passes)
            sched_yield();
        now->passes = PEEK(writer_passes);
        now->before_pass = one_in(random, 400) ? 300 : below(random, 12);
    }
}

static void *run_cycles(void *argument)
{
    server *of = argument;
    uint64_t random = spread(of->seed);
    pace pace = { .passes = PEEK(writer_passes), .turns = PEEK(main_turns) };
    before_cycle before = { .slots = 0 };
    mark_model model = { .due = 0 };
    while (!PEEK(of->must_end)) {
        keep_pace(of, &random, &pace);
        next_cycle(of, &random, &model);
        look_before(of, &before);
        uint64_t pushed = of->core.marks_pushed;
        CHECK(jc_process(jack.nframes, &of->core) == 0, "the callback failed");
        judge_mark(of, &model, &before, pushed);
        for (uint32_t slot = 0; slot < before.slots; slot++)
            if (before.streams[slot] != NULL)
                judge_stream(of, before.streams[slot], &before);
        for (uint32_t i = 0; i < JC_MAX_OUTPUTS; i++) {
            judge_output(of, i, &before);
            before.schedules[i] = before.outputs[i] == NULL ? NULL : PEEK(before.outputs[i]->schedule);
        }
        CHECK(of->core.next_frame == jack.frame + jack.nframes, "next frame %" PRIu64, of->core.next_frame);
        TELL(of->cycles_run, of->cycle_count);
    }
    CHECK(of->core.backward_jumps == of->jumps_back, "%" PRIu64 " jumps", of->core.backward_jumps);
    return NULL;
}

/* JACK's other thread: it tells of what happens in the graph, and of freewheel. */
static void *notify(void *argument)
{
    server *of = argument;
    uint64_t random = spread(~of->seed), due = 0, freewheel_until = 0;
    struct timespec moment = { .tv_nsec = 20000 };
    while (!PEEK(of->must_end)) {
        uint64_t run = PEEK(of->cycles_run);
        if (freewheel_until != 0 && run >= freewheel_until) {
            jc_freewheel(0, &of->core);
            freewheel_until = 0;
        }
        if (run < due) {
            nanosleep(&moment, NULL);
            continue;
        }
        due = run + 1 + below(&random, 30);
        for (uint64_t times = below(&random, 3); times > 0; times--, of->xruns++)
            jc_xrun(&of->core);
        jc_port_registration(1, 1, &of->core);
        jc_port_connect(1, 2, 1, &of->core);
        jc_latency(0, &of->core);
        of->port_changes += 1;
        of->connection_changes += 2;
        if (freewheel_until == 0 && one_in(&random, 20)) {
            jc_freewheel(1, &of->core);
            freewheel_until = run + 1 + below(&random, 40);
        }
    }
    jc_info_shutdown(0, "the end", &of->core);
    return NULL;
}

server *server_new(uint64_t seed, uint64_t frame, uint32_t counter, uint64_t usecs)
{
    server *new = allocate(sizeof *new);
    new->seed = seed;
    fake_jack_serve(&new->core);
    new->core.frame_offset = (uint32_t)spread(seed + 1);
    jack.frame = frame;
    jack.counter = counter - new->core.frame_offset;
    jack.usecs = usecs;
    return new;
}

void server_start(server *of)
{
    CHECK(pthread_create(&of->thread, NULL, run_cycles, of) == 0, "no thread");
    CHECK(pthread_create(&of->notifier, NULL, notify, of) == 0, "no thread");
}

void server_end(server *of)
{
    TELL(of->must_end, 1);
    pthread_join(of->notifier, NULL);
    pthread_join(of->thread, NULL);
    CHECK(of->core.shut_down == 1, "the shutdown was not seen");
    CHECK(of->core.xruns == of->xruns && of->core.port_changes == of->port_changes
              && of->core.connection_changes == of->connection_changes,
          "%u xruns, %u and %u changes; not %u, %u, %u", of->core.xruns, of->core.port_changes,
          of->core.connection_changes, of->xruns, of->port_changes, of->connection_changes);
}

void server_free(server *of)
{
    free(of->cycles);
    free(of);
}
