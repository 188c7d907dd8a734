"""One-vs-rest fits one model per class, all together."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from conftest import to_numpy
from problems import load
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier

import xlr

X, Y = load("wine", True)
NAMES = np.asarray(["barbera", "barolo", "grignolino"])
METHODS = ("decision_function", "predict_proba")


def sklearn_fit(X, y, **parameters):
    parameters = {"solver": "newton-cholesky", "tol": 1e-12, **parameters}
    return OneVsRestClassifier(LogisticRegression(**parameters)).fit(X, y)


def assert_same_model(model, expected, atol):
    """Compare coefficients with those of scikit-learn's OneVsRestClassifier."""
    for k, one in enumerate(expected.estimators_):
        np.testing.assert_allclose(to_numpy(model.coef_)[k], one.coef_[0], atol=atol)
        np.testing.assert_allclose(
            to_numpy(model.intercept_)[k], one.intercept_[0], atol=atol
        )


@pytest.mark.parametrize("solver", ["auto", "newton-cholesky", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_one_vs_rest_models_agree_with_sklearn(solver, fit_intercept, class_weight):
    parameters = {
        "C": 0.3,
        "fit_intercept": fit_intercept,
        "class_weight": class_weight,
    }
    expected = sklearn_fit(X, Y, **parameters)
    model = xlr.LogisticRegression(
        multi_class="ovr", solver=solver, tol=1e-10, **parameters
    ).fit(X, Y)
    assert model.converged_
    assert_same_model(model, expected, atol=1e-7)
    for method in METHODS:
        theirs = getattr(expected, method)(X)
        np.testing.assert_allclose(getattr(model, method)(X), theirs, atol=1e-6)
    np.testing.assert_allclose(
        model.predict_log_proba(X), np.log(expected.predict_proba(X)), atol=1e-6
    )
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


def test_one_vs_rest_of_many_rows_agrees_with_sklearn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 12))
    y = (X[:, :4] + rng.gumbel(size=(40_000, 4))).argmax(axis=1)
    model = xlr.LogisticRegression(multi_class="ovr", tol=1e-9).fit(X, y)
    assert (model.history_["optimality"][0] < 0.05).all()
    assert_same_model(model, sklearn_fit(X, y), atol=1e-6)


def test_one_vs_rest_by_gradient_descent_agrees_with_sklearn():
    model = xlr.LogisticRegression(
        multi_class="ovr", solver="gradient-descent", C=0.01, max_iter=5000
    ).fit(X, Y)
    assert_same_model(model, sklearn_fit(X, Y, C=0.01), atol=1e-4)
    assert (np.diff(model.history_["objective"], axis=0) < 1e-12).all()


def test_one_vs_rest_history_has_a_column_for_each_class():
    model = xlr.LogisticRegression(multi_class="ovr").fit(X, Y)
    n_records = model.history_["seconds"].shape[0]
    for name in ("objective", "optimality", "step"):
        assert model.history_[name].shape == (n_records, 3)
    assert model.n_iter_.shape == (3,)
    assert model.n_iter_.max() == n_records - 1
    shares = np.bincount(Y) / len(Y)
    null_values = entropy([shares, 1 - shares])  # of the null models
    np.testing.assert_allclose(model.history_["objective"][0], null_values)


def test_one_vs_rest_class_weights_scale_the_weights_of_rows():
    weight = {0: 3.0, 1: 0.5}
    rows = np.asarray([3.0, 0.5, 1.0])[Y]
    options = {"multi_class": "ovr", "tol": 1e-10}
    by_class = xlr.LogisticRegression(class_weight=weight, **options).fit(X, Y)
    by_row = xlr.LogisticRegression(**options).fit(X, Y, sample_weight=rows)
    np.testing.assert_allclose(by_class.coef_, by_row.coef_, atol=1e-8)


def test_one_vs_rest_balanced_weights_include_sample_weights():
    counts = np.random.default_rng(0).integers(1, 4, size=len(Y))
    options = {"multi_class": "ovr", "class_weight": "balanced", "tol": 1e-10}
    weighted = xlr.LogisticRegression(**options).fit(X, Y, sample_weight=counts)
    repeated = xlr.LogisticRegression(**options)
    repeated.fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-7)


def test_one_vs_rest_balances_a_class_with_almost_all_weight():
    """Balanced classes have equal total weights, at any weights of their rows."""
    options = {"multi_class": "ovr", "class_weight": "balanced", "tol": 1e-10}
    weights = np.where(Y == 0, 1e10, 1e-8)
    C = len(Y) / weights.sum()
    found = xlr.LogisticRegression(C=C, **options).fit(X, Y, weights)
    one = xlr.LogisticRegression(class_weight="balanced", tol=1e-10).fit(X, Y == 0)
    np.testing.assert_allclose(found.coef_[0], one.coef_[0], rtol=1e-6)


def test_one_vs_rest_of_two_classes_is_one_model():
    two = Y < 2
    ovr = xlr.LogisticRegression(multi_class="ovr").fit(X[two], Y[two])
    default = xlr.LogisticRegression().fit(X[two], Y[two])
    np.testing.assert_array_equal(ovr.coef_, default.coef_)
    np.testing.assert_array_equal(ovr.predict_proba(X), default.predict_proba(X))


