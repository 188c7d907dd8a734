"""Time small fits and predictions: xlr and scikit-learn, at the same accuracy.

    python examples/benchmarks/small.py            # all cells: a quarter of an hour
    python examples/benchmarks/small.py iris loop  # two; keep the other results
    python examples/benchmarks/small.py iris --quick --out trial  # in seconds

Each cell runs in two new processes: with the threads that the libraries choose, and
with one (``OMP_NUM_THREADS=1``). The tables go to ``small.md`` and all numbers to
``small.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
from formats import error, table
from formats import time as digits
from page import machine_lines
from peers import SKLEARN_DEFAULT, XLR
from small_cells import (
    DEFAULTS,
    LOOP,
    NEWTON,
    SMALL_CELLS,
    run_cell,
    run_loop,
)
from sweep import GOOD, say

RESULTS = Path(__file__).parent / "results"
MANY, ONE = "the default threads", "one thread"
THREADS = {MANY: {}, ONE: {"OMP_NUM_THREADS": "1"}}  # environment variables
CELLS = (*SMALL_CELLS, LOOP)
LBFGS_GOAL = 2  # ratio of the time of scikit-learn's lbfgs to xlr's
ONE_ROW_GOAL = 1  # the same ratio, for predictions of one row
LOOP_GOAL = 1
QUICK = {"loop": 0.01, "repeats": 3, "fits": 20}  # seconds; turns; fits of the loop

INTRODUCTION = f"""\
# Small fits on the CPU

`python examples/benchmarks/small.py` writes this page; `small.json` has all numbers,
with every repeat.

All features are standardised, and data without a name are simulated. xlr runs with its
defaults. Each of scikit-learn's solvers runs at the loosest tolerance that brings F
within a relative {GOOD:.0e} of the lowest known; † marks a fit that does not come so
close. *Its defaults* are scikit-learn's default solver, tolerance and iterations; *off
by* is the relative distance of their F above the lowest. Each time is the median over
turns; in a turn, every fit runs in a loop. *Ratio* is scikit-learn's time divided by
xlr's.
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options of the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", help=", ".join(CELLS))
    parser.add_argument("--repeats", type=int, default=11, help="turns")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for results")
    parser.add_argument(
        "--quick", action="store_true", help="few short turns: for a trial, with --out"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.cells) - set(CELLS):
        parser.error(f"no cell {', '.join(unknown)}; there are {', '.join(CELLS)}")
    if options.quick and options.out == RESULTS:
        parser.error("--quick is for a trial: name another folder with --out")
    options.cells = options.cells or list(CELLS)
    return options


def child(options: argparse.Namespace) -> None:
    """Measure one cell in this process and write the result."""
    (name,) = options.cells
    repeats, fits = options.repeats, {}
    if options.quick:
        measure.SHORT, repeats = QUICK["loop"], QUICK["repeats"]
        fits = {"n_fits": QUICK["fits"]}
    if name == LOOP:
        result = run_loop(repeats=repeats, **fits)
    else:
        result = run_cell(SMALL_CELLS[name], repeats=repeats)
    options.child.write_text(json.dumps(result | {"quick": options.quick}))


def run_in_child(
    name: str, options: argparse.Namespace, variables: dict[str, str]
) -> dict:
    """Measure one cell in a new process.

    Raises
    ------
    CalledProcessError
        If the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.json"
        command = [sys.executable, __file__, name, "--child", str(path)]
        command += ["--repeats", str(options.repeats), "--out", folder]
        command += ["--quick"] if options.quick else []
        environment = {**os.environ, **variables}
        subprocess.run(command, check=True, env=environment)
        return json.loads(path.read_text()) | {"name": name}


# -- the page --------------------------------------------------------------------------


def against(theirs: dict, ours: dict, goal: float) -> list[str]:
    """Return another library's milliseconds, the ratio, the goal, and if it is met."""
    ratio = theirs["seconds"] / ours["seconds"]
    met = theirs["good"] and ours["good"] and ratio >= goal
    mark = "" if theirs["good"] else " †"
    shown = f"{1e3 * theirs['seconds']:.3g}{mark}"
    return [shown, f"{ratio:.2f}", f"{goal:g}", "yes" if met else "no"]


