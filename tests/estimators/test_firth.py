"""Firth's penalty, against published figures of logistf and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
from problems import load
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.ensemble import BaggingClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from studies import endometrial, sex2

import xlr

firthmodels = on_demand("firthmodels")


@parametrize_with_checks([xlr.FirthLogisticRegression()])
def test_firth_passes_sklearn_checks(estimator, check):
    if check.func.__name__.startswith("check_sample_weight_equivalence"):
        # It gives weight to fewer rows than there are coefficients.
        with pytest.raises(ValueError, match="information matrix is singular"):
            check(estimator)
    elif check.func.__name__ == "check_classifiers_one_label_sample_weights":
        with pytest.warns(UserWarning, match="No row of the class 0 has weight"):
            check(estimator)
    elif check.func.__name__ == "check_array_api_input":
        pytest.skip("some of its columns are collinear")
    elif check.keywords.get("X_dtype") == "float32":
        pytest.skip("it takes logarithms of probabilities that round to 1")
    else:
        check(estimator)


@pytest.mark.shared_arithmetic
def test_firth_agrees_with_logistf_on_endometrial(place, dtype, assert_close):
    """R: logistf(HG ~ NV + PI + EH), whose maximum-likelihood estimate is infinite."""
    X, y = endometrial()
    tol = 1e-9 if dtype == "float64" else 1e-5
    model = xlr.FirthLogisticRegression(tol=tol).fit(place(X), place(y, "int64"))
    rtol = 5e-7 if dtype == "float64" else 1e-3
    expected = [[2.92927330, -0.03475175, -2.60416387]]
    assert_close(model.coef_, expected, rtol=rtol)
    assert_close(model.intercept_, [3.77455951], rtol=rtol)
    assert model.converged_


def test_firth_agrees_with_logistf_on_sex2():
    X, y, counts = sex2()
    expected = [
        [-1.10598131, -0.06881673, 2.26887464, -2.11140817, -0.78831694, 3.09601166]
    ]
    for rows in (np.arange(len(y)), np.repeat(np.arange(len(y)), counts.astype(int))):
        weights = counts if rows.size == len(y) else None
        model = xlr.FirthLogisticRegression(tol=1e-10).fit(X[rows], y[rows], weights)
        np.testing.assert_allclose(model.coef_, expected, rtol=2e-6)
        np.testing.assert_allclose(model.intercept_, [0.12025405], rtol=2e-6)
        errors = xlr.infer(model, X[rows], y[rows], weights).bse
        printed_by_r = [0.485542, 0.42366, 0.443793, 0.548416, 0.543082, 0.417368]
        np.testing.assert_allclose(errors[:6], printed_by_r, rtol=2e-5)


def test_firth_adds_a_half_to_each_cell_of_a_table():
    for counts in ([3, 0, 1, 7], [5, 2, 4, 9], [0, 6, 8, 0]):
        X = np.asarray([[0.0], [0.0], [1.0], [1.0]])
        model = xlr.FirthLogisticRegression(tol=1e-11)
        model.fit(X, [0, 1, 0, 1], np.asarray(counts, dtype=float))
        a, b, c, d = np.asarray(counts) + 0.5
        np.testing.assert_allclose(model.intercept_, [np.log(b / a)], rtol=1e-9)
        np.testing.assert_allclose(model.coef_, [[np.log(d / c * a / b)]], rtol=1e-9)


def test_firth_score_vanishes_with_weights_over_eight_decades():
    rng = np.random.default_rng(81)
    n = int(rng.integers(6, 12))
    X, y = rng.integers(-2, 3, (n, 2)).astype(float), np.arange(n) % 2
    weights = 10.0 ** rng.uniform(-4, 4, n)
    model = xlr.FirthLogisticRegression(tol=1e-8).fit(X, y, weights)
    Z = np.column_stack([X, np.ones(n)])
    p = 1 / (1 + np.exp(-Z @ np.append(model.coef_, model.intercept_)))
    root = np.sqrt(weights * p * (1 - p))[:, None] * Z
    leverage = (np.linalg.qr(root)[0] ** 2).sum(axis=1)
    score = Z.T @ (weights * (y - p) + leverage * (0.5 - p))  # Firth (1993)
    np.testing.assert_allclose(score, 0, atol=1e-6 * weights.sum())


# firthmodels warns where its likelihood is flat.
@pytest.mark.filterwarnings("ignore:Step-halving")
@pytest.mark.parametrize("seed", range(2))
def test_firth_agrees_with_firthmodels(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 4)) * [1, 100, 0.01, 1] + [0, 50, 0, -3]
    y = (X[:, 0] + 0.5 * rng.logistic(size=40) > 0).astype(int)
    model = xlr.FirthLogisticRegression(tol=1e-11).fit(X, y)
    peer = firthmodels.FirthLogisticRegression(gtol=1e-6, xtol=1e-6, max_iter=500)
    peer.fit(X, y)
    np.testing.assert_allclose(model.coef_[0], peer.coef_, rtol=1e-6)
    results = xlr.infer(model, X, y)
    np.testing.assert_allclose(results.llf, peer.loglik_, rtol=1e-9)


def test_firth_score_with_an_offset_and_no_intercept_vanishes():
    """The oracle is the gradient of Firth (1993), without xlr."""
    X, y = endometrial()
    offset = np.linspace(-1, 1, len(y))
    for fit_intercept in (True, False):
        model = xlr.FirthLogisticRegression(tol=1e-11, fit_intercept=fit_intercept)
        model.fit(X, y, offset=offset)
        Z = np.column_stack([X, np.ones(len(y))]) if fit_intercept else X
        p = 1 / (1 + np.exp(-model.decision_function(X, offset)))
        root = np.sqrt(p * (1 - p))[:, None] * Z
        leverage = np.einsum("ij,jk,ik->i", root, np.linalg.inv(root.T @ root), root)
        score = Z.T @ (y - p + leverage * (0.5 - p))
        np.testing.assert_allclose(score / np.abs(Z).sum(axis=0), 0, atol=1e-10)


def test_firth_likelihood_ratio_agrees_with_logistf():
    """R prints: Likelihood ratio test=49.09064 on 6 df, p=7.15089e-09."""
    X, y, counts = sex2()
    model = xlr.FirthLogisticRegression(tol=1e-10).fit(X, y, counts)
    results = xlr.infer(model, X, y, counts)
    np.testing.assert_allclose(results.llf, -132.5394, rtol=1e-6)
    np.testing.assert_allclose(results.llr, 49.09064, rtol=1e-6)
    np.testing.assert_allclose(results.llr_pvalue, 7.15089e-09, rtol=1e-4)


def test_firth_refuses_collinear_columns():
    X, y = endometrial()
    model = xlr.FirthLogisticRegression()
    with pytest.raises(ValueError, match=r"collinear with others.*: x3"):
        model.fit(np.column_stack([X, X[:, 0] - X[:, 1]]), y)
    assert not hasattr(model, "coef_")


def test_firth_that_stops_at_max_iter_warns():
    with pytest.warns(UserWarning, match="max_iter=1"):
        xlr.FirthLogisticRegression(max_iter=1).fit(*endometrial())


def test_infer_refuses_robust_standard_errors_of_firth():
    X, y = endometrial()
    model = xlr.FirthLogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="nonrobust"):
        xlr.infer(model, X, y, cov_type="HC0")


def test_firth_converges_with_a_strong_penalty():
    """With the Hessian of the likelihood alone, Newton's method takes 400 steps."""
    X, y = load("wine", True)
    model = xlr.FirthLogisticRegression().fit(X, y > 0)
    assert model.converged_
    assert model.n_iter_[0] < 50