def test_one_vs_rest_probabilities_sum_to_one_where_all_sigmoids_underflow():
    model = xlr.LogisticRegression(multi_class="ovr").fit(X, Y)
    model.intercept_ = np.asarray([-2000.0, -1500.0, -1000.0])
    far = np.zeros((1, X.shape[1]))
    # All three sigmoids are zero in float64, but their ratios are not.
    np.testing.assert_allclose(model.predict_proba(far), [[0, 0, 1]], atol=1e-200)
    log_proba = model.predict_log_proba(far)
    np.testing.assert_allclose(log_proba, [[-1000, -500, 0]], atol=1e-200)


def test_one_vs_rest_model_converts_to_sklearn(place, dtype):
    model = xlr.LogisticRegression(multi_class="ovr").fit(place(X), NAMES[Y])
    restored = pickle.loads(pickle.dumps(model.to_numpy()))
    converted = model.to_sklearn()
    assert isinstance(converted, OneVsRestClassifier)
    atol = 1e-5 if dtype == "float32" else 1e-12
    for other in (restored, converted):
        for method in METHODS:
            np.testing.assert_allclose(
                getattr(other, method)(X),
                to_numpy(getattr(model, method)(place(X))),
                rtol=atol,
                atol=atol,
            )
    np.testing.assert_array_equal(converted.predict(X), NAMES[Y])
    np.testing.assert_array_equal(converted.classes_, NAMES)


@pytest.mark.parametrize("scoring", [None, "accuracy", "roc_auc_ovr"])
def test_one_vs_rest_cv_scores_and_choice_agree_with_sklearn(scoring):
    Cs = [0.01, 0.1, 1.0]
    theirs = OneVsRestClassifier(LogisticRegression(tol=1e-8, max_iter=1000))
    search = {"scoring": scoring or "neg_log_loss", "cv": 4}
    expected = GridSearchCV(theirs, {"estimator__C": Cs}, **search).fit(X, Y)
    model = xlr.LogisticRegressionCV(Cs=Cs, cv=4, scoring=scoring, multi_class="ovr")
    model.fit(X, Y)
    scores = expected.cv_results_["mean_test_score"]
    np.testing.assert_allclose(model.scores_[:, 0].mean(axis=0), scores, atol=1e-5)
    assert expected.best_params_["estimator__C"] == model.C_
    np.testing.assert_allclose(
        model.predict_proba(X), expected.predict_proba(X), atol=1e-4
    )
    assert model.score(X, Y) == pytest.approx(expected.score(X, Y), abs=1e-5)


def test_one_vs_rest_cv_of_chunks_equals_cv_in_memory():
    da = pytest.importorskip("dask.array")
    model = xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=3, multi_class="ovr", tol=1e-9)
    rows = da.from_array(X, chunks=(len(X) // 3, -1)), da.from_array(Y, len(X) // 3)
    found = {"coef": model.fit(*rows).coef_, "scores": model.scores_}
    model.fit(X, Y)
    np.testing.assert_allclose(found["coef"], model.coef_, atol=1e-6)
    np.testing.assert_allclose(found["scores"], model.scores_, atol=1e-6)


def test_one_vs_rest_fold_without_a_class_omits_its_model():
    rows, two = np.arange(len(Y)), np.nonzero(Y.max() != Y)[0]
    model = xlr.LogisticRegressionCV(
        Cs=[1.0], cv=[(two, rows), (rows, rows)], multi_class="ovr", tol=1e-9
    )
    with pytest.warns(UserWarning, match="have no weight in the class"):
        model.fit(X, Y)
    expected = LogisticRegression(tol=1e-9).fit(X[two], Y[two])
    first = model.coefs_paths_[0, 0, 0]
    np.testing.assert_allclose(first[1, :-1], expected.coef_[0], atol=1e-6)
    np.testing.assert_allclose(first[0], -first[1], atol=1e-6)
    assert first[2, -1] == -np.inf


def test_one_vs_rest_resamples_equal_those_of_binary_models():
    """The same random state draws the same rows."""
    options = {"n_resamples": 5, "random_state": 0}
    model = xlr.LogisticRegression(multi_class="ovr", tol=1e-9)
    found = xlr.bootstrap(model, X, Y, **options)
    binary = xlr.LogisticRegression(tol=1e-9)
    for k, label in enumerate(np.unique(Y)):
        expected = xlr.bootstrap(binary, X, (label == Y).astype(int), **options)
        np.testing.assert_allclose(found.coef[:, k], expected.coef[:, 0], atol=1e-6)
    assert found.converged.all()


def test_one_vs_rest_scores_coefficients_set_by_hand():
    fitted = xlr.LogisticRegression(multi_class="ovr").fit(X, Y)
    model = xlr.LogisticRegressionCV(multi_class="ovr")
    model.classes_, model.coef_ = fitted.classes_, fitted.coef_
    model.intercept_ = fitted.intercept_
    expected = -log_loss(Y, model.predict_proba(X))
    assert model.score(X, Y) == pytest.approx(expected, rel=1e-12)
