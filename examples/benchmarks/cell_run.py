"""All measurements of one cell, as a dictionary for JSON."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
from cells import Cell
from data import Data
from machine import machine, versions
from measure import (
    loops_for,
    matvec_seconds,
    objective,
    peak_extra_bytes,
    timed,
    timed_in_loop,
)
from peers import PEERS, SKLEARN_DEFAULT, XLR, XLR_MAX_ITER, XLR_TOL
from reference import bare_newton, best_effort
from sweep import GOOD, Best, Run, Sweep, run, say, sweep_all

MUCH_SLOWER = 10  # times xlr: a peer that takes longer, and over 1 s, is timed twice


def find_best(data: Data, C: float) -> tuple[Best, float]:
    """Return the best known F before any timed fit, and F of the reference alone."""
    best = Best()
    coef, intercept = best_effort(data, C)
    F = objective(coef, intercept, data, C)
    best.update(F, "reference", coef, intercept)
    run(PEERS[XLR], data, C, 1e-12, XLR_MAX_ITER, best)
    best.seconds = np.inf  # not a time to compare peers with
    return best, F


def overhead() -> dict[str, float]:
    """Return the seconds of a fit to 2 rows of 1 feature, which is overhead alone."""
    data = Data(np.asarray([[0.0], [1.0]]), np.asarray([0, 1]))
    seconds = {}
    for name, tol in ((XLR, XLR_TOL), (SKLEARN_DEFAULT, 1e-4)):  # their defaults
        call = partial(PEERS[name].fit, *data, 1.0, tol, 100)
        number = loops_for(timed(call)[0])
        seconds[name] = median(timed_in_loop(call, number) for _ in range(7))
    return seconds


def bare_seconds(data: Data, C: float) -> float:
    """Return the seconds of Newton's method in plain NumPy."""
    call = partial(bare_newton, data, C, XLR_TOL)
    number = loops_for(timed(call)[0])
    return median(timed_in_loop(call, number) for _ in range(7))


def repeat(
    calls: dict[str, Callable], loops: dict[str, int], repeats: int
) -> dict[str, list[float]]:
    """Time calls in turns, each in a loop; each turn starts with another call.

    Returns
    -------
    dict of lists of floats
        Seconds of one call by name, one number for each turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(repeats if names else 0):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            if turn < 2 or not much_slower(seconds[name], seconds.get(XLR)):
                seconds[name].append(quietly(calls[name], loops[name]))
    return seconds


def much_slower(seconds: list[float], xlr_seconds: list[float] | None) -> bool:
    """Return whether more repeats would take long and change nothing."""
    fastest = min(seconds)
    return (
        fastest > 1
        and xlr_seconds is not None
        and fastest > MUCH_SLOWER * min(xlr_seconds)
    )


def quietly(call: Callable, number: int) -> float:
    """Time a call without warnings; an earlier run showed and kept them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return timed_in_loop(call, number)


def warm_up(peers: list[str], data: Data, C: float) -> None:
    """Fit briefly with each library, so that no timed fit includes its import."""
    small = data.head(min(len(data.y), 1_000))
    for name in peers:
        run(PEERS[name], small, C, 1e-2, 5, Best())


def run_cell(
    cell: Cell, *, repeats: int, patience: float, n: int | None = None
) -> dict:
    """Make the data, find the best F, sweep tolerances, time, and measure memory."""
    started = perf_counter()
    data, C = cell.data(n), cell.C
    skipped = {name: peer.why_not(data) for name, peer in PEERS.items()}
    skipped = {name: why for name, why in skipped.items() if why}
    names = [name for name in PEERS if name not in skipped]
    say(f"{cell.name}: {data.X.shape[0]:,} x {data.X.shape[1]:,}; best F")
    warm_up(names, data, C)
    best, reference = find_best(data, C)
    matvec = matvec_seconds(data.X, data.n_outputs)
    say(f"  best F {best.F:.15g} by {best.by}; one product {matvec:.2e} s")

    sweeps = {name: Sweep(PEERS[name], data, C, patience) for name in names}
    sweep_all(list(sweeps.values()), best)
    chosen = {name: s.chosen(best) for name, s in sweeps.items() if s.chosen(best)}
    say(f"  good enough: {', '.join(chosen) or 'none'}; timing them")
    calls = {
        name: partial(PEERS[name].fit, *data, C, counts.tol, counts.max_iter)
        for name, counts in chosen.items()
    }
    loops = {name: loops_for(counts.seconds) for name, counts in chosen.items()}
    seconds = repeat(calls, loops, repeats)

    fits = {}
    for name, sweep in sweeps.items():
        counts = chosen.get(name) or sweep.closest()
        fits[name] = fit = {
            "good": name in chosen,
            "seconds": None if counts is None else counts.seconds,
            "repeats": seconds.get(name, []),
            "longest": max(r.seconds for r in sweep.runs),
            "counts": None if counts is None else described(counts, best),
            "sweep": [described(r, best) for r in sweep.runs],
            "extra_bytes": None,
        }
        if name in chosen:
            fit["seconds"] = median(seconds[name])
            fit["extra_bytes"] = peak_extra_bytes(partial(quietly, calls[name], 1))

    rounded = [np.asarray(part, data.X.dtype) for part in (best.coef, best.intercept)]
    return {
        "name": cell.name,
        "description": cell.description,
        "rows": len(data.y),
        "whole": len(data.y) == cell.n,
        "columns": data.X.shape[1],
        "outputs": data.n_outputs,
        "dtype": str(data.X.dtype),
        "X_bytes": data.X.nbytes,
        "C": C,
        "seed": cell.seed,
        "goal": cell.goal,
        "good": GOOD,
        "patience": patience,
        "best": {
            "F": best.F,
            "by": best.by,
            "reference_distance": best.distance(reference),
        },
        # Rise of F when the best known coefficients are rounded to the dtype of X.
        "rounding": best.distance(objective(*rounded, data, C)),
        "matvec_seconds": matvec,
        "fits": fits,
        "skipped": skipped,
        "overhead": overhead() if cell.name == "tiny" else None,
        "bare_seconds": bare_seconds(data, cell.C) if cell.name == "tiny" else None,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "took": perf_counter() - started,
        "machine": machine(),
        "versions": versions(),
    }


def described(run: Run, best: Best) -> dict:
    """Return a run as a dictionary, with its distance from the final best F."""
    distance = None if run.F is None else best.distance(run.F)
    return asdict(run) | {"distance": distance}
