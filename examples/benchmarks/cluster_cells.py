"""Cells of fits on workers, on threads and from a disk, one function each.

Each takes the options of the script and returns a dictionary for JSON.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from cluster_data import Model, Rows, drop_from_cache
from cluster_passes import fit_in_passes, summarised
from cluster_peers import PEERS, MissingPeerError, Opened, Peer, PeerArguments
from cluster_scaling import Setting, all_constants, predicted
from cluster_workers import peaks, processes, worker_processes
from comparison import OUR_TOLERANCES, quiet
from data import Data
from measure import objective, timed
from reference import best_effort

import xlr

EQUAL = 1e-8  # largest relative distance of F above the best known
TIGHT = 1e-12  # tolerance of a fit that looks for the lowest F
LONG = 60.0  # seconds: a longer fit is timed once
N_WORKERS = 2
IN_MEMORY = {"n": 2_000_000, "p": 100, "n_parts": 20}
ON_DISK = {"n": 10_000_000, "p": 100, "n_parts": 100}
MEMORY_LIMIT = "1.5GB"
# Rows, columns and chunks of the fits whose passes are timed. With few rows per column,
# a fit computes Hessians of all rows.
SIZES = (
    (1_000_000, 100, 20),
    (1_000_000, 100, 100),
    (100_000, 100, 100),
    (40_000, 500, 10),
    (40_000, 500, 40),
)


class Judge:
    """F of rows in memory, without a penalty, and the lowest F known."""

    def __init__(self, data: Data) -> None:
        self.data = data
        coef, intercept = best_effort(data, np.inf)
        self.best = self.F({"coef": coef, "intercept": intercept})

    def F(self, model: Model) -> float:  # noqa: N802 - the objective's name
        return objective(model["coef"], model["intercept"], self.data, np.inf)

    def distance(self, model: Model) -> float:
        """Return the relative distance of F above the lowest known."""
        return self.F(model) / self.best - 1


def fit_ours(X: Any, y: Any, tol: float) -> tuple[float, Model]:
    """Fit with xlr; return the seconds and the model."""
    model = xlr.LogisticRegression(C=np.inf, tol=tol, n_jobs=N_WORKERS)
    seconds, _ = timed(lambda: quiet(lambda: model.fit(X, y)))
    found = {"coef": model.coef_, "intercept": model.intercept_}
    return seconds, {**found, "n_passes": model.n_passes_}


def loosest(
    fit: Callable[[float], tuple[float, Model]],
    tolerances: tuple[float, ...],
    judge: Judge,
) -> dict[str, Any]:
    """Find the first tolerance that is good enough; else the last, with no ``tol``."""
    tried = []
    for tol in tolerances:
        seconds, found = fit(tol)
        distance = judge.distance(found)
        tried.append({"tol": tol, "seconds": seconds, "distance": distance})
        if distance <= EQUAL:
            return {"tol": tol, "distance": distance, "tried": tried}
    return {"tol": None, "distance": distance, "tried": tried}


def in_turns(
    fits: dict[str, Callable[[float], tuple[float, Model]]],
    chosen: dict[str, dict[str, Any]],
    repeats: int,
) -> None:
    """Time in turns, at their tolerances, the fits that were good enough.

    The medians go to ``chosen``, and the numbers of passes if they are known.
    """
    repeated = []
    for name, result in chosen.items():
        seconds = result["tried"][-1]["seconds"]
        if result["tol"] is not None:
            result["repeats"] = [seconds] if seconds > LONG else []
            repeated += [name] if seconds <= LONG else []
    for _ in range(repeats):
        for name in repeated:
            seconds, found = fits[name](chosen[name]["tol"])
            chosen[name]["repeats"].append(seconds)
            chosen[name]["n_passes"] = found.get("n_passes")
    for result in chosen.values():
        result["seconds"] = None if result["tol"] is None else median(result["repeats"])


def in_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Measure a fit on worker processes that hold the rows, against peers."""
    rows = Rows.share_of(options.share, **IN_MEMORY)
    judge = Judge(rows.whole())
    chosen: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    versions: dict[str, str] = {}
    with worker_processes(N_WORKERS), ExitStack() as open_peers:
        X, y = rows.on_workers()
        ours = partial(fit_ours, X, y)
        _, tight = ours(TIGHT)  # the first fit includes imports and start-up
        reference, judge.best = judge.best, min(judge.best, judge.F(tight))
        chosen["xlr"] = loosest(ours, OUR_TOLERANCES, judge)
        fits = {"xlr": ours}
        arguments = PeerArguments(rows, X, y, options.spark_python, options.scratch)
        for peer in PEERS:
            opened = open_peer(peer, arguments, open_peers, absent)
            if opened is not None:
                versions |= opened.versions
                fits[peer.name] = opened.fit
                chosen[peer.name] = loosest(opened.fit, peer.tolerances, judge)
        in_turns(fits, chosen, options.repeats)
        fit = partial(ours, chosen["xlr"]["tol"] or OUR_TOLERANCES[-1])
        passes = summarised([fit_in_passes(fit)[0] for _ in range(options.repeats)])
    return {
        "setting": asdict(Setting(rows.n, rows.p, rows.n_parts, N_WORKERS)),
        "best": judge.best,
        "reference_distance": reference / judge.best - 1,
        "fits": chosen,
        "goals": {peer.name: peer.goal for peer in PEERS},
        "absent": absent,
        "passes": passes,
        "versions_of_peers": versions,
    }