def test_firth_adds_a_half_to_each_cell_of_many_classes():
    counts = np.asarray([[3.0, 0, 5], [0, 6, 2]])
    X = np.repeat([[0.0], [1.0]], 3, axis=0)
    y = np.tile(np.arange(3), 2)
    model = xlr.FirthLogisticRegression(tol=1e-11).fit(X, y, counts.reshape(-1))
    shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X[[0, 3]]), shares, rtol=1e-8)


def penalised_loss(params, X, y, weights, offset):
    """Return minus Firth's penalised log-likelihood; the first class is the reference.

    The parameters of each other class are its intercept, then its coefficients.
    """
    Z = np.insert(X, 0, 1, axis=1)
    B = params.reshape(-1, Z.shape[1])
    eta = np.insert(Z @ B.T, 0, 0, axis=1) + offset
    eta = eta - np.logaddexp.reduce(eta, axis=1)[:, None]
    p = np.exp(eta)[:, 1:]
    A = np.eye(p.shape[1]) * p[:, None, :] - p[:, :, None] * p[:, None, :]
    information = np.einsum("i,ikl,ij,im->kjlm", weights, A, Z, Z)
    log_det = np.linalg.slogdet(information.reshape(params.size, -1))[1]
    return -weights @ eta[np.arange(len(y)), y] - log_det / 2


