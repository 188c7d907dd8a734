"""Columns far from zero: warnings for float32, and iterations for float64."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from in_chunks import in_chunks
from sklearn.datasets import load_digits

import xlr

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(120, 3))
Y = (Z @ [1, -1, 0.5] + RNG.logistic(size=120) > 0).astype(int)
MEANS = np.asarray([1e5, 10.0, -1e6])
NEAR, FAR = Z.astype(np.float32), (Z + MEANS).astype(np.float32)
FITS = {
    "logistic": lambda X: xlr.LogisticRegression().fit(X, Y),
    "no intercept": lambda X: xlr.LogisticRegression(fit_intercept=False).fit(X, Y),
    "ovr": lambda X: xlr.LogisticRegression(multi_class="ovr").fit(X, 2 * Y + (Y > 0)),
    "cv": lambda X: xlr.LogisticRegressionCV(Cs=[1.0], cv=2).fit(X, Y),
    "multi-label": lambda X: xlr.MultiLabelLogisticRegression().fit(X, np.c_[Y, 1 - Y]),
    "firth": lambda X: xlr.FirthLogisticRegression(tol=1e-3).fit(X, Y),
    "path": lambda X: xlr.logistic_path(X, Y, Cs=[1.0], l1_ratio=0.5),
    "bootstrap": lambda X: xlr.bootstrap(
        xlr.LogisticRegression(), X, Y, n_resamples=2, random_state=0
    ),
}


@pytest.fixture(params=list(FITS))
def fit(request):
    return FITS[request.param]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_far_columns_of_float32_are_named_in_one_warning(fit):
    with pytest.warns(
        UserWarning, match=r"zero: x0, x2\..*subtract.*float64"
    ) as caught:
        fit(FAR)
    (warning,) = (w for w in caught if "zero: x0" in str(w.message))
    assert warning.filename == __file__


def test_near_or_float64_columns_do_not_warn(fit):
    fit(NEAR)
    fit(FAR.astype(float))


@pytest.mark.slow_on_jax
def test_far_columns_are_named_on_every_library(backend):
    with pytest.warns(UserWarning, match="zero: x0, x2"):
        xlr.LogisticRegression().fit(backend.xp.asarray(FAR, device=backend.device), Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(
    "form", [sp.csr_array, lambda X: in_chunks(X, [50, 0, 70])], ids=["sparse", "dask"]
)
def test_far_columns_of_other_kinds_of_x_are_named(form, fit_intercept):
    model = xlr.LogisticRegression(fit_intercept=fit_intercept)
    with pytest.warns(UserWarning, match="zero: x0, x2"):
        model.fit(form(FAR), Y)


def test_far_columns_with_an_outlier_are_named():
    X = FAR.copy()
    X[0] = 1e10
    with pytest.warns(UserWarning, match="zero: x0, x2"):
        xlr.LogisticRegression().fit(X, Y)


def test_far_columns_lose_digits_of_the_intercept_only():
    """Predictions keep all digits, which the public attributes lack."""
    exact = FAR.astype(float)
    with pytest.warns(UserWarning, match="float32 rounds"):
        model = xlr.LogisticRegression().fit(FAR, Y)
    expected = xlr.LogisticRegression().fit(exact, Y).decision_function(exact)
    np.testing.assert_allclose(model.decision_function(FAR), expected, atol=1e-4)
    alone = exact @ model.coef_[0].astype(float) + model.intercept_.astype(float)
    assert np.abs(alone - expected).max() > 5e-4


def test_warning_counts_far_columns_after_the_fifth():
    X = (RNG.normal(size=(40, 9)) + 1e5).astype(np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        xlr.LogisticRegression().fit(X, np.arange(40) % 2)
    assert "x0, x1, x2, x3, x4 and 4 more." in str(caught[0].message)


def test_far_columns_of_float64_take_at_most_one_more_iteration():
    digits, y = load_digits(return_X_y=True)
    X = np.tile(digits, (4, 1))
    X = X + np.random.default_rng(0).normal(size=X.shape)
    # Multiples of a power of two: X + 1e8 is exact.
    X = np.round((X - X.mean(axis=0)) / X.std(axis=0) * 2**20) / 2**20
    near, far = (
        xlr.LogisticRegression(solver="newton-cg", C=0.01).fit(X + mean, np.tile(y, 4))
        for mean in (0, 1e8)
    )
    assert far.n_iter_[0] <= near.n_iter_[0] + 1
    np.testing.assert_allclose(far.coef_, near.coef_, atol=1e-6)
