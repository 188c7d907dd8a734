"""Changes of the data that leave the model unchanged, on data from hypothesis.

``nox -s properties`` tries many more data sets.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from problems import objective

import xlr

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

# The same examples each time, except in ``nox -s properties``.
N_EXAMPLES = int(os.environ.get("XLR_PROPERTY_EXAMPLES", "0"))
settings = hypothesis.settings(
    max_examples=N_EXAMPLES or 12,
    derandomize=not N_EXAMPLES,
    deadline=None,
    database=None,
    # Shrinking takes minutes, and seeds do not get simpler.
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


@st.composite
def problems(draw, classes=(2, 3)):
    """Draw X on any scales, y with overlapping classes, weights and C."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_classes = draw(st.sampled_from(classes))
    n, p = draw(st.integers(40, 120)), draw(st.integers(1, 5))
    units = 10.0 ** rng.integers(-3, 4, size=p)
    mean = rng.normal(size=p) * draw(st.sampled_from([0.0, 1.0, 30.0]))
    Z = rng.normal(size=(n, p))
    X = (Z + mean) * units
    logits = Z @ rng.normal(size=(p, n_classes)) + rng.gumbel(size=(n, n_classes))
    y = logits.argmax(axis=1)
    y[: 2 * n_classes] = np.repeat(np.arange(n_classes), 2)  # every class occurs
    weights = rng.uniform(0.2, 3, size=n) if draw(st.booleans()) else np.ones(n)
    return X, y, weights, draw(st.sampled_from([1e-2, 1.0, 1e2]))


def fit(X, y, weights, C, **options):
    # Where arithmetic ends before tol, the duality gap proves convergence.
    model = xlr.LogisticRegression(C=C, tol=1e-9, **options)
    return model.fit(X, y, sample_weight=weights)


def assert_same(one, other, X, others_X=None):
    """Compare F and the probabilities, those of the other model on its own X."""
    values = [model.history_["objective"][-1] for model in (one, other)]
    assert values[0] == pytest.approx(values[1], rel=1e-10)
    found = other.predict_proba(X if others_X is None else others_X)
    np.testing.assert_allclose(found, one.predict_proba(X), atol=1e-6)


@settings
@hypothesis.given(problems(), st.randoms(use_true_random=False))
def test_model_does_not_depend_on_the_order_of_rows(problem, random):
    X, y, weights, C = problem
    order = np.asarray(random.sample(range(len(y)), len(y)))
    one = fit(X, y, weights, C)
    other = fit(X[order], y[order], weights[order], C)
    assert_same(one, other, X)


@settings
@hypothesis.given(problems(), st.randoms(use_true_random=False))
def test_model_does_not_depend_on_the_order_of_features(problem, random):
    X, y, weights, C = problem
    order = np.asarray(random.sample(range(X.shape[1]), X.shape[1]))
    one, other = fit(X, y, weights, C), fit(X[:, order], y, weights, C)
    assert_same(one, other, X, X[:, order])


@settings
@hypothesis.given(problems(), st.permutations(["b", "a", "c"]))
def test_model_does_not_depend_on_the_names_of_classes(problem, names):
    X, y, weights, C = problem
    y = np.unique(y, return_inverse=True)[1]
    named = np.asarray(names)[y]
    one, other = fit(X, y, weights, C), fit(X, named, weights, C)
    values = [model.history_["objective"][-1] for model in (one, other)]
    assert values[0] == pytest.approx(values[1], rel=1e-10)
    column = [list(other.classes_).index(names[k]) for k in range(y.max() + 1)]
    found = other.predict_proba(X)[:, column]
    np.testing.assert_allclose(found, one.predict_proba(X), atol=1e-6)


@settings
@hypothesis.given(problems(), st.data())
def test_fit_to_repeated_rows_equals_a_weighted_fit(problem, data):
    X, y, weights, C = problem
    twice = np.asarray(
        data.draw(st.lists(st.booleans(), min_size=len(y), max_size=len(y)))
    )
    again = np.concatenate([np.arange(len(y)), np.nonzero(twice)[0]])
    one = fit(X, y, weights * (1 + twice), C)
    other = fit(X[again], y[again], weights[again], C)
    assert_same(one, other, X)


@settings
@hypothesis.given(problems(), st.floats(1e-12, 1e12))
def test_model_depends_on_c_times_the_weights(problem, factor):
    X, y, weights, C = problem
    one, other = fit(X, y, weights, C), fit(X, y, weights * factor, C / factor)
    assert_same(one, other, X)


@settings
@hypothesis.given(problems(), st.data())
def test_unpenalised_predictions_do_not_depend_on_units_of_features(problem, data):
    X, y, weights, _ = problem
    exponents = st.lists(st.integers(-20, 20), min_size=5, max_size=5)
    units = 2.0 ** np.asarray(data.draw(exponents)[: X.shape[1]])
    # Skip separable classes, for which the estimate is infinite.
    penalised = fit(X, y, weights, 1e6)
    if np.abs(penalised.decision_function(X)).max() > 30:
        return
    one, other = (fit(values, y, weights, np.inf) for values in (X, X * units))
    assert_same(one, other, X, X * units)


@settings
@hypothesis.given(problems(), st.floats(-1e6, 1e6))
def test_model_does_not_depend_on_a_constant_feature(problem, constant):
    X, y, weights, C = problem
    more = np.column_stack([X, np.full(len(y), constant)])
    one, other = fit(X, y, weights, C), fit(more, y, weights, C)
    assert_same(one, other, X, more)
    assert (other.coef_[:, -1] == 0).all()


@settings
@hypothesis.given(problems(), st.integers(40, 4000))
def test_model_does_not_depend_on_block_sizes(problem, size):
    X, y, weights, C = problem
    one = fit(X, y, weights, C)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xlr.arrays.block_bytes", lambda x: size)
        other = fit(X, y, weights, C, n_jobs=2)
    assert_same(one, other, X)


@settings
@hypothesis.given(problems(classes=(2,)))
def test_softmax_of_two_classes_is_a_sigmoid_at_half_the_c(problem):
    """The coefficients w/2 and -w/2 have half the sum of squares of w.

    A third class of negligible weight makes it a softmax. The fit uses Newton's method,
    because lbfgs warns that its arithmetic ends there.
    """
    X, y, weights, C = problem
    sigmoid = fit(X, y, weights, C)
    third = np.concatenate([y, [2]]), np.append(weights, 1e-13)
    softmax = fit(np.concatenate([X, X[:1]]), *third, C / 2, solver="newton-cholesky")
    best = objective(sigmoid.coef_, sigmoid.intercept_, X, y, C, weights)
    coef = softmax.coef_[1] - softmax.coef_[0]
    intercept = softmax.intercept_[[1]] - softmax.intercept_[0]
    found = objective(coef[None, :], intercept, X, y, C, weights)
    assert found == pytest.approx(best, rel=1e-9)
