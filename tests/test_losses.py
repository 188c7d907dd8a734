"""Losses and their derivatives against arithmetic with 320 digits."""

from decimal import Decimal
from functools import lru_cache

import array_api_compat.numpy
import numpy as np
import pytest
from conftest import to_numpy
from exact import exactly, log1p, partial_derivative

import xlr
from xlr.losses import LogisticLoss, SoftmaxLoss

N, N_CLASSES = 12, 3
RNG = np.random.default_rng(0)
# Multiples of 1/8 are exact in float32.
LOGITS = {
    "moderate": RNG.integers(-24, 25, size=(N, N_CLASSES)) / 8,
    "wide": RNG.integers(-400, 401, size=(N, N_CLASSES)) / 8,
    "huge": RNG.choice([-1e30, -1e6, 0.0, 1e6, 1e30], size=(N, N_CLASSES)),
}
BINARY = RNG.integers(0, 2, size=N)
CODES = RNG.permutation(np.arange(N) % N_CLASSES)
WEIGHTS = RNG.integers(0, 9, size=N) / 8
LOGITS["confident"] = 32.0 * (CODES[:, None] == np.arange(N_CLASSES))
LOGITS["confident"][:, 0] += np.arange(N) / 8


def eps(dtype):
    return float(np.finfo(dtype).eps)


@exactly
def exact_logistic_loss(z, y):
    softplus = max(z, 0) + log1p((-abs(z)).exp())
    return softplus - y * z


@exactly
def exact_softmax_loss(z, code):
    differences = [value - z[code] for k, value in enumerate(z) if k != code]
    largest = max(0, *differences)
    if largest == 0:  # 1 + e would lose an e below 10^-320
        return log1p(sum(d.exp() for d in differences))
    total = (-largest).exp() + sum((d - largest).exp() for d in differences)
    return largest + total.ln()


@exactly
def exact_mean(values, weights):
    if weights is None:
        weights = np.ones(N)
    weights = decimals(weights)
    return float(sum(v * w for v, w in zip(values, weights)) / sum(weights))


def decimals(values):
    return [Decimal(float(v)) for v in values]


# -- cross_entropy and binary_cross_entropy --------------------------------------------


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("logits", ["moderate", "wide", "huge", "confident"])
def test_cross_entropy_is_exact(logits, weights, place, dtype, assert_close):
    z = LOGITS[logits].astype(dtype)
    losses = [exact_softmax_loss(decimals(row), y) for row, y in zip(z, CODES)]
    with np.errstate(over="raise"):
        actual = xlr.cross_entropy(place(z), CODES, weights)
    # All terms have one sign, so the relative error is small.
    assert_close(actual, exact_mean(losses, weights), rtol=8 * eps(dtype))


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("logits", ["moderate", "wide", "huge", "confident"])
def test_binary_cross_entropy_is_exact(logits, weights, place, dtype, assert_close):
    z = LOGITS[logits].astype(dtype)[:, 0]
    targets = BINARY
    if logits == "confident":
        z, targets = 16 + z, np.ones(N)
    losses = [exact_logistic_loss(a, b) for a, b in zip(decimals(z), decimals(targets))]
    actual = xlr.binary_cross_entropy(place(z), targets, weights)
    assert_close(actual, exact_mean(losses, weights), rtol=8 * eps(dtype))


@pytest.mark.parametrize("kind", ["int64", "uint8", "bool", "float32", "list"])
def test_losses_take_targets_of_any_dtype(kind, place, assert_close):
    z = place(LOGITS["moderate"])
    binary = BINARY.tolist() if kind == "list" else BINARY.astype(kind)
    expected = to_numpy(xlr.binary_cross_entropy(z[:, 0], place(1.0 * BINARY)))
    assert_close(xlr.binary_cross_entropy(z[:, 0], binary), expected)
    codes = binary if kind in ("bool", "list") else CODES.astype(kind)
    expected = to_numpy(xlr.cross_entropy(z, place(np.asarray(codes))))
    assert_close(xlr.cross_entropy(z, codes), expected)


def test_binary_cross_entropy_of_soft_targets_is_exact(place, dtype, assert_close):
    z, y = LOGITS["wide"][:, 0], np.arange(N) / 16
    losses = [exact_logistic_loss(a, b) for a, b in zip(decimals(z), decimals(y))]
    actual = xlr.binary_cross_entropy(place(z), y, WEIGHTS.tolist())
    assert_close(actual, exact_mean(losses, WEIGHTS), rtol=8 * eps(dtype))


@pytest.mark.slow_on_jax
def test_losses_of_integer_logits_have_the_widest_dtype(backend, sum_dtype):
    z = backend.xp.asarray(np.zeros((N, N_CLASSES), dtype=int), device=backend.device)
    for loss in (
        xlr.cross_entropy(z, CODES),
        xlr.binary_cross_entropy(z[:, 0], BINARY),
    ):
        assert loss.dtype == getattr(backend.xp, sum_dtype)


