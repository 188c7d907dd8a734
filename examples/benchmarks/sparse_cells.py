"""Cells of sparse models: data, fits, and distances above the lowest F."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from comparison import Cell
from generators import correlated
from scipy.special import expit, logsumexp
from sklearn.linear_model import LogisticRegression

import xlr

TIGHT = 1e-10
EQUAL_F = 1e-8  # largest relative distance of F above the best known
MAX_ITER = 10_000
N_CS = 100  # values of C on the path


# -- data ------------------------------------------------------------------------------


def rows_and_columns(share: float, *, n: int, p: int) -> dict[str, Any]:
    X, y, *_ = correlated(np.random.default_rng(0), max(300, int(n * share)), p=p)
    return {"X": X, "y": y}


def few_relevant(share: float, *, n: int, p: int, count: int = 50) -> dict[str, Any]:
    """Return correlated features; a few of them, far apart, have a coefficient."""
    rng = np.random.default_rng(1)
    X, *_ = correlated(rng, max(300, int(n * share)), p=p)
    coef = np.zeros(p)
    coef[:: p // count] = rng.choice([-1.0, 1.0], size=len(coef[:: p // count]))
    coef *= 2 / np.std(X @ coef)
    return {"X": X, "y": (rng.random(len(X)) < expit(X @ coef)).astype(np.int64)}


def independent(share: float, *, n: int, p: int) -> dict[str, Any]:
    """Return independent features; `correlated` would need a p x p matrix."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((max(300, int(n * share)), p))
    coef = rng.standard_normal(50)
    logits = X[:, :50] @ coef
    return {"X": X, "y": (rng.random(len(X)) < expit(logits)).astype(np.int64)}


def ten_classes(share: float, *, n: int, p: int) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    X, *_ = correlated(rng, max(1_000, int(n * share)), p=p)
    coef = rng.standard_normal((p, 10)) * (rng.random((p, 10)) < 0.2)
    scores = X @ coef + rng.gumbel(size=(len(X), 10))
    return {"X": X, "y": scores.argmax(axis=1)}


# -- fits: coefficients (n_models, n_columns, p) and intercepts (n_models, n_columns) --


def our_fit(
    data: dict[str, Any], tol: float, *, C: float, l1_ratio: float
) -> dict[str, Any]:
    model = xlr.LogisticRegression(C=C, l1_ratio=l1_ratio, tol=tol, max_iter=MAX_ITER)
    model.fit(data["X"], data["y"])
    return {"coef": model.coef_[None], "intercept": model.intercept_[None]}


def their_fit(
    data: dict[str, Any],
    tol: float,
    peer: str,
    part: int,
    *,
    C: float,
    l1_ratio: float,
) -> dict[str, Any]:
    X, y = data["X"], data["y"]
    alpha = 1 / (C * len(y))
    model: Any
    if peer == "glum":
        from glum import GeneralizedLinearRegressor

        model = GeneralizedLinearRegressor(
            family="binomial",
            alpha=alpha,
            l1_ratio=l1_ratio,
            gradient_tol=tol,
            max_iter=1_000,
        )
        model.fit(X, y.astype(X.dtype))
        return {
            "coef": model.coef_[None, None],
            "intercept": np.asarray([[model.intercept_]]),
        }
    if peer == "skglm":
        from skglm import SparseLogisticRegression

        model = SparseLogisticRegression(
            alpha=alpha, l1_ratio=l1_ratio, tol=tol, max_iter=100, max_epochs=MAX_ITER
        )
    elif peer == "liblinear":
        model = LogisticRegression(
            C=C,
            l1_ratio=l1_ratio,
            solver="liblinear",
            tol=tol,
            max_iter=1_000,
            intercept_scaling=100,  # divides the penalty of the intercept
        )
    else:
        model = LogisticRegression(
            C=C, l1_ratio=l1_ratio, solver=peer, tol=tol, max_iter=data["epochs"]
        )
    model.fit(X, y)
    return {
        "coef": np.atleast_2d(model.coef_)[None],
        "intercept": np.atleast_1d(model.intercept_)[None],
    }


def path_Cs(data: dict[str, Any]) -> np.ndarray:  # noqa: N802
    """Return the values of C on the path, from small to large.

    At the first, the first coefficient leaves zero. The last is 100 times larger.
    """
    X, y = data["X"], data["y"]
    gradient = np.abs(X.T @ (y - y.mean())).max()
    return np.logspace(0, 2, N_CS) / gradient


def our_path(data: dict[str, Any], tol: float) -> dict[str, Any]:
    path = xlr.logistic_path(data["X"], data["y"], Cs=path_Cs(data), tol=tol)
    return {"coef": path.coefs, "intercept": path.intercepts}


