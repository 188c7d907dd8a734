"""Sigmoid, softmax and their logarithms against arithmetic with 320 digits."""

import math
from decimal import Decimal
from functools import lru_cache

import numpy as np
import pytest
from conftest import to_numpy
from exact import exactly, log1p

from xlr import log_sigmoid, log_softmax, sigmoid, softmax

# Largest errors in units in the last place. exp in float32 is off by up to 2.3 ulp in
# NumPy, log1p by up to 2.5 ulp in JAX. The division and the sums add half an ulp each.
MAX_ULPS = {sigmoid: 5, log_sigmoid: 5, softmax: 8, log_softmax: 8}


def logits(dtype: str) -> np.ndarray:
    """Return logits of both signs: extreme, ordinary, and at the limits of exp."""
    info = np.finfo(dtype)
    sizes = [0.0, info.smallest_subnormal, 8 * info.smallest_subnormal, info.tiny]
    sizes += [1e-10, 1e-4, 0.5, 1.0, 16.6, 17.0, 36.7, 37.0, 87.3, 88.0, 88.8, 103.0]
    sizes += [104.0, 708.3, 709.8, 720.0, 745.0, 746.0, 1e4, 1e20, 3e38]
    sizes += [1e300, info.max] if dtype == "float64" else []
    sizes += list(np.random.default_rng(0).uniform(0, 100, 50))
    return np.concatenate([sizes, np.negative(sizes)]).astype(dtype)


def logit_rows(dtype: str) -> np.ndarray:
    """Return rows of four logits: ties, certainty, wide ranges and extremes."""
    info = np.finfo(dtype)
    huge = 1e300 if dtype == "float64" else 3e38
    tiny = info.smallest_subnormal
    rows = [
        [0.0, 0.0, -0.0, 0.0],
        [5.0, 5.0, 5.0, -5.0],
        [100.0, 0.0, 0.0, 0.0],
        [0.1, -50.3, -86.9, -88.7],
        [0.1, -650.3, -708.9, -740.3],
        [1000.3, 999.7, -1000.1, 0.0],
        [1e6, 1e6 + 1, 1e6 - 3, 1e6 - 80],
        [huge, huge, -huge, 0.0],
        [-huge, -huge, -huge, -huge],
        [-huge, 1.0, 2.0, huge / 1e9],
        [tiny, -tiny, 4 * tiny, 0.0],
        [info.tiny, -info.tiny, 1.0, tiny],
    ]
    rng = np.random.default_rng(1)
    rows += [spread * rng.normal(size=4) for spread in [1, 10, 60, 400] * 4]
    return np.asarray(rows, dtype=dtype)


def exact_sigmoid(z):
    return 1 / (1 + (-z).exp())


def exact_log_sigmoid(z):
    return -log1p((-z).exp()) if z > -1000 else z


def exact_log_softmax(row):
    largest = max(row)
    others = sorted(row)[:-1]
    log_total = log1p(sum((z - largest).exp() for z in others))
    return [z - largest - log_total for z in row]


@lru_cache
@exactly
def exact(function, dtype: str) -> np.ndarray:
    """Return the function of ``logits`` or ``logit_rows``, an array of Decimal."""
    if function in (sigmoid, log_sigmoid):
        formula = exact_sigmoid if function is sigmoid else exact_log_sigmoid
        return np.asarray([formula(Decimal(float(z))) for z in logits(dtype)])
    rows = [[Decimal(float(z)) for z in row] for row in logit_rows(dtype)]
    log_p = np.asarray([exact_log_softmax(row) for row in rows])
    return np.vectorize(Decimal.exp)(log_p) if function is softmax else log_p


@exactly
def assert_within_ulps(actual, expected, ulps: int, library: str) -> None:
    """Compare numbers with the exact ones, given as Decimal, in ulp."""
    info = np.finfo(actual.dtype)
    # XLA on the CPU flushes subnormals to zero; NumPy and torch keep them.
    atol = info.tiny if library == "jax" else 2 * info.smallest_subnormal
    for a, e in zip(actual.ravel().tolist(), expected.ravel()):
        if abs(e) > float(info.max):
            assert a == math.copysign(np.inf, e)
            continue
        # A number that underflows float64 has no ulp: only atol counts.
        exponent = math.frexp(float(e))[1] - 1 if float(e) else -1100
        ulp = Decimal(2) ** exponent * Decimal(float(info.eps))
        error = abs(Decimal(a) - e)
        assert error <= ulps * ulp + Decimal(float(atol)), (
            f"{a} for {e}: {error / ulp} ulp"
        )


