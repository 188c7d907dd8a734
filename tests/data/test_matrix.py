"""Matrices: each method of each kind agrees with plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import to_numpy

import xlr
from xlr import arrays
from xlr.data import (
    CategoricalMatrix,
    DenseMatrix,
    Scaler,
    SparseMatrix,
    SplitMatrix,
    matrix_of,
)

# On JAX, test_jax_tracing.py tests these by a compiled fit.
pytestmark = [
    pytest.mark.slow_on_jax,
    # BLAS sets this flag for finite numbers at times; fits ignore it too.
    pytest.mark.filterwarnings("ignore:invalid value encountered in matmul"),
]

N, P, M = 23, 5, 3
RNG = np.random.default_rng(0)
# Multiples of 1/8 are exact in float32.
ENTRIES = RNG.integers(-16, 17, size=(N, P)) / 8 * (RNG.random((N, P)) < 0.5)
ENTRIES[:, 4] = 0
# Codes of three columns. -1 is no level, and some levels have no rows.
CODES = RNG.integers(-1, [[3, 0, 2]], size=(N, 3))
CODES[:, 1] = 0
LEVELS = 3, 2, 3
ONE_HOT = [np.eye(n + 1)[own][:, :n] for n, own in zip(LEVELS, CODES.T)]
COEF = RNG.integers(-8, 9, size=(M, P)) / 8
INTERCEPT = RNG.integers(-8, 9, size=M) / 8
RESIDUAL = RNG.integers(-8, 9, size=(N, M)) / 8
WEIGHTS = RNG.integers(0, 9, size=(N, M)) / 8
SCALE = np.asarray([1.0, 0.5, 2.0, 4.0, 1.0])
# The last column is constant.
VARIES = np.asarray([1.0, 1.0, 1.0, 1.0, 0.0])
# Means near zero, and means that cancel digits of float32.
NEAR = np.asarray([0.0, 1.0, -2.0, 0.5, 3.0])
FAR = np.asarray([0.0, 200.0, -3000.0, 2.0**16, 3.0])
# Means of the scaler of each kind of matrix; None is no scaler.
MEANS = {
    "dense": None,
    "dense near": NEAR,
    "dense far": FAR,
    "dense in one block": NEAR,
    "sparse": None,
    "sparse near": NEAR,
    "sparse far": FAR,
    "categorical": None,
    "categorical near": np.asarray([0.25, 0.5, 0.125, 1.0, 0.0]),
    "split": None,
    "split near": np.asarray([1.0, -2.0, 0.25, 0.5, 0.0]),
    "split far": np.asarray([200.0, -3000.0, 0.25, 0.5, 0.0]),
}


@pytest.fixture(params=MEANS)
def matrix(request, backend, monkeypatch, place, dtype, sum_dtype):
    """Return a matrix and its entries: X, or (X - mean) / scale with a scaler."""
    form, xp = request.param, backend.xp
    if "sparse" in form and backend.name not in ("numpy", "cupy"):
        pytest.skip("sparse matrices are SciPy's or CuPy's")
    if form != "dense in one block":
        monkeypatch.setattr(arrays, "block_bytes", lambda x: 64)
    mean = MEANS[form]
    X = entries = ENTRIES if mean is None else ENTRIES + mean
    if "sparse" in form:
        made = SparseMatrix(csr(place(X)), xp=xp)
    elif "categorical" in form:
        codes = xp.asarray(CODES[:, :2], device=backend.device)
        made = CategoricalMatrix(codes, LEVELS[:2], getattr(xp, dtype), xp=xp)
        entries = np.concatenate(ONE_HOT[:2], axis=1)
    elif "split" in form:
        codes = xp.asarray(CODES[:, 2], device=backend.device)
        made = SplitMatrix([place(X[:, :2]), CategoricalMatrix(codes, 3, xp=xp)])
        entries = np.concatenate([X[:, :2], ONE_HOT[2]], axis=1)
    else:
        made = DenseMatrix(place(X), xp=xp)
    if mean is None:
        return made, entries
    parts = (place(part, sum_dtype) for part in (mean, SCALE, VARIES))
    return made.standardized(Scaler(*parts)), (entries - mean) / SCALE


def csr(X):
    if isinstance(X, np.ndarray):
        return sp.csr_array(X)
    from cupyx.scipy import sparse

    return sparse.csr_matrix(X)


@pytest.fixture
def close(assert_close, dtype):
    """Return a function that compares to within the rounding errors of X."""
    tolerance = {"float32": 1e-5, "float64": 1e-10}[dtype]

    def close(actual, expected, *, as_dtype=None, tolerance=tolerance):
        atol = tolerance * max(1.0, np.abs(expected).max(initial=0))
        assert_close(actual, expected, atol=atol, as_dtype=as_dtype)

    return close


def rows_of(matrix, start=0, stop=N):
    """Return a block of rows, as in a pass."""
    return matrix.take_rows(slice(start, stop))


def test_matvec_is_x_times_coefficients(matrix, place, sum_dtype, close):
    X, Z = matrix
    coef, intercept = place(COEF, sum_dtype), place(INTERCEPT, sum_dtype)
    close(rows_of(X).matvec(coef, intercept), Z @ COEF.T + INTERCEPT)
    close(rows_of(X).matvec(coef), Z @ COEF.T)
    close(rows_of(X).matvec(coef[:1, :]), Z @ COEF[:1].T)


def test_transpose_matvec_is_residuals_times_x(matrix, place, sum_dtype, close):
    X, Z = matrix
    for columns in (RESIDUAL, RESIDUAL[:, :1]):
        total = place(columns.sum(axis=0), sum_dtype)
        for known in (total, None):
            found = rows_of(X).transpose_matvec(place(columns), known)
            close(found, columns.T @ Z, as_dtype=sum_dtype)


@pytest.mark.parametrize("m", [1, M])
def test_sandwich_is_the_gram_matrix_of_weighted_rows(
    m, matrix, place, sum_dtype, close
):
    X, Z = matrix
    A = (RESIDUAL[:, :m, None] * Z[:, None, :]).reshape(N, -1)
    found = rows_of(X).sandwich(place(RESIDUAL[:, :m]))
    close(found, A.T @ A, as_dtype=sum_dtype)
    np.testing.assert_allclose(to_numpy(found), to_numpy(found).T, atol=1e-3)


def test_sandwich_diagonal_weighs_the_squares(matrix, place, sum_dtype, close):
    X, Z = matrix
    found = rows_of(X).sandwich_diagonal(place(WEIGHTS))
    close(found, WEIGHTS.T @ Z**2, as_dtype=sum_dtype)
    assert (to_numpy(found) >= 0).all()


def test_take_rows_takes_slices_and_indices(matrix, backend, close):
    X, Z = matrix
    close(rows_of(X, 3, 9).to_dense(), Z[3:9])
    indices = backend.xp.asarray([5, 0, 0, 22], device=backend.device)
    close(X.take_rows(indices).to_dense(), Z[[5, 0, 0, 22]])
    close(X.take_rows(indices[:0]).to_dense(), Z[:0])


def test_take_columns_keeps_all_rows(matrix, backend, place, sum_dtype, close):
    X, Z = matrix
    some = X.take_columns(backend.xp.asarray([1, 3], device=backend.device))
    assert some.shape == (N, 2)
    close(rows_of(some).to_dense(), Z[:, [1, 3]])
    found = rows_of(some).transpose_matvec(place(RESIDUAL))
    close(found, RESIDUAL.T @ Z[:, [1, 3]], as_dtype=sum_dtype)


@pytest.mark.parametrize("density", [0.002, 0.5])
@pytest.mark.parametrize("m", [1, 2])
def test_sparse_sandwich_of_wide_rows_is_the_gram_matrix(density, m):
    """Rows with few entries are multiplied pair by pair, others as dense rows."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 300)) * (rng.random((40, 300)) < density)
    u = rng.normal(size=(40, m))
    A = (u[:, :, None] * X[:, None, :]).reshape(40, -1)
    found = SparseMatrix(sp.csr_array(X), xp=arrays.namespace(X)).sandwich(u)
    np.testing.assert_allclose(found, A.T @ A, atol=1e-12)