def open_peer(
    peer: Peer, arguments: PeerArguments, open_peers: ExitStack, absent: dict[str, str]
) -> Opened | None:
    """Open a peer until all are closed; note in ``absent`` why it is missing."""
    try:
        return open_peers.enter_context(peer.opened(arguments))
    except MissingPeerError as error:
        absent[peer.name] = str(error)
        return None


def on_threads(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the same rows in chunks on Dask's threads, against one NumPy array."""
    import dask
    import dask.array as da

    rows = Rows.share_of(options.share, **IN_MEMORY)
    data = rows.whole()
    judge = Judge(data)
    with dask.config.set(scheduler="threads", num_workers=N_WORKERS):
        X = da.from_array(data.X, chunks=(rows.part_rows, rows.p)).persist()
        y = da.from_array(data.y, chunks=rows.part_rows).persist()
        fits = {
            "one array": partial(fit_ours, data.X, data.y),
            "in chunks": partial(fit_ours, X, y),
        }
        for fit in fits.values():
            fit(OUR_TOLERANCES[0])  # the first fit includes imports and start-up
        chosen = {
            name: loosest(fit, OUR_TOLERANCES, judge) for name, fit in fits.items()
        }
        in_turns(fits, chosen, options.repeats)
    return {
        "setting": asdict(Setting(rows.n, rows.p, rows.n_parts, N_WORKERS)),
        "best": judge.best,
        "fits": chosen,
    }


def on_disk(options: argparse.Namespace) -> dict[str, Any]:
    """Measure a fit to rows on a disk that exceed the memory of all workers."""
    import dask.array as da

    rows = Rows.share_of(options.share, **ON_DISK)
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        folder = Path(name)
        rows.write_zarr(folder)
        drop_from_cache(folder)
        with worker_processes(N_WORKERS, MEMORY_LIMIT) as client:
            X, y = (da.from_zarr(str(folder / part)) for part in ("X", "y"))
            idle, before = peaks(client), processes(client)
            fit = partial(fit_ours, X, y)
            passes, found = fit_in_passes(partial(fit, OUR_TOLERANCES[0]))
            peak, after = peaks(client), processes(client)
            _, tight = fit(TIGHT)
    F, best = rows.objectives([found, tight])
    return {
        "setting": asdict(Setting(rows.n, rows.p, rows.n_parts, N_WORKERS)),
        "X_bytes": rows.X_bytes,
        "memory_limit": MEMORY_LIMIT,
        "tol": OUR_TOLERANCES[0],
        "distance": F / min(F, best) - 1,
        "seconds": sum(done.seconds for done in passes),
        "passes": summarised([passes]),
        "n_passes": found["n_passes"],
        "idle_peaks": idle,
        "peaks": peak,
        "killed": len(set(before) - set(after)),
    }


def scaling(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the seconds of passes on one worker and on two, for several sizes."""
    runs = []
    for n_workers in range(1, N_WORKERS + 1):
        with worker_processes(n_workers):
            for n, p, n_parts in SIZES:
                rows = Rows.share_of(options.share, n=n, p=p, n_parts=n_parts)
                runs.append(_run(rows, n_workers, options.repeats))
    constants = all_constants(runs)
    # Predict for the numbers of passes of the first fit, with many rows per column.
    counts = {kind: done["count"] for kind, done in runs[0]["passes"].items()}
    return {
        "runs": runs,
        "constants": {kind: asdict(fitted) for kind, fitted in constants.items()},
        "foretold": predicted(constants, counts),
    }


def _run(rows: Rows, n_workers: int, repeats: int) -> dict[str, Any]:
    """Time the passes of fits to rows on the current workers."""
    X, y = rows.on_workers()
    fit = partial(fit_ours, X, y, OUR_TOLERANCES[0])
    fit()
    passes = summarised([fit_in_passes(fit)[0] for _ in range(repeats)])
    setting = Setting(rows.n, rows.p, rows.n_parts, n_workers)
    return {"setting": asdict(setting), "passes": passes}


CLUSTER_CELLS = {
    "in memory": in_memory,
    "threads": on_threads,
    "disk": on_disk,
    "scaling": scaling,
}
