/*
 * Drives the core from the threads that drive it in the engine: JACK's, JACK's other one, the writer and main. Three
 * servers follow one another, the second as another server, the third as the same one.
 *
 * The same seed gives the same cycles, content and requests; how the threads meet is the machine's.
 */
#include "check.h"
#include "main_thread.h"

#define SERVERS 3

/* The next server, whose frames go on from where an earlier one was. */
static server *next_server(const server *last, uint64_t seed, int is_same)
{
    uint64_t random = spread(seed);
    jc_mark now;
    CHECK(jc_read_now(&last->core, &now), "no cycle");
    uint64_t behind = jc_next_frame(&last->core) - now.clock.frame;
    uint32_t counter = last->core.next_frame32 - (uint32_t)behind;
    uint64_t steps = 100 + below(&random, 100000);   /* of 125 us, in which there are 6 frames */
    uint64_t ahead = 6 * steps;
    server *next = server_new(seed, now.clock.frame + ahead,
                              is_same ? counter + (uint32_t)ahead : (uint32_t)below(&random, UINT32_MAX),
                              now.clock.usecs + 125 * steps);
    next->core.resume_frame = now.clock.frame;
    next->core.resume_usecs = now.clock.usecs;
    next->core.resume_frame32 = is_same ? counter : 0;
    next->core.is_same_server = (uint32_t)is_same;
    return next;
}

typedef struct {
    const char *of;
    uint64_t number;
} count;

static void report(const count *counts)
{
    for (; counts->of != NULL; counts++)
        printf("%s=%" PRIu64 " ", counts->of, counts->number);
    putchar('\n');
}

void run_threads(uint64_t seed, uint64_t cycles)
{
    uint64_t run = 0, skips = 0, jumps_back = 0, overflows = 0, marks = 0, freewheel = 0, events = 0;
    main_thread *main_thread = main_thread_new(spread(seed));
    server *present = NULL;
    writer_start(spread(seed + 1));
    for (uint32_t i = 0; i < SERVERS; i++) {
        /* JACK's counter wraps in the life of the first. */
        server *next = present == NULL ? server_new(seed, UINT32_MAX - 50000u, UINT32_MAX - 50000u, 1000000000)
                                       : next_server(present, seed + i, i == 2);
        if (present != NULL)
            server_free(present);
        present = next;
        main_thread_live(main_thread, present, cycles / SERVERS);
        run += present->cycle_count;
        skips += present->skips;
        jumps_back += present->jumps_back;
        overflows += present->overflows;
        marks += present->core.marks_pushed;
        freewheel += present->freewheel_cycles;
        events += present->midi_events;
    }
    main_thread_end(main_thread);
    server_free(present);
    writer_end();
    main_counts counts = main_thread_free(main_thread);
    report((const count[]){
        { "cycles", run }, { "freewheel", freewheel }, { "skips", skips }, { "jumps_back", jumps_back },
        { "marks", marks }, { "looks", counts.looks }, { "streams", counts.streams }, { "holds", counts.read.holds },
        { "frames", counts.read.frames }, { "clipped", counts.read.clipped }, { "events", events },
        { "moved", counts.read.events }, { "skipped", counts.read.skipped_records }, { "chunks", counts.read.chunks },
        { "gaps", counts.gaps }, { "overflow_gaps", counts.overflow_gaps }, { "overflow_cycles", overflows },
        { "lost_frames", counts.read.lost_frames }, { "outputs", counts.outputs }, { "schedules", counts.schedules },
        { "sent", counts.sent }, { "late", counts.late }, { "refused", counts.refused }, { "unsent", counts.unsent },
        { NULL, 0 },
    });
}
