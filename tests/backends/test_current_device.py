"""Fits on a GPU other than the current one stay there, and give the same model."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_backend, to_numpy
from sklearn.datasets import load_iris

import xlr
from xlr import arrays

pytestmark = pytest.mark.gpu

X, Y = load_iris(return_X_y=True)
BINARY = (Y == 2).astype(int)
CLASSES = Y[:, None] == np.arange(3)
FITS = {
    "binary": lambda X, y: xlr.LogisticRegression().fit(X, y(BINARY)),
    "softmax": lambda X, y: xlr.LogisticRegression().fit(X, y(Y)),
    "weighted": lambda X, y: xlr.LogisticRegression(class_weight="balanced").fit(
        X, y(BINARY), sample_weight=y(1.0 + Y), offset=y(0.1 * Y)
    ),
    "l1": lambda X, y: xlr.LogisticRegression(l1_ratio=1.0).fit(X, y(BINARY)),
    "firth": lambda X, y: xlr.FirthLogisticRegression().fit(X, y(BINARY)),
    "cv": lambda X, y: xlr.LogisticRegressionCV(Cs=3).fit(X, y(BINARY)),
    "multi-label": lambda X, y: xlr.MultiLabelLogisticRegression().fit(X, y(CLASSES)),
}


@pytest.fixture
def on_second_gpu():
    """Return a function that places arrays on the second GPU; the first is current."""
    backend = make_backend("cupy")
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one GPU: there is no other")
    device = cupy.cuda.Device(1)
    return lambda values: backend.xp.asarray(values, device=device)


def assert_close(actual, expected, *, like):
    """Compare values with those on the CPU, and the device with that of an array."""
    assert arrays.device_of(actual) == arrays.device_of(like)
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=1e-6, atol=1e-9)


# Predictions without the offset warn.
@pytest.mark.filterwarnings("ignore:LogisticRegression was fitted with an offset")
@pytest.mark.parametrize("labels_on", ["host", "second GPU", "first GPU"])
@pytest.mark.parametrize("kind", list(FITS))
def test_fit_stays_on_the_device_of_x(kind, labels_on, on_second_gpu):
    import cupy

    places = {
        "host": np.asarray,
        "second GPU": on_second_gpu,
        "first GPU": cupy.asarray,
    }
    place, moved = places[labels_on], on_second_gpu(X)
    model, expected = FITS[kind](moved, place), FITS[kind](X, np.asarray)
    assert_close(model.coef_, expected.coef_, like=moved)
    assert_close(model.intercept_, expected.intercept_, like=moved)
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        found = getattr(model, method)(moved)
        assert_close(found, getattr(expected, method)(X), like=moved)
    assert_close(model.predict(moved), expected.predict(X), like=moved)
    y = {"multi-label": CLASSES, "softmax": Y}.get(kind, BINARY)
    assert model.score(moved, place(y)) == pytest.approx(expected.score(X, y))


def test_paths_and_resamples_stay_on_the_device_of_x(on_second_gpu):
    moved = on_second_gpu(X)
    path = xlr.logistic_path(moved, BINARY, n_Cs=3)
    expected_path = xlr.logistic_path(X, BINARY, n_Cs=3)
    assert_close(path.coefs, expected_path.coefs, like=moved)
    resamples = {"n_resamples": 5, "random_state": 0}
    found, expected = (
        xlr.bootstrap(xlr.LogisticRegression(), rows, BINARY, **resamples)
        for rows in (moved, X)
    )
    assert_close(found.coef, expected.coef, like=moved)


def test_inference_reads_x_on_its_device(on_second_gpu):
    moved = on_second_gpu(X)
    found, expected = (
        xlr.infer(
            xlr.LogisticRegression(C=np.inf).fit(rows, BINARY),
            rows,
            BINARY,
            keep_data=True,
        )
        for rows in (moved, X)
    )
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-6)
    assert str(found.summary()) == str(expected.summary())
    for table in ("get_margeff", "profile_conf_int"):
        columns = getattr(found, table)().columns
        for name, values in getattr(expected, table)().columns.items():
            np.testing.assert_allclose(columns[name], values, rtol=1e-5)
    proba = found.predict_interval(moved).proba
    assert_close(proba, expected.predict_interval(X).proba, like=moved)
    leverage = found.get_influence().hat_matrix_diag
    assert_close(leverage, expected.get_influence().hat_matrix_diag, like=moved)
