/*
 * What every file of the harness uses: checks that end the program with a message, and numbers that look random but
 * are the same for the same seed.
 */
#ifndef JACKCAPTURE_NATIVE_CHECK_H
#define JACKCAPTURE_NATIVE_CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* At once, for other threads go on with data that are wrong. */
#define CHECK(condition, ...)                                                                                     \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s does not hold: ", __FILE__, __LINE__, #condition);                         \
            fprintf(stderr, __VA_ARGS__);                                                                         \
            fputc('\n', stderr);                                                                                  \
            fflush(stderr);                                                                                       \
            _exit(1);                                                                                             \
        }                                                                                                         \
    } while (0)

/*
 * For what the harness's threads tell each other of their progress. Relaxed on purpose: an ordering here would be one
 * that the core does not have, and would hide a race of the core's from ThreadSanitizer.
 */
#define PEEK(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define TELL(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

/* Spread a number over 64 bits (the finalizer of splitmix64). */
static inline uint64_t spread(uint64_t value)
{
    value = (value + 0x9E3779B97F4A7C15u);
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

/* The next of a row of numbers below `limit`. */
static inline uint64_t below(uint64_t *state, uint64_t limit)
{
    *state += 0x9E3779B97F4A7C15u;
    return spread(*state) % limit;
}

static inline int one_in(uint64_t *state, uint64_t times)
{
    return below(state, times) == 0;
}

static inline void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    CHECK(memory != NULL, "no memory for %zu bytes", bytes);
    return memory;
}

/* Make room for one more in an array that grows. */
#define GROW(array, count, room)                                                                                  \
    do {                                                                                                          \
        if ((count) == (room)) {                                                                                  \
            (room) = (room) ? 2 * (room) : 64;                                                                    \
            (array) = realloc((array), (room) * sizeof *(array));                                                 \
            CHECK((array) != NULL, "no memory for %zu entries", (size_t)(room));                                  \
        }                                                                                                         \
    } while (0)

#endif
