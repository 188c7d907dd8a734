"""Numbers at the limits of a dtype give the right model or a clear error."""

from __future__ import annotations

import math
import tracemalloc
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import to_numpy
from problems import objective
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as Oracle

import xlr

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(300, 4))
Y = (Z @ [1, -1, 0.5, 2] + RNG.logistic(size=300) > 0).astype(int)
EXTREME = np.asarray([1e-140, 1e70, 1e140, 1.0])


def oracle(X, y, C=np.inf):
    """Return scikit-learn's fit at the tightest tolerance that it reaches."""
    model = Oracle(C=C, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    with warnings.catch_warnings():
        # scikit-learn warns when it changes from Newton's method to lbfgs.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


# -- features of any size --------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "mean"),
    [(np.asarray, 3.0), (np.asfortranarray, 0.0), (sp.csr_array, 3.0)],
)
@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_fit_of_columns_over_280_decades_reaches_the_minimum(form, solver, mean):
    X = (Z + mean) * EXTREME
    if form is sp.csr_array and solver == "lbfgs":  # its Hessian is in float32
        with pytest.warns(ConvergenceWarning, match="Stopped"):
            xlr.LogisticRegression(C=np.inf, solver=solver).fit(form(X), Y)
        return
    model = xlr.LogisticRegression(C=np.inf, solver=solver, tol=1e-9).fit(form(X), Y)
    expected = oracle(Z + mean, Y)
    assert model.converged_
    np.testing.assert_allclose(model.coef_ * EXTREME, expected.coef_, rtol=1e-6)
    expected = expected.decision_function(Z + mean)
    np.testing.assert_allclose(
        model.decision_function(form(X)), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.shared_arithmetic
def test_fit_of_columns_over_280_decades_on_every_library_reaches_the_minimum(backend):
    if not backend.supports("float64"):
        pytest.skip("only float64 has such numbers")
    X = backend.xp.asarray(Z * EXTREME, device=backend.device)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-9).fit(X, Y)
    coef = to_numpy(model.coef_) * EXTREME
    np.testing.assert_allclose(coef, oracle(Z, Y).coef_, rtol=1e-6)


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_penalised_fit_of_columns_over_150_decades_reaches_the_minimum(solver):
    """The penalty keeps tiny columns near zero and leaves huge ones free."""
    sizes = np.asarray([1e-10, *EXTREME[1:]])
    X = Z * sizes
    model = xlr.LogisticRegression(solver=solver, tol=1e-9).fit(X, Y)
    # The penalty has strength 1 on the last column, and almost none on the two before.
    expected = oracle(Z[:, 1:] * [1e4, 1e4, 1], Y, 1.0)
    assert model.converged_
    # The gradient of the penalty, w / C, is minus that of the losses.
    gradient = X[:, 0] @ (model.predict_proba(X)[:, 1] - Y)
    assert model.coef_[0, 0] == pytest.approx(-gradient, rel=0.01)
    np.testing.assert_allclose(
        model.coef_[0, 1:] * sizes[1:], expected.coef_[0] * [1e4, 1e4, 1], rtol=1e-5
    )


@pytest.mark.slow_on_jax
# JAX treats numbers below 1e-38 as zero, so 1e-37 would be too small.
@pytest.mark.parametrize("sizes", [[1e-30, 1e15, 1e30, 1.0], [1e-35, 1.0, 1.0, 1e37]])
def test_fit_of_columns_near_the_limits_of_float32_reaches_the_minimum(backend, sizes):
    X = backend.xp.asarray((Z * sizes).astype(np.float32), device=backend.device)
    model = xlr.LogisticRegression(C=np.inf)
    if "no_float64" in str(backend.device):  # float32 cannot square 1e-30
        with pytest.raises(ValueError, match="Rescale the column"):
            model.fit(X, Y)
        return
    model.fit(X, Y)
    coef = to_numpy(model.coef_).astype(float) * sizes
    np.testing.assert_allclose(coef, oracle(Z, Y).coef_, rtol=1e-4)


