"""Sparse X gives the same models as the dense matrix of the same values."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning

import xlr

FORMATS = [sp.csr_matrix, sp.coo_array, sp.lil_array, sp.dok_array, sp.dok_matrix]


def words(n: int = 400, p: int = 60, seed: int = 0, n_classes: int = 2):
    """Return counts, most of them zero, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(np.geomspace(2, 0.02, p), size=(n, p)).astype(float)
    X[:, -1] = 0.0  # a word that no text has
    X[:, -2] = 1.0
    logits = X @ rng.normal(size=(p, n_classes)) / 3 + rng.gumbel(size=(n, n_classes))
    return X, logits.argmax(axis=1)


def scattered(rng: np.random.Generator, n: int, p: int, density: float) -> sp.csr_array:
    """Return a sparse matrix with entries from 0 to 1."""
    return sp.csr_array(rng.random((n, p)) * (rng.random((n, p)) < density))


def assert_same(sparse, dense, atol=1e-7):
    np.testing.assert_allclose(sparse.coef_, dense.coef_, atol=atol)
    np.testing.assert_allclose(sparse.intercept_, dense.intercept_, atol=atol)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"solver": "newton-cg"}, {"solver": "lbfgs"}, {"l1_ratio": 1.0, "C": 0.1}],
    ids=str,
)
def test_sparse_columns_without_information_have_coefficient_zero(parameters):
    X, y = words(n_classes=3)
    model = xlr.LogisticRegression(tol=1e-9, **parameters).fit(sp.csr_array(X), y)
    assert_same(model, xlr.LogisticRegression(tol=1e-9, **parameters).fit(X, y))
    np.testing.assert_array_equal(model.coef_[:, -2:], 0.0)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.__name__)
def test_sparse_formats_give_the_same_model(form):
    X, y = words()
    expected = xlr.LogisticRegression().fit(sp.csr_array(X), y)
    model = xlr.LogisticRegression().fit(form(X), y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    for name in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        found = getattr(model, name)(form(X))
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, getattr(model, name)(X), atol=1e-12)
    assert model.score(form(X), y) == model.score(X, y)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_duplicates_and_unsorted_indices_are_summed(index):
    X, y = words()
    rows, columns = np.nonzero(np.ones_like(X))
    half = np.ravel(X) / 2
    coordinates = tuple(np.tile(v, 2).astype(index) for v in (rows, columns))
    twice = sp.coo_array((np.tile(half, 2), coordinates), shape=X.shape)
    unsorted = sp.csr_array(
        (X[:, ::-1].ravel(), columns[::-1].astype(index), np.arange(401) * 60),
        shape=X.shape,
    )
    unsorted.indices = np.tile(np.arange(60)[::-1], 400).astype(index)
    before = unsorted.copy()
    expected = xlr.LogisticRegression(tol=1e-10).fit(X, y)
    for data in (twice, unsorted):
        assert_same(xlr.LogisticRegression(tol=1e-10).fit(data, y), expected)
        found = expected.predict_proba(data)
        np.testing.assert_allclose(found, expected.predict_proba(X), atol=1e-12)
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(unsorted, part), getattr(before, part))


def test_sparse_indices_may_be_unsigned():
    X, y = words()
    data = sp.csr_array(X)
    expected = xlr.LogisticRegression().fit(data, y)
    data.indices, data.indptr = (
        v.astype(np.uint32) for v in (data.indices, data.indptr)
    )
    model = xlr.LogisticRegression().fit(data, y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.predict(data), expected.predict(X))


