"""Builds the extension `jackcapture.engine._rt` around rt_*.c; their headers are the CFFI declarations too."""

from pathlib import Path

from cffi import FFI

FOLDER = Path("jackcapture/engine")  # setuptools builds from the project's root
HEADERS = ("rt_core.h", "rt_overview.h")

ffibuilder = FFI()
ffibuilder.cdef("\n".join((FOLDER / header).read_text() for header in HEADERS))
ffibuilder.set_source(
    "jackcapture.engine._rt",
    "\n".join(["#include <stddef.h>", "#include <stdint.h>", *(f'#include "{header}"' for header in HEADERS)]),
    sources=sorted(str(source) for source in FOLDER.glob("rt_*.c")),
    depends=sorted(str(header) for header in FOLDER.glob("rt_*.h")),
    include_dirs=[str(FOLDER)],
    extra_compile_args=["-O2", "-std=gnu11", "-Wall", "-Wextra", "-fno-math-errno", "-fvisibility=hidden"],
    py_limited_api=True,
)
