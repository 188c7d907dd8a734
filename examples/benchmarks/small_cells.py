"""Cells of small fits: data, and all measurements of a cell."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from functools import partial
from statistics import median

import numpy as np
from cell_run import described, find_best, quietly, repeat, warm_up
from cells import Cell
from data import Data
from generators import load
from machine import machine, versions
from measure import loops_for, objective, timed
from peers import PEERS, SKLEARN_DEFAULT, XLR, XLR_MAX_ITER
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sweep import GOOD, Sweep, run, sweep_all

import xlr

NEWTON = "scikit-learn newton-cholesky"
FITS = (XLR, NEWTON, "scikit-learn newton-cg", SKLEARN_DEFAULT)
DEFAULTS = "scikit-learn with its defaults"  # its default solver, tol and max_iter
LIBRARIES = {XLR: xlr.LogisticRegression, "scikit-learn": LogisticRegression}
PATIENCE = 60.0  # most seconds for a peer's fit
TIGHT = 1e-12
LOOP = "loop"
LOOP_FITS = 1_000
COMPARED = ("numpy", "scipy", "scikit-learn")


def drawn(rng: np.random.Generator, n: int, *, p: int, n_classes: int = 2) -> Data:
    """Draw independent features, and labels from a softmax of them."""
    X = StandardScaler().fit_transform(rng.standard_normal((n, p)))
    logits = X @ rng.standard_normal((p, n_classes)) * (2 / np.sqrt(p))
    return Data(X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1))


# The goal of each cell is to be at least as fast as scikit-learn's fastest solver.
SMALL_CELLS = {
    cell.name: cell
    for cell in [
        Cell(
            "iris",
            "iris: 150 x 4, 3 classes",
            partial(load, load_iris, True),
            n=150,
            goal=1,
        ),
        Cell(
            "wine",
            "wine: 178 x 13, 3 classes",
            partial(load, load_wine, True),
            n=178,
            goal=1,
        ),
        Cell(
            "breast_cancer",
            "breast_cancer: 569 x 30",
            partial(load, load_breast_cancer, True),
            n=569,
            goal=1,
        ),
        Cell(
            "digits",
            "digits: 1,797 x 64, 10 classes",
            partial(load, load_digits, True),
            n=1_797,
            goal=1,
        ),
        Cell("1,000 x 10", "1,000 x 10", partial(drawn, p=10), n=1_000, goal=1),
        Cell("5,000 x 20", "5,000 x 20", partial(drawn, p=20), n=5_000, goal=1),
        Cell("100 x 1", "100 x 1", partial(drawn, p=1), n=100, goal=1),
        Cell(
            "300 x 30",
            "300 x 30, 3 classes",
            partial(drawn, p=30, n_classes=3),
            n=300,
            goal=1,
        ),
    ]
}


def time_predictions(data: Data, repeats: int) -> dict[str, dict]:
    """Time each prediction of each library, for one row and for all."""
    models = {name: cls().fit(data.X, data.y) for name, cls in LIBRARIES.items()}
    times = {}
    for method in ("predict", "predict_proba"):
        for rows, X in (("one row", data.X[:1]), ("all rows", data.X)):
            calls = {n: partial(getattr(m, method), X) for n, m in models.items()}
            for call in calls.values():
                call()  # the first call includes work that occurs once
            loops = {name: loops_for(timed(call)[0]) for name, call in calls.items()}
            seconds = repeat(calls, loops, repeats)
            times[f"{method}, {rows}"] = {
                name: {"seconds": median(seconds[name]), "repeats": seconds[name]}
                for name in calls
            }
    return times


def run_cell(cell: Cell, *, repeats: int) -> dict:
    """Time fits and predictions, with the threads of this process."""
    data, C = cell.data(), cell.C
    warm_up(list(FITS), data, C)
    best, _ = find_best(data, C)
    sweeps = {name: Sweep(PEERS[name], data, C, PATIENCE) for name in FITS}
    sweep_all(list(sweeps.values()), best)
    counts = {name: s.chosen(best) or s.closest() for name, s in sweeps.items()}
    # A peer far slower than xlr, whose runs were all stopped, has no time.
    counts = {name: r for name, r in counts.items() if r is not None}
    defaults = inspect.signature(LogisticRegression).parameters
    tol, max_iter = defaults["tol"].default, defaults["max_iter"].default
    peer = PEERS[SKLEARN_DEFAULT]
    counts[DEFAULTS] = run(peer, data, C, tol, max_iter, best)
    calls = {
        name: partial(PEERS.get(name, peer).fit, *data, C, r.tol, r.max_iter)
        for name, r in counts.items()
    }
    loops = {name: loops_for(r.seconds) for name, r in counts.items()}
    seconds = repeat(calls, loops, repeats)
    fits = {
        name: described(counts[name], best)
        | {
            "good": best.reached(counts[name].F),
            "seconds": median(seconds[name]),
            "repeats": seconds[name],
        }
        for name in counts
    }
    predictions = time_predictions(data, repeats)
    return {"best": {"F": best.F, "by": best.by}, "fits": fits} | {
        "predictions": predictions,
        **where_and_when(),
    }


def run_loop(*, repeats: int, n_fits: int = LOOP_FITS) -> dict:
    """Time a loop of fits to data sets of 200 x 5, in seconds per fit."""
    problems = [drawn(np.random.default_rng(k), 200, p=5) for k in range(n_fits)]

    def fit_all(name: str, tol: float, max_iter: int) -> list:
        fit = PEERS[name].fit
        return [fit(*data, 1.0, tol, max_iter) for data in problems]

    def values(name: str, tol: float) -> np.ndarray:
        found: list = []
        quietly(lambda: found.extend(fit_all(name, tol, XLR_MAX_ITER)), 1)
        return np.asarray(
            [objective(w, b, data, 1.0) for (w, b, _), data in zip(found, problems)]
        )

    best = np.minimum(values(XLR, TIGHT), values(NEWTON, TIGHT))
    fits: dict[str, dict] = {}
    for name in (XLR, NEWTON):
        for tol in PEERS[name].tolerances:
            distance = float(np.max(values(name, tol) / best - 1))
            fits[name] = {"tol": tol, "distance": distance, "good": distance <= GOOD}
            if distance <= GOOD:
                break
    calls = {
        name: partial(fit_all, name, fit["tol"], XLR_MAX_ITER)
        for name, fit in fits.items()
    }
    seconds = repeat(calls, dict.fromkeys(calls, 1), repeats)
    for name, fit in fits.items():
        fit["repeats"] = [s / n_fits for s in seconds[name]]
        fit["seconds"] = median(fit["repeats"])
    return {"fits": fits, "n_fits": n_fits, **where_and_when()}


def where_and_when() -> dict:
    """Return date, machine and versions of a measurement."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(COMPARED),
    }