every_estimator = pytest.mark.parametrize(
    "estimator",
    [
        xlr.LogisticRegression(C=np.inf),
        xlr.LogisticRegressionCV(Cs=[1.0, np.inf], cv=3),
        xlr.MultiLabelLogisticRegression(C=np.inf),
        xlr.FirthLogisticRegression(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)


@every_estimator
def test_coefficients_beyond_the_range_of_float32_are_refused(estimator):
    X = (Z * [1e-40, 1, 1, 1]).astype(np.float32)
    y = Y[:, None] if "Multi" in type(estimator).__name__ else Y
    with pytest.raises(FloatingPointError, match=r"x0 is too large for float"):
        estimator.fit(X, y)
    assert not hasattr(estimator, "coef_")


@pytest.mark.parametrize("size", [1e-310, 1e160])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@every_estimator
def test_columns_whose_squares_leave_float64_are_refused(estimator, form, size):
    X = form(Z * [1, 1, size, 1])
    y = Y[:, None] if "Multi" in type(estimator).__name__ else Y
    with pytest.raises(ValueError, match=r"Column x2 of X .*Rescale the column"):
        estimator.fit(X, y)
    assert not hasattr(estimator, "coef_")


# -- constant, equal and collinear columns ---------------------------------------------


def degenerate():
    """Return Z with columns that are constant, zero, equal and almost equal."""
    noise = np.random.default_rng(1).normal(size=300)
    return np.column_stack(
        [Z, np.full(300, 3.7), np.zeros(300), Z[:, 0], Z[:, 1] + 1e-9 * noise]
    )


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("C", [1.0, 1e6])
def test_fit_of_degenerate_columns_reaches_the_minimum(solver, C):
    X = degenerate()
    model = xlr.LogisticRegression(C=C, solver=solver, tol=1e-9).fit(X, Y)
    exact = oracle(X, Y, C)
    best = objective(exact.coef_, exact.intercept_, X, Y, C)
    assert model.converged_
    found = objective(model.coef_, model.intercept_, X, Y, C)
    assert found == pytest.approx(best, rel=1e-9)
    assert model.coef_[0, 4] == 0
    assert model.coef_[0, 5] == 0
    np.testing.assert_allclose(model.coef_[0, 0], model.coef_[0, 6], rtol=1e-5)


@pytest.mark.parametrize(("C", "dtype"), [(1e3, "float32"), (1e8, "float64")])
@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_fit_of_balanced_categories_has_a_closed_form(solver, C, dtype):
    """Rounding errors of the products of 200 one-hot columns are equal, and add up.

    A category has six rows, two or four of class 1: 6 expit(w) - 2 + w / C = 0, and the
    same with the other sign.
    """
    X = np.repeat(np.eye(200, dtype=dtype), 6, axis=0)
    y = np.tile([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0], 100)
    model = xlr.LogisticRegression(C=C, solver=solver).fit(X, y)
    assert model.converged_
    assert model.n_iter_ < 10
    w = brentq(lambda w: 6 * expit(w) - 2 + w / C, -2, 0)
    logits = model.decision_function(X).reshape(200, 6)
    expected = np.broadcast_to(np.tile([[w], [-w]], (100, 1)), (200, 6))
    np.testing.assert_allclose(logits, expected, atol=1e-4)


# -- float32 far from zero -------------------------------------------------------------


def warns_of_far_columns():
    return pytest.warns(UserWarning, match="These columns have means up to .*: x0, x1")


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("mean", [1e3, 1e6, -3e6])
def test_fit_of_float32_columns_far_from_zero_keeps_its_digits(backend, mean):
    """The model and its predictions use all digits of the rows."""
    X = (Z + mean).astype(np.float32)
    exact = oracle(X.astype(float) - mean, Y)
    data = backend.xp.asarray(X, device=backend.device)
    with warns_of_far_columns() if abs(mean) > 1e3 else nullcontext():
        model = xlr.LogisticRegression(C=np.inf).fit(data, Y)
    np.testing.assert_allclose(to_numpy(model.coef_), exact.coef_, rtol=1e-4)
    logits = to_numpy(model.decision_function(data))
    if not backend.supports("float64"):
        # Products of this size have rounding errors larger than the logits.
        bound = np.finfo(np.float32).eps * np.abs(exact.coef_).sum() * abs(mean)
        assert np.abs(logits).max() < 20 + 4 * bound
        return
    expected = exact.decision_function(X.astype(float) - mean)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "estimator",
    [
        xlr.LogisticRegressionCV(Cs=[1.0, 10.0], cv=3),
        xlr.LogisticRegressionCV(Cs=[1.0, 10.0], cv=3, refit=False),
        xlr.LogisticRegressionCV(Cs=[1.0, 10.0], cv=3, scoring="roc_auc"),
        xlr.FirthLogisticRegression(),
        xlr.MultiLabelLogisticRegression(),
    ],
    ids=["cv", "cv, mean of folds", "cv, scorer", "firth", "multi-label"],
)
def test_estimators_keep_the_digits_of_float32_far_from_zero(estimator):
    X = (Z + 1e6).astype(np.float32)
    exact = X.astype(float) - 1e6
    if isinstance(estimator, xlr.MultiLabelLogisticRegression):
        y = np.column_stack([Y, np.zeros_like(Y), 1 - Y])
        with pytest.warns(UserWarning, match="a single value"):
            near = estimator.fit(exact, y).predict_proba(exact)
        with pytest.warns(UserWarning, match="a single value"), warns_of_far_columns():
            far = estimator.fit(X, y).predict_proba(X)
    else:
        near = estimator.fit(exact, Y).predict_proba(exact)
        scores = getattr(estimator, "scores_", 0)
        with warns_of_far_columns():
            far = estimator.fit(X, Y).predict_proba(X)
        np.testing.assert_allclose(getattr(estimator, "scores_", 0), scores, atol=1e-5)
    # The mean of the folds' coefficients is rounded; all other results keep digits.
    atol = 0.05 if getattr(estimator, "refit", True) is False else 1e-5
    np.testing.assert_allclose(far, near, atol=atol)


def test_inference_keeps_the_digits_of_float32_far_from_zero():
    X = (Z + 1e6).astype(np.float32)
    exact = X.astype(float)
    with warns_of_far_columns():
        model = xlr.LogisticRegression(C=np.inf).fit(X, Y)
    found = xlr.infer(model, X, Y)
    expected = xlr.infer(xlr.LogisticRegression(C=np.inf).fit(exact, Y), exact, Y)
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-4)
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-4)


