"""LogisticRegression agrees with scikit-learn's, on any library."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model
from conftest import to_numpy
from optional import on_demand
from problems import load, objective
from scipy.sparse import csr_array
from scipy.stats import entropy
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xlr
from xlr import arrays

pd = on_demand("pandas")
pl = on_demand("polars")

X, Y = load("wine", True)


def sklearn_fit(X, y, sample_weight=None, **parameters):
    parameters = {"solver": "newton-cholesky", "tol": 1e-12, **parameters}
    model = sklearn.linear_model.LogisticRegression(max_iter=1000, **parameters)
    return model.fit(X, y, sample_weight)


# -- agreement with scikit-learn -------------------------------------------------------


@pytest.mark.parametrize("step", [2, -3])
def test_fit_to_strided_columns_is_the_fit_to_their_copy(step):
    strided = X[:, ::step]
    model = xlr.LogisticRegression().fit(strided, Y)
    expected = xlr.LogisticRegression().fit(np.ascontiguousarray(strided), Y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    found, copied = model.predict_proba(strided), expected.predict_proba(strided)
    np.testing.assert_allclose(found, copied, rtol=1e-12)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float16, np.float64])
def test_score_takes_weights_of_any_dtype(dtype):
    model, labels = xlr.LogisticRegression().fit(X, Y), np.roll(Y, 30)
    weights = (100 * np.linspace(0, 1.2, len(Y))).astype(dtype)
    expected = accuracy_score(labels, model.predict(X), sample_weight=weights * 1.0)
    assert model.score(X, labels, weights) == pytest.approx(expected, rel=1e-12)
    assert model.score(X, labels, np.float64(2)) == model.score(X, labels)


def test_score_uses_the_predict_of_a_subclass():
    class Cautious(xlr.LogisticRegression):
        def predict(self, X):
            return self.predict_proba(X)[:, 1] > 0.05

    model = Cautious().fit(X, Y)
    assert model.score(X, Y) == accuracy_score(Y, model.predict(X))
    assert model.score(X, Y) != xlr.LogisticRegression().fit(X, Y).score(X, Y)


def test_score_refuses_wrong_weights():
    model = xlr.LogisticRegression().fit(X, Y)
    for wrong in (np.ones(1), np.ones((len(Y), 1))):
        with pytest.raises(ValueError, match="one weight for each row"):
            model.score(X, Y, wrong)
    with pytest.raises(ValueError, match="negative"):
        model.score(X, Y, -np.ones(len(Y)))
    with pytest.raises(ValueError, match="must hold real numbers"):
        model.score(X, Y, np.full(len(Y), "a"))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 0.5}])
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_agree_with_sklearn(
    n_classes, fit_intercept, class_weight, weighted
):
    rows = n_classes > Y
    weights = np.linspace(0.1, 3, rows.sum()) if weighted else None
    parameters = {
        "fit_intercept": fit_intercept,
        "class_weight": class_weight,
        "C": 0.3,
    }
    model = xlr.LogisticRegression(tol=1e-10, **parameters)
    if class_weight == "balanced":  # scikit-learn 1.6 counts rows here, not weights
        totals = np.bincount(Y[rows], weights)
        factors = totals.sum() / (n_classes * totals)
        parameters["class_weight"] = dict(enumerate(factors))
    expected = sklearn_fit(X[rows], Y[rows], weights, **parameters)
    model.fit(X[rows], Y[rows], sample_weight=weights)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=0, atol=1e-7)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, atol=1e-7)
    assert model.coef_.dtype == expected.coef_.dtype
    assert model.intercept_.shape == expected.intercept_.shape
    assert model.n_iter_.shape == expected.n_iter_.shape
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        ours, theirs = (getattr(m, method)(X) for m in (model, expected))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    assert model.score(X, Y, weights if rows.all() else None) == pytest.approx(
        expected.score(X, Y, weights if rows.all() else None)
    )


def test_multinomial_coefficients_sum_to_zero_over_classes():
    X, y = load("iris", True)
    for solver in ("newton-cholesky", "newton-cg", "lbfgs"):
        model = xlr.LogisticRegression(C=1e4, solver=solver).fit(X, y)
        np.testing.assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-12)
        assert abs(model.intercept_.sum()) < 1e-12


def test_fit_without_penalty_agrees_with_statsmodels():
    logit = pytest.importorskip("statsmodels.api").Logit
    X, y = load("breast_cancer", True)
    X = X[:, [1, 4, 8]]
    expected = logit(y, np.c_[np.ones(len(X)), X]).fit(disp=0, tol=1e-12)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(
        np.r_[model.intercept_, model.coef_[0]], expected.params, rtol=1e-7
    )
    log_likelihood = -model.history_["objective"][-1] * len(X)
    assert log_likelihood == pytest.approx(expected.llf, rel=1e-10)


# -- fitted attributes ----------------------------------------------------------------


def test_optimality_is_the_gradient_in_standardised_units():
    """The oracle takes central differences of F for standardised columns."""
    raw, y = load("breast_cancer", False)
    raw = raw[:, :3]
    mean, scale = raw.mean(axis=0), raw.std(axis=0)
    with pytest.warns(match="Stopped after max_iter=2"):
        model = xlr.LogisticRegression(max_iter=2, solver="lbfgs").fit(raw, y)

    def f(v, c):
        coef = v / scale
        return objective(coef[None], np.array([c - coef @ mean]), raw, y, 1.0)

    v, c = model.coef_[0] * scale, model.intercept_[0] + model.coef_[0] @ mean
    h = 1e-6
    derivatives = [(f(v + h * e, c) - f(v - h * e, c)) / (2 * h) for e in np.eye(3)]
    derivatives.append((f(v, c + h) - f(v, c - h)) / (2 * h))
    assert model.optimality_ == pytest.approx(np.abs(derivatives).max(), rel=1e-5)


def test_fit_reports_its_solver_and_history():
    model = xlr.LogisticRegression().fit(X, Y)
    assert model.solver_ == "newton-cholesky"
    assert list(model.history_) == ["objective", "optimality", "step", "seconds"]
    assert {v.shape for v in model.history_.values()} == {(model.n_iter_[0] + 1,)}
    # The first record is the null model: the entropy of the class shares.
    null_value = entropy(np.bincount(Y) / len(Y))
    assert model.history_["objective"][0] == pytest.approx(null_value)
    assert model.optimality_ == model.history_["optimality"][-1] <= model.tol
    assert (np.diff(model.history_["seconds"]) > 0).all()
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(30, 3000))
    assert xlr.LogisticRegression().fit(wide, np.arange(30) % 2).solver_ == "newton-cg"


# -- starts ----------------------------------------------------------------------------


@pytest.mark.shared_arithmetic
def test_fit_from_the_solution_takes_at_most_one_iteration(place, dtype):
    cold = xlr.LogisticRegression(tol=1e-4).fit(place(X), Y)
    warm = xlr.LogisticRegression(tol=2e-4).fit(
        place(X), Y, coef_init=cold.coef_, intercept_init=to_numpy(cold.intercept_)
    )
    assert warm.n_iter_ <= 1 < cold.n_iter_
    again = clone(cold).set_params(warm_start=True)
    assert again.fit(place(X), Y).n_iter_ == cold.n_iter_
    with pytest.warns(match="max_iter=1"):
        again.set_params(max_iter=1, tol=1e-30).fit(place(X), Y)
    assert again.history_["objective"][0] == pytest.approx(
        cold.history_["objective"][-1], rel=1e-5
    )


def test_coef_init_of_two_classes_may_be_a_vector():
    X, y = load("breast_cancer", True)
    model = xlr.LogisticRegression(solver="gradient-descent", max_iter=1, tol=2.0)
    coef = np.linspace(-1, 1, 30)
    model.fit(X, y, coef_init=coef, intercept_init=0.5)
    start = objective(coef[None], np.array([0.5]), X, y, 1.0)
    assert model.history_["objective"][0] == pytest.approx(start)


# -- labels ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["anna", "bert", "carl"]),
        np.array([-7, 0, 2**62 + 1]),
        np.array(["x", "y", "z"], dtype=object),
    ],
    ids=["text", "int64", "object"],
)
def test_labels_of_any_kind_are_predicted(place, labels):
    y = labels[Y]
    model = xlr.LogisticRegression().fit(place(X), y)
    np.testing.assert_array_equal(model.classes_, labels)
    predicted = model.predict(place(X))
    if labels.dtype.kind in "OU":
        assert isinstance(predicted, np.ndarray)
    codes = model.to_numpy().predict_proba(X).argmax(axis=1)
    np.testing.assert_array_equal(arrays.to_host(predicted), labels[codes])
    assert model.score(place(X), y) > 0.99


@pytest.mark.parametrize("last", [2, -1])
def test_class_of_the_last_of_many_rows_is_found(last, place):
    """Long arrays of labels are compared with the classes of the first rows."""
    labels = np.arange(12_000) % 2
    labels[-1] = last
    rows = place(np.eye(4)[labels + 1])
    model = xlr.LogisticRegression(class_weight="balanced", tol=1e-3)
    model.fit(rows, place(labels))
    np.testing.assert_array_equal(to_numpy(model.classes_), np.unique(labels))
    predicted = to_numpy(model.predict(rows))
    np.testing.assert_array_equal(predicted, labels)


def test_column_vector_of_labels_warns_as_sklearn_does():
    with pytest.warns(DataConversionWarning):
        xlr.LogisticRegression().fit(X, Y[:, None])


# -- other libraries and conversions ---------------------------------------------------


def test_predictions_take_arrays_of_another_library(place, assert_close, dtype):
    """The coefficients move from NumPy to the library of the data."""
    model = xlr.LogisticRegression().fit(X, Y)
    rtol = 1e-12 if dtype == "float64" else 1e-4
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        expected = getattr(model, method)(X)
        found = getattr(model, method)(place(X))
        assert_close(found, expected, rtol=rtol, atol=rtol)
    labels = model.predict(place(X))
    np.testing.assert_array_equal(to_numpy(labels), model.predict(X))
    assert arrays.namespace(labels) is arrays.namespace(place(X))
    assert arrays.device_of(labels) == arrays.device_of(place(X))
    assert model.score(place(X), Y) == model.score(X, Y)


def test_to_sklearn_keeps_the_digits_of_far_columns():
    rng = np.random.default_rng(0)
    far = (rng.normal(size=(200, 3)) + 1e6).astype("float32")
    labels = far[:, 0] - 1e6 + rng.normal(size=200) > 0
    with pytest.warns(UserWarning, match="means up to .* standard deviations"):
        model = xlr.LogisticRegression().fit(far, labels)
    np.testing.assert_allclose(
        model.to_sklearn().decision_function(far),
        model.decision_function(far),
        rtol=1e-5,
        atol=1e-6,
    )


# -- difficult numbers -----------------------------------------------------------------


def test_fit_ignores_a_column_of_tiny_numbers():
    raw, y = load("breast_cancer", True)
    expected = xlr.LogisticRegression().fit(raw[:, 1:], y)
    tiny = raw * np.array([1e-150] + [1] * 29)
    model = xlr.LogisticRegression().fit(tiny, y)
    np.testing.assert_allclose(model.coef_[:, 1:], expected.coef_, rtol=1e-6)
    small = (raw * np.array([1e-40] + [1] * 29)).astype(np.float32)
    assert xlr.LogisticRegression().fit(small, y).score(small, y) > 0.95


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize(("seed", "solver"), [(33, "lbfgs"), (26, "newton-cg")])
def test_objective_with_a_column_of_tiny_numbers_agrees_with_scipy(seed, solver, form):
    """Rounding makes the coefficient of the column non-zero, and its square large."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(50, 6)) * 10 ** rng.uniform(-2, 2, size=6)
    logits = features[:, 1] / features[:, 1].std() + rng.logistic(size=50)
    features[:, 0] *= 1e-150
    y = (logits > 0).astype(int)
    model = xlr.LogisticRegression(C=1e10, solver=solver).fit(form(features), y)
    expected = objective(model.coef_, model.intercept_, features, y, 1e10)
    assert expected == pytest.approx(model.history_["objective"][-1], rel=1e-9)


