"""Kinds of labels: classes of the fit, and errors for values that are not labels."""

from __future__ import annotations

import numpy as np
import pytest

import xlr

pd = pytest.importorskip("pandas")

X = np.random.default_rng(0).normal(size=(8, 2))
CODES = [0, 1, 0, 1, 1, 0, 0, 1]
BEYOND_FLOAT64 = [2**53 + code for code in CODES]
BOOLEANS = [code == 1 for code in CODES]


def series(values, dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    return pd.Series(values, dtype=dtype)


@pytest.mark.parametrize(
    ("values", "dtype", "kind"),
    [
        (CODES, "Int64", "i"),
        (CODES, "UInt8", "u"),
        (BEYOND_FLOAT64, "Int64", "i"),
        (BOOLEANS, "boolean", "b"),
        (BEYOND_FLOAT64, "int64[pyarrow]", "i"),
        (BOOLEANS, "bool[pyarrow]", "b"),
    ],
)
@pytest.mark.parametrize("form", ["series", "array", "index", "frame"])
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_nullable_labels_keep_their_type(values, dtype, kind, form):
    y = series(values, dtype)
    forms = {"series": y, "array": y.array, "index": pd.Index(y), "frame": y.to_frame()}
    model = xlr.LogisticRegression().fit(X, forms[form])
    assert model.classes_.dtype.kind == kind
    assert model.classes_.tolist() == sorted(set(values))
    assert set(model.predict(X).tolist()) <= set(values)
    expected = np.mean(model.predict(X) == np.asarray(values))
    assert model.score(X, forms["series"]) == expected
    cv = xlr.LogisticRegressionCV(Cs=[1.0], cv=2, scoring="accuracy")
    assert cv.fit(X, y).classes_.tolist() == sorted(set(values))


@pytest.mark.parametrize(
    "dtype", ["Int64", "boolean", "int64[pyarrow]", "bool[pyarrow]"]
)
def test_missing_nullable_labels_are_refused(dtype):
    y = series([1, None, 0, 1, None, 0, 1, 1], dtype)
    with pytest.raises(ValueError, match=r"Input y contains .*rows without a label"):
        xlr.LogisticRegression().fit(X, y)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("wrap", [np.asarray, pd.DataFrame, np.ndarray.tolist])
@pytest.mark.parametrize("dtype", [int, float, bool])
def test_one_hot_labels_are_refused_with_advice(n_classes, wrap, dtype):
    y = np.eye(n_classes, dtype=dtype)[np.arange(8) % n_classes]
    with pytest.raises(ValueError, match=r"1d array.*argmax\(axis=1\).*one-hot"):
        xlr.LogisticRegression().fit(X, wrap(y))
    y[0] = 1
    with pytest.raises(
        ValueError, match=r"1d array.*use xlr.MultiLabelLogisticRegress"
    ):
        xlr.LogisticRegressionCV().fit(X, wrap(y))
    with pytest.raises(ValueError, match=r"1d array.*one label for each row"):
        xlr.FirthLogisticRegression().fit(X, wrap(y * 3.0))


def test_one_hot_labels_of_every_library_are_refused_with_advice(place):
    with pytest.raises(ValueError, match="one-hot"):
        xlr.LogisticRegression().fit(place(X), place(np.eye(2)[CODES]))


@pytest.mark.parametrize("y", [np.linspace(0, 1, 8), np.asarray([0.5, 0.25] * 4)])
def test_error_for_shares_as_labels_advises_soft_labels(y, place):
    with pytest.raises(ValueError, match=r"shares of successes, pass xlr.soft_labels"):
        xlr.LogisticRegression().fit(place(X), place(y))
    # The fit that the message advises solves the estimating equations of shares.
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(X, xlr.soft_labels(y))
    residuals = y - model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(X.T @ residuals, 0, atol=1e-8)
    with pytest.raises(ValueError, match=r"continuous.*Cut the numbers into classes"):
        xlr.LogisticRegression().fit(place(X), place(3 * y))


@pytest.mark.slow_on_jax
def test_error_for_a_start_with_other_classes_advises_about_warm_start(place):
    model = xlr.LogisticRegression(warm_start=True).fit(place(X), np.arange(8) % 3)
    with pytest.raises(ValueError, match="the same as in the last fit"):
        model.fit(place(X), CODES)
    with pytest.raises(ValueError, match="the same as in the last fit"):
        model.fit(place(X[:, :1]), np.arange(8) % 3)
    model.fit(place(X), CODES, coef_init=np.zeros(2), intercept_init=np.zeros(1))
    fresh = xlr.LogisticRegression().fit(place(X), CODES)
    np.testing.assert_allclose(model.n_iter_, fresh.n_iter_)


@pytest.mark.parametrize(
    "name", ["fit", "fit_cv", "labels", "firth", "path", "bootstrap"]
)
def test_fits_traced_by_jax_are_refused(name):
    jax = pytest.importorskip("jax")
    y = np.asarray(CODES)
    fits = {
        "fit": lambda X: xlr.LogisticRegression().fit(X, y).coef_,
        "fit_cv": lambda X: xlr.LogisticRegressionCV().fit(X, y).coef_,
        "labels": lambda X: xlr.MultiLabelLogisticRegression().fit(X, y[:, None]),
        "firth": lambda X: xlr.FirthLogisticRegression().fit(X, y).coef_,
        "path": lambda X: xlr.logistic_path(X, y).coefs,
        "bootstrap": lambda X: xlr.bootstrap(xlr.LogisticRegression(), X, y).coef,
    }
    rows = jax.numpy.asarray(X)
    with pytest.raises(TypeError, match="Fits are not traced"):
        jax.jit(fits[name])(rows)
    with pytest.raises(TypeError, match="Fits are not traced"):
        jax.vmap(fits[name])(rows[None])
    if name == "fit":
        with pytest.raises(TypeError, match="Fits are not traced"):
            jax.jit(lambda y: xlr.LogisticRegression().fit(X, y).coef_)(y)


def test_predictions_can_be_traced_by_jax():
    jax = pytest.importorskip("jax")
    y = np.arange(8) % 3
    model = xlr.LogisticRegression().fit(X, y)
    rows = jax.numpy.asarray(X, dtype="float32")
    names = "decision_function", "predict_proba", "predict_log_proba", "predict"

    def predict(rows):
        return [getattr(model, name)(rows) for name in names]

    one_by_one = jax.vmap(lambda row: [part[0] for part in predict(row[None, :])])
    for found in (jax.jit(predict)(rows), one_by_one(rows)):
        for part, expected in zip(found, predict(X.astype("float32"))):
            np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-7)
    gradient = jax.grad(lambda rows: model.predict_proba(rows)[:, 0].sum())(rows)
    p = model.predict_proba(X)
    expected = p[:, :1] * (model.coef_[0] - p @ model.coef_)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
