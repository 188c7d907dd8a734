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
NAN = np.where(np.arange(270).reshape(90, 3) == 100, np.nan, X)

ESTIMATORS = {
    "multinomial": xlr.LogisticRegression,
    "cv": lambda: xlr.LogisticRegressionCV(Cs=2, cv=3),
    "labels": xlr.MultiLabelLogisticRegression,
    "firth": xlr.FirthLogisticRegression,
}
# Estimators that report their iterations to callbacks.
REPORTING = ["multinomial", "cv", "labels"]


def labels(kind, y):
    return np.column_stack([y, 1 - y]) if kind == "labels" else y


@pytest.fixture(params=list(ESTIMATORS))
def kind(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["unfitted", "fitted"])
def estimator(request, kind):
    made = ESTIMATORS[kind]()
    return made.fit(X[:60, :2], labels(kind, Y[:60])) if request.param else made


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
@pytest.mark.parametrize(
    "given",
    [
        {"X": NAN},
        {"X": X[:, 0]},
        {"X": X[:0]},
        {"X": X.astype("M8[s]")},
        {"y": None},
        {"y": Y[:-1]},
        {"y": np.full(90, 3)},
        {"y": X[:, 0]},
        {"sample_weight": np.zeros(90)},
        {"sample_weight": -np.ones(90)},
        {"sample_weight": np.ones(5)},
        {"sample_weight": "heavy"},
    ],
    ids=str,
)
def test_failed_fit_on_bad_data_changes_nothing(kind, estimator, given):
    y = given["y"] if "y" in given else labels(kind, Y)
    with pytest.raises((ValueError, TypeError)):
        estimator.fit(**({"X": X} | given | {"y": y}))


@pytest.mark.parametrize(
    "parameter", [("tol", -1.0), ("max_iter", -1), ("n_jobs", 0), ("fit_intercept", 3)]
)
def test_failed_fit_with_bad_parameters_changes_nothing(kind, estimator, parameter):
    estimator.set_params(**dict([parameter]))
    before = dict(vars(estimator))
    with pytest.raises((ValueError, TypeError), match=parameter[0]):
        estimator.fit(X, labels(kind, Y))
    assert vars(estimator) == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("after", [0, 2])
def test_failed_iteration_changes_nothing(kind, estimator, error, after, monkeypatch):
    calls = iter(range(after))
    map_reduce = TrainingData.map_reduce

    def fail(self, *arguments, **options):
        if next(calls, None) is None:
            raise error
        return map_reduce(self, *arguments, **options)

    monkeypatch.setattr(TrainingData, "map_reduce", fail)
    with pytest.raises(error):
        estimator.fit(X, labels(kind, Y))


def test_fit_with_a_warning_as_an_error_changes_nothing(kind, estimator):
    estimator.set_params(max_iter=1, tol=1e-14)
    before = dict(vars(estimator))
    with pytest.raises(ConvergenceWarning, match="max_iter=1"):
        estimator.fit(X, labels(kind, Y))
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())


class Failing:
    """A callback that raises an error at a given moment of a fit."""

    def __init__(self, moment, error):
        self.moment, self.error = moment, error

    def at(self, moment):
        if moment == self.moment:
            raise self.error

    def setup(self, estimator, context):
        self.at("setup")

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.at(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        assert fitted_estimator.predict(X).shape == np.shape(y)
        self.at(f"{context.task_name} ends")


@pytest.mark.parametrize("kind", REPORTING, indirect=True)
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "moment",
    ["setup", "fit begins", "iteration begins", "iteration ends", "fit ends"],
)
def test_failed_callback_changes_nothing(kind, estimator, moment, error):
    pytest.importorskip("sklearn.callback")
    estimator.set_callbacks(Failing(moment, error))
    with pytest.raises(error):
        estimator.fit(X, labels(kind, Y))


# -- inputs ----------------------------------------------------------------------------


def fingerprint(values):
    if sp.issparse(values):
        return [fingerprint(v) for v in (values.data, values.indices, values.indptr)]
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("form", "dtype", "scale"),
    [
        (np.asarray, "float32", 1.0),
        (np.asarray, "float64", 1e4),
        (np.asfortranarray, "int32", 1e4),
        (sp.csr_array, "float64", 1.0),
        (sp.csr_array, "int32", 1e4),
    ],
)
def test_fit_does_not_modify_its_inputs(kind, form, dtype, scale):
    values = (10 * X + scale).astype(dtype)  # near zero, or far from it
    weights = np.random.default_rng(1).uniform(0.5, 2, size=90)
    given = [form(values), labels(kind, Y), weights]
    before = [fingerprint(v) for v in given]
    model = ESTIMATORS[kind]().fit(*given)
    model.predict_proba(given[0])
    model.score(*given)
    if kind in ("multinomial", "firth"):
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
