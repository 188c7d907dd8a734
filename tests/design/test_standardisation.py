"""Means and scales of columns against extended precision."""

import numpy as np
import pytest
from conftest import to_numpy

from xlr.design import DenseDesign, Standardisation, standardise

N = 60
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(N, 3))
WEIGHTS = RNG.integers(1, 17, size=N) / 8
SOME_ZERO = WEIGHTS * (np.arange(N) % 3 > 0)  # the first row counts for nothing


@pytest.fixture
def standardised(xp, place, wide):
    """Means, scales and the standardised rows, as NumPy arrays."""

    def standardised(X, weights=None, *, centre=True):
        X = place(X)
        weights = place(np.ones(N) if weights is None else weights, wide)
        units = standardise(X, weights, centre=centre, xp=xp)
        assert units.mean.dtype == units.scale.dtype == getattr(xp, wide)
        rows = DenseDesign(X, units, xp=xp).block(slice(0, N)).standardised()
        return to_numpy(units.mean), to_numpy(units.scale), to_numpy(rows)

    return standardised


def reference(X, dtype, weights=None, *, centre=True):
    """Weighted means and standard deviations in extended precision."""
    X = np.asarray(X, dtype=dtype).astype(np.longdouble)
    shares = (np.ones(N) if weights is None else weights).astype(np.longdouble)
    shares /= shares.sum()
    mean = shares @ X if centre else np.zeros(X.shape[1])
    deviations = X - mean
    largest = np.abs(deviations).max(axis=0)
    largest[largest == 0] = 1
    return mean, largest * np.sqrt(shares @ (deviations / largest) ** 2)


def assert_units(mean, scale, expected, dtype, wide):
    """Means and scales to the precision of wide; means rounded to the dtype of X too.

    One pass loses the digits of a variance that the square of the mean takes, where
    those are few: less than five, or three without float64.
    """
    expected_mean, expected_scale = expected
    tolerance = 100 * np.finfo(wide).eps
    offset = np.abs(expected_mean / np.where(expected_scale > 0, expected_scale, 1))
    one_pass = offset**2 < (1e5 if wide == "float64" else 8e3)
    lost = tolerance * (1 + np.where(one_pass, offset, 0) ** 2)
    error = np.abs(scale - expected_scale)
    assert (error <= lost * expected_scale).all()
    rounding = 0.51 * np.finfo(dtype).eps * np.abs(expected_mean)
    error = np.abs(mean - expected_mean)
    assert (error <= rounding + tolerance * expected_scale).all()
    np.testing.assert_array_equal(mean.astype(dtype), mean)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize(
    "weights", [None, WEIGHTS, SOME_ZERO], ids=["unweighted", "weighted", "some zero"]
)
def test_means_and_scales(weights, centre, standardised, dtype, wide):
    X = NORMAL * [1, 1e3, 1e-6] + [3, -200, 0]
    mean, scale, rows = standardised(X, weights, centre=centre)
    expected = reference(X, dtype, weights, centre=centre)
    assert_units(mean, scale, expected, dtype, wide)
    weights = np.ones(N) if weights is None else weights
    shares = weights / weights.sum()
    tolerance = 200 * np.finfo(dtype).eps  # the mean of -200 sits 0.2 from zero
    np.testing.assert_allclose(shares @ rows**2, 1, rtol=tolerance)
    if centre:
        np.testing.assert_allclose(shares @ rows, 0, atol=tolerance)
    else:
        np.testing.assert_array_equal(mean, 0)


def test_rows_of_zero_weight_are_as_if_left_out(standardised, wide):
    kept = SOME_ZERO > 0
    X = np.where(kept[:, None], NORMAL, 1e3 * NORMAL)
    mean, scale, _ = standardised(X, SOME_ZERO)
    X[~kept] = NORMAL[~kept]
    expected_mean, expected_scale, _ = standardised(X, SOME_ZERO)
    tolerance = {"float64": 1e-9, "float32": 1e-4}[wide]
    np.testing.assert_allclose(scale, expected_scale, rtol=tolerance)
    np.testing.assert_allclose(mean, expected_mean, atol=tolerance)


