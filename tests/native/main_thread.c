#include "main_thread.h"

#include <string.h>
#include <time.h>

#include "check.h"

#define MOST_STREAMS 6
#define MOST_SENDERS 3
#define MOST_LOOKS 4096

/* What became of a schedule that was taken from its output. */
typedef struct {
    uint32_t id, count, done;
    jc_midi_event *events;
} ledger;

typedef struct {
    jc_midi_output output;
    fake_port port;
    jc_midi_schedule *schedule;
    uint32_t id;              /* of the schedule */
    ledger *ledgers;
    size_t ledger_count, ledger_space;
} sender;

struct main_thread {
    uint64_t random;
    source *streams[MOST_STREAMS];
    sender *senders[MOST_SENDERS];
    uint32_t schedules;
    jc_mark looks[MOST_LOOKS];
    size_t look_count;
    uint64_t last_cycles, last_next_frame;
    main_counts counts;
};

static const uint32_t slots[MOST_STREAMS] = { 0, 1, 2, 3, 7, 40 };

/* ---- what any thread may look at ---- */

static void check_whole(const jc_mark *mark)
{
    int32_t bar, beat, tick;
    double ticks_per_beat;
    music_at(mark->clock.frame, &bar, &beat, &tick, &ticks_per_beat);
    CHECK(mark->bar == 0 || (mark->bar == bar && mark->beat == beat && mark->tick == tick
                             && mark->ticks_per_beat == ticks_per_beat),
          "what was read of frame %" PRIu64 " is torn", mark->clock.frame);
}

/* Events that are done say when they were sent. */
static void look_at_events(const main_thread *of)
{
    for (uint32_t i = 0; i < MOST_SENDERS; i++) {
        const jc_midi_schedule *schedule = of->senders[i] == NULL ? NULL : of->senders[i]->schedule;
        uint32_t done = schedule == NULL ? 0 : jc_events_done(schedule);
        for (uint32_t event = 0; event < done; event++)
            CHECK(schedule->events[event].sent_frame != JC_NOT_SENT, "event %u is done, but not sent", event);
    }
}

static uint64_t look(main_thread *of, const server *server)
{
    jc_mark now;
    uint64_t cycles = jc_cycles(&server->core), next_frame = jc_next_frame(&server->core);
    CHECK(cycles >= of->last_cycles && next_frame >= of->last_next_frame, "cycle %" PRIu64 ", frame %" PRIu64, cycles,
          next_frame);
    of->last_cycles = cycles;
    of->last_next_frame = next_frame;
    if (!jc_read_now(&server->core, &now)) {
        CHECK(cycles == 0, "no clock in cycle %" PRIu64, cycles);
        return 0;
    }
    const jc_mark *last = of->look_count ? &of->looks[of->look_count - 1] : NULL;
    CHECK(cycles == 0 || now.clock.frame + now.clock.nframes >= next_frame, "the clock is behind");
    CHECK(last == NULL || now.clock.frame >= last->clock.frame, "the clock goes back");
    check_whole(&now);
    of->counts.looks++;
    if (last == NULL || (last->clock.frame != now.clock.frame && of->look_count < MOST_LOOKS && one_in(&of->random, 3)))
        of->looks[of->look_count++] = now;
    return cycles;
}

static void pause_shortly(void)
{
    struct timespec moment = { .tv_nsec = 10000 };
    nanosleep(&moment, NULL);
}

/* What the core let go of may be freed afterwards. */
static void pass_two_cycles(const server *server)
{
    uint64_t end = jc_cycles(&server->core) + 2;   /* this alone must tell, so nothing else is looked at */
    while (jc_cycles(&server->core) < end) {
        TELL(main_turns, main_turns + 1);
        pause_shortly();
    }
}

/* ---- streams ---- */

static void attach(main_thread *of, server *server, uint32_t place)
{
    static const uint32_t channels[] = { 0, 0, 1, 2, 3 };
    uint32_t count = channels[below(&of->random, 5)];
    source *new = source_new(below(&of->random, UINT64_MAX), slots[place], count, count ? 4096 : 1 << 14);
    of->streams[place] = new;
    of->counts.streams++;
    jc_set_stream(&server->core, new->slot, &new->stream);
    writer_add(new);
}

