"""Random fits of many kinds, with difficult data and options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.random import Generator

__all__ = ["KINDS", "RandomFit", "draw_fit"]

SMOOTH_SOLVERS = ["auto", "newton-cholesky", "newton-cg", "lbfgs"]
NON_SMOOTH_SOLVERS = ["auto", "proximal-newton", "active-set", "newton-cg"]


@dataclass
class RandomFit:
    """Data and options of one fit; ``draw_fit(seed)`` draws it again."""

    seed: int
    kind: str
    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    offset: np.ndarray | None
    options: dict[str, Any]


# -- kinds of X ------------------------------------------------------------------------


def _shape(
    rng: Generator, max_rows: int = 200, max_columns: int = 8
) -> tuple[int, int]:
    return int(rng.integers(30, max_rows)), int(rng.integers(1, max_columns))


def gaussian(rng: Generator) -> Any:
    return rng.normal(size=_shape(rng))


def one_hot_with_rare_levels(rng: Generator) -> Any:
    n, _ = _shape(rng)
    sizes = rng.integers(2, 8, size=2)
    levels = [np.minimum(rng.geometric(0.5, size=n) - 1, k - 1) for k in sizes]
    return np.hstack([np.eye(k)[level] for k, level in zip(sizes, levels)])


def booleans(rng: Generator) -> Any:
    n, p = _shape(rng)
    return rng.random((n, p)) < rng.uniform(0.02, 0.5, size=p)


def heavy_tails(rng: Generator) -> Any:
    shape = _shape(rng)
    return rng.pareto(rng.uniform(0.3, 2), size=shape) * rng.choice([-1, 1], shape)


def outliers(rng: Generator) -> Any:
    X = rng.normal(size=_shape(rng))
    for _ in range(rng.integers(1, 4)):
        place = rng.integers(X.shape[0]), rng.integers(X.shape[1])
        X[place] = 10.0 ** rng.uniform(5, 8) * rng.choice([-1, 1])
    return X


def fill_values(rng: Generator) -> Any:
    X = rng.normal(size=_shape(rng))
    is_filled = rng.random(len(X)) < rng.choice([0.05, 0.3, 0.8])
    X[is_filled, 0] = 10.0 ** rng.uniform(5, 12)
    return X


def outliers_among_zeros(rng: Generator) -> Any:
    X = rng.normal(size=_shape(rng))
    X[rng.random(X.shape) < rng.choice([0.5, 0.9, 0.97])] = 0
    X[rng.integers(X.shape[0]), 0] = 10.0 ** rng.uniform(5, 12)
    return sp.csr_array(X) if rng.random() < 0.5 else X


def nearly_collinear(rng: Generator) -> Any:
    X = rng.normal(size=_shape(rng))
    return np.column_stack([X, X[:, 0] + 10.0 ** rng.uniform(-7, -2) * X[:, -1] ** 2])


def collinear(rng: Generator) -> Any:
    X = rng.normal(size=_shape(rng))
    return np.column_stack([X, X.sum(axis=1), np.ones(len(X))])


def tiny(rng: Generator) -> Any:
    return rng.normal(size=(rng.integers(6, 15), rng.integers(1, 4)))


def wide(rng: Generator) -> Any:
    n = int(rng.integers(10, 40))
    return rng.normal(size=(n, int(rng.integers(n, 3 * n))))


def duplicated_rows(rng: Generator) -> Any:
    X = rng.normal(size=_shape(rng, max_rows=60))
    return X[rng.integers(len(X) // 4 + 2, size=len(X))]


def scales_over_200_decades(rng: Generator) -> Any:
    n, p = _shape(rng)
    return rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-100, 100, size=p)


def counts(rng: Generator) -> Any:
    n, p = _shape(rng)
    return rng.poisson(np.geomspace(20, 0.05, p), size=(n, p))


def sparse_counts(rng: Generator) -> Any:
    return sp.csr_array(np.asarray(counts(rng), dtype=float))


def far_means(rng: Generator) -> Any:
    n, p = _shape(rng)
    return rng.normal(size=(n, p)) + 10.0 ** rng.uniform(1, 6, size=p)


def float32(rng: Generator) -> Any:
    return gaussian(rng).astype(np.float32)


def float32_with_far_means(rng: Generator) -> Any:
    return far_means(rng).astype(np.float32)


def polynomial(rng: Generator) -> Any:
    x = rng.uniform(0, 10.0 ** rng.integers(0, 3), size=int(rng.integers(30, 150)))
    return x[:, None] ** np.arange(1, rng.integers(3, 6))


def small_integers(rng: Generator) -> Any:
    return rng.integers(-3, 4, size=_shape(rng)).astype(np.int8)


def strided_view(rng: Generator) -> Any:
    X = rng.normal(size=_shape(rng))
    return np.asfortranarray(np.repeat(X, 2, axis=0))[::-2]


KINDS: dict[str, Callable[[Generator], Any]] = {
    kind.__name__: kind
    for kind in (
        gaussian,
        one_hot_with_rare_levels,
        booleans,
        heavy_tails,
        outliers,
        fill_values,
        outliers_among_zeros,
        nearly_collinear,
        collinear,
        tiny,
        wide,
        duplicated_rows,
        scales_over_200_decades,
        counts,
        sparse_counts,
        far_means,
        float32,
        float32_with_far_means,
        polynomial,
        small_integers,
        strided_view,
    )
}


# -- labels, weights and options -------------------------------------------------------


def _labels(rng: Generator, X: Any, n_classes: int) -> np.ndarray:
    """Return labels that depend on ranks of the columns; every class occurs."""
    dense = X.toarray() if sp.issparse(X) else np.asarray(X)
    ranks = dense.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    Z = 2 * ranks[:, :5] / len(ranks) - 1
    logits = Z @ rng.normal(size=(Z.shape[1], n_classes)) * rng.choice([0, 1, 3])
    logits = logits + rng.normal(size=n_classes) * rng.choice([0, 2])
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    y[rng.permutation(len(y))[:n_classes]] = np.arange(n_classes)
    return y


def _options(rng: Generator, n_features: int) -> dict[str, Any]:
    options: dict[str, Any] = {"C": float(10.0 ** rng.uniform(-3, 4))}
    non_smooth = rng.random() < 0.4
    if rng.random() < 0.15:
        options["fit_intercept"] = False
    if rng.random() < 0.2:
        choices = [0.0, 0.1, 1.0, 10.0, *([np.inf] if non_smooth else [])]
        options["penalty_factor"] = rng.choice(choices, size=n_features)
    if non_smooth:
        options["l1_ratio"] = float(rng.choice([0.0, 0.5, 1.0], p=[0.2, 0.3, 0.5]))
        if options["l1_ratio"] == 0 or rng.random() < 0.2:
            options["lower"] = rng.choice([-np.inf, -0.1, 0.0], size=n_features)
            options["upper"] = rng.choice([np.inf, 0.1, 1.0], size=n_features)
    elif rng.random() < 0.1:
        options["C"] = np.inf
        options.pop("penalty_factor", None)
    solvers = NON_SMOOTH_SOLVERS if non_smooth else SMOOTH_SOLVERS
    options["solver"] = str(rng.choice(solvers))
    if rng.random() < 0.2:
        options["tol"] = 1e-9
    return options


def draw_fit(seed: int) -> RandomFit:
    """Draw a fit; consecutive seeds draw all kinds in turn."""
    rng = np.random.default_rng(seed)
    kind = list(KINDS)[seed % len(KINDS)]
    X = KINDS[kind](rng)
    n, p = X.shape
    n_classes = int(rng.choice([2, 3, 5], p=[0.6, 0.3, 0.1]))
    y = _labels(rng, X, n_classes)
    weights = offset = None
    if rng.random() < 0.3:
        weights = 10.0 ** rng.uniform(*rng.choice([[-1, 1], [-6, 6]]), size=n)
        weights[rng.random(n) < rng.choice([0, 0.3])] = 0.0
        weights[:: max(n // 10, 1)] = 1.0
    if rng.random() < 0.2:
        shape = n if n_classes == 2 else (n, n_classes)
        offset = rng.normal(size=shape) * rng.choice([1, 10])
    return RandomFit(seed, kind, X, y, weights, offset, _options(rng, p))