def test_fit_ignores_rows_of_zero_weight():
    with_outlier = np.vstack([X, np.full((1, 13), 1e300)])
    expected = xlr.LogisticRegression(tol=1e-9).fit(X, Y)
    weights = np.append(np.ones(len(Y)), 0)
    model = xlr.LogisticRegression(tol=1e-9)
    model.fit(with_outlier, np.append(Y, 0), weights)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-7, atol=1e-9)


# -- the ecosystem ---------------------------------------------------------------------


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_pipeline_in_a_grid_search_scores_as_in_sklearn(output):
    pipeline = make_pipeline(StandardScaler(), xlr.LogisticRegression())
    pipeline.set_output(transform=output)
    raw, y = load("wine", False)
    names = [f"column {i}" for i in range(13)]
    table = (
        pd.DataFrame(raw, columns=names)
        if output != "polars"
        else pl.DataFrame(dict(zip(names, raw.T)))
    )
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.01, 1.0]}, cv=3)
    search.fit(table, y)
    theirs = make_pipeline(StandardScaler(), sklearn.linear_model.LogisticRegression())
    expected = cross_val_score(theirs, raw, y, cv=3)
    np.testing.assert_allclose(cross_val_score(pipeline, table, y, cv=3), expected)
    assert search.best_score_ == pytest.approx(expected.mean())
