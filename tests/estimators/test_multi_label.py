"""MultiLabelLogisticRegression gives each label the model of a single fit."""

from __future__ import annotations

import numpy as np
import pytest
from problems import load, objective
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.multiclass import OneVsRestClassifier

import xlr

X, _ = load("breast_cancer", True)
X = X[:, :6]
RNG = np.random.default_rng(0)
N, P = X.shape
COEF = RNG.normal(size=(P, 5))
Y = (X @ COEF + RNG.logistic(size=(N, 5)) + [0, 1, -1, 3, 0] > 0).astype(int)
MISSING = np.where(RNG.uniform(size=Y.shape) < 0.3, np.nan, Y)
WEIGHTS = RNG.uniform(0, 2, size=N)


def oracle(X, y, weights=None, **parameters):
    model = LogisticRegression(solver="newton-cholesky", tol=1e-12, **parameters)
    return model.fit(X, y, weights)


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("targets", [Y, MISSING], ids=["whole", "missing"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"C": 0.01, "fit_intercept": False},
        {"C": 10.0, "class_weight": {1: 3.0}},
        {"class_weight": "balanced"},
    ],
    ids=["default", "no intercept", "class weights", "balanced"],
)
def test_multi_label_models_equal_single_fits(solver, targets, parameters):
    model = xlr.MultiLabelLogisticRegression(solver=solver, tol=1e-10, **parameters)
    model.fit(X, targets)
    assert model.converged_.all()
    for k in range(Y.shape[1]):
        known = np.isfinite(targets[:, k])
        one = oracle(X[known], targets[known, k].astype(int), **parameters)
        np.testing.assert_allclose(model.coef_[[k]], one.coef_, atol=1e-6)
        np.testing.assert_allclose(model.intercept_[[k]], one.intercept_, atol=1e-6)


def test_multi_label_models_with_sample_weights_equal_single_fits():
    model = xlr.MultiLabelLogisticRegression(tol=1e-10).fit(X, MISSING, WEIGHTS)
    for k in range(Y.shape[1]):
        known = np.isfinite(MISSING[:, k])
        one = oracle(X[known], MISSING[known, k].astype(int), WEIGHTS[known])
        np.testing.assert_allclose(model.coef_[[k]], one.coef_, atol=1e-6)


