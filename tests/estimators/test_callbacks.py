"""scikit-learn 1.9's callbacks see the fit and its iterations."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from problems import load

import xlr

callback = pytest.importorskip("sklearn.callback")
X, Y = load("iris", True)


class Recorder:
    """Counts what it is told; stops the fit after ``stop_after`` iterations."""

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


def test_a_callback_sees_every_iteration_and_a_fitted_estimator():
    recorder = Recorder()
    model = xlr.LogisticRegression(C=1e3).set_callbacks(recorder).fit(X, Y)
    n_iter = model.n_iter_[0]
    assert recorder.begun == ["setup", "fit"] + ["iteration"] * n_iter
    assert recorder.ended == ["iteration"] * n_iter + ["fit", "teardown"]
    penalty = (model.coef_**2).sum() / (2e3 * len(X))
    final = model.history_["objective"][-1] - penalty
    assert recorder.losses[-1] == pytest.approx(final, rel=1e-9)
    assert np.diff(recorder.losses).max() <= 1e-12


def test_a_callback_can_stop_the_fit():
    model = xlr.LogisticRegression(C=1e3).set_callbacks(Recorder(stop_after=3))
    with pytest.warns(match="A callback ended the fit"):
        model.fit(X, Y)
    assert model.n_iter_ == 3
    assert not model.converged_


def test_a_failing_fit_tears_callbacks_down():
    recorder = Recorder()
    model = xlr.LogisticRegression().set_callbacks(recorder)
    model.max_iter = 1000

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    recorder.on_fit_task_end = fail
    with pytest.raises((KeyboardInterrupt, TypeError)):
        model.fit(X, Y)
    assert recorder.ended == ["teardown"]
    assert not hasattr(model, "coef_")


def test_cross_validation_tells_of_the_folds_and_of_the_refit():
    recorder = Recorder()
    model = xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=3, tol=1e-9)
    model.set_callbacks(recorder).fit(X, Y)
    assert recorder.begun[:2] == ["setup", "fit"]
    iterations = recorder.begun.count("iteration")
    assert iterations > model.n_iter_.max()
    assert recorder.ended == ["iteration"] * iterations + ["fit", "teardown"]
    p = model.predict_proba(X)
    final = -np.log(p[np.arange(len(Y)), Y]).mean()
    assert recorder.losses[-1] == pytest.approx(final, rel=1e-9)


def test_many_labels_tell_of_their_iterations():
    labels = (Y[:, None] == np.arange(3)).astype(int)

    class Counter(Recorder):
        def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
            self.ended.append(context.task_name)
            self.losses.append(fitted_estimator.predict_proba(X).shape)

    counter = Counter()
    model = xlr.MultiLabelLogisticRegression().set_callbacks(counter).fit(X, labels)
    n_iter = int(model.n_iter_.max())
    assert counter.ended == ["iteration"] * n_iter + ["fit", "teardown"]
    assert set(counter.losses) == {labels.shape}


def test_progress_bar_shows_the_fit():
    pytest.importorskip("rich")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        model = xlr.LogisticRegression().set_callbacks(callback.ProgressBar())
        model.fit(X, Y)
    assert "LogisticRegression" in shown.getvalue()
    assert model.converged_