# -- separable classes -----------------------------------------------------------------

SEPARABLE = np.concatenate([RNG.normal(size=(50, 3)) + 5, RNG.normal(size=(50, 3)) - 5])
SEPARABLE_LABELS = np.repeat([1, 0], 50)


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_fit_of_separable_classes_at_c_1e12_reaches_the_minimum(solver):
    model = xlr.LogisticRegression(C=1e12, solver=solver).fit(
        SEPARABLE, SEPARABLE_LABELS
    )
    exact = xlr.LogisticRegression(C=1e12, tol=1e-14).fit(SEPARABLE, SEPARABLE_LABELS)
    assert model.converged_
    assert model.score(SEPARABLE, SEPARABLE_LABELS) == 1
    values = [
        objective(m.coef_, m.intercept_, SEPARABLE, SEPARABLE_LABELS, 1e12)
        for m in (model, exact)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert values[1] < 1e-12


# -- few rows, rare classes, many columns ----------------------------------------------


def test_fit_to_one_row_of_each_class_reaches_the_minimum():
    X = RNG.normal(size=(5, 3))
    model = xlr.LogisticRegression(tol=1e-10).fit(X, np.arange(5))
    expected = oracle(X, np.arange(5), 1.0).predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X), expected, 1e-6)


def test_infer_refuses_hc1_for_more_parameters_than_observations():
    X = RNG.normal(size=(3, 3))
    model = xlr.LogisticRegression().fit(X, [0, 1, 0])
    with pytest.raises(ValueError, match="needs more observations than parameters"):
        xlr.infer(model, X, [0, 1, 0], cov_type="HC1")


@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
@pytest.mark.parametrize("shape", [(20, 5000), (60, 20_000)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_fit_of_many_more_columns_than_rows_reaches_the_minimum(
    solver, shape, n_classes
):
    X, y = RNG.normal(size=shape), np.arange(shape[0]) % n_classes
    model = xlr.LogisticRegression(solver=solver, tol=1e-10).fit(X, y)
    # The minimiser is a combination of the rows.
    kernel = np.linalg.cholesky(X @ X.T)
    expected = oracle(kernel, y, 1.0).decision_function(kernel)
    np.testing.assert_allclose(model.decision_function(X), expected, rtol=1e-6)


@pytest.mark.parametrize("message", ["the classes perfectly", "some rows perfectly"])
def test_separation_among_many_columns_needs_no_square_matrix(message):
    """The square matrix would take 0.3 GB."""
    X, y = RNG.normal(size=(20, 6_000)), np.arange(20) % 2
    if message == "some rows perfectly":
        X[1] = X[0]  # this row has the other class
    tracemalloc.start()
    with pytest.warns(xlr.SeparationWarning, match=message):
        xlr.LogisticRegression(C=np.inf).fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * X.nbytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_of_a_million_rows_with_three_positives_reaches_the_minimum(dtype):
    n = 1_000_000
    X = np.random.default_rng(5).normal(size=(n, 2))
    y = np.zeros(n, dtype=int)
    y[[5, 500_000, n - 1]] = 1
    model = xlr.LogisticRegression(tol=1e-9).fit(X.astype(dtype), y)
    # Score equations of the intercept and of the coefficients.
    residual = expit(X @ model.coef_[0].astype(float) + float(model.intercept_[0])) - y
    atol = 1e-3 if dtype == "float32" else 1e-5
    assert abs(residual.sum()) < atol
    np.testing.assert_allclose(X.T @ residual, -model.coef_[0], atol=10 * atol)


# -- weights ---------------------------------------------------------------------------


def test_fit_ignores_rows_of_negligible_weight():
    weights = np.where(np.arange(300) % 3 == 0, 1e-15, 1e15)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-9).fit(Z, Y, weights)
    kept = weights > 1
    np.testing.assert_allclose(model.coef_, oracle(Z[kept], Y[kept]).coef_, rtol=1e-6)


def test_fit_of_groups_with_weights_over_30_decades_has_a_closed_form():
    """Three of the four rows of each group have class 1: the coefficient is log 3."""
    decades = np.logspace(-15, 15, 7)
    group = np.repeat(np.arange(7), 4)
    y = np.tile([0, 1, 1, 1], 7)
    X = np.eye(7)[group]
    model = xlr.LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12)
    model.fit(X, y, sample_weight=decades[group])
    # The gradient does not show groups with a negligible share of the weight.
    visible = decades / decades.sum() > 1e-9
    np.testing.assert_allclose(model.coef_[0, visible], math.log(3), rtol=1e-3)