@pytest.mark.parametrize("function", [sigmoid, log_sigmoid])
def test_elementwise_function_is_right_to_a_few_ulp(
    function, backend, place, dtype, assert_close
):
    actual = function(place(logits(dtype)))
    assert_close(actual, to_numpy(actual))  # library, device and dtype
    expected = exact(function, dtype)
    assert_within_ulps(to_numpy(actual), expected, MAX_ULPS[function], backend.name)


@pytest.mark.parametrize(("shape", "axis"), [((28, 4), -1), ((2, 4, 14), 1)])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_softmax_function_is_right_to_a_few_ulp(
    function, shape, axis, backend, place, dtype, assert_close
):
    rows = logit_rows(dtype)
    classes_last = [*np.delete(shape, axis), 4]
    values = np.moveaxis(rows.reshape(classes_last), -1, axis)
    actual = function(place(values), axis=axis)
    assert_close(actual, to_numpy(actual))  # library, device and dtype
    actual = np.moveaxis(to_numpy(actual), axis, -1).reshape(rows.shape)
    expected = exact(function, dtype)
    assert_within_ulps(actual, expected, MAX_ULPS[function], backend.name)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("function", [softmax, log_softmax])
@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_logits_without_classes_are_refused(function, shape, place):
    with pytest.raises(ValueError, match="a logit for each class along axis -1"):
        function(place(np.zeros(shape)))
    with pytest.raises(ValueError, match=r"got an array of shape \(\)"):
        function(1.0)
    assert function(place(np.zeros((0, 2)))).shape == (0, 2)


def test_softmax_axis_defaults_to_the_last(place, assert_close):
    z = np.random.default_rng(2).normal(size=(28, 4))
    assert_close(softmax(place(z)), to_numpy(softmax(place(z), axis=1)))
    assert_close(log_softmax(place(z)), to_numpy(log_softmax(place(z), axis=1)))


@pytest.mark.slow_on_jax
def test_softmax_of_one_class_is_one(place, dtype, assert_close):
    z = place(np.asarray([[0.0], [-7.5], [np.finfo(dtype).max]]))
    assert_close(softmax(z), np.ones((3, 1)))
    assert_close(log_softmax(z), np.zeros((3, 1)))


@pytest.mark.slow_on_jax
def test_functions_of_infinite_logits_are_limits_or_nan(place):
    """A softmax is NaN where it would be inf / inf or 0 / 0."""
    z = place(np.asarray([[-np.inf, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]]))
    expected = np.asarray([[0.0, 1.0], [np.nan, 0.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(to_numpy(softmax(z)), expected)
    np.testing.assert_array_equal(to_numpy(sigmoid(z))[:2, 0], [0.0, 1.0])


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    ("function", "integer"),
    [
        (sigmoid, "bool"),
        (log_sigmoid, "int32"),
        (softmax, "uint8"),
        (log_softmax, "int32"),
    ],
)
def test_functions_of_integers_have_the_widest_dtype(
    function, integer, backend, sum_dtype
):
    values = np.asarray([[0, 1, 3]], dtype=integer)
    z = backend.xp.asarray(values, device=backend.device)
    result = function(z)
    assert result.dtype == getattr(backend.xp, sum_dtype)
    as_float = backend.xp.asarray(values.astype(sum_dtype), device=backend.device)
    np.testing.assert_array_equal(to_numpy(result), to_numpy(function(as_float)))


@pytest.mark.parametrize("function", [sigmoid, log_sigmoid, softmax, log_softmax])
def test_functions_of_lists_are_those_of_numpy_arrays(function):
    values = [[0.0, 1.0, -2.5], [1, 2, 3]]
    result = function(values)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, function(np.asarray(values)))


@pytest.mark.parametrize("function", [sigmoid, log_sigmoid, softmax, log_softmax])
def test_complex_logits_are_refused(function, xp, device):
    z = xp.asarray(np.ones(3, dtype="complex64"), device=device)
    with pytest.raises(TypeError, match=r"real numbers.*complex64"):
        function(z)
