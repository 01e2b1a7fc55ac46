#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "check.h"
#include "main_thread.h"

#define MOST_READERS 64

enum action { ADD, REMOVE, TAKE_MARKS, GIVE_MARKS, END };

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t done;
    int is_asked;             /* told, so that the writer need not take the lock in each pass */
    enum action action;
    source *stream;
    jc_core *core;
    gap_list *gaps;
    reader_counts *counts;
    mark_list given;
} request = { .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };

/* The writer's own. */
static struct {
    reader readers[MOST_READERS];
    uint32_t count;
    jc_core *core;
    mark_list marks;
    uint64_t random;
} writer;

static void take_marks(void)
{
    jc_mark taken[5];
    uint32_t count;
    do {
        count = writer.core == NULL ? 0 : jc_take_marks(writer.core, taken, 5);
        for (uint32_t i = 0; i < count; i++) {
            GROW(writer.marks.marks, writer.marks.count, writer.marks.space);
            writer.marks.marks[writer.marks.count++] = taken[i];
        }
    } while (count == 5);
}

static void remove_reader(source *stream)
{
    for (uint32_t i = 0; i < writer.count; i++) {
        reader *found = &writer.readers[i];
        if (found->of != stream)
            continue;
        reader_pass(found, 1);
        CHECK(found->settled_frame == stream->settled_frame && found->delivered == stream->delivered
                  && (stream->channels ? found->position : found->cursor.taken) == stream->delivered,
              "read up to frame %" PRIu64 " and not %" PRIu64 "; %" PRIu64 " came, of %" PRIu64, found->settled_frame,
              stream->settled_frame, found->delivered, stream->delivered);
        *request.gaps = found->gaps;
        *request.counts = found->counts;
        found->gaps = (gap_list){ 0 };
        reader_free(found);
        *found = writer.readers[--writer.count];
        return;
    }
    CHECK(0, "no such reader");
}

/* 0: that was the end. */
static int carry_out(void)
{
    pthread_mutex_lock(&request.lock);
    if (request.action == ADD) {
        CHECK(writer.count < MOST_READERS, "too many streams");
        reader_init(&writer.readers[writer.count++], request.stream, below(&writer.random, UINT64_MAX));
    } else if (request.action == REMOVE) {
        remove_reader(request.stream);
    } else if (request.action == TAKE_MARKS) {
        take_marks();
        writer.core = request.core;
    } else if (request.action == GIVE_MARKS) {
        request.given = writer.marks;
        writer.marks = (mark_list){ 0 };
    }
    int goes_on = request.action != END;
    TELL(request.is_asked, 0);
    pthread_cond_signal(&request.done);
    pthread_mutex_unlock(&request.lock);
    return goes_on;
}

static void *write_on(void *argument)
{
    (void)argument;
    for (;;) {
        if (PEEK(request.is_asked) && !carry_out())
            return NULL;
        for (uint32_t i = 0; i < writer.count; i++)
            reader_pass(&writer.readers[i], 0);
        take_marks();
        TELL(writer_passes, writer_passes + 1);
        if (one_in(&writer.random, 4))
            sched_yield();
    }
}

/* With `request` filled in and locked. */
static void ask(enum action action)
{
    request.action = action;
    TELL(request.is_asked, 1);
    while (PEEK(request.is_asked))
        pthread_cond_wait(&request.done, &request.lock);
    pthread_mutex_unlock(&request.lock);
}

void writer_start(uint64_t seed)
{
    writer.random = seed;
    CHECK(pthread_create(&request.thread, NULL, write_on, NULL) == 0, "no thread");
}

void writer_end(void)
{
    pthread_mutex_lock(&request.lock);
    ask(END);
    pthread_join(request.thread, NULL);
}

void writer_add(source *stream)
{
    pthread_mutex_lock(&request.lock);
    request.stream = stream;
    ask(ADD);
}

void writer_remove(source *stream, gap_list *taken, reader_counts *counts)
{
    pthread_mutex_lock(&request.lock);
    request.stream = stream;
    request.gaps = taken;
    request.counts = counts;
    ask(REMOVE);
}

void writer_take_marks(jc_core *core)
{
    pthread_mutex_lock(&request.lock);
    request.core = core;
    ask(TAKE_MARKS);
}

mark_list writer_marks(void)
{
    pthread_mutex_lock(&request.lock);
    ask(GIVE_MARKS);
    return request.given;
}
