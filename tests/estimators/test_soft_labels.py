"""Class probabilities and counts instead of labels, against repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy
from in_chunks import in_chunks
from optional import on_demand
from problems import objective
from scipy.sparse import csr_array

import xlr

pd = on_demand("pandas")
sm = on_demand("statsmodels.api")

N, P = 90, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P)) * [1, 10, 0.1] + [0, 5, 0]
WEIGHTS = RNG.uniform(0.5, 2, N)
# Each of the first rows has a single class, as with labels.
SHARES = {
    k: np.concatenate([np.eye(k)[np.arange(12) % k], RNG.dirichlet(np.ones(k), N - 12)])
    for k in (2, 3, 5)
}
COUNTS = RNG.integers(0, 9, (N, 3))
CHUNK_SIZES = (30, 0, 41, 19)


def repeated(rows, shares, weights):
    """Return rows, labels and weights with each row once for each class.

    The weight of a row in a class is its share of the class times its weight.
    """
    n, k = shares.shape
    labels = np.tile(np.arange(k), n)
    weights = (weights[:, None] * shares).reshape(-1)
    return np.repeat(rows, k, axis=0), labels, weights


@pytest.mark.parametrize("k", SHARES)
@pytest.mark.parametrize(
    ("C", "l1_ratio", "solver"),
    [
        (1.0, 0.0, "auto"),
        (1.0, 0.0, "newton-cg"),
        (1.0, 0.0, "lbfgs"),
        (1.0, 0.0, "gradient-descent"),
        (0.1, 0.5, "auto"),
        (0.1, 1.0, "active-set"),
        (np.inf, 0.0, "newton-cholesky"),
    ],
)
def test_soft_fit_equals_that_of_repeated_rows(k, C, l1_ratio, solver):
    options = {"C": C, "l1_ratio": l1_ratio, "solver": solver, "tol": 1e-9}
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    soft = xlr.LogisticRegression(max_iter=10_000, **options)
    soft.fit(Z, xlr.soft_labels(SHARES[k]), WEIGHTS)
    assert soft.converged_
    hard = xlr.LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-11)
    hard.fit(*repeated(Z, SHARES[k], WEIGHTS))
    np.testing.assert_allclose(soft.coef_, hard.coef_, atol=1e-6)
    np.testing.assert_allclose(soft.intercept_, hard.intercept_, atol=1e-6)
    values = [model.history_["objective"][-1] for model in (soft, hard)]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


@pytest.mark.parametrize("k", SHARES)
def test_soft_labels_objective_is_the_expected_cross_entropy(k):
    model = xlr.LogisticRegression(C=0.5, tol=1e-10)
    model.fit(X, xlr.soft_labels(SHARES[k]), WEIGHTS)
    rows, labels, weights = repeated(X, SHARES[k], WEIGHTS)
    expected = objective(model.coef_, model.intercept_, rows, labels, 0.5, weights)
    assert model.history_["objective"][-1] == pytest.approx(expected, rel=1e-9)
    # The duality gap bounds the difference.
    assert 0 <= model.duality_gap_[0] < 1e-6


def test_soft_labels_of_zeros_and_ones_give_the_fit_of_labels():
    y = np.arange(N) % 3
    for labels, P in ((y, np.eye(3)[y]), (y > 0, (y > 0) * 1.0)):
        hard = xlr.LogisticRegression(tol=1e-10).fit(X, labels)
        soft = xlr.LogisticRegression(tol=1e-10).fit(X, xlr.soft_labels(P))
        np.testing.assert_allclose(soft.coef_, hard.coef_, rtol=1e-6)


def test_soft_labels_of_counts_and_shares_agree_with_glm():
    counts = COUNTS[:, :2] + 1
    trials = counts.sum(axis=1)
    glm = sm.GLM(counts[:, ::-1], sm.add_constant(X), sm.families.Binomial())
    glm = glm.fit(tol=1e-14)
    for y, weights in (
        (xlr.soft_labels(counts, ["failure", "success"]), None),
        (xlr.soft_labels(counts[:, 1] / trials), trials),
        (xlr.soft_labels(counts[:, ::-1], ["success", "failure"]), None),
    ):
        model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(X, y, weights)
        results = xlr.infer(model, X, y, weights, keep_data=True)
        np.testing.assert_allclose(results.params, glm.params, rtol=1e-6)
        np.testing.assert_allclose(results.bse, glm.bse, rtol=1e-6)
        assert results.deviance == pytest.approx(glm.deviance, rel=1e-8)
        assert results.null_deviance == pytest.approx(glm.null_deviance, rel=1e-8)
        assert results.pearson_chi2 == pytest.approx(glm.pearson_chi2, rel=1e-8)
        for name in ("resid_pearson", "resid_deviance"):
            theirs = getattr(glm, name)
            np.testing.assert_allclose(getattr(results, name), theirs, rtol=1e-6)
    assert model.classes_.tolist() == ["failure", "success"]


def test_covariance_clustered_by_rows_of_trials_is_the_sandwich_of_glm():
    counts = COUNTS[:, :2] + 1
    glm = sm.GLM(counts[:, ::-1], sm.add_constant(X), sm.families.Binomial())
    glm = glm.fit(tol=1e-14, cov_type="HC0")
    y = xlr.soft_labels(counts)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    results = xlr.infer(model, X, y, cov_type="cluster", groups=range(N))
    n_trials, n_parameters = counts.sum(), P + 1
    factor = N / (N - 1) * (n_trials - 1) / (n_trials - n_parameters)
    np.testing.assert_allclose(results.cov_params(), factor * glm.cov_params(), 1e-6)


@pytest.mark.parametrize("k", SHARES)
def test_soft_inference_equals_that_of_repeated_rows(k):
    y = xlr.soft_labels(SHARES[k])
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10)
    hard_data = repeated(X, SHARES[k], WEIGHTS)
    groups = np.arange(N)
    for soft_options, hard_options in (
        ({}, {}),
        (
            {"cov_type": "cluster", "groups": groups},
            {"cov_type": "cluster", "groups": np.repeat(groups, k)},
        ),
    ):
        model.fit(X, y, WEIGHTS)
        soft = xlr.infer(model, X, y, WEIGHTS, **soft_options, keep_data=True)
        model.fit(*hard_data)
        hard = xlr.infer(model, *hard_data, **hard_options, keep_data=True)
        for name in ("params", "bse", "llf", "llnull", "effective_df"):
            np.testing.assert_allclose(
                getattr(soft, name), getattr(hard, name), rtol=1e-6
            )
        np.testing.assert_allclose(soft.pred_table(), hard.pred_table(), rtol=1e-9)
        for found, expected in zip(
            soft.get_margeff().columns.values(), hard.get_margeff().columns.values()
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    with pytest.raises(ValueError, match=r"'HC0' needs one label.*range\(n_samples\)"):
        xlr.infer(model.fit(X, y), X, y, cov_type="HC0")


@pytest.mark.parametrize("k", [2, 3])
def test_soft_fit_gives_the_same_model_on_every_library(place, dtype, assert_close, k):
    expected = xlr.LogisticRegression(tol=1e-10).fit(X, xlr.soft_labels(SHARES[k]))
    tol = 1e-9 if dtype == "float64" else 1e-5
    rtol = 1e-6 if dtype == "float64" else 1e-3
    for y in (xlr.soft_labels(place(SHARES[k])), xlr.soft_labels(SHARES[k])):
        model = xlr.LogisticRegression(tol=tol).fit(place(X), y)
        assert_close(model.coef_, expected.coef_, rtol=rtol, atol=1e-4 * rtol)
        assert to_numpy(model.classes_).tolist() == list(range(k))


@pytest.mark.parametrize(
    ("k", "form", "labels_form"),
    [
        (2, csr_array, np.asarray),
        (3, lambda X: pd.DataFrame(X, columns=list("abc")), pd.DataFrame),
        (3, lambda X: in_chunks(X, CHUNK_SIZES), lambda P: in_chunks(P, CHUNK_SIZES)),
        (2, lambda X: in_chunks(X, CHUNK_SIZES), np.asarray),
        (3, np.asarray, np.ndarray.tolist),
    ],
    ids=["sparse", "pandas", "dask", "dask, labels in memory", "list of labels"],
)
@pytest.mark.filterwarnings("ignore:P has other chunks")
def test_soft_fit_gives_the_same_model_for_every_kind_of_rows(k, form, labels_form):
    for C in (1.0, np.inf):
        options = {"C": C, "tol": 1e-10}
        expected = xlr.LogisticRegression(**options)
        expected.fit(X, xlr.soft_labels(SHARES[k]), WEIGHTS)
        y = xlr.soft_labels(labels_form(SHARES[k]))
        rows = form(X)
        model = xlr.LogisticRegression(**options).fit(rows, y, WEIGHTS)
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6)
        found = xlr.infer(model, rows, y, WEIGHTS).bse
        errors = xlr.infer(expected, X, xlr.soft_labels(SHARES[k]), WEIGHTS).bse
        np.testing.assert_allclose(found, errors, rtol=1e-6)


def test_soft_fit_ignores_rows_whose_counts_are_zero():
    counts = COUNTS.copy()
    counts[:10] = 0
    every = xlr.LogisticRegression(tol=1e-10).fit(X, xlr.soft_labels(counts))
    some = xlr.LogisticRegression(tol=1e-10).fit(X[10:], xlr.soft_labels(counts[10:]))
    np.testing.assert_allclose(every.coef_, some.coef_, rtol=1e-6)


def test_wrong_soft_labels_are_refused():
    P = SHARES[3]
    for y, message in (
        (xlr.soft_labels(-P), "finite numbers from 0 up"),
        (xlr.soft_labels(P * np.nan), "finite numbers from 0 up"),
        (xlr.soft_labels(2 * P[:, 0] + 1), "from 0 to 1"),
        (xlr.soft_labels(P[:5]), r"P has shape \(5, 3\); expected \(90,\)"),
        (xlr.soft_labels(P, [1, 2]), r"a column for each of \[1, 2\]"),
        (xlr.soft_labels(P * [1, 0, 1]), "A column of P is zero"),
    ):
        with pytest.raises(ValueError, match=message):
            xlr.LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="at least two different labels"):
        xlr.soft_labels(P, [1, 1, 2])
    y = xlr.soft_labels(P)
    for model in (
        xlr.LogisticRegression(class_weight="balanced"),
        xlr.LogisticRegression(multi_class="ovr"),
    ):
        with pytest.raises(ValueError, match="one multinomial model without class_w"):
            model.fit(X, y)
    for fit in (
        xlr.LogisticRegressionCV(Cs=2, cv=2).fit,
        xlr.FirthLogisticRegression().fit,
        xlr.logistic_path,
        lambda X, y: xlr.bootstrap(xlr.LogisticRegression(), X, y, n_resamples=2),
    ):
        with pytest.raises(
            ValueError, match=r"Soft labels are for LogisticRegression\.fit"
        ):
            fit(X, y)


@pytest.mark.parametrize("kind", [xlr.LogisticRegression, xlr.LogisticRegressionCV])
def test_scores_of_soft_labels_are_refused(kind):
    model = kind().fit(X, SHARES[3].argmax(axis=1))
    with pytest.raises(ValueError, match="score takes one label for each row; got"):
        model.score(X, xlr.soft_labels(SHARES[3]))


def test_error_for_labels_of_many_columns_advises_soft_labels():
    with pytest.raises(ValueError, match=r"pass xlr\.soft_labels\(y\)"):
        xlr.LogisticRegression().fit(X, SHARES[3])
