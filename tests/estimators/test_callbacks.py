"""scikit-learn 1.9's callbacks see the fit and its iterations."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from problems import load
from sklearn.metrics import accuracy_score

import xlr

callback = pytest.importorskip("sklearn.callback")
X, Y = load("iris", True)


class Recorder:
    """A callback that records its calls, and stops after ``stop_after`` iterations."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.begun, self.ended, self.losses = [], [], []

    def setup(self, estimator, context):
        self.begun.append("setup")

    def teardown(self, estimator, context):
        self.ended.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.ended.append(context.task_name)
        p = fitted_estimator.predict_proba(X)
        self.losses.append(-np.log(p[np.arange(len(y)), y]).mean())
        return len(self.losses) == self.stop_after


def test_callback_sees_every_iteration():
    recorder = Recorder()
    model = xlr.LogisticRegression(C=1e3).set_callbacks(recorder).fit(X, Y)
    n_iter = model.n_iter_[0]
    assert recorder.begun == ["setup", "fit"] + ["iteration"] * n_iter
    assert recorder.ended == ["iteration"] * n_iter + ["fit", "teardown"]
    penalty = (model.coef_**2).sum() / (2e3 * len(X))
    final = model.history_["objective"][-1] - penalty
    assert recorder.losses[-1] == pytest.approx(final, rel=1e-9)
    assert np.diff(recorder.losses).max() <= 1e-12


def test_callback_can_stop_the_fit():
    model = xlr.LogisticRegression(C=1e3).set_callbacks(Recorder(stop_after=3))
    with pytest.warns(match="A callback ended the fit"):
        model.fit(X, Y)
    assert model.n_iter_ == 3
    assert not model.converged_


def test_failed_fit_calls_teardown_of_callbacks():
    recorder = Recorder()
    model = xlr.LogisticRegression().set_callbacks(recorder)

    def fail(estimator, context):
        raise KeyboardInterrupt

    recorder.on_fit_task_end = fail
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert recorder.ended == ["teardown"]
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("refit", [True, False])
def test_callback_of_cross_validation_sees_the_refit(refit):
    recorder = Recorder()
    model = xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=3, tol=1e-9, refit=refit)
    model.set_callbacks(recorder).fit(X, Y)
    assert recorder.begun[:2] == ["setup", "fit"]
    iterations = recorder.begun.count("iteration")
    assert (iterations > 0) == refit
    assert recorder.ended == ["iteration"] * iterations + ["fit", "teardown"]
    p = model.predict_proba(X)
    final = -np.log(p[np.arange(len(Y)), Y]).mean()
    assert recorder.losses[-1] == pytest.approx(final, rel=1e-9)


def test_callback_sees_iterations_of_many_labels():
    labels = (Y[:, None] == np.arange(3)).astype(int)
    shapes = set()

    class ShapeRecorder(Recorder):
        def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
            self.ended.append(context.task_name)
            shapes.add(fitted_estimator.predict_proba(X).shape)

    recorder = ShapeRecorder()
    model = xlr.MultiLabelLogisticRegression().set_callbacks(recorder).fit(X, labels)
    n_iter = int(model.n_iter_.max())
    assert recorder.ended == ["iteration"] * n_iter + ["fit", "teardown"]
    assert shapes == {labels.shape}


def test_progress_bar_shows_the_fit():
    pytest.importorskip("rich")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        model = xlr.LogisticRegression().set_callbacks(callback.ProgressBar())
        model.fit(X, Y)
    assert "LogisticRegression" in shown.getvalue()
    assert model.converged_


# -- metadata, and estimators at the start of iterations -------------------------------

METADATA = {
    "absent": {},
    "None": {"sample_weight": None},
    "weights": {"sample_weight": np.linspace(1, 2, len(Y))},
}
FITS = {
    "logistic": (xlr.LogisticRegression, Y),
    "cv": (xlr.LogisticRegressionCV, Y),
    "multi-label": (xlr.MultiLabelLogisticRegression, np.c_[Y > 0, Y > 1].astype(int)),
}


@pytest.mark.parametrize("metadata", list(METADATA))
@pytest.mark.parametrize("kind", list(FITS))
def test_scoring_monitor_gets_the_metadata_of_fit(kind, metadata):
    estimator, y = FITS[kind]
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = estimator(tol=1e-2).set_callbacks(monitor)
    model.fit(X, y, **METADATA[metadata])
    last = monitor.get_logs(select="most_recent")
    weights = METADATA[metadata].get("sample_weight")
    expected = accuracy_score(y, model.predict(X), sample_weight=weights)
    assert last.data[-1]["accuracy"] == pytest.approx(expected, rel=1e-12)


def test_callback_gets_no_metadata_that_is_none():
    names = set()

    class MetadataRecorder(Recorder):
        def on_fit_task_end(self, estimator, context, *, metadata):
            names.add(tuple(metadata))

    model = xlr.LogisticRegression().set_callbacks(MetadataRecorder())
    model.fit(X, Y, offset=np.zeros((len(Y), 3)))
    assert names == {("offset",)}
    names.clear()
    model.fit(X, Y, sample_weight=np.ones(len(Y)))
    assert names == {("sample_weight",)}


@pytest.mark.parametrize("kind", list(FITS))
def test_callback_at_the_start_of_an_iteration_gets_the_last_estimator(kind):
    begun, ended = [], []

    class ProbabilityRecorder(Recorder):
        def on_fit_task_begin(self, estimator, context, *, X, fitted_estimator):
            if context.task_name == "iteration":
                begun.append(fitted_estimator.predict_proba(X))

        def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
            ended.append(fitted_estimator.predict_proba(X))

    estimator, y = FITS[kind]
    estimator().set_callbacks(ProbabilityRecorder()).fit(X, y)
    assert begun[0].shape == ended[0].shape
    if kind != "cv":  # the refit starts at the mean of the folds
        np.testing.assert_allclose(begun[0], np.full_like(begun[0], begun[0][0]))
    np.testing.assert_array_equal(begun[1:], ended[: len(begun) - 1])


def test_fit_in_slices_reports_its_end_only(monkeypatch):
    monkeypatch.setattr("xlr.arrays.free_bytes", lambda x: 3_000)
    recorder = Recorder()
    model = xlr.LogisticRegression(multi_class="ovr").set_callbacks(recorder)
    model.fit(X, Y)
    assert recorder.ended == ["fit", "teardown"]
    assert model.history_["objective"].shape == (1, 3)