def test_losses_of_lists_are_those_of_numpy_arrays():
    z = LOGITS["moderate"]
    assert xlr.cross_entropy(z.tolist(), CODES) == xlr.cross_entropy(z, CODES)
    integers = [[1, 2, 0]] * N
    expected = xlr.cross_entropy(np.asarray(integers, dtype=float), CODES)
    assert xlr.cross_entropy(integers, CODES) == expected
    z = z[:, 0]
    expected = xlr.binary_cross_entropy(z, BINARY)
    assert xlr.binary_cross_entropy(z.tolist(), BINARY) == expected


@pytest.mark.slow_on_jax
def test_binary_cross_entropy_of_an_infinite_logit_is_zero_or_infinite(
    place, dtype, assert_close
):
    """The loss is zero for the right label, and infinite for the wrong one."""
    logits = place(np.asarray([np.inf, -np.inf, 0.0]))
    right = xlr.binary_cross_entropy(logits, [1, 0, 1])
    assert_close(right, np.log(2) / 3, rtol=8 * eps(dtype))
    assert to_numpy(xlr.binary_cross_entropy(logits, [0, 0, 1])) == np.inf


@pytest.mark.parametrize("loss", [xlr.binary_cross_entropy, xlr.cross_entropy])
def test_complex_logits_are_refused(loss):
    with pytest.raises(TypeError, match="Expected real numbers"):
        loss(np.ones(2, dtype=complex), np.asarray([0, 1]))


@pytest.mark.parametrize(
    "y",
    [CODES[:-1], CODES[:, None], CODES[:, None].tolist()],
    ids=["too few", "column", "list of lists"],
)
def test_targets_of_a_wrong_shape_are_refused(y, place):
    z = place(LOGITS["moderate"])
    with pytest.raises(ValueError, match=r"y has shape .*one entry per row: \(12,\)"):
        xlr.cross_entropy(z, y)
    with pytest.raises(ValueError, match=r"y has shape .*one entry per row: \(12,\)"):
        xlr.binary_cross_entropy(z[:, 0], y)


@pytest.mark.parametrize(
    "weights", [WEIGHTS[:-1], WEIGHTS[:, None]], ids=["too few", "column"]
)
def test_weights_of_a_wrong_shape_are_refused(weights, place):
    z = place(LOGITS["moderate"])
    with pytest.raises(ValueError, match="sample_weight has shape"):
        xlr.cross_entropy(z, CODES, weights)
    with pytest.raises(ValueError, match="sample_weight has shape"):
        xlr.binary_cross_entropy(z[:, 0], BINARY, place(weights))


@pytest.mark.parametrize("wrong", [-1, N_CLASSES, 0.5, np.nan])
def test_targets_other_than_class_codes_are_refused(wrong, place):
    codes = CODES.astype(float)
    codes[4] = wrong
    with pytest.raises(ValueError, match=r"class codes 0, \.\.\., 2"):
        xlr.cross_entropy(place(LOGITS["moderate"]), place(codes))


def test_logits_of_a_wrong_dimension_are_refused(place):
    z = place(LOGITS["moderate"])
    with pytest.raises(ValueError, match=r"shape \(n, n_classes\), got \(12,\)"):
        xlr.cross_entropy(z[:, 0], CODES)
    with pytest.raises(ValueError, match=r"shape \(n,\), got \(12, 3\)"):
        xlr.binary_cross_entropy(z, BINARY)


# -- losses and their derivatives, for six rows of two models --------------------------

N_ROWS, N_MODELS = 6, 2
LOSSES = {"logistic": LogisticLoss(), "softmax": SoftmaxLoss(N_CLASSES)}
kinds = pytest.mark.parametrize("kind", LOSSES)


@lru_cache
@exactly
def derivatives(kind):
    """Return logits, targets, and exact value, gradient and curvature of the loss."""
    loss = LOSSES[kind]
    n_outputs = loss.n_outputs
    logits = LOGITS["wide"].reshape(N_ROWS, N_MODELS, N_CLASSES)[..., :n_outputs].copy()
    logits[:3] /= 16
    targets = (BINARY if kind == "logistic" else CODES).reshape(N_ROWS, N_MODELS)
    value = np.zeros((N_ROWS, N_MODELS))
    gradient = np.zeros(logits.shape)
    curvature = np.zeros((*logits.shape, n_outputs))
    for row, model in np.ndindex(N_ROWS, N_MODELS):
        y, z = targets[row, model], tuple(decimals(logits[row, model]))

        def exact(*z, y=y):
            if kind == "logistic":
                return exact_logistic_loss(*z, int(y))
            return exact_softmax_loss(z, y)

        value[row, model] = exact(*z)
        for k in range(n_outputs):
            gradient[row, model, k] = partial_derivative(exact, z, k)
            for m in range(n_outputs):
                curvature[row, model, k, m] = partial_derivative(exact, z, k, m)
    return logits, targets.astype(float), value, gradient, curvature


