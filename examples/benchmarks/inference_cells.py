"""Cells of fits with standard errors: data, and fits by xlr and statsmodels."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import statsmodels.api as sm
from comparison import Cell, quiet
from generators import correlated

import xlr

# Largest error of estimates, in standard errors, and of standard errors, relative. Two
# digits more than a table shows.
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


def candidates(share: float, *, n: int, p: int, m: int) -> dict[str, Any]:
    """Return a model's rows, and m features outside it, which count 0, 1 and 2."""
    data = two_classes(share, n=n, p=p)
    rng, n = np.random.default_rng(2), data["X"].shape[0]
    m = max(20, int(m * share))
    frequencies = rng.uniform(0.05, 0.5, m)
    left_out = np.empty((n, m), dtype=np.uint8)
    for j, frequency in enumerate(frequencies):
        left_out[:, j] = rng.binomial(2, frequency, n)
    return data | {"left_out": left_out}


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


def our_margins(data: dict[str, Any], tol: float) -> dict[str, Any]:
    X, y = data["X"], data["y"]
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(X, y)
    columns = xlr.infer(model, X, y, keep_data=True).get_margeff().columns
    return {"params": columns["dy/dx"], "bse": columns["std err"]}


def their_margins(
    data: dict[str, Any], tol: float, peer: str, part: int
) -> dict[str, Any]:
    logit = sm.Logit(data["y"], sm.add_constant(data["X"]))
    found = logit.fit(method=peer, tol=tol, disp=0, maxiter=1000).get_margeff()
    return {"params": found.margeff, "bse": found.margeff_se}


def our_scores(data: dict[str, Any], tol: float) -> dict[str, Any]:
    X, y = data["X"], data["y"]
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    return {"statistic": results.score_test(data["left_out"], "separate").statistic}


def their_scores(
    data: dict[str, Any], tol: float, peer: str, part: int
) -> dict[str, Any]:
    """Test the first ``part`` columns one by one, after one fit."""
    fits = data.setdefault("fits", {})
    if tol not in fits:
        logit = sm.Logit(data["y"], sm.add_constant(data["X"]))
        fits[tol] = logit.fit(method=peer, tol=tol, disp=0, maxiter=1000)
    found = fits[tol]
    columns = data["left_out"][:, :part].T.astype(np.float64)
    tests = [found.score_test(exog_extra=column[:, None]) for column in columns]
    return {"statistic": np.asarray([float(np.squeeze(test[0])) for test in tests])}


def score_distance(data: Any, found: dict[str, Any], best: dict[str, Any]) -> float:
    """Return the largest error of the square roots of statistics, normal deviates."""
    size = min(found["statistic"].size, best["statistic"].size)
    roots = [np.sqrt(each["statistic"][:size]) for each in (found, best)]
    return float(np.abs(roots[0] - roots[1]).max())


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
        Cell(
            name="margins",
            description="100k x 20, average marginal effects and their errors",
            goal=10,
            peers=("newton",),
            make=partial(two_classes, n=100_000, p=20),
            ours=our_margins,
            theirs=their_margins,
            best=lambda data: quiet(lambda: their_margins(data, TIGHT, "newton", 1)),
            distance=distance,
            equal=EQUAL,
        ),
        Cell(
            name="score tests",
            description="100k x 20, score tests of 10,000 omitted counts",
            goal=50,
            peers=("newton",),
            make=partial(candidates, n=100_000, p=20, m=10_000),
            ours=our_scores,
            theirs=their_scores,
            best=lambda data: quiet(lambda: their_scores(data, TIGHT, "newton", 20)),
            distance=score_distance,
            equal=EQUAL,
            n_models=10_000,
            trial=20,
            scaled=True,
        ),
    ]
}
