"""Estimates and standard errors against arithmetic in 50 digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from extended_precision import Exact, mp
from in_chunks import in_chunks
from scipy.sparse import csr_array

import xlr

N = 120


def with_outlier(rng: Any, size: float) -> np.ndarray:
    X = rng.normal(size=(N, 2))
    X[0, 0] = size
    return X


KINDS = {
    "ordinary": lambda rng: rng.normal(size=(N, 2)),
    "outlier 1e5": lambda rng: with_outlier(rng, 1e5),
    "outlier 1e8": lambda rng: with_outlier(rng, 1e8),
    "outlier -1e7": lambda rng: with_outlier(rng, -1e7),
    "heavy tails": lambda rng: rng.pareto(0.5, size=(N, 2)),
    "two outliers": lambda rng: with_outlier(rng, 1e7) + 1e6 * np.eye(N, 2, -5),
    "fill value": lambda rng: np.column_stack(
        [rng.normal(size=N), np.where(np.arange(N) % 8, rng.normal(size=N), 1e10)]
    ),
}


def problem(kind: str, n_classes: int = 2, rare: float = 0.0) -> Any:
    """Return features of a kind and labels; ``rare`` favours the first class."""
    rng = np.random.default_rng(14)
    X = KINDS[kind](rng)
    x = np.clip(X[:, 0] - np.median(X[:, 0]), -2, 2) + rng.logistic(size=N) - rare
    return X, np.digitize(x, [0.0, 1.5][: n_classes - 1])


def exact_results(exact: Exact, model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and errors by Newton's method in 50 digits, intercepts first.

    Without a penalty, several classes are compared with the first.
    """
    w = exact.parameters(model)
    first = len(w) > 1
    w = [[v - (w[0][j] if first else 0) for j, v in enumerate(c)] for c in w]
    free = [(k, j) for k in range(first, len(w)) for j in range(exact.size)]
    for _ in range(40):
        gradient, hessian = exact.derivatives(w, free)
        flat = mp.matrix([gradient[k][j] for k, j in free])
        step = mp.lu_solve(hessian, flat)
        for (k, j), change in zip(free, step):
            w[k][j] -= change
        if mp.fdot(flat, step) < 1e-40:
            break
    else:
        raise AssertionError("Newton's method does not converge.")
    _, hessian = exact.derivatives(w, free)
    inverse = (hessian * exact.total) ** -1
    information = hessian * exact.total
    for a, (_, j) in enumerate(free):
        information[a, a] -= exact.ridge[j] * exact.total
    covariance = inverse * information * inverse
    errors = [float(mp.sqrt(covariance[a, a])) for a in range(len(free))]
    params = [float(w[k][j]) for k, j in free]
    shape = len(w) - first, exact.size
    found = [np.roll(np.reshape(v, shape), 1, axis=1).T for v in (params, errors)]
    return tuple(v[:, 0] if shape[0] == 1 else v for v in found)


def assert_exact(results: Any, expected: tuple[np.ndarray, np.ndarray]) -> None:
    params, errors = expected
    np.testing.assert_allclose(results.bse, errors, rtol=1e-6)
    assert np.abs((results.params - params) / errors).max() < 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_standard_errors_of_default_fits_are_exact(kind):
    X, y = problem(kind)
    weights = np.random.default_rng(0).uniform(0.5, 2, N)
    offset = np.random.default_rng(1).normal(size=N)
    for C, given in (
        (np.inf, {}),
        (1.0, {"sample_weight": weights}),
        (np.inf, {"offset": offset, "sample_weight": 1e-3 * weights}),
    ):
        model = xlr.LogisticRegression(C=C).fit(X, y, **given)
        expected = exact_results(Exact(X, y, C=C, **given), model)
        assert_exact(xlr.infer(model, X, y, **given), expected)


@pytest.mark.parametrize("kind", ["outlier 1e5", "heavy tails"])
def test_standard_errors_of_many_classes_are_exact(kind):
    X, y = problem(kind, n_classes=3)
    model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    expected = exact_results(Exact(X, y, C=np.inf), model)
    assert_exact(xlr.infer(model, X, y), expected)


@pytest.mark.parametrize(
    ("solver", "tol"), [("auto", 1e-3), ("lbfgs", 1e-4), ("newton-cg", 1e-6)]
)
def test_standard_errors_of_rare_events_are_exact_for_every_solver(solver, tol):
    X, y = problem("ordinary", rare=4.0)
    assert 2 < y.sum() < 12
    model = xlr.LogisticRegression(C=np.inf, solver=solver, tol=tol).fit(X, y)
    expected = exact_results(Exact(X, y, C=np.inf), model)
    assert_exact(xlr.infer(model, X, y), expected)


@pytest.mark.parametrize("kind", ["ordinary", "outlier 1e8"])
@pytest.mark.parametrize(
    "form", [csr_array, lambda X: in_chunks(X, (50, 0, 70))], ids=["sparse", "chunks"]
)
def test_standard_errors_of_sparse_rows_and_of_chunks_are_exact(kind, form):
    X, y = problem(kind)
    for C in (np.inf, 1.0):
        given = form(X), y
        model = xlr.LogisticRegression(C=C).fit(*given)
        expected = exact_results(Exact(X, y, C=C), model)
        assert_exact(xlr.infer(model, *given), expected)


@pytest.mark.shared_arithmetic
@pytest.mark.parametrize("kind", ["ordinary", "outlier 1e8"])
def test_standard_errors_are_exact_on_every_backend(place, dtype, kind):
    if dtype == "float32":
        pytest.skip("the rounding errors of float32 exceed the tolerance")
    X, y = problem(kind)
    given = place(X), place(y, "int64")
    model = xlr.LogisticRegression().fit(*given)
    expected = exact_results(Exact(X, y), model.to_numpy())
    assert_exact(xlr.infer(model, *given), expected)


@pytest.mark.filterwarnings("ignore:The penalised likelihood may have several")
@pytest.mark.parametrize(("kind", "tol"), [("ordinary", 1e-4), ("outlier 1e5", 1e-2)])
def test_errors_of_firth_invert_the_information_at_the_estimates(kind, tol):
    X, y = problem(kind)
    model = xlr.FirthLogisticRegression(tol=tol).fit(X, y)
    results = xlr.infer(model, X, y)
    exact = Exact(X, y, C=np.inf)
    w = [[mp.mpf(v) for v in np.roll(results.params, -1).tolist()]]
    _, hessian = exact.derivatives(w, [(0, j) for j in range(3)])
    covariance = (hessian * exact.total) ** -1
    expected = [float(mp.sqrt(covariance[j, j])) for j in (2, 0, 1)]
    np.testing.assert_allclose(results.bse, expected, rtol=1e-6)


def test_outlier_without_influence_hardly_changes_intervals():
    """The model fits the outlier almost perfectly."""
    X, y = problem("outlier 1e8")
    model = xlr.LogisticRegression(C=np.inf)
    with_row, without = (
        xlr.infer(model.fit(a, b), a, b, keep_data=True)
        for a, b in ((X, y), (X[1:], y[1:]))
    )
    if np.abs(with_row.params - without.params).max() > 1e-3:
        pytest.fail("the row of 1e8 has an influence")
    for statistic in (
        lambda results: results.get_margeff().columns["std err"],
        lambda results: results.predict_interval(X[1:]).se,
        lambda results: results.profile_conf_int().columns["[0.025"],
    ):
        np.testing.assert_allclose(statistic(with_row), statistic(without), rtol=0.02)
