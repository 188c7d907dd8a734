"""Fits to small data sets of many kinds against their minima in 50 digits."""

from __future__ import annotations

import numpy as np
import pytest
from extended_precision import Exact

import xlr

N, P = 30, 3
EPS = float(np.finfo(np.float64).eps)


def draw(n_classes, seed, *, n=N, p=P, noise=1.0):
    """Return features, labels that depend on them and on noise, and the generator."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.5
    scores = 2 * X @ rng.normal(size=(p, n_classes)) / p**0.5
    y = np.argmax(scores + noise * rng.gumbel(size=scores.shape), axis=1)
    y[:n_classes] = np.arange(n_classes)  # every class occurs
    return X, y, rng


def plain(n_classes, **options):
    X, y, _ = draw(n_classes, 1)
    return X, y, options


def weighted(n_classes):
    X, y, rng = draw(n_classes, 2)
    return X, y, {"sample_weight": 10 ** rng.uniform(-3, 3, size=N)}


def rows_without_weight(n_classes):
    X, y, rng = draw(n_classes, 3)
    return X, y, {"sample_weight": rng.integers(0, 3, size=N).astype(float)}


def with_offset(n_classes):
    X, y, rng = draw(n_classes, 4)
    shape = N if n_classes == 2 else (N, n_classes)
    return X, y, {"offset": 3 * rng.normal(size=shape), "C": np.inf}


def ill_conditioned(n_classes, C):
    """Return powers of one number: a Vandermonde matrix."""
    _, y, rng = draw(n_classes, 5)
    x = rng.uniform(0, 1, size=N)
    return np.stack([x**j for j in range(1, 5)], axis=1), y, {"C": C}


def nearly_collinear(n_classes, C):
    X, y, rng = draw(n_classes, 6)
    X[:, 1] = X[:, 0] + 1e-6 * rng.normal(size=N)
    return X, y, {"C": C}


def badly_scaled(n_classes, C):
    X, y, _ = draw(n_classes, 7)
    return X * np.asarray([1e-8, 1.0, 1e8]), y, {"C": C}


def far_from_zero(n_classes):
    X, y, _ = draw(n_classes, 8)
    return X + np.asarray([1e3, -1e5, 1e7]), y, {"C": 1e4}


def nearly_separable(n_classes):
    """Return classes with one row on the wrong side."""
    X, y, _ = draw(n_classes, 9, noise=0.0)
    y[-1] = (y[-1] + 1) % n_classes
    return X, y, {"C": 1e6}


def separable(n_classes):
    """Return classes whose minimum exists only because of the penalty."""
    X, y, _ = draw(n_classes, 10, noise=0.0)
    return X, y, {"C": 1e6}


def imbalanced(n_classes):
    X, y, _ = draw(n_classes, 11)
    y[n_classes:] = 0
    return X, y, {}


def wide(n_classes, C):
    """Return more features than rows."""
    X, y, _ = draw(n_classes, 12, n=10, p=14)
    return X, y, {"C": C}


def constant_column(n_classes):
    X, y, _ = draw(n_classes, 13)
    X[:, 1] = 0.1
    return X, y, {}


def indicators(n_classes):
    _, y, rng = draw(n_classes, 14)
    return rng.integers(0, 2, size=(N, P)).astype(float), y, {"C": 1e3}


def with_zeros(n_classes, l1_ratio, **options):
    """Return a problem in which some coefficients are zero."""
    X, y, rng = draw(n_classes, 15)
    X = np.column_stack([X, rng.normal(size=(N, 2))])
    return X, y, {"C": 0.3, "l1_ratio": l1_ratio, **options}


KINDS = {
    "plain": plain,
    "strong penalty": lambda k: plain(k, C=1e-3),
    "weak penalty": lambda k: plain(k, C=1e6),
    "no penalty": lambda k: plain(k, C=np.inf),
    "no intercept": lambda k: plain(k, fit_intercept=False),
    "neither penalty nor intercept": lambda k: plain(k, C=np.inf, fit_intercept=False),
    "penalty factors": lambda k: plain(k, penalty_factor=np.asarray([0.0, 1.0, 5.0])),
    "weighted": weighted,
    "rows without weight": rows_without_weight,
    "offset": with_offset,
    "ill-conditioned": lambda k: ill_conditioned(k, 1.0),
    "ill-conditioned, weak penalty": lambda k: ill_conditioned(k, 1e6),
    "nearly collinear": lambda k: nearly_collinear(k, 1.0),
    "nearly collinear, weak penalty": lambda k: nearly_collinear(k, 1e8),
    "badly scaled": lambda k: badly_scaled(k, 1.0),
    "badly scaled, no penalty": lambda k: badly_scaled(k, np.inf),
    "far from zero": far_from_zero,
    "nearly separable": nearly_separable,
    "separable": separable,
    "imbalanced": imbalanced,
    "wide": lambda k: wide(k, 1.0),
    "wide, weak penalty": lambda k: wide(k, 1e4),
    "constant column": constant_column,
    "indicators": indicators,
    "elastic net": lambda k: with_zeros(k, 0.5),
    "lasso": lambda k: with_zeros(k, 1.0),
    "lasso without intercept": lambda k: with_zeros(k, 1.0, fit_intercept=False),
}


@pytest.mark.parametrize(
    ("kind", "n_classes"), [(kind, 2 + i % 2) for i, kind in enumerate(KINDS)]
)
def test_fit_is_within_1e_10_of_its_minimum_and_has_the_exact_optimality(
    kind, n_classes
):
    X, y, options = KINDS[kind](n_classes)
    of_rows = {
        name: options[name] for name in ("sample_weight", "offset") if name in options
    }
    model = xlr.LogisticRegression(
        **{name: value for name, value in options.items() if name not in of_rows}
    ).fit(X, y, **of_rows)
    exact = Exact(X, y, **options)
    w = exact.parameters(model)
    value, least = exact.value(w), exact.minimum(w)
    assert model.converged_
    assert least <= value <= least * (1 + 1e-10)
    assert model.history_["objective"][-1] == pytest.approx(float(value), rel=1e-13)
    error = abs(model.optimality_ - exact.optimality(w))
    assert error <= exact.rounding(w, EPS)
