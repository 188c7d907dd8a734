"""Time many models at once: xlr and scikit-learn, brought to the same answer.

    python examples/benchmarks/many.py               # all cells: about a quarter hour
    python examples/benchmarks/many.py cv bootstrap  # these, the others are kept

scikit-learn's solvers are swept from loose to tight; for each the loosest tolerance
that gives the same answer is timed, in turns with xlr, and medians are shown. The table
goes to ``many.md`` and all numbers to ``many.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from formats import table, time
from machine import machine, versions
from many_cells import EQUAL_F, EQUAL_SCORES, MANY_CELLS, SOLVERS, ManyCell
from measure import TimeLimitError, time_limit, timed
from page import surroundings

RESULTS = Path(__file__).parent / "results"
TOLERANCES = tuple(10.0**-k for k in range(3, 11))
OUR_TOLERANCES = (1e-6, 1e-7, 1e-8)  # the first is the default
TIGHT = 1e-10
TRIAL = 32  # models of a loop on which tolerances are tried

INTRODUCTION = f"""\
# Many models at once, on the CPU

Written by `python examples/benchmarks/many.py`; all numbers are in `many.json`.

xlr with its defaults against scikit-learn's fastest solver for the cell, with
`n_jobs=2` where it has that, else in a loop. An answer is the same if, for
cross-validation, the same C is chosen and the mean score at each C is within
{EQUAL_SCORES:.0e}, relative, of that of scikit-learn's tightest fits; else, if F of
each model is within {EQUAL_F:.0e}, relative, of the best known. Each solver runs at the
loosest tolerance that gives the same answer; medians of runs in turns, or one run where
it takes more than ten seconds.
"""

# What stands in the way where a goal has not been reached.
LIMITS: dict[str, str] = {}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", help=", ".join(MANY_CELLS))
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each")
    parser.add_argument(
        "--patience", type=float, default=120.0, help="most seconds for a peer's run"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for results")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the rows: for a trial, with --out"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.cells) - set(MANY_CELLS):
        parser.error(f"no cell {', '.join(unknown)}; there are {', '.join(MANY_CELLS)}")
    if options.share < 1 and options.out == RESULTS:
        parser.error("--share is for a trial: name another folder with --out")
    options.cells = options.cells or list(MANY_CELLS)
    return options


def reference(cell: ManyCell, data: dict[str, Any]) -> dict[str, Any]:
    """The best answer known: for scores, one that xlr had no part in."""
    if cell.equal == EQUAL_SCORES:
        return cell.theirs(data, TIGHT, "newton-cholesky", cell.n_models)
    return cell.ours(data, TIGHT)


def sweep(
    cell: ManyCell, data: dict[str, Any], best: Any, solver: str, patience: float
) -> dict[str, Any]:
    """The loosest tolerance of a solver that gives the same answer, and its times."""
    tried = []
    for tol in TOLERANCES:
        part = TRIAL if cell.loop else cell.n_models
        try:
            with time_limit(patience):
                seconds, found = timed(partial(cell.theirs, data, tol, solver, part))
        except TimeLimitError:
            tried.append({"tol": tol, "seconds": patience, "distance": None})
            break
        distance = cell.distance(data, found, best)
        tried.append({"tol": tol, "seconds": seconds, "distance": distance})
        if distance <= cell.equal:
            whole = seconds * cell.n_models / part
            return {"tol": tol, "tried": tried, "seconds": whole, "repeats": []}
    return {"tol": None, "tried": tried, "seconds": None, "repeats": []}


def run_cell(
    cell: ManyCell, *, repeats: int, patience: float, share: float
) -> dict[str, Any]:
    """Everything about a cell, ready for JSON."""
    data = cell.make(share)
    best = reference(cell, data)
    cell.ours(data, OUR_TOLERANCES[0])  # what is imported and started once
    ours: dict[str, Any] = {"tried": [], "repeats": []}
    for tol in OUR_TOLERANCES:
        distance = cell.distance(data, cell.ours(data, tol), best)
        ours["tried"].append({"tol": tol, "distance": distance})
        ours.update(tol=tol, distance=distance)
        if distance <= cell.equal:
            break
    peers = {s: sweep(cell, data, best, s, patience) for s in SOLVERS}
    usable = [s for s in SOLVERS if peers[s]["tol"] is not None]
    fastest = min(usable, key=lambda s: peers[s]["seconds"], default=None)
    # The loop as a whole, once; what is short is timed in turns with xlr.
    if fastest is not None:
        peer = peers[fastest]
        often = 1 if peer["seconds"] > 10 else repeats
        for turn in range(repeats):
            ours["repeats"].append(timed(lambda: cell.ours(data, ours["tol"]))[0])
            if turn < often:
                seconds, found = timed(
                    lambda: cell.theirs(data, peer["tol"], fastest, cell.n_models)
                )
                peer["repeats"].append(seconds)
                peer["distance"] = cell.distance(data, found, best)
        peer["seconds"] = median(peer["repeats"])
    ours["seconds"] = median(ours["repeats"]) if ours["repeats"] else None
    return {
        "name": cell.name,
        "description": cell.description,
        "goal": cell.goal,
        "equal": cell.equal,
        "whole": share == 1,
        "n_models": cell.n_models,
        "ours": ours,
        "peers": peers,
        "fastest": fastest,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(),
    }


def ratio(result: dict[str, Any]) -> float:
    """How many times as long the fastest peer takes."""
    return result["peers"][result["fastest"]]["seconds"] / result["ours"]["seconds"]


def page(results: list[dict[str, Any]]) -> str:
    """The page of results."""
    rows = []
    for result in results:
        ours, peer = result["ours"], result["peers"][result["fastest"]]
        rows.append(
            [
                result["name"],
                result["description"],
                time(ours["seconds"]),
                f"{ours['distance']:.1e}",
                f"{result['fastest']}, tol {peer['tol']:.0e}",
                time(peer["seconds"]),
                f"{peer['distance']:.1e}",
                f"{ratio(result):.1f}",
                f"{result['goal']:g}",
                "yes" if ratio(result) >= result["goal"] else "no",
            ]
        )
    header = (
        "cell | what | xlr, s | off by | scikit-learn's fastest | its s | off by"
        " | ratio | goal | met"
    )
    parts = [INTRODUCTION]
    places: dict[str, list[str]] = {}
    for result in results:
        places.setdefault(surroundings(result), []).append(result["name"])
    for place, names in places.items():
        cells = "" if len(places) == 1 else ", ".join(names) + ": "
        parts.append(f"{cells}{place}\n")
    parts.append(table(header, rows))
    missed = [
        r["name"] for r in results if ratio(r) < r["goal"] and r["name"] in LIMITS
    ]
    if missed:
        reasons = "".join(LIMITS[name] for name in missed)
        parts.append("## Where goals are missed\n\n" + reasons)
    return "\n".join(parts)


def main() -> int:
    options = parse()
    path = options.out / "many.json"
    results = json.loads(path.read_text("utf-8"))["cells"] if path.exists() else {}
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.cells:
        results[name] = run_cell(
            MANY_CELLS[name],
            repeats=options.repeats,
            patience=options.patience,
            share=options.share,
        )
        ordered = {key: results[key] for key in MANY_CELLS if key in results}
        text = json.dumps({"cells": ordered}, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        (options.out / "many.md").write_text(page(list(ordered.values())), "utf-8")
        print(page([results[name]]).splitlines()[-1], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