# -- refusals --------------------------------------------------------------------------


WRONG_PARTS = {
    "no parts": ([], "parts is empty"),
    "one dimension": ([np.zeros(3)], r"shape \(3,\), expected two dimensions"),
    "different numbers of rows": (
        [np.zeros((3, 1)), np.zeros((4, 1))],
        "have 3, 4 rows",
    ),
    "complex numbers": ([np.zeros((3, 1)) + 1j], "dtype complex128, expected real"),
    "sparse complex numbers": ([sp.csr_array([[1j]])], "dtype complex128"),
    "words": ([[["a"], ["b"]]], "dtype <U1, expected real numbers"),
}


@pytest.mark.parametrize("case", WRONG_PARTS)
def test_wrong_parts_of_a_split_matrix_are_refused(case):
    parts, sentence = WRONG_PARTS[case]
    with pytest.raises(ValueError, match=sentence):
        SplitMatrix(parts)
    with pytest.raises(ValueError, match="1 names, expected 2"):
        SplitMatrix([np.zeros((3, 2))], names=["a"])


@pytest.mark.parametrize("codes", [[-2, 0, 1], [0, 1, 2]])
def test_wrong_codes_of_a_categorical_matrix_are_refused(codes):
    with pytest.raises(ValueError, match=r"expected -1 \(no level\) to 1"):
        CategoricalMatrix(np.asarray(codes), 2)
    with pytest.raises(ValueError, match="a column for each of n_levels"):
        CategoricalMatrix(np.zeros((3, 1), dtype=int), (2, 2))
    for wrong in (np.asarray([0, np.nan, 1]), [0.0, 0.5, 1.0]):
        with pytest.raises(ValueError, match="codes has dtype float64, expected int"):
            CategoricalMatrix(wrong, 2)