def test_sparse_dates_are_refused():
    X, y = words()
    data = sp.csr_array(X)
    data.data = data.data.astype("datetime64[D]")
    with pytest.raises(ValueError, match="X holds dates or times"):
        xlr.LogisticRegression().fit(data, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_sparse_fit_has_the_dtype_of_a_dense_fit(dtype):
    X, y = words()
    data = sp.csr_array(X.astype(dtype))
    tol = 1e-6 if dtype == np.float32 else 1e-8
    model = xlr.LogisticRegression(tol=tol).fit(data, y)
    dense = xlr.LogisticRegression(tol=tol).fit(data.toarray(), y)
    assert model.coef_.dtype == dense.coef_.dtype
    assert_same(model, dense, atol=2e-4 if dtype == np.float32 else 1e-6)


@pytest.mark.parametrize("n", [30, 90_000])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_sparse_matrix_without_entries_has_only_an_intercept(l1_ratio, n):
    y = np.arange(n) % 3 == 0
    model = xlr.LogisticRegression(l1_ratio=l1_ratio).fit(sp.csr_array((n, 4)), y)
    np.testing.assert_array_equal(model.coef_, 0.0)
    np.testing.assert_allclose(model.intercept_, np.log(1 / 2), atol=1e-6)


def test_sparse_fit_of_many_rows_reaches_the_minimum_of_dense_x():
    rng = np.random.default_rng(1)
    X = scattered(rng, 40_000, 50, density=0.2)
    y = (X @ rng.normal(size=50) + rng.logistic(size=40_000) > 0).astype(int)
    best = xlr.LogisticRegression(tol=1e-11, n_jobs=1).fit(X.toarray(), y)
    least = best.history_["objective"][-1]
    for parameters in ({}, {"solver": "newton-cg"}, {"n_jobs": 2}):
        model = xlr.LogisticRegression(**parameters).fit(X, y)
        assert model.history_["objective"][-1] <= least * (1 + 1e-9)


def test_sparse_fit_of_more_features_than_rows_equals_that_of_dense_x():
    rng = np.random.default_rng(2)
    X = scattered(rng, 300, 5000, density=0.1)
    y = (X[:, :20].sum(axis=1) + 0.1 * rng.normal(size=300) > 1).astype(int)
    for l1_ratio in (0.0, 1.0):
        fits = [
            xlr.LogisticRegression(l1_ratio=l1_ratio, C=10, tol=1e-8).fit(data, y)
            for data in (X, X.toarray())
        ]
        assert_same(*fits, atol=1e-4)
        np.testing.assert_array_equal(fits[0].coef_ == 0, fits[1].coef_ == 0)


def test_sparse_fit_takes_a_few_times_the_memory_of_x():
    rng = np.random.default_rng(3)
    n, p = 5_000, 250_000
    columns = rng.integers(0, p, size=n * 50, dtype=np.int32)
    X = sp.csr_array((np.ones(n * 50), columns, np.arange(0, n * 50 + 1, 50)), (n, p))
    X.sum_duplicates()
    y = rng.integers(0, 2, size=n)
    stored = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    vector = 8 * p  # bytes of a vector of coefficients
    tracemalloc.start()
    with pytest.warns(ConvergenceWarning):
        xlr.LogisticRegression(max_iter=2).fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * stored + 30 * vector


def test_model_of_sparse_x_predicts_the_same_after_pickling_and_conversion():
    X, y = words()
    model = xlr.LogisticRegression().fit(sp.csr_array(X), y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        again.predict_proba(sp.csr_array(X)), model.predict_proba(sp.csr_array(X))
    )
    theirs = model.to_sklearn()
    np.testing.assert_allclose(
        theirs.predict_proba(sp.csr_array(X)), model.predict_proba(X), atol=1e-12
    )


def test_sparse_fit_of_columns_on_all_scales_reaches_the_minimum_of_dense_x():
    X, y = load_breast_cancer(return_X_y=True)
    for data in (X, np.concatenate([X * 1e9, X * 1e-9], axis=1)):
        values = [
            xlr.LogisticRegression(tol=1e-8).fit(form, y).history_["objective"][-1]
            for form in (sp.csr_array(data), data)
        ]
        assert values[0] == pytest.approx(values[1], rel=1e-9)


def dated(distance: float, dtype: str = "float64", n_classes: int = 2):
    """Return X with a date and a category, and labels that depend on both.

    ``distance`` is the mean of the date in standard deviations.
    """
    rng = np.random.default_rng(3)
    date, category = rng.normal(size=300), rng.integers(0, 10, 300)
    X = np.column_stack([3 * (date + distance), np.eye(10)[category]])
    later = np.outer(date + rng.normal(size=10)[category], np.arange(n_classes))
    y = (1.5 * later + rng.gumbel(size=later.shape)).argmax(axis=1)
    return X.astype(dtype), y


DISTANCES = [("float64", 1e4), ("float64", 1e9), ("float32", 1e3)]


@pytest.mark.parametrize(("dtype", "distance"), DISTANCES)
@pytest.mark.parametrize(
    ("n_classes", "l1_ratio", "solver"),
    [
        (2, 0.0, "newton-cholesky"),
        (3, 0.0, "newton-cholesky"),
        (2, 0.0, "newton-cg"),
        (3, 0.0, "lbfgs"),
        (3, 1.0, "newton-cg"),
        (2, 1.0, "proximal-newton"),
        (3, 0.5, "active-set"),
    ],
)
def test_sparse_fit_with_a_far_column_reaches_the_minimum_of_dense_x(
    dtype, distance, n_classes, l1_ratio, solver
):
    X, y = dated(distance, dtype, n_classes)
    exact = dtype == "float64"
    fits = [
        xlr.LogisticRegression(
            l1_ratio=l1_ratio, solver=solver, tol=1e-8 if exact else 1e-5
        ).fit(data, y)
        for data in (sp.csr_array(X), X)
    ]
    assert fits[0].converged_
    values = [fit.history_["objective"][-1] for fit in fits]
    assert values[0] == pytest.approx(values[1], rel=1e-8 if exact else 1e-6)


@pytest.mark.parametrize(("dtype", "distance"), DISTANCES)
def test_sparse_paths_and_folds_with_a_far_column_equal_those_of_dense_x(
    dtype, distance
):
    X, y = dated(distance, dtype)
    tol, rtol = (1e-8, 1e-7) if dtype == "float64" else (1e-5, 1e-4)
    sparse, dense = (
        xlr.logistic_path(data, y, n_Cs=6, tol=tol) for data in (sp.csr_array(X), X)
    )
    assert sparse.converged.all()
    np.testing.assert_allclose(sparse.objective, dense.objective, rtol=rtol)
    for l1_ratio in (0.0, 1.0):
        sparse, dense = (
            xlr.LogisticRegressionCV(
                Cs=[0.1, 1, 10], l1_ratios=[l1_ratio], cv=3, tol=tol
            ).fit(data, y)
            for data in (sp.csr_array(X), X)
        )
        assert sparse.C_ == dense.C_
        np.testing.assert_allclose(sparse.scores_, dense.scores_, rtol=rtol)