def fastest(fits: dict[str, dict]) -> str:
    """Return scikit-learn's fastest solver that is accurate enough, or lbfgs."""
    good = [n for n in fits if n not in (XLR, DEFAULTS) and fits[n]["good"]]
    return min(good or [SKLEARN_DEFAULT], key=lambda name: fits[name]["seconds"])


def fit_row(name: str, fits: dict[str, dict]) -> list[str]:
    """Return the fits of a cell as a row of the table."""
    cell, ours, default = SMALL_CELLS[name], fits[XLR], fits[DEFAULTS]
    peer = fastest(fits)
    return [
        cell.description,
        f"{1e3 * ours['seconds']:.3g}" + ("" if ours["good"] else " †"),
        f"{peer.partition(' ')[2]}, tol {fits[peer]['tol']:.0e}",
        *against(fits[peer], ours, cell.goal),
        *against(fits[SKLEARN_DEFAULT], ours, LBFGS_GOAL),
        f"{1e3 * default['seconds']:.3g}",
        f"{default['seconds'] / ours['seconds']:.2f}",
        error(default["distance"]),
    ]


def prediction_rows(name: str, predictions: dict[str, dict]) -> list[list[str]]:
    """Return the predictions of a cell as rows, in microseconds."""
    rows = []
    for call, times in predictions.items():
        ours, theirs = times[XLR]["seconds"], times["scikit-learn"]["seconds"]
        goal = ONE_ROW_GOAL if call.endswith("one row") else None
        met = "-" if goal is None else "yes" if theirs >= goal * ours else "no"
        rows.append(
            [
                name,
                call,
                digits(1e6 * ours),
                digits(1e6 * theirs),
                f"{theirs / ours:.2f}",
                "-" if goal is None else f"{goal:g}",
                met,
            ]
        )
    return rows


FIT_HEADER = (
    "data | xlr, ms | scikit-learn's fastest | its time, ms | ratio | goal | met"
    " | its lbfgs, ms | ratio | goal | met | its defaults, ms | ratio | off by"
)
PREDICTION_HEADER = "data | call | xlr, µs | scikit-learn, µs | ratio | goal | met"
LOOP_HEADER = (
    "fits | xlr, ms per fit | newton-cholesky | its ms per fit | ratio | goal | met"
)


def page(results: dict[str, dict[str, dict]]) -> str:
    """Return the page of results, by setting of threads and cell."""
    parts = [INTRODUCTION]
    for threads, cells in results.items():
        parts += [f"## With {threads}\n", *machine_lines(list(cells.values()))]
        if any(result["quick"] for result in cells.values()):
            parts.append("**A trial, with few short turns.**\n")
        tables = {name: cells[name] for name in SMALL_CELLS if name in cells}
        if tables:
            rows = [fit_row(name, cells[name]["fits"]) for name in tables]
            parts.append(table(FIT_HEADER, rows))
            rows = [
                row
                for name in tables
                for row in prediction_rows(name, cells[name]["predictions"])
            ]
            parts.append(table(PREDICTION_HEADER, rows))
        if LOOP in cells:
            fits, n_fits = cells[LOOP]["fits"], cells[LOOP]["n_fits"]
            row = [
                f"{n_fits:,} in a loop, each to 200 x 5",
                f"{1e3 * fits[XLR]['seconds']:.3g}",
                f"tol {fits[NEWTON]['tol']:.0e}",
                *against(fits[NEWTON], fits[XLR], LOOP_GOAL),
            ]
            parts.append(table(LOOP_HEADER, [row]))
    return "\n".join(parts)


def main() -> int:
    """Run the chosen cells; keep the results of the others."""
    options = parse()
    if options.child:
        child(options)
        return 0
    path = options.out / "small.json"
    results: dict[str, dict] = {threads: {} for threads in THREADS}
    if path.exists():
        results = json.loads(path.read_text("utf-8"))
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.cells:
        for threads, variables in THREADS.items():
            if name == LOOP and threads != ONE:
                continue
            say(f"{name}, {threads}")
            cells = results[threads]
            cells[name] = run_in_child(name, options, variables)
            results[threads] = {key: cells[key] for key in CELLS if key in cells}
            text = json.dumps(results, indent=1, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
            path.with_suffix(".md").write_text(page(results), encoding="utf-8")
    print(path.with_suffix(".md").read_text("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