def test_categorical_matrix_takes_a_list_and_an_integer_of_numpy():
    matrix = CategoricalMatrix([0, 1, 1, -1], np.int64(2))
    np.testing.assert_array_equal(matrix.to_dense().argmax(axis=1), [0, 1, 1, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_non_finite_column_of_a_split_matrix_is_named(bad, form):
    """Fits and predictions check the columns of every part."""
    codes = CategoricalMatrix(np.arange(N) % 2, 2)
    right = SplitMatrix([codes, ENTRIES, form(ENTRIES)])
    wrong = ENTRIES.copy()
    wrong[3, 1] = bad
    wrong = SplitMatrix([codes, ENTRIES, form(wrong)])
    y = np.arange(N) % 3 % 2
    with pytest.raises(ValueError, match="Column 'x8' is not finite"):
        xlr.LogisticRegression().fit(wrong, y)
    with pytest.raises(ValueError, match="Column 'x8' is not finite"):
        xlr.LogisticRegression().fit(right, y).predict(wrong)


@pytest.mark.parametrize("dtype", [np.int64, bool])
def test_sparse_parts_and_lists_may_hold_integers_and_booleans(dtype):
    entries = (ENTRIES > 0).astype(dtype)
    made = SplitMatrix([sp.csr_array(entries), entries.tolist(), ENTRIES])
    assert made.dtype == np.float64
    np.testing.assert_array_equal(made.to_dense(), np.hstack([entries] * 2 + [ENTRIES]))


def test_sparse_parts_may_store_an_entry_twice():
    twice = sp.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 2))
    made = SplitMatrix([twice])
    weights = np.ones((2, 1))
    np.testing.assert_array_equal(made.sandwich_diagonal(weights), [[0, 9]])


def test_order_of_parts_does_not_change_what_a_split_matrix_stores():
    X, codes = np.zeros((2**17, 3)), CategoricalMatrix(np.zeros(2**17, dtype=int), 1)
    scaler = Scaler(np.zeros(4), np.ones(4), np.ones(4))
    for parts in ([X, codes], [codes, X]):
        assert SplitMatrix(parts).stored is X
        assert SplitMatrix(parts).standardized(scaler).stored is X


def test_matrix_of_a_chunk_copies_unaligned_arrays_only():
    values = np.arange(6.0)[:, None]
    xp = arrays.namespace(values)
    unaligned = np.frombuffer(b"abc" + values.tobytes(), offset=3)[:, None]
    assert not unaligned.flags.aligned
    stored = matrix_of(unaligned, xp=xp).stored
    assert stored.flags.aligned
    np.testing.assert_array_equal(stored, values)
    assert matrix_of(values, xp=xp).stored is values
