/* The core's header has no guard: CFFI reads it too. */
#ifndef JACKCAPTURE_NATIVE_CORE_H
#define JACKCAPTURE_NATIVE_CORE_H

#include <stddef.h>
#include <stdint.h>

#include "rt_core.h"

#endif
