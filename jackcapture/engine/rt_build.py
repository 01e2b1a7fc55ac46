"""Builds the extension `jackcapture.engine._rt` around rt_core.c; its header is the CFFI declaration too."""

from pathlib import Path

from cffi import FFI

FOLDER = Path("jackcapture/engine")  # setuptools builds from the project's root

ffibuilder = FFI()
ffibuilder.cdef((FOLDER / "rt_core.h").read_text())
ffibuilder.set_source(
    "jackcapture.engine._rt",
    '#include <stdint.h>\n#include "rt_core.h"',
    sources=[str(FOLDER / "rt_core.c")],
    depends=[str(FOLDER / "rt_core.h")],
    include_dirs=[str(FOLDER)],
    extra_compile_args=["-O2", "-std=gnu11", "-Wall", "-Wextra", "-fno-math-errno"],
    py_limited_api=True,
)
