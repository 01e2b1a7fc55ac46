/*
 * The core without JACK and without Python: what sanitizers look at. Ends with a message and 1 at the first thing that
 * is not as it must be.
 *
 * core_harness corners
 * core_harness threads SEED CYCLES
 */
#include <string.h>

#include "check.h"
#include "corners.h"
#include "main_thread.h"

int main(int count, char **arguments)
{
    if (count == 2 && strcmp(arguments[1], "corners") == 0) {
        run_corners();
        return 0;
    }
    if (count == 4 && strcmp(arguments[1], "threads") == 0) {
        run_threads(strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10));
        return 0;
    }
    fputs("usage: core_harness corners | threads SEED CYCLES\n", stderr);
    return 2;
}
