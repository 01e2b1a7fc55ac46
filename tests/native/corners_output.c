#include <string.h>

#include "check.h"
#include "corners.h"

static uint32_t take_mark(bench *of, jc_mark *mark)
{
    return jc_take_marks(&of->core, mark, 1);
}

/* When no mark has room, the reasons are those of the next one that has. */
static void full_marks(void)
{
    bench *of = bench_new(1, 8192);
    jc_mark mark;
    CHECK(jc_read_now(&of->core, &mark) == 0, "a clock before the first cycle");
    for (uint32_t i = 0; i < JC_MARK_SLOTS; i++)
        cycle(of, 1 + i % 2, 0, 1);          /* a mark each: another period */
    CHECK(of->core.marks_pushed == JC_MARK_SLOTS, "%" PRIu64 " marks", of->core.marks_pushed);
    cycle(of, 2, 5, 1);
    jc_xrun(&of->core);
    jack.transport_frame = 99;
    cycle(of, 2, 0, 1);
    cycle(of, 2, 0, 1);
    uint64_t frame = jack.frame;
    CHECK(of->core.marks_pushed == JC_MARK_SLOTS, "%" PRIu64 " marks", of->core.marks_pushed);
    CHECK(jc_read_now(&of->core, &mark) == 1 && mark.clock.frame == frame, "frame %" PRIu64, mark.clock.frame);
    CHECK(take_mark(of, &mark) == 1 && mark.clock.frame == 1000 && mark.reasons == JC_MARK_SERVER, "the first mark");
    cycle(of, 2, 0, 1);
    for (uint32_t i = 1; i < JC_MARK_SLOTS; i++)
        CHECK(take_mark(of, &mark) == 1 && mark.reasons == JC_MARK_PERIOD, "mark %u for %u", i, mark.reasons);
    CHECK(take_mark(of, &mark) == 1, "no mark");
    CHECK(mark.reasons == (JC_MARK_GAP | JC_MARK_XRUN | JC_MARK_RELOCATION), "reasons: %u", mark.reasons);
    CHECK(mark.clock.frame == frame + 2 && mark.transport_frame == 99, "frame %" PRIu64, mark.clock.frame);
    CHECK(take_mark(of, &mark) == 0, "one too many");
    cycle(of, 2, 0, 1);
    CHECK(take_mark(of, &mark) == 0, "one too many");
    bench_free(of);
}

/* ---- output ---- */

static struct {
    fake_port port;
    jc_midi_output output;
    jc_midi_schedule schedule;
    jc_midi_event events[8];
    uint8_t *bytes;
} out;

/* Events of `count` frames and lengths. */
static void schedule(bench *of, uint32_t count, const uint64_t *frames, const uint32_t *lengths, uint32_t room)
{
    uint32_t all = 0;
    fake_output_port(&out.port, room);
    for (uint32_t i = 0; i < count; i++) {
        out.events[i] = (jc_midi_event){ frames[i], JC_NOT_SENT, all, lengths[i] };
        all += lengths[i];
    }
    out.bytes = allocate(all);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = out.bytes + out.events[i].offset;
        memcpy(at + 4, &i, sizeof i);
        memcpy(at + 8, &frames[i], sizeof *frames);
        for (uint32_t n = SENT_HEAD_BYTES; n < lengths[i]; n++)
            at[n] = (uint8_t)spread(frames[i] + n);
    }
    out.schedule = (jc_midi_schedule){ out.events, out.bytes, count, 0 };
    out.output = (jc_midi_output){ &out.port, &out.schedule };
    jc_set_output(&of->core, JC_MAX_OUTPUTS - 1, &out.output);
}

static void expect_sent(uint32_t number, uint64_t frame)
{
    CHECK(out.events[number].sent_frame == frame, "event %u at %" PRIu64, number, out.events[number].sent_frame);
}

static void done(bench *of)
{
    free(out.bytes);
    fake_port_free(&out.port);
    bench_free(of);
}

/* The first and the last frame of cycles, and what was missed. */
static void at_frames(void)
{
    static const uint64_t frames[] = { 900, 1000, 1015, 1016, 1017, 1047 };
    static const uint32_t lengths[] = { 16, 17, 16, 20, 16, 16 };
    bench *of = bench_new(1, 64);
    schedule(of, 6, frames, lengths, 0);
    cycle(of, 16, 0, 1);
    CHECK(jc_events_done(&out.schedule) == 3, "%u are done", jc_events_done(&out.schedule));
    expect_sent(0, 1000);
    expect_sent(1, 1000);
    expect_sent(2, 1015);
    expect_sent(3, JC_NOT_SENT);
    cycle(of, 16, 5, 1);
    expect_sent(3, 1021);
    expect_sent(4, 1021);
    out.port.has_no_buffer = 1;
    cycle(of, 16, 0, 1);
    expect_sent(5, JC_NOT_SENT);
    out.port.has_no_buffer = 0;
    cycle(of, 16, 0, 1);
    expect_sent(5, 1053);
    CHECK(jc_events_done(&out.schedule) == 6 && out.port.sent_count == 6, "%zu were sent", out.port.sent_count);
    cycle(of, 16, 0, 1);
    CHECK(out.port.cleared_cycle == jack.cycle, "it sends the last cycle again");
    jc_set_schedule(&out.output, NULL);
    cycle(of, 16, 0, 1);
    CHECK(out.port.cleared_cycle == jack.cycle && out.port.sent_count == 6, "it sends the last cycle again");
    done(of);
}

/* What is too long for JACK is refused, one or more in a row, and holds up nothing. Behind a full buffer, it waits. */
static void full_and_refused(void)
{
    static const uint64_t frames[] = { 1001, 1002, 1003, 1004, 1005, 1006, 1007 };
    static const uint32_t lengths[] = { 41, 42, 20, 20, 16, 41, 40 };
    bench *of = bench_new(1, 64);
    schedule(of, 7, frames, lengths, 40);
    cycle(of, 16, 0, 1);
    expect_sent(0, JC_REFUSED);
    expect_sent(1, JC_REFUSED);
    expect_sent(2, 1003);
    expect_sent(3, 1004);
    expect_sent(4, JC_NOT_SENT);
    CHECK(jc_events_done(&out.schedule) == 4, "%u are done", jc_events_done(&out.schedule));
    cycle(of, 16, 0, 1);
    expect_sent(4, 1016);
    expect_sent(5, JC_NOT_SENT);   /* it might be the other's fault */
    cycle(of, 16, 0, 1);
    expect_sent(5, JC_REFUSED);
    expect_sent(6, 1032);
    done(of);
}

void mark_corners(void)
{
    full_marks();
}

void output_corners(void)
{
    at_frames();
    full_and_refused();
}