@pytest.mark.parametrize("k", [3, 4])
def test_firth_of_many_classes_maximises_the_penalised_likelihood(k):
    """The first class is separated, so maximum likelihood has no estimate."""
    rng = np.random.default_rng(k)
    y = np.arange(50) % k
    X = rng.normal(size=(50, 2)) * [1, 20] + [0, 7]
    X[:, 0] += 5 * (y == 0)
    weights, offset = rng.uniform(0.5, 2, 50), rng.normal(size=(50, k))
    model = xlr.FirthLogisticRegression(tol=1e-10).fit(X, y, weights, offset)
    results = xlr.infer(model, X, y, weights, offset=offset, profile=False)
    at = results.params.T.reshape(-1)
    given = X, y, weights, offset
    steps = 1e-5 * np.eye(at.size) * results.bse.T.reshape(-1)
    derivatives = [
        (penalised_loss(at + s, *given) - penalised_loss(at - s, *given)) / 2e-5
        for s in steps
    ]
    np.testing.assert_allclose(derivatives, 0, atol=1e-5)
    assert results.llf == pytest.approx(-penalised_loss(at, *given), rel=1e-8)
    for reference in range(1, k):
        again = xlr.infer(
            model, X, y, weights, offset=offset, profile=False, reference=reference
        )
        assert again.llf == results.llf