/* The core has let go of it. */
static void give_up(main_thread *of, uint32_t place)
{
    source *old = of->streams[place];
    gap_list taken;
    reader_counts counts;
    writer_remove(old, &taken, &counts);
    CHECK(taken.count == old->gaps.count, "%zu gaps instead of %zu", taken.count, old->gaps.count);
    for (size_t i = 0; i < taken.count; i++) {
        const jc_gap *found = &taken.gaps[i], *truth = &old->gaps.gaps[i];
        CHECK(memcmp(found, truth, sizeof *found) == 0,
              "gap %zu: frame %" PRIu64 ", %" PRIu64 " frames, cause %u; not %" PRIu64 ", %" PRIu64 ", %u", i,
              found->frame, found->frames, found->cause, truth->frame, truth->frames, truth->cause);
        of->counts.overflow_gaps += found->cause == JC_GAP_RING_OVERFLOW;
    }
    of->counts.gaps += taken.count;
    of->counts.read.frames += counts.frames;
    of->counts.read.lost_frames += counts.lost_frames;
    of->counts.read.holds += counts.holds;
    of->counts.read.clipped += counts.clipped;
    of->counts.read.events += counts.events;
    of->counts.read.chunks += counts.chunks;
    of->counts.read.skipped_records += counts.skipped_records;
    free(taken.gaps);
    source_free(old);
    of->streams[place] = NULL;
}

static void detach(main_thread *of, server *server, uint32_t place)
{
    jc_set_stream(&server->core, of->streams[place]->slot, NULL);
    pass_two_cycles(server);
    give_up(of, place);
}

/* ---- output ---- */

static jc_midi_schedule *new_schedule(main_thread *of, const server *server, uint32_t id, uint32_t room)
{
    uint32_t count = 1 + (uint32_t)below(&of->random, 40), bytes = 0;
    jc_midi_schedule *new = allocate(sizeof *new);
    *new = (jc_midi_schedule){ .events = allocate(count * sizeof *new->events), .count = count };
    uint64_t frame = jc_next_frame(&server->core) + below(&of->random, 3000);
    frame -= frame > 1000 ? 1000 : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length = SENT_HEAD_BYTES + (uint32_t)below(&of->random, 20);
        if (one_in(&of->random, 8))
            length = room + 1;   /* it never fits */
        frame += one_in(&of->random, 2) ? below(&of->random, 200) : 0;
        new->events[i] = (jc_midi_event){ frame, JC_NOT_SENT, bytes, length };
        bytes += length;
    }
    uint8_t *all = allocate(bytes);
    for (uint32_t i = 0; i < count; i++) {
        const jc_midi_event *event = &new->events[i];
        uint8_t *at = all + event->offset;
        memcpy(at, &id, sizeof id);
        memcpy(at + 4, &i, sizeof i);
        memcpy(at + 8, &event->frame, sizeof event->frame);
        for (uint32_t n = SENT_HEAD_BYTES; n < event->length; n++)
            at[n] = (uint8_t)spread(event->frame + n);
    }
    new->bytes = all;
    return new;
}

static void set_schedule(main_thread *of, server *server, sender *to, int is_new)
{
    jc_midi_schedule *old = to->schedule;
    uint32_t old_id = to->id;
    to->schedule = NULL;
    if (is_new) {
        to->id = of->schedules++;
        to->schedule = new_schedule(of, server, to->id, to->port.output_room);
        of->counts.schedules++;
    }
    jc_set_schedule(&to->output, to->schedule);
    if (old == NULL)
        return;
    pass_two_cycles(server);
    GROW(to->ledgers, to->ledger_count, to->ledger_space);
    to->ledgers[to->ledger_count++] = (ledger){ old_id, old->count, jc_events_done(old), old->events };
    free((void *)old->bytes);
    free(old);
}

static void judge_ledger(main_thread *of, const sender *by, const ledger *told, size_t *next_sent)
{
    for (uint32_t i = 0; i < told->count; i++) {
        const jc_midi_event *event = &told->events[i];
        if (i >= told->done) {
            CHECK(event->sent_frame == JC_NOT_SENT, "event %u is not done, but sent", i);
            of->counts.unsent++;
            continue;
        }
        CHECK(event->sent_frame != JC_NOT_SENT, "event %u is done, but not sent", i);
        if (event->sent_frame == JC_REFUSED) {
            CHECK(event->length > by->port.output_room, "event %u of %u bytes is refused", i, event->length);
            of->counts.refused++;
            continue;
        }
        CHECK(*next_sent < by->port.sent_count, "event %u was not sent", i);
        const sent_event *sent = &by->port.sent[(*next_sent)++];
        CHECK(sent->schedule == told->id && sent->number == i && sent->frame == event->sent_frame,
              "event %u of schedule %u is said to be sent at %" PRIu64 "; %u of %u was, at %" PRIu64, i, told->id,
              event->sent_frame, sent->number, sent->schedule, sent->frame);
        of->counts.sent++;
        of->counts.late += sent->frame > event->frame;
    }
    free(told->events);
}

