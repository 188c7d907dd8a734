"""Steps of gradient descent, as in a textbook."""

from __future__ import annotations

import numpy as np
import pytest
from problems import load, objective
from scipy.special import expit, softmax

import xlr


def textbook_values(X, y, *, C, learning_rate, n_steps, binary):
    """Return F before and after each step of plain gradient descent from zero."""
    n, p = X.shape
    n_outputs = 1 if binary else y.max() + 1
    one_hot = y[:, None] if binary else np.eye(n_outputs)[y]
    coef, intercept, values = np.zeros((n_outputs, p)), np.zeros(n_outputs), []
    for _ in range(n_steps + 1):
        values.append(objective(coef, intercept, X, y, C))
        logits = X @ coef.T + intercept
        proba = expit(logits) if binary else softmax(logits, axis=1)
        residual = (proba - one_hot) / n
        coef = coef - learning_rate * (residual.T @ X + coef / (C * n))
        intercept = intercept - learning_rate * residual.sum(axis=0)
    return values


@pytest.mark.parametrize(("name", "binary"), [("breast_cancer", True), ("iris", False)])
@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_gradient_descent_takes_the_steps_of_the_textbook(name, binary, standardised):
    X, y = load(name, standardised)
    rate = 0.3 if standardised else 1e-6
    expected = textbook_values(
        X, y, C=2.0, learning_rate=rate, n_steps=60, binary=binary
    )
    model = xlr.LogisticRegression(
        C=2.0, solver="gradient-descent", learning_rate=rate, max_iter=60
    ).fit(X, y)
    np.testing.assert_allclose(model.history_["objective"], expected, rtol=1e-12)
    assert model.n_iter_ == 60


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_gradient_descent_at_the_default_rate_never_raises_f(name):
    X, y = load(name, standardised=False)
    model = xlr.LogisticRegression(solver="gradient-descent", max_iter=200).fit(X, y)
    F = model.history_["objective"]
    assert (np.diff(F) <= 0).all()
    assert F[-1] < F[0]


def test_gradient_descent_that_overflows_advises_a_lower_rate():
    X, y = load("breast_cancer", standardised=False)
    model = xlr.LogisticRegression(
        solver="gradient-descent", learning_rate=1e306, max_iter=50
    )
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


def test_gradient_descent_never_raises_f_of_weighted_models():
    """With balanced weights, three far rows weigh as much as all others."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 1)), np.repeat([0, 1, 2], [50, 3, 7])
    X[y == 1] *= 30
    model = xlr.LogisticRegression(
        C=1e6,
        solver="gradient-descent",
        multi_class="ovr",
        class_weight="balanced",
        fit_intercept=False,
        tol=1e-3,
    ).fit(X, y)
    assert (np.diff(model.history_["objective"], axis=0) <= 1e-15).all()
