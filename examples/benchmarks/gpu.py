"""Time and check fits on a GPU, and compare with torch's L-BFGS and scikit-learn.

    python examples/benchmarks/gpu.py --out results.json    # all cells: under 5 minutes
    python examples/benchmarks/gpu.py fit softmax           # cells with these words
    python examples/benchmarks/gpu.py --dry-run             # small, on the CPU

The script runs from a checkout, with CuPy or torch, array-api-compat and scikit-learn.
It makes standardised data on the device. The target is an optimality, the largest entry
of the gradient of F, which the script computes in float64 for every fit. If
scikit-learn stops too early, it runs again at a tenth and a hundredth of the target.
After a first fit, the median of three more counts; a first fit of over two seconds is
the only one. *Peak* is the largest memory in use, X included, in units of X.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

if __name__ == "__main__":  # array API dispatch needs this before SciPy's import
    os.environ["SCIPY_ARRAY_API"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from formats import table, time
from gpu_cells import CELLS, Setting
from gpu_libraries import find

BUDGET = 240.0  # seconds after which no more peers start
DRY_SHARE = 2e-4
COMPARED = ["numpy", "scipy", "scikit-learn", "array-api-compat", "torch"]
COMPARED += ["cupy", "cupy-cuda12x", "cupy-cuda13x"]


def surroundings() -> dict[str, Any]:
    """Return the GPU and its driver, versions, and the date."""
    versions = {}
    for name in COMPARED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        gpu, _, driver = ran.stdout.splitlines()[0].rpartition(", ")
    except (OSError, subprocess.CalledProcessError, IndexError):
        gpu = driver = None
    return {
        "gpu": gpu,
        "driver": driver,
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.date.today().isoformat(),
    }


def run_cell(cell: Any, setting: Setting) -> dict[str, Any]:
    """Run a cell; return its rows, or the error that ended it."""
    started, rows = perf_counter(), []
    try:
        for row in cell.run(setting):
            rows.append(row)
    except Exception as error:  # the other cells still run
        message = str(error).partition("\n")[0][:150]
        rows.append({"who": "-", "note": f"{type(error).__name__}: {message}"})
    for library in setting.libraries:
        library.release()
    return {"name": cell.name, "rows": rows, "wall": perf_counter() - started}


def results_table(results: list[dict[str, Any]]) -> str:
    """Return the table, with a line for each measurement."""
    lines = []
    for result in results:
        for row in result["rows"]:
            optimality, peak = row.get("optimality"), row.get("peak")
            lines.append(
                [
                    result["name"],
                    row["who"],
                    time(row.get("seconds")),
                    "-" if optimality is None else f"{optimality:.1e}",
                    "-" if row.get("F") is None else f"{row['F']:.9f}",
                    "-" if peak is None else f"{peak:.2f}",
                    row.get("note", ""),
                ]
            )
    return table("cell | fitted by | seconds | optimality | F | peak / X |", lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen cells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", help="words in the names of cells")
    parser.add_argument("--out", type=Path, help="a file for all numbers, as JSON")
    parser.add_argument("--dry-run", action="store_true", help="small, on the CPU")
    options = parser.parse_args(arguments)
    libraries, missing = find(dry_run=options.dry_run)
    if not libraries:
        print(f"No GPU to measure: {'; '.join(missing)}. --dry-run runs on the CPU.")
        return 0
    chosen = [
        cell
        for cell in CELLS
        if not options.cells or any(word in cell.name for word in options.cells)
    ]
    share = DRY_SHARE if options.dry_run else 1.0
    setting = Setting(libraries, share, perf_counter() + BUDGET)
    around = surroundings()
    results = []
    for cell in chosen:
        print(f"{cell.name} ...", file=sys.stderr, flush=True)
        results.append(run_cell(cell, setting))
    if options.dry_run:
        print(
            "A dry run on the CPU, with little data: the times say nothing of a GPU.\n"
        )
    else:
        print(f"{around['gpu']}, driver {around['driver']}, {around['date']}\n")
    print(results_table(results))
    for cell in chosen:
        print(f"Goal of {cell.name}: {cell.goal}.")
    for sentence in missing:
        print(f"Not measured: {sentence}.")
    if options.out is not None:
        everything = {"dry_run": options.dry_run, **around, "cells": results}
        options.out.write_text(json.dumps(everything, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