def test_float32_keeps_a_deviation_of_1_around_a_mean_of_1e6(standardised, dtype, wide):
    X = 1e6 + NORMAL
    mean, scale, rows = standardised(X)
    assert_units(mean, scale, reference(X, dtype), dtype, wide)
    # The mean is rounded to a number of X's dtype, and every difference is exact.
    centred = X.astype(dtype) - mean.astype(dtype)
    rtol = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(rows, centred / scale, rtol=rtol, atol=1e-30)


@pytest.mark.parametrize("weight", [0.0, 1e-14])
@pytest.mark.parametrize("outlier", [30, 300, 1e6])
def test_first_row_many_deviations_away(outlier, weight, standardised, dtype, wide):
    X = NORMAL.copy()
    X[0] = outlier
    weights = WEIGHTS.copy()
    weights[0] = weight
    mean, scale, _ = standardised(X, weights)
    expected_mean, expected_scale = reference(X, dtype, weights)
    # One pass loses the square of the number of deviations in units of eps.
    rtol = {"float64": 1e-9, "float32": 1e-3}[wide]
    np.testing.assert_allclose(scale, expected_scale.astype(float), rtol=rtol)
    np.testing.assert_allclose(mean, expected_mean.astype(float), atol=rtol)


def test_one_row_far_away_among_many(backend, place, wide, dtype):
    if wide == "float64" or backend.name == "jax":
        pytest.skip("float64 would need 10^12 rows to lose as much")
    n = 30_000  # the variance is an n-th of the mean square about that row
    X = np.random.default_rng(1).normal(size=(n, 1))
    X[0] = 1e6
    weights = place(np.ones(n), wide)
    units = standardise(place(X), weights, centre=True, xp=backend.xp)
    np.testing.assert_allclose(to_numpy(units.scale), X.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize("centre", [True, False])
def test_columns_of_very_different_size(centre, standardised, dtype, wide):
    if dtype == "float32":
        pytest.skip("float32 holds no such numbers")
    X = NORMAL * [1e-120, 1e150, 1e300] + [1e-120, 0, 0]
    mean, scale, rows = standardised(X, WEIGHTS, centre=centre)
    expected = reference(X, dtype, WEIGHTS, centre=centre)
    assert_units(mean, scale, expected, dtype, wide)
    shares = WEIGHTS / WEIGHTS.sum()
    np.testing.assert_allclose(shares @ rows**2, 1, rtol=1e-12)


@pytest.mark.parametrize("size", ["least", "greatest"])
def test_columns_at_the_ends_of_the_range_stay_finite(size, standardised, dtype):
    info = np.finfo(dtype)
    unit = 8 * info.tiny if size == "least" else info.max / 8  # JAX has nothing less
    X = np.clip(NORMAL, -2, 2) * float(unit)
    X[:, 1] *= 0.01 if size == "greatest" else 100
    _, scale, rows = standardised(X)
    assert np.isfinite(rows).all()
    assert (scale > 0).all()
    assert (scale < 1).all() == (size == "least")
    assert np.abs(rows).max() < 5
    with np.errstate(over="ignore"):
        assert np.isfinite(1 / scale.astype(dtype)).all()


def test_small_deviations_keep_their_digits(standardised, dtype, wide):
    # In float32, squares of these are below the smallest normal number.
    X = NORMAL * ([1e-15, 1e-13, 1e-10] if wide == "float32" else [1e-141, 1, 1e-145])
    if dtype != wide:
        pytest.skip("such numbers need no care in float64, and float32 has no others")
    mean, scale, _ = standardised(X)
    assert_units(mean, scale, reference(X, dtype), dtype, wide)


@pytest.mark.parametrize(
    "weights", [None, WEIGHTS, SOME_ZERO], ids=["unweighted", "weighted", "some zero"]
)
@pytest.mark.parametrize("beside", [1.0, 1e-18], ids=["one look", "second look"])
def test_constant_columns_become_exactly_zero(beside, weights, standardised, dtype):
    constants = np.asarray([0.1, -1e6])
    X = np.column_stack([np.tile(constants, (N, 1)), beside * NORMAL[:, 0]])
    mean, scale, rows = standardised(X, weights)
    np.testing.assert_array_equal(mean[:2], constants.astype(dtype))
    np.testing.assert_array_equal(scale[:2], 1)
    np.testing.assert_array_equal(rows[:, :2], 0)
    assert scale[2] != 1


@pytest.mark.parametrize("value", [0.1, 1 / 3, -7e5])
@pytest.mark.parametrize("elsewhere", [5.0, 1e4])
def test_columns_constant_but_for_rows_of_zero_weight(
    value, elsewhere, standardised, dtype
):
    weights = SOME_ZERO / 7  # shares that are rounded
    X = np.full((N, 3), value)
    X[::3] = elsewhere
    X[0] = [value, elsewhere, -elsewhere]
    mean, scale, rows = standardised(X, weights)
    np.testing.assert_array_equal(scale, 1)
    np.testing.assert_array_equal(mean, np.asarray(value, dtype=dtype))
    np.testing.assert_array_equal(rows[weights > 0], 0)


def test_constant_column_without_centring(standardised, dtype):
    X = np.column_stack([np.full(N, -4.0), np.zeros(N), NORMAL[:, 0]])
    mean, scale, rows = standardised(X, WEIGHTS, centre=False)
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_allclose(scale[:2], [4, 1], rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(rows[:, 0], -1, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(rows[:, 1], 0)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("row", [0, 17])
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([np.nan], "NaN"),
        ([np.inf], "infinity"),
        ([-np.inf], "infinity"),
        ([np.nan, np.inf], "NaN and infinity"),
    ],
)
def test_what_is_not_finite_is_named(values, named, row, centre, standardised):
    X = NORMAL.copy()
    X[row : row + len(values), 1] = values
    with pytest.raises(ValueError, match=f"^Input X contains {named}\\."):
        standardised(X, centre=centre)


def test_blocks_give_the_same(monkeypatch, standardised, dtype, wide):
    whole = standardised(NORMAL, WEIGHTS)
    size = 20 * NORMAL.shape[1] * np.dtype(dtype).itemsize  # three blocks
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: size)
    rtol = 20 * np.finfo(wide).eps
    for here, there in zip(standardised(NORMAL, WEIGHTS)[:2], whole):
        np.testing.assert_allclose(here, there, rtol=rtol, atol=rtol)


