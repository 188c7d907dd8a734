"""Cells of many models that share X: data, fits, and distances of answers."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np
from comparison import Cell, quiet
from generators import correlated
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.multiclass import OneVsRestClassifier

import xlr

# Processes of scikit-learn: one, with one thread, if xlr has one thread.
N_JOBS = 1 if os.environ.get("OMP_NUM_THREADS") == "1" else 2
SOLVERS = ("lbfgs", "newton-cholesky", "newton-cg")
TIGHT = 1e-10
TRIAL = 32  # models of a loop on which tolerances are tried
EQUAL_SCORES = 1e-4  # largest relative error of the mean over the folds
EQUAL_F = 1e-8  # largest relative distance of each F above the best known


# -- cross-validation ------------------------------------------------------------------


def cv_data(share: float, *, n: int, p: int) -> dict[str, Any]:
    X, y, *_ = correlated(np.random.default_rng(0), max(400, int(n * share)), p=p)
    return {"X": X, "y": y}


def digits_data(share: float) -> dict[str, Any]:
    X, y = load_digits(return_X_y=True)
    rows = np.arange(max(400, int(len(X) * share)))
    return {"X": X[rows], "y": y[rows]}


def _scores(model: Any) -> dict[str, Any]:
    return {"scores": model.scores_[:, 0, :].mean(axis=0), "C": model.C_}


def our_cv(data: dict[str, Any], tol: float, *, Cs: int, cv: int) -> dict[str, Any]:
    model = xlr.LogisticRegressionCV(Cs=Cs, cv=cv, tol=tol)
    return _scores(quiet(lambda: model.fit(data["X"], data["y"])))


def their_cv(
    data: dict[str, Any], tol: float, solver: str, part: int, *, Cs: int, cv: int
) -> dict[str, Any]:
    model = LogisticRegressionCV(
        Cs=Cs,
        cv=cv,
        tol=tol,
        solver=solver,
        max_iter=10_000,
        n_jobs=N_JOBS,
        scoring="neg_log_loss",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
    return _scores(quiet(lambda: model.fit(data["X"], data["y"])))


def cv_distance(data: Any, found: dict[str, Any], best: dict[str, Any]) -> float:
    """Return the relative distance of scores; infinite if another C is chosen."""
    if found["C"] != best["C"]:
        return np.inf
    return float(np.max(np.abs(found["scores"] / best["scores"] - 1)))


# -- binary models, compared by F ------------------------------------------------------


def objectives(data: dict[str, Any], found: dict[str, Any]) -> np.ndarray:
    """Return F of each fitted model, in float64, of shape (n_models,)."""
    coef, intercept = found["coef"], found["intercept"]
    losses = np.empty(len(coef))
    for k in range(len(coef)):
        weights = data["counts"][:, k] if "counts" in data else np.ones(len(data["X"]))
        y = data["Y"][:, k] if data["Y"].ndim == 2 else data["Y"]
        logits = data["X"] @ coef[k] + intercept[k]
        loss = np.logaddexp(0, (1 - 2.0 * y) * logits)
        losses[k] = (weights @ loss + coef[k] @ coef[k] / 2) / weights.sum()
    return losses


def F_distance(  # noqa: N802 - F is what the objective is called
    data: dict[str, Any], found: dict[str, Any], best: dict[str, Any]
) -> float:
    """Return the largest relative distance of a model's F above the best known."""
    ours = objectives(data, found)
    return float(np.max(ours / objectives(data, best)[: len(ours)] - 1))


