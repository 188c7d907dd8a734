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
FREE = {"C": float("inf")}
FITS = {
    "binary": lambda X, y: xlr.LogisticRegression().fit(X, y(BINARY)),
    "softmax": lambda X, y: xlr.LogisticRegression().fit(X, y(Y)),
    "weighted": lambda X, y: xlr.LogisticRegression(class_weight="balanced").fit(
        X, y(BINARY), sample_weight=y(1.0 + Y), offset=y(0.1 * Y)
    ),
    "l1": lambda X, y: xlr.LogisticRegression(l1_ratio=1.0).fit(X, y(BINARY)),
    "firth": lambda X, y: xlr.FirthLogisticRegression().fit(X, y(BINARY)),
    "cv": lambda X, y: xlr.LogisticRegressionCV(Cs=3).fit(X, y(BINARY)),
    "labels": lambda X, y: xlr.MultiLabelLogisticRegression().fit(X, y(CLASSES)),
}


@pytest.fixture
def second():
    """Return a function that places arrays on the second GPU; the first is current."""
    backend = make_backend("cupy")
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one GPU: there is no other")
    device = cupy.cuda.Device(1)
    return lambda values: backend.xp.asarray(values, device=device)


def assert_there(actual, expected, second):
    assert arrays.device_of(actual) == arrays.device_of(second(X))
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=1e-6, atol=1e-9)


# Predictions without the offset warn.
@pytest.mark.filterwarnings("ignore:LogisticRegression was fitted with an offset")
@pytest.mark.parametrize("labels_on", ["host", "X", "current"])
@pytest.mark.parametrize("kind", list(FITS))
def test_fit_stays_on_the_device_of_x(kind, labels_on, second):
    import cupy

    place = {"host": np.asarray, "X": second, "current": cupy.asarray}[labels_on]
    model, expected = FITS[kind](second(X), place), FITS[kind](X, np.asarray)
    assert_there(model.coef_, expected.coef_, second)
    assert_there(model.intercept_, expected.intercept_, second)
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        found = getattr(model, method)(second(X))
        assert_there(found, getattr(expected, method)(X), second)
    assert_there(model.predict(second(X)), expected.predict(X), second)
    y = {"labels": CLASSES, "softmax": Y}.get(kind, BINARY)
    assert model.score(second(X), place(y)) == pytest.approx(expected.score(X, y))


def test_paths_and_resamples_stay_on_the_device_of_x(second):
    path = xlr.logistic_path(second(X), BINARY, n_Cs=3)
    assert_there(path.coefs, xlr.logistic_path(X, BINARY, n_Cs=3).coefs, second)
    drawn = {"n_resamples": 5, "random_state": 0}
    model = xlr.LogisticRegression()
    found = xlr.bootstrap(model, second(X), BINARY, **drawn)
    expected = xlr.bootstrap(model, X, BINARY, **drawn)
    assert_there(found.coef, expected.coef, second)


def test_inference_reads_x_on_its_device(second):
    found, expected = (
        xlr.infer(
            xlr.LogisticRegression(**FREE).fit(at, BINARY), at, BINARY, keep_data=True
        )
        for at in (second(X), X)
    )
    np.testing.assert_allclose(found.bse, expected.bse, rtol=1e-6)
    summaries = (found.summary(), expected.summary())
    assert str(summaries[0]) == str(summaries[1])
    for table in ("get_margeff", "profile_conf_int"):
        columns = getattr(found, table)().columns
        for name, values in getattr(expected, table)().columns.items():
            np.testing.assert_allclose(columns[name], values, rtol=1e-5)
    interval = found.predict_interval(second(X))
    assert_there(interval.proba, expected.predict_interval(X).proba, second)
    leverage = found.get_influence().hat_matrix_diag
    assert_there(leverage, expected.get_influence().hat_matrix_diag, second)