# -- the change of variables -------------------------------------------------------

MEAN, SCALE = np.asarray([1.5, -3.0, 0.0]), np.asarray([2.0, 0.25, 4.0])
COEF, INTERCEPT = RNG.integers(-8, 9, (2, 3)) / 4, RNG.integers(-8, 9, 2) / 4
X = RNG.integers(-8, 9, size=(5, 3)) / 4
# All are multiples of powers of two, so that every result below is exact.


@pytest.fixture
def units(place):
    return Standardisation(place(MEAN), place(SCALE))


def test_into_keeps_the_linear_predictor(units, place):
    v, c = units.into(place(COEF), place(INTERCEPT))
    expected = X @ COEF.T + INTERCEPT
    actual = (X - MEAN) / SCALE @ to_numpy(v).T + to_numpy(c)
    np.testing.assert_array_equal(actual, expected)


def test_out_of_is_the_inverse_of_into(units, place, assert_close):
    there_and_back = units.out_of(*units.into(place(COEF), place(INTERCEPT)))
    back_and_there = units.into(*units.out_of(place(COEF), place(INTERCEPT)))
    for coef, intercept in (there_and_back, back_and_there):
        assert_close(coef, COEF)
        assert_close(intercept, INTERCEPT)


def test_gradient_is_the_chain_rule(units, place, assert_close):
    """A linear function of (w, b), as one of (v, c): differences are exact."""
    slope, slope_intercept = COEF, INTERCEPT

    def value(v, c):
        w, b = units.out_of(place(v), place(c))
        return (slope * to_numpy(w)).sum() + slope_intercept @ to_numpy(b)

    zero, zero_intercept = np.zeros((2, 3)), np.zeros(2)
    expected, expected_intercept = np.zeros((2, 3)), np.zeros(2)
    for index in np.ndindex(2, 3):
        step = zero.copy()
        step[index] = 1
        expected[index] = value(step, zero_intercept)
    for output in range(2):
        expected_intercept[output] = value(zero, np.eye(2)[output])
    coef, intercept = units.gradient(place(slope), place(slope_intercept))
    assert_close(coef, expected)
    assert_close(intercept, expected_intercept)