@pytest.mark.slow_on_jax
@kinds
def test_value_and_gradient_of_a_loss_are_exact(kind, xp, place, dtype, assert_close):
    loss = LOSSES[kind]
    logits, targets, expected_value, expected_gradient, _ = derivatives(kind)
    value, gradient = loss.value_and_gradient(place(logits), place(targets), xp=xp)
    # The relative error is small even where the probability rounds to 0 or 1.
    rtol = 8 * eps(dtype)
    assert_close(value, expected_value, rtol=rtol)
    assert_close(gradient, expected_gradient, rtol=rtol)


@pytest.mark.slow_on_jax
@kinds
def test_curvature_is_the_second_derivative(kind, xp, place, dtype, assert_close):
    loss = LOSSES[kind]
    logits, targets, *_, curvature = derivatives(kind)
    z, y = place(logits), place(targets)
    found = loss.curvature(z, y, xp=xp)
    close = {"rtol": 8 * eps(dtype), "atol": 2 * eps(dtype)}
    diagonal = np.diagonal(curvature, axis1=-2, axis2=-1)
    assert_close(found.diagonal(xp=xp), diagonal, **close)
    for k, e in enumerate(np.eye(loss.n_outputs)):  # column by column
        column = found.product(place(np.broadcast_to(e, logits.shape)), xp=xp)
        assert_close(column, curvature[..., k], **close)
    vector = np.random.default_rng(3).normal(size=logits.shape).astype(dtype)
    product = np.einsum("rmkl,rml->rmk", curvature, vector)
    close = {"rtol": 8 * eps(dtype), "atol": 8 * eps(dtype)}
    assert_close(found.product(place(vector), xp=xp), product, **close)


@pytest.mark.slow_on_jax
def test_curvature_of_a_certain_class_is_not_negative(xp, place):
    """The diagonal p - p² is a difference of equal numbers, and weights round both."""
    logits = np.where(np.arange(N_CLASSES) == 0, 60.0, 0.0) * np.ones((50, 1, 1))
    targets = place(np.zeros((50, 1)))
    curvature = SoftmaxLoss(N_CLASSES).curvature(place(logits), targets, xp=xp)
    factors = np.sqrt(np.random.default_rng(0).uniform(size=(50, 1, 1)))
    weighted = curvature._replace(values=curvature.values * place(factors))
    assert (to_numpy(weighted.diagonal(xp=xp)) >= 0).all()


@pytest.mark.slow_on_jax
def test_curvature_product_of_a_certain_class_keeps_its_digits(xp, place):
    """In float32, the rounding error of p exceeds 1 - p."""
    logits = np.asarray([[[20.0, 0.0, -3.0]], [[-9.0, 8.0, -4.0]]], dtype=np.float32)
    p = np.exp(logits.astype(float))
    p = p / p.sum(axis=-1, keepdims=True)
    targets = place(np.zeros((2, 1), dtype=np.float32), "float32")
    curvature = SoftmaxLoss(3).curvature(place(logits, "float32"), targets, xp=xp)
    v = np.broadcast_to(np.asarray([1.0, 3.0, -2.0]), logits.shape)
    # Row k of diag(p) - p p' times v is p_k sum_l p_l (v_k - v_l).
    product = p * ((v[..., None] - v[..., None, :]) * p[..., None, :]).sum(axis=-1)
    found = to_numpy(curvature.product(place(v, "float32"), xp=xp))
    np.testing.assert_allclose(found, product, rtol=64 * eps("float32"))


@kinds
def test_curvature_bound_is_the_least_upper_bound(kind):
    loss, rng = LOSSES[kind], np.random.default_rng(4)
    spread = rng.choice([0.1, 1.0, 30.0], size=(500, 1, 1))
    logits = spread * rng.normal(size=(500, 1, loss.n_outputs))
    logits[0] = 0
    logits[0, 0, 2:] = -50  # two classes share the probability equally
    xp = array_api_compat.numpy
    curvature = loss.curvature(logits, np.zeros((500, 1)), xp=xp)
    columns = [
        curvature.product(np.broadcast_to(e, logits.shape), xp=xp)[:, 0]
        for e in np.eye(loss.n_outputs)
    ]
    largest = np.linalg.eigvalsh(np.stack(columns, axis=-1)).max(axis=1)
    assert (largest <= loss.curvature_bound() * (1 + 1e-14)).all()
    assert largest.max() == pytest.approx(loss.curvature_bound(), rel=1e-12)
    assert np.unique(largest.round(3)).size > 50  # the rows differ


@pytest.mark.slow_on_jax
def test_softmax_loss_ignores_a_constant_added_to_all_logits(xp, place, assert_close):
    loss = LOSSES["softmax"]
    assert loss.shift_invariant
    logits, targets, *_ = derivatives("softmax")
    y = place(targets)
    # Differences of multiples of 1/8 are exact, so all results are equal.
    shifted, original = (
        (*loss.value_and_gradient(z, y, xp=xp), loss.curvature(z, y, xp=xp).values)
        for z in (place(logits + 64), place(logits))
    )
    for found, expected in zip(shifted, original):
        assert_close(found, to_numpy(expected))
