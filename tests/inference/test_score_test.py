"""Score tests of omitted features, against statsmodels and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from in_chunks import in_chunks
from optional import on_demand
from scipy import stats
from scipy.sparse import csr_array
from scipy.special import softmax
from studies import anes96, fair

import xlr

pd = on_demand("pandas")
sm = on_demand("statsmodels.api")


def results_of(X, y, weights=None, **options):
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y, weights)
    return xlr.infer(model, X, y, weights, keep_data=True, **options)


def fair_with_candidates():
    """Return three features and y of Fair's table, and 20 candidates, some of noise."""
    X, y = fair()
    X, y = X[::6], y[::6]
    noise = np.random.default_rng(0).normal(size=(len(X), 23 - X.shape[1]))
    return X[:, :3], y, np.column_stack([X[:, 3:], noise])


def test_separate_score_tests_agree_with_statsmodels():
    X, y, candidates = fair_with_candidates()
    found = results_of(X, y).score_test(candidates, "separate")
    fit = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    for j in range(candidates.shape[1]):
        statistic, pvalue = fit.score_test(exog_extra=candidates[:, [j]])
        assert found.statistic[j] == pytest.approx(
            float(np.squeeze(statistic)), rel=1e-7
        )
        assert found.pvalue[j] == pytest.approx(float(np.squeeze(pvalue)), rel=1e-6)
    assert found.df == 1


def test_joint_score_test_agrees_with_statsmodels():
    X, y, candidates = fair_with_candidates()
    found = results_of(X, y).score_test(candidates)
    fit = sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-13)
    expected = fit.score_test(exog_extra=candidates)
    assert found.statistic == pytest.approx(float(np.squeeze(expected[0])), rel=1e-7)
    assert found.pvalue == pytest.approx(float(np.squeeze(expected[1])), rel=1e-6)
    assert found.df == 20


def score_statistic(X, y, weights, candidates, params):
    """Return the score statistic U V^-1 U, at parameters of the smaller model."""
    n_classes = int(y.max()) + 1
    Z = np.column_stack([np.ones(len(y)), X, candidates])
    eta = np.column_stack([np.zeros(len(y)), Z[:, : X.shape[1] + 1] @ params])
    p = softmax(eta, axis=1)[:, 1:]
    r = np.eye(n_classes)[y][:, 1:] - p
    scores = (r[:, :, None] * Z[:, None, :]).reshape(len(y), -1)
    H = np.eye(n_classes - 1) * p[:, None, :] - p[:, :, None] * p[:, None, :]
    information = np.einsum("i,ikl,ij,im->kjlm", weights, H, Z, Z)
    information = information.reshape(scores.shape[1], -1)
    added = np.tile(np.arange(Z.shape[1]) > X.shape[1], n_classes - 1)
    A = information[np.ix_(added, ~added)] @ np.linalg.inv(
        information[np.ix_(~added, ~added)]
    )
    V = information[np.ix_(added, added)] - A @ information[np.ix_(~added, added)]
    U = weights @ scores[:, added]
    return U @ np.linalg.solve(V, U)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_score_tests_of_weighted_rows_agree_with_the_formula(n_classes):
    X, y = anes96()
    y = np.minimum(y // 2, n_classes - 1)
    X, candidates = X[:, :2], np.column_stack([X[:, 2:], X[:, 0] ** 2])
    weights = np.arange(len(y)) % 3 + 0.5
    results = results_of(X, y, weights)
    params = results.params.reshape(3, -1)
    args = X, y, weights
    separate = results.score_test(candidates, "separate")
    for j in range(candidates.shape[1]):
        expected = score_statistic(*args, candidates[:, [j]], params)
        assert separate.statistic[j] == pytest.approx(expected, rel=1e-7)
    joint = results.score_test(candidates)
    expected = score_statistic(*args, candidates, params)
    assert joint.statistic == pytest.approx(expected, rel=1e-7)
    assert joint.df == (n_classes - 1) * candidates.shape[1]
    assert joint.pvalue == pytest.approx(stats.chi2.sf(expected, joint.df))


def test_score_test_of_a_far_candidate_with_float32_rows_agrees_with_the_formula():
    X, y = anes96()
    y, weights = np.minimum(y // 2, 2), np.arange(len(y)) % 3 + 0.5
    X, candidate = X[:, :2].astype(np.float32), X[:, 2:3]
    model = xlr.LogisticRegression(C=np.inf).fit(X, y, weights)
    results = xlr.infer(model, X, y, weights, keep_data=True)
    params = results.params.reshape(3, -1)
    expected = score_statistic(X, y, weights, candidate, params)
    found = results.score_test(1e4 + candidate).statistic
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("hypothesis", ["joint", "separate"])
def test_score_tests_agree_on_every_backend(place, dtype, hypothesis):
    X, y, candidates = fair_with_candidates()
    expected = results_of(X, y).score_test(candidates, hypothesis).statistic
    rows = place(X)
    tol = 1e-9 if dtype == "float64" else 1e-5
    model = xlr.LogisticRegression(C=np.inf, tol=tol).fit(rows, place(y, "int64"))
    results = xlr.infer(model, rows, place(y, "int64"), keep_data=True)
    found = results.score_test(place(candidates), hypothesis).statistic
    rtol = 1e-6 if dtype == "float64" else 1e-2
    np.testing.assert_allclose(found, expected, rtol, atol=1e-2 * rtol)


def as_table(X):
    return pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])


