"""Classes without weight, or without rows in a fold or a resample."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import to_numpy
from in_chunks import in_chunks
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold

import xlr

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 2))
Y = (X @ RNG.normal(size=(2, 4)) + RNG.gumbel(size=(N, 4))).argmax(axis=1)
SOLVERS = ["newton-cholesky", "newton-cg", "lbfgs", "gradient-descent"]
Y_RARE = np.where(np.arange(N) == 7, 2, Y % 2)  # class 2 has a single row


def reference(X, y, classes, C=1.0):
    """Return coefficients and intercepts of scikit-learn's softmax on some classes.

    scikit-learn fits two classes by a sigmoid, whose penalty is twice as strong.
    """
    kept = np.isin(y, classes)
    C = 2 * C if len(classes) == 2 else C
    model = LogisticRegression(C=C, tol=1e-12, solver="newton-cholesky")
    model.fit(X[kept], y[kept])
    coef, intercept = model.coef_, model.intercept_
    if len(classes) == 2:
        coef, intercept = (np.concatenate([-v, v]) / 2 for v in (coef, intercept))
    return coef, intercept


def test_balanced_weights_ignore_a_class_without_weight():
    weights = (Y != 2).astype(float)
    options = {"class_weight": "balanced", "tol": 1e-10}
    with pytest.warns(UserWarning, match="class 2 have zero weight"):
        model = xlr.LogisticRegression(**options).fit(X, Y, weights)
    theirs = LogisticRegression(**options, solver="newton-cholesky")
    theirs.fit(X[Y != 2], Y[Y != 2])
    np.testing.assert_allclose(model.coef_[[0, 1, 3]], theirs.coef_, atol=1e-6)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    ("excluded", "by"), [([2], "class_weight"), ([0, 3], "sample_weight")]
)
def test_fit_excludes_classes_without_weight(excluded, by, place, dtype):
    kept = np.setdiff1d(range(4), excluded)
    weights = {"sample_weight": place(np.isin(Y, kept) * 1.0)}
    class_weight = None
    if by == "class_weight":
        weights, class_weight = {}, dict.fromkeys(excluded, 0)
    tol = 1e-10 if dtype == "float64" else 1e-5
    model = xlr.LogisticRegression(tol=tol, class_weight=class_weight)
    with pytest.warns(
        UserWarning, match=f"the class.* {', '.join(map(str, excluded))}"
    ):
        model.fit(place(X), Y, **weights)
    coef, intercept = reference(X, Y, kept)
    atol = 1e-6 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(to_numpy(model.coef_)[kept], coef, atol=atol)
    np.testing.assert_allclose(to_numpy(model.intercept_)[kept], intercept, atol=atol)
    proba = to_numpy(model.predict_proba(place(X)))
    assert not proba[:, excluded].any()
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert np.isin(to_numpy(model.predict(place(X))), kept).all()
    assert model.converged_
    assert model.classes_.shape == (4,)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.filterwarnings("ignore:The rows of the class")
def test_model_with_excluded_classes_does_not_depend_on_tol(solver):
    found = []
    for tol in (1e-5, 1e-9):
        model = xlr.LogisticRegression(solver=solver, tol=tol, max_iter=100_000)
        model.fit(X, Y, (Y != 1) * 1.0)
        found.append(model.predict_log_proba(X))
    np.testing.assert_array_equal(np.isneginf(found[0]), np.isneginf(found[1]))
    finite = np.isfinite(found[0])
    np.testing.assert_allclose(found[0][finite], found[1][finite], rtol=1e-2)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    ("n_classes", "multi_class", "C"),
    [(2, "multinomial", 1.0), (3, "multinomial", np.inf), (3, "ovr", 1.0)],
)
def test_single_class_with_weight_is_predicted(n_classes, multi_class, C, place):
    y = Y % n_classes
    for only in range(n_classes):
        model = xlr.LogisticRegression(multi_class=multi_class, C=C)
        weights = place((y == only) * 2.0)
        with pytest.warns(UserWarning, match=f"Only the class {only} is left"):
            model.fit(place(X), y, weights)
        expected = np.tile(np.arange(n_classes) == only, (N, 1))
        for fitted in (model, model.to_numpy(), model.to_sklearn()):
            rows = X if fitted is not model else place(X)
            proba = to_numpy(fitted.predict_proba(rows))
            np.testing.assert_array_equal(proba, expected)
            assert (to_numpy(fitted.predict(rows)) == only).all()
        assert model.converged_
        assert model.history_["objective"][-1].max() == 0


@pytest.mark.parametrize(
    "form",
    [np.asarray, lambda v: in_chunks(v, (25, 35))],
    ids=["in memory", "chunks"],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_single_class_with_weight_is_predicted_after_cross_validation(n_classes, form):
    y = Y % n_classes
    model = xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=3)
    with pytest.warns(UserWarning, match="Only the class 1 is left"):
        model.fit(form(X), form(y), form((y == 1) * 2.0))
    expected = np.tile(np.arange(n_classes) == 1, (N, 1))
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_allclose(model.scores_, 0)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_one_vs_rest_skips_classes_without_weight(class_weight):
    weights = (Y != 2) * RNG.uniform(0.5, 2, size=N)
    model = xlr.LogisticRegression(
        multi_class="ovr", tol=1e-10, class_weight=class_weight
    )
    with pytest.warns(UserWarning, match="the class 2 have zero weight"):
        model.fit(X, Y, weights)
    kept = Y != 2
    expected = xlr.LogisticRegression(
        multi_class="ovr", tol=1e-10, class_weight=class_weight
    ).fit(X[kept], Y[kept], weights[kept])
    np.testing.assert_allclose(model.coef_[[0, 1, 3]], expected.coef_, rtol=1e-6)
    np.testing.assert_allclose(
        model.predict_proba(X)[:, [0, 1, 3]], expected.predict_proba(X), rtol=1e-6
    )
    assert not model.predict_proba(X)[:, 2].any()
    assert model.n_iter_.shape == model.duality_gap_.shape == (4,)
    assert model.history_["objective"].shape[1] == 4


def test_fit_with_an_excluded_class_takes_warm_start_and_offset():
    weights, offset = (Y != 1) * 1.0, RNG.normal(size=(N, 4))
    model = xlr.LogisticRegression(tol=1e-10, warm_start=True)
    with pytest.warns(UserWarning, match="class 1"):
        model.fit(X, Y, weights, offset=offset)
    kept = Y != 1
    others = offset[:, [0, 2, 3]]
    one = xlr.LogisticRegression(tol=1e-10).fit(X[kept], Y[kept], offset=others[kept])
    np.testing.assert_allclose(model.coef_[[0, 2, 3]], one.coef_, rtol=1e-5)
    with pytest.warns(UserWarning, match="class 1"):
        model.fit(X, Y, weights, offset=offset)
    assert model.n_iter_[0] == 0
    fresh = xlr.LogisticRegression(tol=1e-10).fit(X, Y)
    np.testing.assert_allclose(model.fit(X, Y).coef_, fresh.coef_, atol=1e-6)


@pytest.mark.parametrize("has_offset", [True, False])
def test_fit_of_chunks_excludes_classes_without_weight(has_offset, in_this_thread):
    da = pytest.importorskip("dask.array")
    chunked, weights = da.from_array(X, chunks=(35, 2)), (Y != 3) * 1.0
    y, w = (da.from_array(v, chunks=35) for v in (Y, weights))
    offset = lazy = None
    if has_offset:
        offset = RNG.normal(size=(N, 4))
        lazy = da.from_array(offset, chunks=(35, 4))
    found, expected = (xlr.LogisticRegression(tol=1e-10) for _ in range(2))
    with pytest.warns(UserWarning, match="class 3"):
        expected.fit(X, Y, weights, offset=offset)
    with pytest.warns(UserWarning, match="class 3"):
        found.fit(chunked, y, w, offset=lazy)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-6)
    np.testing.assert_array_equal(found.intercept_[3], -np.inf)


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_cv_scores_with_excluded_classes_do_not_depend_on_tol():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = np.r_[rng.integers(2, size=59), 2]
    options = {"Cs": np.logspace(-3, 1, 5), "cv": 5}
    chosen = []
    for tol in (1e-4, 1e-6, 1e-8, 1e-12):
        model = xlr.LogisticRegressionCV(**options, tol=tol)
        with pytest.warns(UserWarning, match=r"\d \(of 5\) have no .* class 2"):
            model.fit(X, y)
        chosen.append(model.C_)
    assert len(set(chosen)) == 1
    fold = int(np.argmin(model.scores_[:, 0, 0]))
    train, test = list(StratifiedKFold(5).split(X, y))[fold]
    coef, intercept = reference(X[train], y[train], [0, 1], C=1e-3)
    path = model.coefs_paths_
    np.testing.assert_allclose(path[fold, 0, 0, :2, :-1], coef, atol=1e-6)
    # The row of the excluded class has the lowest log-probability of a score.
    proba = np.zeros((test.size, 3))
    logits = X[test] @ coef.T + intercept
    proba[:, :2] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    eps = np.finfo(float).eps
    expected = np.log(np.clip(proba, eps, 1)[np.arange(test.size), y[test]]).mean()
    np.testing.assert_allclose(model.scores_[fold, 0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_brier_score", None])
@pytest.mark.parametrize("refit", [True, False])
def test_fold_that_trains_on_one_class_scores_as_in_sklearn(scoring, refit):
    y = (np.arange(N) < 12).astype(int)
    options = {"Cs": [0.01, 1.0, 10.0], "cv": KFold(5), "refit": refit}
    model = xlr.LogisticRegressionCV(**options, scoring=scoring, tol=1e-9)
    with pytest.warns(UserWarning, match=r"Folds 0 \(of 5\) have no weight .* class 1"):
        model.fit(X, y)
    theirs = LogisticRegressionCV(
        **options,
        scoring=scoring or "neg_log_loss",
        solver="newton-cholesky",
        tol=1e-9,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    ).fit(X, y)
    np.testing.assert_allclose(model.scores_[1:], theirs.scores_[1:], atol=1e-5)
    if scoring is None:  # scikit-learn's score depends on tol
        lowest = np.full((1, 3), np.log(np.finfo(float).eps))
        np.testing.assert_allclose(model.scores_[0], lowest, rtol=1e-14)
    else:
        np.testing.assert_allclose(model.scores_[0], theirs.scores_[0], atol=1e-5)
    assert model.C_ == theirs.C_
    assert np.isfinite(model.intercept_).all()


@pytest.mark.filterwarnings("ignore:Folds 0:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:No positive class:UserWarning")
@pytest.mark.parametrize("scoring", ["roc_auc", "average_precision"])
def test_scores_of_logits_of_folds_without_a_class_are_those_of_sklearn(scoring):
    y = (np.arange(N) < 6).astype(int)
    options = {"Cs": [1.0], "cv": KFold(5), "scoring": scoring}
    model = xlr.LogisticRegressionCV(**options).fit(X, y)
    theirs = LogisticRegressionCV(
        **options, l1_ratios=(0.0,), use_legacy_attributes=False
    ).fit(X, y)
    np.testing.assert_allclose(model.scores_[1:], theirs.scores_[1:])
    # scikit-learn's model of the fold depends on tol; here, it is a constant.
    expected = 0.5 if scoring == "roc_auc" else np.mean(y[: N // 5])
    np.testing.assert_allclose(model.scores_[0], expected)


def test_top_k_accuracy_of_a_fold_without_a_class_is_that_of_the_others():
    y, folds = np.arange(N) % 3, [(np.nonzero(np.arange(N) % 3 < 2)[0], np.arange(30))]
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=folds, scoring="top_k_accuracy")
    with pytest.warns(UserWarning, match="no weight in the class 2"):
        model.fit(X, y)
    np.testing.assert_allclose(model.scores_, 2 / 3)


def test_fold_that_tests_on_rows_without_weight_has_a_nan_score():
    y, weights = np.arange(N) % 2, (np.arange(N) >= 10).astype(float)
    folds = [(np.arange(10, N), np.arange(10)), (np.arange(N), np.arange(N))]
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=folds)
    with pytest.warns(UserWarning, match=r"Folds 0 \(of 2\) test on rows without"):
        model.fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(np.isnan(model.scores_), [[[True]], [[False]]])


def test_class_absent_from_all_folds_is_fitted_to_all_rows():
    folds = [(np.arange(10, N), np.arange(10)), (np.arange(8, N), np.arange(8))]
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=folds, tol=1e-9)
    with pytest.warns(UserWarning, match=r"0, 1 \(of 2\) have no .* class 2"):
        model.fit(X, Y_RARE)
    expected = xlr.LogisticRegression(C=1.0, tol=1e-9).fit(X, Y_RARE)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, atol=1e-6)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)


@pytest.mark.slow_on_jax
def test_folds_and_resamples_exclude_classes_on_every_library(place, dtype):
    rows = place(X), place(Y_RARE)
    tol = 1e-9 if dtype == "float64" else 1e-5
    folds = [(np.arange(10, N), np.arange(10)), (np.arange(N), np.arange(N))]
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=folds, refit=False, tol=tol)
    estimator = xlr.LogisticRegression(tol=tol)
    with pytest.warns(UserWarning, match="class 2"):
        model.fit(*rows)
    with pytest.warns(UserWarning, match="class 2"):
        found = xlr.bootstrap(estimator, *rows, n_resamples=3, random_state=1)
    with pytest.warns(UserWarning, match="class 2"):
        same = xlr.bootstrap(estimator, X, Y_RARE, n_resamples=3, random_state=1)
    assert np.isneginf(to_numpy(model.coefs_paths_)[0, 0, 0, 2, -1])
    # The mean is over the folds that have the class.
    last = to_numpy(model.coefs_paths_)[1, 0, 0, 2]
    np.testing.assert_allclose(to_numpy(model.intercept_)[2], last[-1], rtol=1e-5)
    np.testing.assert_allclose(to_numpy(model.coef_)[2], last[:-1], rtol=1e-5)
    np.testing.assert_allclose(to_numpy(found.coef), same.coef, atol=1e-3)


def test_resamples_exclude_classes_without_rows():
    estimator = xlr.LogisticRegression(tol=1e-10)
    with pytest.warns(UserWarning, match=r"\(of 8\) have no weight in the class 2"):
        found = xlr.bootstrap(estimator, X, Y_RARE, n_resamples=8, random_state=0)
    without = np.isneginf(found.intercept[:, 2])
    assert 0 < without.sum() < 8
    assert found.converged.all()
    # Draw the rows of each resample as the docstring of bootstrap says.
    draw = np.random.default_rng(np.random.RandomState(0).randint(2**31))
    for k in range(8):
        rows = draw.integers(N, size=N, dtype=np.int32)
        classes = np.unique(Y_RARE[rows])
        assert without[k] == (len(classes) == 2)
        coef, intercept = reference(X[rows], Y_RARE[rows], classes)
        np.testing.assert_allclose(found.coef[k, classes], coef, atol=1e-6)
        np.testing.assert_allclose(found.intercept[k, classes], intercept, atol=1e-6)
    low, high = found.interval(0.9)["intercept"]
    assert low[2] == -np.inf
    assert not np.isnan(high).any()


def test_label_with_one_value_is_predicted():
    labels = np.stack([np.zeros(N), np.ones(N)], axis=1)
    model = xlr.MultiLabelLogisticRegression()
    with pytest.warns(UserWarning, match=r"columns \[0, 1\] hold a single value"):
        model.fit(X, labels)
    np.testing.assert_array_equal(model.predict_proba(X), labels)
    assert model.converged_.all()
    assert not model.n_iter_.any()
    weighted = xlr.MultiLabelLogisticRegression(class_weight={0: 0.0})
    with pytest.warns(UserWarning, match=r"columns \[0\] hold a single value"):
        weighted.fit(X, (Y[:, None] > 1) * 1)
    assert weighted.predict(X).all()


def test_ensembles_and_searches_take_classes_without_weight():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), np.r_[np.ones(2, int), np.zeros(38, int)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The rows of the class")
        bagged = BaggingClassifier(xlr.LogisticRegression(), 20, random_state=0)
        assert bagged.fit(X, y).predict_proba(X).shape == (40, 2)
        weights = np.r_[np.ones(2), np.zeros(38)]
        search = GridSearchCV(xlr.LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
        search.fit(X, y, sample_weight=weights)
        assert (search.predict(X) == 1).all()


def test_inference_refuses_classes_without_weight():
    weights = (Y != 1) * 1.0
    with pytest.warns(UserWarning, match="class 1"):
        model = xlr.LogisticRegression().fit(X, Y, weights)
    with pytest.raises(ValueError, match="Fit without its rows"):
        xlr.infer(model, X, Y, weights)
