"""Compare xlr with other libraries (peers): the same answer, timed in turns.

A benchmark consists of its cells and the text around its table.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from formats import table, time
from machine import machine, versions
from measure import TimeLimitError, time_limit, timed
from page import machine_lines

RESULTS = Path(__file__).parent / "results"
TOLERANCES = tuple(10.0**-k for k in range(3, 11))
OUR_TOLERANCES = (1e-6, 1e-7, 1e-8)  # the first is the default


@dataclass(frozen=True)
class Cell:
    """One row of a table.

    Attributes
    ----------
    goal : float
        Ratio of the fastest peer's time to xlr's.
    peers : tuple of str
    make : callable
        Takes a share of the rows; returns the data, a dict of arrays.
    ours : callable
        Takes the data and a tolerance; returns the answer, a dict of arrays.
    theirs : callable
        Takes the data, a tolerance, a peer and, for fits in a loop, the largest number
        of models; returns an answer.
    best : callable
        Takes the data; returns the best answer known.
    distance : callable
        Takes the data, an answer and the best answer known.
    equal : float
        Largest distance of answers that count as the same.
    n_models : int
    trial : int
        Number of models on which tolerances are tried.
    scaled : bool
        Whether a peer's time is measured on the trial and multiplied.
    """

    name: str
    description: str
    goal: float
    peers: tuple[str, ...]
    make: Callable[[float], dict[str, Any]]
    ours: Callable[..., dict[str, Any]]
    theirs: Callable[..., dict[str, Any]]
    best: Callable[..., dict[str, Any]]
    distance: Callable[..., float]
    equal: float
    n_models: int = 1
    trial: int = 1
    scaled: bool = False


@dataclass(frozen=True)
class Comparison:
    """A table of cells.

    Attributes
    ----------
    name : str
        Name of the script and of the result files.
    introduction : str
    cells : dict of Cell
    limits : dict of str
        Why a goal is missed, by cell.
    """

    name: str
    introduction: str
    cells: dict[str, Cell]
    limits: dict[str, str]


def quiet(fit: Callable[[], Any]) -> Any:
    """Fit without warnings; the comparison shows a fit that is not good enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit()


def parse(
    comparison: Comparison, arguments: list[str] | None = None
) -> argparse.Namespace:
    """Read the options of the script."""
    names = list(comparison.cells)
    parser = argparse.ArgumentParser(description=comparison.introduction.split("\n")[0])
    parser.add_argument("cells", nargs="*", help=", ".join(names))
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each")
    parser.add_argument(
        "--patience", type=float, default=120.0, help="most seconds for a peer's run"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for results")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the rows: for a trial, with --out"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.cells) - set(names):
        parser.error(f"no cell {', '.join(unknown)}; there are {', '.join(names)}")
    if options.share < 1 and options.out == RESULTS:
        parser.error("--share is for a trial: name another folder with --out")
    options.cells = options.cells or names
    return options


def sweep(
    cell: Cell, data: dict[str, Any], best: Any, peer: str, patience: float
) -> dict[str, Any]:
    """Find a peer's loosest tolerance with the same answer, and its times."""
    tried = []
    for tol in TOLERANCES:
        try:
            with time_limit(patience):
                fit = partial(cell.theirs, data, tol, peer, cell.trial)
                seconds, found = timed(partial(quiet, fit))
        except (TimeLimitError, SystemError):  # numba turns the first into the second
            tried.append({"tol": tol, "seconds": patience, "distance": None})
            break
        distance = cell.distance(data, found, best)
        tried.append({"tol": tol, "seconds": seconds, "distance": distance})
        if distance <= cell.equal:
            whole = seconds * cell.n_models / cell.trial
            return {"tol": tol, "tried": tried, "seconds": whole, "repeats": []}
    return {"tol": None, "tried": tried, "seconds": None, "repeats": []}


def run_cell(
    cell: Cell, *, repeats: int, patience: float, share: float
) -> dict[str, Any]:
    """Measure a cell; return a dictionary for JSON."""
    data = cell.make(share)
    best = cell.best(data)
    cell.ours(data, OUR_TOLERANCES[0])  # the first fit includes imports and start-up
    ours: dict[str, Any] = {"tried": [], "repeats": []}
    for tol in OUR_TOLERANCES:
        found = quiet(partial(cell.ours, data, tol))
        distance = cell.distance(data, found, best)
        ours["tried"].append({"tol": tol, "distance": distance})
        ours.update(tol=tol, distance=distance)
        if distance <= cell.equal:
            break
    peers = {s: sweep(cell, data, best, s, patience) for s in cell.peers}
    usable = [s for s in cell.peers if peers[s]["tol"] is not None]
    if not usable:
        raise RuntimeError(
            f"No peer came within {cell.equal:g} of the best answer to {cell.name!r} "
            f"in {patience:g} seconds a run: give them more with --patience."
        )
    fastest = min(usable, key=lambda s: peers[s]["seconds"])
    # Time a long loop once, and short fits in turns with xlr.
    peer = peers[fastest]
    peer_repeats = 1 if peer["seconds"] > 10 else repeats
    part = cell.trial if cell.scaled else cell.n_models
    for turn in range(repeats):
        ours["repeats"].append(timed(lambda: cell.ours(data, ours["tol"]))[0])
        if turn < peer_repeats:
            fit = partial(cell.theirs, data, peer["tol"], fastest, part)
            seconds, found = timed(partial(quiet, fit))
            peer["repeats"].append(seconds * cell.n_models / part)
            peer["distance"] = cell.distance(data, found, best)
    peer["seconds"] = median(peer["repeats"])
    ours["seconds"] = median(ours["repeats"])
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
    """Return the time of the fastest peer divided by that of xlr."""
    return result["peers"][result["fastest"]]["seconds"] / result["ours"]["seconds"]


def _row(result: dict[str, Any]) -> list[str]:
    ours, peer = result["ours"], result["peers"][result["fastest"]]
    return [
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


def page(comparison: Comparison, results: list[dict[str, Any]]) -> str:
    """Return the page of results."""
    rows = [_row(result) for result in results]
    header = (
        "cell | data | xlr, s | off by | fastest other | its time, s | off by"
        " | ratio | goal | met"
    )
    parts = [comparison.introduction, *machine_lines(results), table(header, rows)]
    missed = [
        r["name"]
        for r in results
        if ratio(r) < r["goal"] and r["name"] in comparison.limits
    ]
    if missed:
        reasons = "".join(comparison.limits[name] for name in missed)
        parts.append("## Where goals are missed\n\n" + reasons)
    return "\n".join(parts)


def main(comparison: Comparison) -> int:
    """Run the chosen cells; keep the results of the others."""
    options = parse(comparison)
    path = options.out / f"{comparison.name}.json"
    results = json.loads(path.read_text("utf-8"))["cells"] if path.exists() else {}
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.cells:
        results[name] = run_cell(
            comparison.cells[name],
            repeats=options.repeats,
            patience=options.patience,
            share=options.share,
        )
        ordered = {key: results[key] for key in comparison.cells if key in results}
        text = json.dumps({"cells": ordered}, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        page_of_all = page(comparison, list(ordered.values()))
        path.with_suffix(".md").write_text(page_of_all, "utf-8")
        print(" | ".join(_row(results[name])), flush=True)
    return 0
