"""A failed fit changes no attribute, and no fit changes its inputs."""

from __future__ import annotations

import copy
import hashlib

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import to_numpy
from sklearn.exceptions import ConvergenceWarning

import xlr
from xlr.data import TrainingData

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
Y = (X @ [1, -1, 0.5] + RNG.logistic(size=90) > 0).astype(int)
X_WITH_NAN = np.where(np.arange(270).reshape(90, 3) == 100, np.nan, X)

ESTIMATORS = {
    "logistic": xlr.LogisticRegression,
    "cv": lambda: xlr.LogisticRegressionCV(Cs=2, cv=3),
    "multi-label": xlr.MultiLabelLogisticRegression,
    "firth": xlr.FirthLogisticRegression,
}
# Estimators that report their iterations to callbacks.
WITH_CALLBACKS = ["logistic", "cv", "multi-label"]

WRONG_DATA = {
    "NaN in X": {"X": X_WITH_NAN},
    "X of one dimension": {"X": X[:, 0]},
    "X without rows": {"X": X[:0]},
    "X of dates": {"X": X.astype("M8[s]")},
    "no y": {"y": None},
    "y of another length": {"y": Y[:-1]},
    "y of one class": {"y": np.full(90, 3)},
    "y of real numbers": {"y": X[:, 0]},
    "zero weights": {"sample_weight": np.zeros(90)},
    "negative weights": {"sample_weight": -np.ones(90)},
    "weights of another length": {"sample_weight": np.ones(5)},
    "weights of text": {"sample_weight": "heavy"},
}


def labels_of(kind, y):
    """Return y, or two columns of labels for the multi-label estimator."""
    return np.column_stack([y, 1 - y]) if kind == "multi-label" else y


@pytest.fixture(params=list(ESTIMATORS))
def kind(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["unfitted", "fitted"])
def estimator(request, kind):
    made = ESTIMATORS[kind]()
    return made.fit(X[:60, :2], labels_of(kind, Y[:60])) if request.param else made


@pytest.fixture
def unchanged(estimator):
    """Check that a test leaves every attribute of the estimator as it was."""
    before = dict(vars(estimator))
    values = copy.deepcopy(before)
    yield
    now = {k: v for k, v in vars(estimator).items() if k != "_skl_callbacks"}
    assert now.keys() == before.keys()
    for name, value in now.items():
        assert value is before[name], name
        np.testing.assert_equal(value, values[name])


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("wrong", list(WRONG_DATA))
def test_fit_to_wrong_data_changes_nothing(kind, estimator, wrong):
    data = {"X": X, "y": labels_of(kind, Y)} | WRONG_DATA[wrong]
    with pytest.raises((ValueError, TypeError)):
        estimator.fit(**data)


@pytest.mark.parametrize(
    ("name", "value"),
    [("tol", -1.0), ("max_iter", -1), ("n_jobs", 0), ("fit_intercept", 3)],
)
def test_fit_with_wrong_parameters_changes_nothing(kind, estimator, name, value):
    estimator.set_params(**{name: value})
    before = dict(vars(estimator))
    with pytest.raises((ValueError, TypeError), match=name):
        estimator.fit(X, labels_of(kind, Y))
    assert vars(estimator) == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("n_passes", [0, 2])
def test_fit_that_fails_in_a_pass_changes_nothing(
    kind, estimator, error, n_passes, monkeypatch
):
    """The fit fails after ``n_passes`` complete passes over the rows."""
    passes = iter(range(n_passes))
    map_reduce = TrainingData.map_reduce

    def fail_later(self, *arguments, **options):
        if next(passes, None) is None:
            raise error
        return map_reduce(self, *arguments, **options)

    monkeypatch.setattr(TrainingData, "map_reduce", fail_later)
    with pytest.raises(error):
        estimator.fit(X, labels_of(kind, Y))


def test_fit_with_a_warning_as_an_error_changes_nothing(kind, estimator):
    estimator.set_params(max_iter=1, tol=1e-14)
    before = dict(vars(estimator))
    with pytest.raises(ConvergenceWarning, match="max_iter=1"):
        estimator.fit(X, labels_of(kind, Y))
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())


class FailingCallback:
    """A callback that raises an error at a given moment of a fit."""

    def __init__(self, moment, error):
        self.moment, self.error = moment, error

    def fail_at(self, moment):
        if moment == self.moment:
            raise self.error

    def setup(self, estimator, context):
        self.fail_at("setup")

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.fail_at(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        assert fitted_estimator.predict(X).shape == np.shape(y)
        self.fail_at(f"{context.task_name} ends")


@pytest.mark.parametrize("kind", WITH_CALLBACKS, indirect=True)
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "moment",
    ["setup", "fit begins", "iteration begins", "iteration ends", "fit ends"],
)
def test_failed_callback_changes_nothing(kind, estimator, moment, error):
    pytest.importorskip("sklearn.callback")
    estimator.set_callbacks(FailingCallback(moment, error))
    with pytest.raises(error):
        estimator.fit(X, labels_of(kind, Y))


# -- inputs ----------------------------------------------------------------------------


def fingerprint(values):
    """Return a hash of the bytes of a dense array, or of the parts of a sparse one."""
    if sp.issparse(values):
        return [fingerprint(v) for v in (values.data, values.indices, values.indptr)]
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("form", "dtype", "mean"),
    [
        (np.asarray, "float32", 1.0),
        (np.asarray, "float64", 1e4),
        (np.asfortranarray, "int32", 1e4),
        (sp.csr_array, "float64", 1.0),
        (sp.csr_array, "int32", 1e4),
    ],
)
def test_fit_does_not_modify_its_inputs(kind, form, dtype, mean):
    values = (10 * X + mean).astype(dtype)
    weights = np.random.default_rng(1).uniform(0.5, 2, size=90)
    given = [form(values), labels_of(kind, Y), weights]
    before = [fingerprint(v) for v in given]
    model = ESTIMATORS[kind]().fit(*given)
    model.predict_proba(given[0])
    model.score(*given)
    if kind in ("logistic", "firth"):
        xlr.infer(model, *given).summary()
    assert [fingerprint(v) for v in given] == before


def test_fit_does_not_modify_its_parameters():
    factor, lower = np.asarray([1.0, 2.0, np.inf]), np.asarray([0.0, -np.inf, -1.0])
    weights = {0: 1.0, 1: 3.0}
    parameters = {"penalty_factor": factor, "lower": lower, "class_weight": weights}
    before = copy.deepcopy(parameters)
    model = xlr.LogisticRegression(l1_ratio=0.5, **parameters).fit(X, Y)
    for name, value in parameters.items():
        assert getattr(model, name) is value
        np.testing.assert_equal(value, before[name])


@pytest.mark.shared_arithmetic
def test_fit_does_not_modify_arrays_of_any_library(place):
    given = [place(X + 1e3), place(Y), place(np.linspace(0.5, 2, 90))]
    before = [to_numpy(v).copy() for v in given]
    model = xlr.LogisticRegression().fit(*given)
    model.predict_proba(given[0])
    for value, old in zip(given, before, strict=True):
        np.testing.assert_array_equal(to_numpy(value), old)
