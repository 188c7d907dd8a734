"""Time fits on Dask: on worker processes, on threads, and from a disk.

    python examples/benchmarks/cluster.py            # all cells: about an hour
    python examples/benchmarks/cluster.py disk       # one; keep the other results

The comparison needs dask-ml and PySpark, and Java on the PATH; a missing library has no
row. The tables go to ``cluster.md`` and all numbers to ``cluster.json``, in
``examples/benchmarks/results`` unless ``--out`` names a folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster_cells import CLUSTER_CELLS, EQUAL
from cluster_page import goals, page
from machine import machine, versions

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "dask", "distributed", "zarr")

INTRODUCTION = f"""\
# Fits on Dask

`python examples/benchmarks/cluster.py` writes this page; `cluster.json` has all
numbers.

`xlr.LogisticRegression(C=inf)` runs with its defaults on Dask arrays, and other
libraries at the loosest tolerance that brings F within a relative {EQUAL:.0e} of the
lowest known. Times are medians of runs in turns, or of one run if it takes more than a
minute. There is no penalty, because dask-ml's Newton method has none. Spark's time is
that of a later fit, to rows that it already holds in memory.
"""

# Why a goal is missed, by its key: the name of a peer, "passes", "threads" or "disk".
LIMITS = {
    "Spark MLlib": """\
- **Spark MLlib**: of 2.4 s, the first pass, for labels, column statistics and a sample,
  takes 1.2 s, and five passes for gradients take 1.1 s.
"""
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options of the script."""
    names = list(CLUSTER_CELLS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", help=", ".join(names))
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for results")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the rows: for a trial, with --out"
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="folder for data: 8 GB, deleted at the end",
    )
    parser.add_argument(
        "--spark-python", default=sys.executable, help="an interpreter with PySpark"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.cells) - set(names):
        parser.error(f"no cell {', '.join(unknown)}; there are {', '.join(names)}")
    if options.share < 1 and options.out == RESULTS:
        parser.error("--share is for a trial: name another folder with --out")
    options.cells = options.cells or names
    return options


def run_cell(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a cell; return a dictionary for JSON."""
    here = machine()
    found = CLUSTER_CELLS[name](options)
    return {
        **found,
        "name": name,
        "whole": options.share == 1,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": here,
        "versions": versions(LIBRARIES) | found.get("versions_of_peers", {}),
    }


def save(folder: Path, results: dict[str, Any]) -> None:
    """Write the numbers and the tables, in the order of the cells."""
    ordered = {name: results[name] for name in CLUSTER_CELLS if name in results}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"cells": ordered}, indent=1, ensure_ascii=False)
    (folder / "cluster.json").write_text(text + "\n", encoding="utf-8")
    text = page(INTRODUCTION, LIMITS, ordered)
    (folder / "cluster.md").write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen cells; keep the results of the others."""
    options = parse(arguments)
    path = options.out / "cluster.json"
    results = json.loads(path.read_text("utf-8"))["cells"] if path.exists() else {}
    for name in options.cells:
        results[name] = run_cell(name, options)
        save(options.out, results)
        for goal in goals({name: results[name]}):
            print(" | ".join(map(str, goal)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
