"""The ridge penalty against its closed form."""

import numpy as np
import pytest

from xlr.penalties import L2Penalty

RNG = np.random.default_rng(0)
COEF = RNG.integers(-8, 9, size=(3, 2, 4)) / 4  # exact in float32
ONE_STRENGTH = np.asarray([[[0.5, 2.0, 0.0, 1.25]]])
STRENGTHS = RNG.integers(0, 9, size=(3, 1, 4)) / 8


def ridge(coef, strength):
    value = np.zeros(3)
    for model, output, feature in np.ndindex(coef.shape):
        strength_here = strength[model % len(strength), 0, feature]
        value[model] += 0.5 * strength_here * coef[model, output, feature] ** 2
    return value


@pytest.mark.parametrize("strength", [ONE_STRENGTH, STRENGTHS], ids=["shared", "own"])
def test_l2_penalty(strength, xp, place, assert_close):
    penalty, coef = L2Penalty(place(strength)), place(COEF)
    # Central differences of a quadratic with a step of 1 are exact.
    gradient, curvature = np.zeros((2, *COEF.shape))
    for index in np.ndindex(COEF.shape):
        step = np.zeros(COEF.shape)
        step[index] = 1
        up, down = ridge(COEF + step, strength), ridge(COEF - step, strength)
        gradient[index] = (up - down)[index[0]] / 2
        curvature[index] = (up - 2 * ridge(COEF, strength) + down)[index[0]]
    assert_close(penalty.value(coef, xp=xp), ridge(COEF, strength), rtol=1e-6)
    assert_close(penalty.gradient(coef, xp=xp), gradient)
    assert_close(penalty.curvature(coef, xp=xp), curvature)


def test_l2_penalty_of_some_models(xp, place, assert_close):
    chosen = np.asarray([1])
    for strength in (ONE_STRENGTH, STRENGTHS):
        part = L2Penalty(place(strength)).select(chosen)
        expected = ridge(COEF, strength)[chosen]
        value = part.value(place(COEF[chosen]), xp=xp)
        assert_close(value, expected, rtol=1e-6)