def test_multi_label_models_of_many_rows_reach_the_minima_of_single_fits():
    """Fits start on a sample of the rows, which may lack a rare label."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20_000, 10))
    shift = np.linspace(-8, 8, 40)
    Y = X @ rng.normal(size=(10, 40)) + rng.logistic(size=(20_000, 40)) + shift > 0
    model = xlr.MultiLabelLogisticRegression().fit(X, Y)
    assert model.converged_.all()
    for k in range(0, 40, 3):
        one = oracle(X, Y[:, k])
        best = objective(one.coef_, one.intercept_, X, Y[:, k].astype(int), 1.0)
        ours = objective(
            model.coef_[[k]], model.intercept_[[k]], X, Y[:, k].astype(int), 1.0
        )
        assert ours <= best * (1 + 1e-8)


def test_multi_label_predictions_agree_with_sklearn():
    expected = OneVsRestClassifier(
        LogisticRegression(solver="newton-cholesky", tol=1e-12)
    ).fit(X, Y)
    model = xlr.MultiLabelLogisticRegression(tol=1e-10).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba, expected.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), proba, rtol=1e-12)
    assert model.score(X, Y) == accuracy_score(Y, expected.predict(X))


def test_multi_label_score_counts_known_labels():
    model = xlr.MultiLabelLogisticRegression().fit(X, MISSING)
    labels = MISSING.copy()
    labels[::7] = np.nan  # rows without a known label do not count
    predicted, known = model.predict(X), np.isfinite(labels)
    for weights in (None, WEIGHTS):
        right = [(p == y)[k].all() for p, y, k in zip(predicted, labels, known)]
        expected = np.average(
            np.asarray(right)[known.any(axis=1)],
            weights=None if weights is None else weights[known.any(axis=1)],
        )
        assert model.score(X, labels, weights) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="no known labels"):
        model.score(X, np.full(Y.shape, np.nan))
    with pytest.raises(ValueError, match=r"y has 4 labels, but .* with 5\."):
        model.score(X, Y[:, :4])
    with pytest.raises(ValueError, match="sample_weight has shape"):
        model.score(X, Y, WEIGHTS[1:])


NAMES = [f"label {k}" for k in range(Y.shape[1])]


def in_polars(labels):
    return pytest.importorskip("polars").DataFrame(labels)


def in_pyarrow(labels):
    return pytest.importorskip("pyarrow").table(labels)


def in_pandas(dtype):
    def table(labels):
        return pytest.importorskip("pandas").DataFrame(labels).astype(dtype)

    return table


@pytest.mark.parametrize(
    "table",
    [in_polars, in_pyarrow, *map(in_pandas, ("boolean", "Int64", "category"))],
    ids=["polars", "pyarrow", "boolean", "Int64", "category"],
)
def test_multi_label_fit_takes_tables_with_missing_labels(table):
    labels = {
        name: [None if np.isnan(v) else bool(v) for v in column]
        for name, column in zip(NAMES, MISSING.T)
    }
    expected = xlr.MultiLabelLogisticRegression().fit(X, MISSING)
    model = xlr.MultiLabelLogisticRegression().fit(X, table(labels))
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    assert model.score(X, table(labels)) == expected.score(X, MISSING)


def test_multi_label_fit_with_labels_of_one_value_keeps_the_others():
    constant = np.stack([Y[:, 0], np.ones(N), np.zeros(N), np.full(N, np.nan)], axis=1)
    model = xlr.MultiLabelLogisticRegression()
    with pytest.warns(UserWarning, match=r"columns \[1, 2\].*columns \[3\] have no"):
        model.fit(X, constant)
    alone = xlr.MultiLabelLogisticRegression().fit(X, Y[:, :1])
    np.testing.assert_allclose(model.coef_[0], alone.coef_[0], rtol=1e-12)
    np.testing.assert_array_equal(model.coef_[1:], 0)
    np.testing.assert_array_equal(model.intercept_[1:], [np.inf, -np.inf, np.nan])
    proba = model.predict_proba(X)
    np.testing.assert_array_equal(proba[:, 1:3], np.tile([1.0, 0.0], (N, 1)))
    assert np.isnan(proba[:, 3]).all()
    np.testing.assert_array_equal(model.predict(X)[:, 1:3], constant[:, 1:3])


def test_multi_label_fit_with_a_separable_label_keeps_the_others():
    labels = np.stack([X[:, 0] > 0, Y[:, 1]], axis=1)
    with pytest.warns(xlr.SeparationWarning, match="1 of 2 models"):
        model = xlr.MultiLabelLogisticRegression(C=np.inf, tol=1e-8).fit(X, labels)
    one = oracle(X, Y[:, 1], C=np.inf)
    np.testing.assert_allclose(model.coef_[[1]], one.coef_, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X)[:, 0], labels[:, 0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y[:, 0], r"y has shape \(569,\), expected \(569, n_labels\)"),
        (Y[:10], r"y has shape \(10, 5\)"),
        (Y + 1, "y must hold 0, 1 and, for missing entries, NaN only; got 2"),
        (np.full(Y.shape, "a"), "y must hold 0, 1 and NaN only"),
        ([["a"], ["a", "b"]], r"inhomogeneous part\. For .*MultiLabelBinarizer"),
        (np.full((N, 2), np.nan), "No label in y has an entry"),
    ],
)
@pytest.mark.filterwarnings("ignore:Label columns")
def test_wrong_multi_labels_are_refused(labels, message):
    model = xlr.MultiLabelLogisticRegression()
    with pytest.raises(ValueError, match=message):
        model.fit(X, labels)
    assert not hasattr(model, "coef_")


def test_wrong_weights_of_multi_labels_are_refused():
    for weights, message in ((-WEIGHTS, "negative"), (0 * WEIGHTS, "weights are zero")):
        with pytest.raises(ValueError, match=message):
            xlr.MultiLabelLogisticRegression().fit(X, Y, weights)


def test_multi_label_intercept_of_a_label_of_ones_is_infinite_at_any_weights():
    weights = 10 ** RNG.uniform(-4, 4, size=N)
    labels = np.stack([Y[:, 0].astype(float), np.ones(N)], axis=1)
    with pytest.warns(UserWarning, match=r"columns \[1\] hold a single value"):
        model = xlr.MultiLabelLogisticRegression().fit(X, labels, weights)
    assert model.intercept_[1] == np.inf


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({0: -1.0}, "finite, zero or positive"),
        ({0: np.nan}, "finite, zero or positive"),
        ({"a": 1.0}, "not in class_weight"),
        ({0: 0.0, 1: 0.0}, "No label in y has an entry in the rows of positive"),
    ],
)
def test_wrong_class_weights_of_multi_labels_are_refused(class_weight, message):
    model = xlr.MultiLabelLogisticRegression(class_weight=class_weight)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)


@pytest.mark.parametrize(
    "method", ["decision_function", "predict_proba", "predict_log_proba", "predict"]
)
def test_multi_label_predictions_of_chunks_are_lazy_and_equal(method):
    da = pytest.importorskip("dask.array")
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 3)), rng.integers(2, size=(50, 2))
    predict = getattr(xlr.MultiLabelLogisticRegression().fit(X, Y), method)
    found = predict(da.from_array(X, chunks=(20, 3)))
    assert found.chunks == ((20, 20, 10), (2,))
    np.testing.assert_array_almost_equal_nulp(found.compute(), predict(X), 4)