def test_firth_profile_statistic_is_a_penalised_likelihood_ratio():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 1)), np.arange(40) % 3
    model = xlr.FirthLogisticRegression(tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y)
    given = X, y, np.ones(40), 0.0
    at = results.params.T.reshape(-1)

    def loss_without_coefficient(others):
        return penalised_loss(np.insert(others, 1, 0.0), *given)

    null = minimize(loss_without_coefficient, np.delete(at, 1), options={"gtol": 1e-8})
    statistic = 2 * (null.fun - penalised_loss(at, *given))
    assert results.summary().columns["chi2"][1] == pytest.approx(statistic, rel=1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_firth_with_a_ridge_maximises_both_penalties(k):
    rng = np.random.default_rng(k)
    X, y = rng.normal(size=(40, 2)) * [1, 20] + [0, 7], np.arange(40) % k
    weights, C = rng.uniform(0.5, 2, 40), 0.3
    model = xlr.FirthLogisticRegression(C=C, tol=1e-10).fit(X, y, weights)
    results = xlr.infer(model, X, y, weights)
    given = X, y, weights, 0.0

    def loss(params):
        """Return minus the log-likelihood with both penalties.

        The parameters are those of all classes; two classes have those of the second.
        """
        B = params.reshape(-1, 3)
        contrasts = B if k == 2 else B[1:] - B[0]
        ridge = (B[:, 1:] ** 2).sum() / 2 / C
        return penalised_loss(contrasts.reshape(-1), *given) + ridge

    at = np.column_stack([model.intercept_, model.coef_]).reshape(-1)
    scale = np.tile([1, 1, 1 / 20], at.size // 3)
    derivatives = [(loss(at + s) - loss(at - s)) / 2e-5 for s in 1e-5 * np.diag(scale)]
    np.testing.assert_allclose(derivatives, 0, atol=1e-6)
    llf = -penalised_loss(results.params.T.reshape(-1), *given)
    assert results.llf == pytest.approx(llf, rel=1e-8)
    assert np.isfinite(results.bse).all()
    assert "penalised" in " ".join(results.notes)
    with pytest.raises(ValueError, match="C must be a number above 0"):
        xlr.FirthLogisticRegression(C=0).fit(X, y)


# -- one class -------------------------------------------------------------------------


@pytest.mark.slow_on_jax
@pytest.mark.shared_arithmetic
@pytest.mark.parametrize("counts", [[3, 0, 5, 0], [0, 3, 0, 5]])
def test_firth_gives_a_class_without_weight_half_a_row(
    counts, place, dtype, assert_close
):
    """The closed form adds a half to each cell."""
    X, y = np.asarray([[0.0], [0.0], [1.0], [1.0]]), [0, 1, 0, 1]
    weights = np.asarray(counts, dtype=float)
    model = xlr.FirthLogisticRegression(tol=1e-11 if dtype == "float64" else 1e-6)
    with pytest.warns(UserWarning, match="No row of the class .* has weight"):
        model.fit(place(X), y, place(weights))
    a, b, c, d = weights + 0.5
    rtol = 1e-9 if dtype == "float64" else 1e-4
    assert_close(model.intercept_, [np.log(b / a)], rtol=rtol)
    assert_close(model.coef_, [[np.log(d / c * a / b)]], rtol=rtol)
    results = xlr.infer(model, place(X), y, place(weights))
    p = np.asarray([b / (a + b), d / (c + d)])
    n = np.asarray([weights[:2].sum(), weights[2:].sum()])
    Z = np.asarray([[1.0, 0], [1, 1]])
    information = Z.T @ ((n * p * (1 - p))[:, None] * Z)
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(results.bse, errors, rtol=rtol)


def test_firth_fits_resamples_without_a_class():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), (np.arange(200) < 1).astype(int)
    bags = BaggingClassifier(
        xlr.FirthLogisticRegression(), n_estimators=10, random_state=0
    )
    with pytest.warns(UserWarning, match="No row of the class . has weight"):
        bags.fit(X, y)
    assert np.isfinite(bags.predict_proba(X)).all()


@pytest.mark.parametrize("seed", range(8))
def test_firth_of_sparse_columns_far_from_zero_equals_that_of_dense_x(seed):
    """Rounding errors of an uncentred Gram matrix would hide the last decreases."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 3)) + 10.0 ** rng.uniform(0, 3.5, size=3)
    y = (X @ [1, -1, 0.5] + rng.logistic(size=60) > X.mean(axis=0) @ [1, -1, 0.5]) * 1
    sparse, dense = (
        xlr.FirthLogisticRegression().fit(form(X), y)
        for form in (csr_array, np.asarray)
    )
    assert sparse.converged_
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-6)


@pytest.mark.parametrize("size", [1e5, 1e8, 1e12])
def test_firth_with_an_outlier_warns_of_several_maxima(size):
    """The determinant has its own maximum, where the outlier is uncertain."""
    rng = np.random.default_rng(1)
    X = np.r_[rng.normal(size=(200, 2)), [[size, 0.0]]]
    y = np.r_[(X[:-1, 0] + rng.logistic(size=200) > 0).astype(int), 1]
    with pytest.warns(UserWarning, match="several maxima, .* typing errors .* x0"):
        xlr.FirthLogisticRegression().fit(X, y)