def classes_data(share: float, *, n: int, p: int, n_classes: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    X, *_ = correlated(rng, max(1_000, int(n * share)), p=p)
    scores = X @ rng.standard_normal((p, n_classes)) / 4
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return {"X": X, "y": y, "Y": y[:, None] == np.arange(n_classes)}


def labels_data(share: float) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    X, *_ = correlated(rng, max(400, int(20_000 * share)), p=100)
    logits = X @ rng.standard_normal((100, 500)) / 5 + rng.normal(-1, 1, size=500)
    Y = logits + rng.logistic(size=logits.shape) > 0
    return {"X": X, "Y": Y.astype(np.int8)}


def bootstrap_data(share: float) -> dict[str, Any]:
    X, y, *_ = correlated(np.random.default_rng(3), max(400, int(10_000 * share)), p=20)
    n = len(X)
    # The draws of xlr.bootstrap for random_state=0, so that the loop fits the same.
    draw = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    drawn = [draw.integers(n, size=n, dtype=np.int32) for _ in range(1_000)]
    counts = [np.bincount(rows, minlength=n) for rows in drawn]
    return {"X": X, "Y": y, "counts": np.stack(counts, axis=1).astype(np.float64)}


def our_classes(data: dict[str, Any], tol: float) -> dict[str, Any]:
    model = xlr.LogisticRegression(multi_class="ovr", tol=tol).fit(data["X"], data["y"])
    return {"coef": model.coef_, "intercept": model.intercept_}


def their_classes(
    data: dict[str, Any], tol: float, solver: str, part: int
) -> dict[str, Any]:
    one = LogisticRegression(solver=solver, tol=tol, max_iter=10_000)
    model = OneVsRestClassifier(one, n_jobs=N_JOBS)
    quiet(lambda: model.fit(data["X"], data["y"]))
    return {
        "coef": np.concatenate([e.coef_ for e in model.estimators_]),
        "intercept": np.concatenate([e.intercept_ for e in model.estimators_]),
    }


def our_labels(data: dict[str, Any], tol: float) -> dict[str, Any]:
    model = xlr.MultiLabelLogisticRegression(tol=tol).fit(data["X"], data["Y"])
    return {"coef": model.coef_, "intercept": model.intercept_}


def our_bootstrap(data: dict[str, Any], tol: float) -> dict[str, Any]:
    estimator = xlr.LogisticRegression(tol=tol)
    result = xlr.bootstrap(estimator, data["X"], data["Y"], random_state=0)
    return {"coef": result.coef[:, 0, :], "intercept": result.intercept[:, 0]}


def their_loop(
    data: dict[str, Any], tol: float, solver: str, part: int
) -> dict[str, Any]:
    """Fit each label, or each resample, in a loop."""
    model = LogisticRegression(solver=solver, tol=tol, max_iter=10_000)
    coef, intercept = [], []
    for k in range(part):
        y = data["Y"][:, k] if data["Y"].ndim == 2 else data["Y"]
        weights = data["counts"][:, k] if "counts" in data else None
        quiet(lambda y=y, weights=weights: model.fit(data["X"], y, weights))
        coef.append(model.coef_[0])
        intercept.append(model.intercept_[0])
    return {"coef": np.stack(coef), "intercept": np.asarray(intercept)}


def cv_cell(
    name: str, description: str, goal: float, make: Any, Cs: int, cv: int
) -> Cell:
    return Cell(
        name,
        description,
        goal,
        SOLVERS,
        make,
        partial(our_cv, Cs=Cs, cv=cv),
        partial(their_cv, Cs=Cs, cv=cv),
        # The best answer does not come from xlr.
        lambda data: their_cv(data, TIGHT, "newton-cholesky", 0, Cs=Cs, cv=cv),
        cv_distance,
        EQUAL_SCORES,
        n_models=Cs * cv,
        trial=Cs * cv,
    )


def many_cell(
    name: str,
    description: str,
    n_models: int,
    make: Any,
    ours: Any,
    theirs: Any,
    trial: int,
    goal: float = 10,
) -> Cell:
    return Cell(
        name,
        description,
        goal,
        SOLVERS,
        make,
        ours,
        theirs,
        lambda data: ours(data, TIGHT),
        F_distance,
        EQUAL_F,
        n_models=n_models,
        trial=trial,
    )


MANY_CELLS = {
    cell.name: cell
    for cell in [
        cv_cell(
            "cv",
            "20k x 50, correlated; 10 C x 5 folds",
            10,
            partial(cv_data, n=20_000, p=50),
            10,
            5,
        ),
        cv_cell(
            "large cv",
            "100k x 100, correlated; 20 C x 10 folds",
            10,
            partial(cv_data, n=100_000, p=100),
            20,
            10,
        ),
        cv_cell(
            "digits cv", "digits, 10 classes; 10 C x 5 folds", 5, digits_data, 10, 5
        ),
        many_cell(
            "one-vs-rest",
            "20k x 64, correlated; 26 classes, one-vs-rest",
            26,
            partial(classes_data, n=20_000, p=64, n_classes=26),
            our_classes,
            their_classes,
            26,
        ),
        many_cell(
            "labels",
            "20k x 100, correlated; 500 labels",
            500,
            labels_data,
            our_labels,
            their_loop,
            TRIAL,
        ),
        many_cell(
            "bootstrap",
            "10k x 20, correlated; 1,000 resamples",
            1_000,
            bootstrap_data,
            our_bootstrap,
            their_loop,
            TRIAL,
        ),
    ]
}
