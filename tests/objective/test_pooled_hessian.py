"""The estimate for many classes against its definition, from the blocks of each."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy

from xlr.design import DenseDesign
from xlr.losses import SoftmaxLoss
from xlr.objective import Objective, PooledHessian, Responses
from xlr.objective.hessian import BlockHessian
from xlr.penalties import L2Penalty

N, P, K, MODELS = 60, 3, 5, 2
RNG = np.random.default_rng(0)
X = RNG.integers(-32, 33, size=(N, P)) / 16
WEIGHTS = RNG.integers(0, 17, size=(N, MODELS)) / 8
STRENGTH = np.asarray([[[0.5, 0.25, 0.0]], [[0.0, 0.125, 2.0]]])
TARGETS = RNG.integers(0, K, size=(N, MODELS)).astype(float)
PARAMETERS = RNG.integers(-16, 17, size=(MODELS, K * (P + 1))) / 16

intercepts = pytest.mark.parametrize(
    "fit_intercept", [True, False], ids=["intercept", "no intercept"]
)


@pytest.fixture
def make(xp, place):
    def make(fit_intercept: bool) -> Objective:
        return Objective(
            DenseDesign(place(X), None, xp=xp),
            Responses(MODELS, place(TARGETS), place(WEIGHTS[:, :1])),
            SoftmaxLoss(K),
            L2Penalty(place(STRENGTH)),
            fit_intercept=fit_intercept,
            units=None,
        )

    return make


@pytest.fixture
def parameters(place):
    def parameters(fit_intercept: bool):
        by_class = PARAMETERS.reshape(MODELS, K, P + 1)
        return place(by_class[:, :, : P + fit_intercept].reshape(MODELS, -1))

    return parameters


def pooled(objective, parameters, fit_intercept):
    """Sizes, centres and the pooled covariance, from the blocks without a penalty."""
    q = P + fit_intercept
    blocks = to_numpy(objective.class_hessians(parameters).blocks).astype(float)
    blocks[:, :, range(P), range(P)] -= STRENGTH
    probability = np.exp(logits(to_numpy(parameters), fit_intercept))
    probability /= probability.sum(axis=2, keepdims=True)
    s = WEIGHTS[:, :1, None]
    sizes = (s * probability * (1 - probability)).sum(axis=0) / s.sum()
    centres = np.zeros((MODELS, K, P))
    if fit_intercept:
        np.testing.assert_allclose(blocks[:, :, -1, -1], sizes, rtol=1e-5)
        centres = blocks[:, :, :P, -1] / sizes[:, :, None]
    between = sizes[:, :, None, None] * centres[..., :, None] * centres[..., None, :]
    within = (blocks[:, :, :P, :P] - between).sum(axis=1)
    assert q == blocks.shape[-1]
    return sizes, centres, within / sizes.sum(axis=1)[:, None, None]


def logits(parameters, fit_intercept):
    by_class = parameters.reshape(MODELS, K, P + fit_intercept)
    found = np.einsum("ip,mkp->imk", X, by_class[:, :, :P])
    return found + (by_class[:, :, P] if fit_intercept else 0.0)


def matrices(sizes, centres, covariance, penalty, fit_intercept):
    """a [[S + mm', m], [m', 1]] + R for each model and class."""
    a, m = sizes[..., None, None], centres[..., None]
    own = a * (covariance[:, None] + m * centres[..., None, :])
    own = own + penalty[:, None, :, None] * np.eye(P)
    if not fit_intercept:
        return own
    side = a * m
    above = np.concatenate([own, side], axis=3)
    return np.concatenate(
        [above, np.concatenate([np.swapaxes(side, 2, 3), a], axis=3)], axis=2
    )


@intercepts
def test_diagonal(make, parameters, dtype, fit_intercept):
    objective, at = make(fit_intercept), parameters(fit_intercept)
    parts = pooled(objective, at, fit_intercept)
    expected = matrices(*parts, STRENGTH[:, 0], fit_intercept)
    expected = np.diagonal(expected, axis1=2, axis2=3).reshape(MODELS, -1)
    found = to_numpy(objective.pooled_hessian(at).diagonal)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(found, expected, rtol=rtol)


@intercepts
@pytest.mark.parametrize("rough", [False, True])
def test_solves_with_the_nearest_size(make, parameters, dtype, fit_intercept, rough):
    """Exactly, but for the size by which the penalty is divided: one of four between
    the least and the largest, apart by equal factors.
    """
    objective, at = make(fit_intercept), parameters(fit_intercept)
    sizes, centres, covariance = pooled(objective, at, fit_intercept)
    least, largest = sizes.min(axis=1)[:, None], sizes.max(axis=1)[:, None]
    levels = least * (largest / least) ** ((np.arange(4) + 0.5) / 4)
    ratio = np.abs(np.log(sizes[:, :, None] / levels[:, None, :]))
    nearest = np.take_along_axis(levels, ratio.argmin(axis=2), axis=1)
    assert (ratio.min(axis=2) <= np.log(largest / least) / 8 + 1e-9).all()

    right = np.linspace(-1, 1, MODELS * K * (P + fit_intercept)).reshape(MODELS, -1)
    xp = objective.xp
    solve = objective.pooled_hessian(at, rough=rough).solver(xp.zeros_like(at[:, 0]))
    given = objective.place(right)
    found = to_numpy(solve(given)).reshape(MODELS, K, -1)
    for model in range(MODELS):
        for k in range(K):
            penalty = STRENGTH[model] * sizes[model, k] / nearest[model, k]
            matrix = matrices(
                sizes[model, k].reshape(1, 1),
                centres[model, k].reshape(1, 1, P),
                covariance[model][None],
                penalty,
                fit_intercept,
            )[0, 0]
            expected = np.linalg.solve(matrix, right[model].reshape(K, -1)[k])
            rtol = 1e-10 if dtype == "float64" and not rough else 2e-4
            np.testing.assert_allclose(
                found[model, k], expected, rtol=0, atol=rtol * np.abs(expected).max()
            )


def test_damping_adds_the_diagonal(make, parameters, dtype):
    """But for the centres, and of the penalty as for the sizes."""
    objective, at = make(False), parameters(False)
    sizes, _, covariance = pooled(objective, at, False)
    estimate = PooledHessian(
        objective.place(sizes),
        None,
        objective.place(covariance),
        objective.place(np.zeros((MODELS, P))),
        float(np.finfo(dtype).eps),
        xp=objective.xp,
    )
    damping = np.asarray([0.0, 3.0])
    right = np.linspace(-1, 1, MODELS * K * P).reshape(MODELS, -1)
    found = to_numpy(estimate.solver(objective.place(damping))(objective.place(right)))
    for model in range(MODELS):
        diagonal = np.diag(np.diagonal(covariance[model]))
        matrix = covariance[model] + damping[model] * diagonal
        columns = right[model].reshape(K, P) / sizes[model][:, None]
        expected = np.linalg.solve(matrix, columns.T).T.reshape(-1)
        np.testing.assert_allclose(found[model], expected, rtol=1e-4)


def test_select(make, parameters):
    objective, at = make(True), parameters(True)
    whole = objective.pooled_hessian(at)
    right = objective.place(
        np.linspace(-1, 1, MODELS * K * (P + 1)).reshape(MODELS, -1)
    )
    zeros = objective.xp.zeros_like(right[:, 0])
    every = to_numpy(whole.solver(zeros)(right))
    one = whole.select(np.asarray([1]))
    np.testing.assert_array_equal(to_numpy(one.diagonal), to_numpy(whole.diagonal)[1:])
    found = to_numpy(one.solver(zeros[1:])(right[1:, :]))
    np.testing.assert_allclose(found, every[1:], rtol=1e-5)


def test_a_class_without_doubt_takes_no_step_to_infinity(make, xp):
    """Its curvature is 0 but for rounding."""
    objective = make(True)
    sure = np.zeros((MODELS, K, P + 1))
    sure[:, 0, -1] = -500.0  # a class that nothing is taken for
    at = objective.place(sure.reshape(MODELS, -1))
    estimate = objective.pooled_hessian(at)
    gradient = xp.ones_like(at)
    found = estimate.solver(xp.zeros_like(at[:, 0]))(gradient)
    assert np.isfinite(to_numpy(found)).all()
    # Where there is no penalty: that of its intercept.
    of_intercepts = to_numpy(estimate.diagonal).reshape(MODELS, K, P + 1)[:, :, -1]
    least = xp.finfo(objective.design.dtype).eps * of_intercepts.mean(axis=1)
    np.testing.assert_allclose(of_intercepts[:, 0], least, rtol=1e-5)


# Of classes of one size, which is the nearest of all: sums of Gram matrices whose units
# are far apart, and a feature with a penalty alone.
SIZES = np.asarray([[0.25] * K, [4.0] * K])
ROWS = np.random.default_rng(1).normal(size=(MODELS, 20, P)) * [8.0, 1.0, 0.125]
COVARIANCE = ROWS.mT @ ROWS / 20
RIDGE = np.asarray([[0.5, 0.25, 0.0], [0.0, 8.0, 1.0]])


@pytest.fixture
def one_size(place, xp):
    def one_size(centres=None, covariance=COVARIANCE, penalty=RIDGE, rounding=0.0):
        centres = None if centres is None else place(centres)
        parts = place(covariance), place(penalty), rounding
        return PooledHessian(place(SIZES), centres, *parts, xp=xp)

    return one_size


def own_blocks(penalty=RIDGE):
    """a S + R for each model and class, without their centres."""
    return matrices(SIZES, np.zeros((MODELS, K, P)), COVARIANCE, penalty, False)


@pytest.mark.parametrize("rounding", [0.0, 0.05])
def test_classes_of_one_size_are_as_with_blocks_of_their_own(
    one_size, rounding, xp, place, dtype
):
    """Damped, and with what the same rounding leaves uncertain."""
    pooled, blocks = one_size(rounding=rounding), place(own_blocks())
    exact = BlockHessian(blocks, rounding, xp=xp)
    rtol = 1e-10 if dtype == "float64" else 1e-4
    found, expected = to_numpy(pooled.diagonal), to_numpy(exact.diagonal)
    np.testing.assert_allclose(found, expected, rtol=rtol)
    right = place(np.linspace(-1, 1, MODELS * K * P).reshape(MODELS, -1))
    for damping in ([0.0, 0.0], [3.0, 0.25]):
        damping = place(np.asarray(damping))
        found, expected = (
            to_numpy(each.solver(damping)(right)) for each in (pooled, exact)
        )
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=rtol * np.abs(expected).max()
        )


def test_damping_is_of_what_is_left_without_the_centres(one_size, place, dtype):
    """That is T diag(a S + R, a) T' with T = [[I, m], [0, 1]], whose middle is damped.

    So an intercept is damped by its own size.
    """
    centres = np.random.default_rng(2).normal(size=(MODELS, K, P))
    damping = np.asarray([0.5, 3.0])
    right = np.linspace(-1, 1, MODELS * K * (P + 1)).reshape(MODELS, K, P + 1)
    solve = one_size(centres).solver(place(damping))
    found = to_numpy(solve(place(right.reshape(MODELS, -1))))
    rtol = 1e-10 if dtype == "float64" else 1e-4
    for model, blocks in enumerate(own_blocks()):
        for k, block in enumerate(blocks):
            middle, change = np.zeros((P + 1, P + 1)), np.eye(P + 1)
            middle[:P, :P], middle[P, P] = block, SIZES[model, k]
            middle += damping[model] * np.diag(np.diagonal(middle))
            change[:P, P] = centres[model, k]
            expected = np.linalg.solve(change @ middle @ change.T, right[model, k])
            np.testing.assert_allclose(
                found[model].reshape(K, P + 1)[k],
                expected,
                rtol=0,
                atol=rtol * np.abs(expected).max(),
            )


def test_a_feature_without_curvature_has_a_diagonal_of_one(one_size, place, dtype):
    """A constant column without a penalty, in which no gradient has a component."""
    covariance, penalty = COVARIANCE.copy(), RIDGE.copy()
    covariance[:, 1, :] = covariance[:, :, 1] = penalty[:, 1] = 0.0
    estimate = one_size(None, covariance, penalty, float(np.finfo(dtype).eps))
    diagonal = to_numpy(estimate.diagonal).reshape(MODELS, K, P)
    np.testing.assert_array_equal(diagonal[:, :, 1], 1.0)
    right = np.ones((MODELS, K, P)) * [1.0, 0.0, 1.0]
    nothing = place(np.zeros(MODELS))
    found = to_numpy(estimate.solver(nothing)(place(right.reshape(MODELS, -1))))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found.reshape(MODELS, K, P)[:, :, 1], 0.0)


@intercepts
@pytest.mark.parametrize("factor", [2.0**-10, 2.0**10])
def test_the_unit_of_the_weights_does_not_matter(
    make, parameters, place, factor, fit_intercept
):
    """Where classes are so small that all their curvature is far below 1."""
    objective, at = make(fit_intercept), parameters(fit_intercept)
    expected = to_numpy(objective.pooled_hessian(at).diagonal)
    objective.responses = Responses(
        MODELS, place(TARGETS), place(factor * WEIGHTS[:, :1])
    )
    del objective.total_weight
    found = to_numpy(objective.pooled_hessian(at).diagonal)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
