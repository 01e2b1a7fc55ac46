"""The command: `./bootstrap bench [NAME...] [--json FILE] [--folder DIR]`."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.catalog_size import catalog
from benchmarks.hour import hour
from benchmarks.live_edge import edge
from benchmarks.machine import describe
from benchmarks.measuring import Row, say
from benchmarks.virtual_slices import read, virtual
from benchmarks.watching import watching
from benchmarks.workspace import Workspace
from jackcapture._version import VERSION

BENCHMARKS: dict[str, Callable[[Workspace], Iterator[Row]]] = {
    "hour": hour,
    "virtual": virtual,
    "read": read,
    "catalog": catalog,
    "edge": edge,
    "watching": watching,
}
_VERDICTS = {None: "", True: "met", False: "missed"}


def main() -> int:
    """Run the named benchmarks, or all; 1 if the median of a ratio, or a size, misses its aim."""
    parser = argparse.ArgumentParser("./bootstrap bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; none: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where the data go for the time being (default: here)",
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    machine = describe(options.folder)
    rows: list[Row] = []
    with Workspace(options.folder.absolute()) as workspace:
        for name in dict.fromkeys(options.names or BENCHMARKS):
            say(f"{name} ...")
            for row in BENCHMARKS[name](workspace):
                say("  " + " ".join(_cells(row)[1:]))
                rows.append(row)
    _show(machine, rows)
    if options.json is not None:
        document = {"version": VERSION, "machine": machine, "rows": [dataclasses.asdict(row) for row in rows]}
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return int(any(row.met is False for row in rows))


def _show(machine: dict[str, Any], rows: list[Row]) -> None:
    table = Table("benchmark", "what", "median", "lowest to highest", "runs", "aim", "", box=box.MARKDOWN)
    for row in rows:
        table.add_row(*_cells(row))
    console = Console(width=220, highlight=False)
    console.print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()))
    console.print(table)


def _cells(row: Row) -> tuple[str, ...]:
    if row.median is None or row.low is None or row.high is None:
        return row.name, row.what, "", "", "", "", row.note
    spread = "" if row.runs == 1 else f"{_number(row.low)} to {_number(row.high)}"
    median = f"{_number(row.median)} {row.unit}".rstrip()
    return row.name, row.what, median, spread, str(row.runs), row.aim, _VERDICTS[row.met] or row.note


def _number(value: float) -> str:
    """Give three digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
