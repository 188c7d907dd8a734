"""Penalties against their formulas, and proximal maps against a fine grid."""

import numpy as np
import pytest
from conftest import to_numpy

from xlr.penalties import NonSmooth, Penalty

# On JAX, the compiled fits of test_jax_tracing.py suffice.
pytestmark = pytest.mark.slow_on_jax

RNG = np.random.default_rng(0)
COEF = RNG.integers(-8, 9, size=(3, 2, 4)) / 4  # exact in float32
SHARED_STRENGTH = np.asarray([[[0.5, 2.0, 0.0, 1.25]]])
OWN_STRENGTHS = RNG.integers(0, 9, size=(3, 1, 4)) / 8
strengths = pytest.mark.parametrize(
    "strength", [SHARED_STRENGTH, OWN_STRENGTHS], ids=["shared", "own"]
)


def ridge(coef, strength):
    """Return the L2 penalty of each model, term by term."""
    value = np.zeros(3)
    for model, output, feature in np.ndindex(coef.shape):
        factor = strength[model % len(strength), 0, feature]
        value[model] += 0.5 * factor * coef[model, output, feature] ** 2
    return value


@strengths
def test_derivatives_of_l2_penalty_equal_differences(strength, xp, place, assert_close):
    penalty, coef = Penalty(place(strength)), place(COEF)
    # Central differences of a quadratic with a step of 1 are exact.
    gradient, curvature = np.zeros((2, *COEF.shape))
    for index in np.ndindex(COEF.shape):
        step = np.zeros(COEF.shape)
        step[index] = 1
        up, down = ridge(COEF + step, strength), ridge(COEF - step, strength)
        gradient[index] = (up - down)[index[0]] / 2
        curvature[index] = (up - 2 * ridge(COEF, strength) + down)[index[0]]
    found, found_gradient = penalty.value_and_gradient(coef, xp=xp)
    assert_close(found, ridge(COEF, strength), rtol=1e-6)
    assert_close(found_gradient, gradient)
    assert_close(xp.broadcast_to(penalty.curvature, COEF.shape), curvature)


@strengths
def test_l2_penalty_of_selected_models_is_their_own(strength, xp, place, assert_close):
    chosen = np.asarray([1])
    part = Penalty(place(strength)).select(chosen)
    value, _ = part.value_and_gradient(place(COEF[chosen]), xp=xp)
    assert_close(value, ridge(COEF, strength)[chosen], rtol=1e-6)


@strengths
def test_l2_penalty_of_taken_columns_is_their_own(
    strength, xp, device, place, assert_close
):
    features = xp.asarray([3, 1], device=device)
    few = COEF[:, :, [3, 1]]
    part = Penalty(place(strength)).take_columns(features, xp=xp)
    assert_close(part.curvature, strength[:, :, [3, 1]])
    expected = ridge(few, strength[:, :, [3, 1]])
    value, _ = part.value_and_gradient(place(few), xp=xp)
    assert_close(value, expected, rtol=1e-6)


# Coefficients within their bounds, many of them at zero or at a bound.
W = np.asarray([-2.0, -0.5, 0.0, 0.0, 0.0, 0.25, 1.0, 3.0, 0.0, -1.0])
L1 = np.asarray([0.5, 0.0, 1.0, 0.25, 0.0, 2.0, 0.5, 1.0, 1.0, 0.0])
LOWER = np.asarray([-2.0, -9.0, -np.inf, 0.0, -1.0, 0.0, -1.0, -3.0, 0.0, -1.0])
UPPER = np.asarray([2.0, 9.0, np.inf, 1.0, 1.0, 0.25, 1.0, np.inf, 0.0, 1.0])