SIZES = (361, 700)


@pytest.mark.parametrize(
    ("form", "candidates_form"),
    [
        (csr_array, csr_array),
        (np.asarray, csr_array),
        (np.asarray, as_table),
        (lambda X: in_chunks(X, SIZES), lambda X: in_chunks(X, SIZES)),
        (lambda X: in_chunks(X, SIZES), np.asarray),
    ],
    ids=["sparse", "dense and sparse", "dense and table", "chunks", "chunks and dense"],
)
def test_score_tests_agree_for_every_kind_of_features(form, candidates_form):
    X, y, candidates = fair_with_candidates()
    candidates = np.round(candidates, 1)
    for hypothesis in ("joint", "separate"):
        expected = results_of(X, y).score_test(candidates, hypothesis).statistic
        results = results_of(form(X), y)
        found = results.score_test(candidates_form(candidates), hypothesis).statistic
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_score_test_of_a_collinear_candidate_is_nan():
    X, y, candidates = fair_with_candidates()
    candidates = np.column_stack([candidates[:, :2], X @ [1, 2, 3], np.ones(len(y))])
    results = results_of(X, y)
    found = results.score_test(candidates, "separate")
    assert np.isnan(found.pvalue).tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match="collinear with each other"):
        results.score_test(candidates)


def test_score_test_refuses_wrong_arguments():
    X, y, candidates = fair_with_candidates()
    results = results_of(X, y)
    cases = [
        ((candidates[:5],), "1061 rows of X, 5 of exog_extra"),
        ((candidates[:, 0],), "2D array"),
        ((np.full_like(candidates, np.nan),), "exog_extra contains NaN"),
        ((candidates, "each"), "hypothesis must be one of .*'each'"),
    ]
    for args, message in cases:
        with pytest.raises(ValueError, match=message):
            results.score_test(*args)
    penalised = xlr.infer(xlr.LogisticRegression().fit(X, y), X, y, keep_data=True)
    with pytest.raises(ValueError, match="this fit is penalised"):
        penalised.score_test(candidates)
    with pytest.raises(TypeError, match=r"pass X\.compute\(\)"):
        results.score_test(in_chunks(candidates, SIZES))
    rows = in_chunks(X, SIZES)
    results = results_of(rows, in_chunks(y, SIZES))
    with pytest.raises(ValueError, match=r"2D array, got an X of shape \(1061,\)"):
        results.score_test(in_chunks(candidates[:, 0], SIZES))
    other = in_chunks(candidates, SIZES[::-1]).to_dask_dataframe()
    with pytest.raises(ValueError, match=r"inconsistent numbers .* exog_extra"):
        results.score_test(other)
    with pytest.raises(TypeError, match="predict_interval needs rows in memory"):
        results.predict_interval(rows)
    with pytest.raises(TypeError, match=r"at=\.\.\.\) needs rows in memory"):
        results.get_margeff(rows)


@pytest.mark.parametrize("seed", range(20, 30))
def test_copies_of_features_in_the_model_have_no_score_test(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 3))
    y = (rng.random(200) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)
    model = xlr.LogisticRegression(C=np.inf).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    candidates = np.column_stack([2 * X[:, 2], rng.normal(size=200)])
    statistic = results.score_test(candidates, "separate").statistic
    np.testing.assert_array_equal(np.isnan(statistic), [True, False])
    with pytest.raises(ValueError, match="collinear"):
        results.score_test(candidates)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("hypothesis", ["joint", "separate"])
def test_score_test_does_not_depend_on_a_shift_of_a_candidate(hypothesis, n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 2)), rng.integers(0, n_classes, 500)
    results = results_of(X, y)
    seconds = rng.uniform(0, 86400, (500, 1))  # of a day
    expected = results.score_test(seconds, hypothesis)
    since_1970 = results.score_test(1.7e9 + seconds, hypothesis)
    np.testing.assert_allclose(since_1970.statistic, expected.statistic, rtol=1e-4)
    assert since_1970.df == expected.df