def their_path(
    data: dict[str, Any], tol: float, peer: str, part: int
) -> dict[str, Any]:
    """Fit each model from the previous one."""
    X, y = data["X"], data["y"]
    alphas = 1 / (path_Cs(data) * len(y))
    if peer == "glum":
        from glum import GeneralizedLinearRegressor

        # glum has its own search along the path.
        model = GeneralizedLinearRegressor(
            family="binomial",
            alphas=alphas,
            l1_ratio=1,
            gradient_tol=tol,
            max_iter=1_000,
            alpha_search=True,
        )
        model.fit(X, y.astype(X.dtype))
        return {
            "coef": np.asarray(model.coef_path_)[:, None, :],
            "intercept": np.asarray(model.intercept_path_)[:, None],
        }
    from skglm import SparseLogisticRegression

    model = SparseLogisticRegression(
        tol=tol, max_iter=100, max_epochs=MAX_ITER, warm_start=True
    )
    coef, intercept = [], []
    for alpha in alphas:
        model.set_params(alpha=alpha).fit(X, y)
        coef.append(np.atleast_2d(model.coef_).copy())
        intercept.append(np.atleast_1d(model.intercept_).copy())
    return {"coef": np.stack(coef), "intercept": np.stack(intercept)}


# -- distance above the lowest F -------------------------------------------------------


def objectives(
    data: dict[str, Any], found: dict[str, Any], *, Cs: np.ndarray, l1_ratio: float
) -> np.ndarray:
    """Return F of each model, in float64, of shape (n_models,)."""
    X, y = data["X"], data["y"]
    values = []
    for C, coef, intercept in zip(Cs, found["coef"], found["intercept"], strict=True):
        logits = X @ coef.T + intercept
        if len(coef) == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        loss = logsumexp(logits, axis=1) - logits[np.arange(len(y)), y]
        penalty = l1_ratio * np.abs(coef) + (1 - l1_ratio) / 2 * coef**2
        values.append((loss.sum() + penalty.sum() / C) / len(y))
    return np.asarray(values)


def above_the_best(
    data: dict[str, Any], found: dict[str, Any], best: dict[str, Any], **how: Any
) -> float:
    """Return the largest relative distance of a model's F above the best known."""
    ours = objectives(data, found, **how)
    return float(np.max(ours / objectives(data, best, **how) - 1))


def fit_cell(
    name: str,
    description: str,
    goal: float,
    peers: tuple[str, ...],
    make: Any,
    *,
    C: float,
    l1_ratio: float = 1.0,
    epochs: int = MAX_ITER,
) -> Cell:
    how = {"C": C, "l1_ratio": l1_ratio}
    return Cell(
        name,
        f"{description}, C={C:g}",
        goal,
        peers,
        # These epochs of saga take a few minutes; C code cannot be stopped.
        lambda share: {**make(share), "epochs": epochs},
        partial(our_fit, **how),
        partial(their_fit, **how),
        partial(our_fit, tol=TIGHT, **how),
        partial(above_the_best, Cs=np.asarray([C]), l1_ratio=l1_ratio),
        EQUAL_F,
    )


def path_above_the_best(
    data: dict[str, Any], found: dict[str, Any], best: dict[str, Any]
) -> float:
    return above_the_best(data, found, best, Cs=path_Cs(data), l1_ratio=1.0)


SPARSE_CELLS = {
    cell.name: cell
    for cell in [
        fit_cell(
            "L1, many rows",
            "50k x 200, correlated",
            3,
            ("saga", "liblinear", "glum", "skglm"),
            partial(rows_and_columns, n=50_000, p=200),
            C=0.01,
            epochs=1_000,
        ),
        fit_cell(
            "L1, many columns",
            "1k x 20k",
            3,
            ("saga", "liblinear", "glum", "skglm"),
            partial(independent, n=1_000, p=20_000),
            C=0.05,
            epochs=1_000,
        ),
        fit_cell(
            "elastic net",
            "20k x 1k, correlated, l1_ratio=0.5",
            3,
            ("saga", "glum", "skglm"),
            partial(few_relevant, n=20_000, p=1_000),
            C=0.01,
            l1_ratio=0.5,
            epochs=500,
        ),
        Cell(
            "path",
            "5k x 2k, correlated, 50 relevant; 100 L1 models",
            3,
            ("glum", "skglm"),
            partial(few_relevant, n=5_000, p=2_000),
            our_path,
            their_path,
            partial(our_path, tol=TIGHT),
            path_above_the_best,
            EQUAL_F,
        ),
        fit_cell(
            "L1, ten classes",
            "20k x 200 x 10 classes, correlated",
            5,
            ("saga",),
            partial(ten_classes, n=20_000, p=200),
            C=0.1,
            epochs=500,
        ),
    ]
}