def test_prox_minimises_distance_and_penalty(xp, place, assert_close):
    non_smooth = NonSmooth(place(L1), place(LOWER), place(UPPER))
    step = 0.5
    expected = []
    for w, l1, low, high in zip(W, L1, LOWER, UPPER):
        grid = np.linspace(max(low, -4), min(high, 4), 8 * 4096 + 1)
        value = (grid - w) ** 2 / 2 + step * l1 * np.abs(grid)
        expected.append(grid[value.argmin()])
    found = non_smooth.prox(place(W), step, xp=xp)
    assert_close(found, np.asarray(expected), atol=2e-3)


def test_project_moves_onto_the_bounds(xp, place, assert_close):
    non_smooth = NonSmooth(place(L1), place(LOWER), place(UPPER))
    for values in (W, 100 * W - 3):
        found = non_smooth.project(place(values), xp=xp)
        assert_close(found, np.clip(values, LOWER, UPPER))


@pytest.mark.parametrize("gradient", [-3.0, 0.0, 0.75])
def test_minimum_norm_subgradient_is_the_one_sided_derivative(
    gradient, xp, place, assert_close
):
    non_smooth = NonSmooth(place(L1), place(LOWER), place(UPPER))
    h = 1e-6
    expected = []
    for w, l1, low, high in zip(W, L1, LOWER, UPPER):
        here = l1 * abs(w)
        up = (l1 * abs(w + h) - here) / h + gradient if w + h <= high else np.inf
        down = (l1 * abs(w - h) - here) / h - gradient if w - h >= low else np.inf
        expected.append(min(up, 0.0) if up < down else -min(down, 0.0))
    gradients = place(np.full_like(W, gradient))
    found = non_smooth.minimum_norm_subgradient(place(W), gradients, xp=xp)
    assert_close(found, np.asarray(expected), atol=1e-6)


@strengths
def test_elastic_net_penalty_is_ridge_and_l1(strength, xp, device, place, assert_close):
    l1 = 2 * strength
    unbounded = np.full_like(strength, np.inf)
    non_smooth = NonSmooth(*map(place, (l1, -unbounded, unbounded)))
    penalty, coef = Penalty(place(strength), non_smooth), place(COEF)
    smooth = Penalty(place(strength))
    value = ridge(COEF, strength) + (l1 * np.abs(COEF)).sum(axis=(1, 2))
    found, gradient = penalty.value_and_gradient(coef, xp=xp)
    assert_close(found, value, rtol=1e-6)
    _, smooth_gradient = smooth.value_and_gradient(coef, xp=xp)
    assert_close(gradient, to_numpy(smooth_gradient))
    assert_close(penalty.curvature, strength)

    part = penalty.select(np.asarray([2, 0]))
    found, _ = part.value_and_gradient(place(COEF[[2, 0]]), xp=xp)
    assert_close(found, value[[2, 0]], rtol=1e-6)
    few = penalty.take_columns(xp.asarray([3, 1], device=device), xp=xp)
    expected = ridge(COEF[:, :, [3, 1]], strength[:, :, [3, 1]])
    expected += (l1 * np.abs(COEF))[:, :, [3, 1]].sum(axis=(1, 2))
    found, _ = few.value_and_gradient(place(COEF[:, :, [3, 1]]), xp=xp)
    assert_close(found, expected, rtol=1e-6)


def test_strong_l1_limit_has_the_bounds_nearest_zero(xp, place, assert_close):
    l1 = np.asarray([[[1.0, 2.0, 3.0, 0.0]]])
    lower = np.asarray([[[-1.0, 0.5, -np.inf, 0.5]]])
    upper = np.asarray([[[1.0, 2.0, -0.25, np.inf]]])
    non_smooth = NonSmooth(*map(place, (l1, lower, upper)))
    limit = Penalty(place(l1), non_smooth).strong_l1_limit(xp=xp)
    assert_close(limit.non_smooth.l1, l1)
    assert_close(limit.non_smooth.lower, np.asarray([[[0.0, 0.5, -0.25, 0.5]]]))
    assert_close(limit.non_smooth.upper, np.asarray([[[0.0, 0.5, -0.25, np.inf]]]))