static void add_sender(main_thread *of, server *server, uint32_t place)
{
    sender *new = allocate(sizeof *new);
    fake_output_port(&new->port, 200 + (uint32_t)below(&of->random, 300));
    new->output.port = &new->port;
    of->senders[place] = new;
    of->counts.outputs++;
    jc_set_output(&server->core, place, &new->output);
}

static void remove_sender(main_thread *of, server *server, uint32_t place)
{
    sender *old = of->senders[place];
    size_t next_sent = 0;
    set_schedule(of, server, old, 0);
    jc_set_output(&server->core, place, NULL);
    pass_two_cycles(server);
    for (size_t i = 0; i < old->ledger_count; i++)
        judge_ledger(of, old, &old->ledgers[i], &next_sent);
    CHECK(next_sent == old->port.sent_count, "%zu events were sent, not %zu", old->port.sent_count, next_sent);
    fake_port_free(&old->port);
    free(old->ledgers);
    free(old);
    of->senders[place] = NULL;
}

/* ---- one server ---- */

static void act(main_thread *of, server *server)
{
    uint32_t place = (uint32_t)below(&of->random, MOST_STREAMS);
    if (one_in(&of->random, 4)) {
        if (of->streams[place] == NULL)
            attach(of, server, place);
        else if (one_in(&of->random, 4))
            detach(of, server, place);
        return;
    }
    place = (uint32_t)below(&of->random, MOST_SENDERS);
    if (of->senders[place] == NULL)
        add_sender(of, server, place);
    else if (one_in(&of->random, 20))
        remove_sender(of, server, place);
    else
        set_schedule(of, server, of->senders[place], !one_in(&of->random, 5));
}

static void judge_marks(const server *server)
{
    mark_list found = writer_marks();
    size_t next = 0;
    for (size_t i = 0; i < server->cycle_count; i++) {
        if (!server->cycles[i].is_marked)
            continue;
        CHECK(next < found.count, "the mark of frame %" PRIu64 " is missing", server->cycles[i].mark.clock.frame);
        CHECK(memcmp(&found.marks[next], &server->cycles[i].mark, sizeof *found.marks) == 0, "mark %zu: frame %" PRIu64
              " instead of %" PRIu64, next, found.marks[next].clock.frame, server->cycles[i].mark.clock.frame);
        next++;
    }
    CHECK(next == found.count, "%zu marks instead of %zu", found.count, next);
    free(found.marks);
}

static void judge_looks(const main_thread *of, const server *server)
{
    size_t cycle = 0;
    for (size_t i = 0; i < of->look_count; i++) {
        while (cycle < server->cycle_count && server->cycles[cycle].mark.clock.frame < of->looks[i].clock.frame)
            cycle++;
        CHECK(cycle < server->cycle_count && memcmp(&server->cycles[cycle].mark, &of->looks[i], sizeof(jc_mark)) == 0,
              "what was read of frame %" PRIu64 " is torn", of->looks[i].clock.frame);
    }
}

void main_thread_live(main_thread *of, server *server, uint64_t cycles)
{
    uint64_t due = 0, run;
    of->last_cycles = of->last_next_frame = 0;
    of->look_count = 0;
    writer_take_marks(&server->core);
    for (uint32_t i = 0; i < MOST_STREAMS; i++) {
        if (of->streams[i] == NULL)
            continue;
        of->streams[i]->stream.skip_cause = JC_GAP_SERVER_DOWN;
        of->streams[i]->was_down = 1;
        jc_set_stream(&server->core, of->streams[i]->slot, &of->streams[i]->stream);
    }
    server_start(server);
    while ((run = look(of, server)) < cycles) {
        look_at_events(of);
        TELL(main_turns, main_turns + 1);
        if (run < due) {
            if (one_in(&of->random, 8))
                pause_shortly();
            continue;
        }
        act(of, server);
        due = run + below(&of->random, 20);
    }
    for (uint32_t i = 0; i < MOST_SENDERS; i++)
        if (of->senders[i] != NULL)
            remove_sender(of, server, i);
    pass_two_cycles(server);   /* each stream has been in a cycle */
    server_end(server);
    writer_take_marks(NULL);
    judge_marks(server);
    judge_looks(of, server);
}

main_thread *main_thread_new(uint64_t seed)
{
    main_thread *new = allocate(sizeof *new);
    new->random = seed;
    return new;
}

void main_thread_end(main_thread *of)
{
    for (uint32_t i = 0; i < MOST_STREAMS; i++)
        if (of->streams[i] != NULL)
            give_up(of, i);
}

main_counts main_thread_free(main_thread *of)
{
    main_counts counts = of->counts;
    free(of);
    return counts;
}
