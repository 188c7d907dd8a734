"""Fits with standard errors: on what, and by whom."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import statsmodels.api as sm
from comparison import Cell, quiet
from generators import correlated

import xlr

# Of the estimates in standard errors, and of the standard errors, relative: a hundred
# times as near as a table shows.
EQUAL = 1e-6
TIGHT = 1e-14


def two_classes(share: float, *, n: int, p: int) -> dict[str, Any]:
    X, y, *_ = correlated(np.random.default_rng(0), max(500, int(n * share)), p=p)
    return {"X": X, "y": y}


def many_classes(share: float, *, n: int, p: int, n_classes: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    X, *_ = correlated(rng, max(2_000, int(n * share)), p=p)
    scores = X @ rng.standard_normal((p, n_classes)) / np.sqrt(p)
    y = np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)
    return {"X": X, "y": y}


def ours(data: dict[str, Any], tol: float) -> dict[str, Any]:
    X, y = data["X"], data["y"]
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(X, y)
    results = xlr.infer(model, X, y)
    return {"params": results.params, "bse": results.bse}


def theirs(
    data: dict[str, Any], tol: float, peer: str, part: int, *, kind: Any
) -> dict[str, Any]:
    exog = sm.add_constant(data["X"])
    found = kind(data["y"], exog).fit(method=peer, tol=tol, disp=0, maxiter=1000)
    return {"params": np.asarray(found.params), "bse": np.asarray(found.bse)}


def best(data: dict[str, Any], *, kind: Any) -> dict[str, Any]:
    return quiet(lambda: theirs(data, TIGHT, "newton", 1, kind=kind))


def distance(data: Any, found: dict[str, Any], best: dict[str, Any]) -> float:
    estimates = np.abs(found["params"] - best["params"]) / best["bse"]
    errors = np.abs(found["bse"] / best["bse"] - 1)
    return float(max(estimates.max(), errors.max()))


def inference_cell(
    name: str, description: str, kind: Any, make: Any, **options: Any
) -> Cell:
    return Cell(
        name=name,
        description=description,
        goal=10,
        peers=("newton",),
        make=partial(make, **options),
        ours=ours,
        theirs=partial(theirs, kind=kind),
        best=partial(best, kind=kind),
        distance=distance,
        equal=EQUAL,
    )


INFERENCE_CELLS = {
    cell.name: cell
    for cell in [
        inference_cell(
            "two classes",
            "1M x 50, Logit",
            sm.Logit,
            two_classes,
            n=1_000_000,
            p=50,
        ),
        inference_cell(
            "many classes",
            "100k x 30, 5 classes, MNLogit",
            sm.MNLogit,
            many_classes,
            n=100_000,
            p=30,
            n_classes=5,
        ),
    ]
}
