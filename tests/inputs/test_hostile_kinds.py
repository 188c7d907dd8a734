"""Arrays, labels and objects of every kind give the right model or a clear error."""

from __future__ import annotations

import copy
import warnings
from decimal import Decimal

import numpy as np
import pytest

import xlr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = (X @ [1, -1, 0.5] + RNG.logistic(size=120) > 0).astype(int)
EXPECTED = xlr.LogisticRegression(tol=1e-10).fit(X, Y)


def read_only(values):
    values = values.copy()
    values.setflags(write=False)
    return values


def unaligned(values):
    raw = np.frombuffer(b"x" + values.tobytes(), dtype=np.uint8)[1:]
    return raw.view(values.dtype).reshape(values.shape)


class Protocol:
    """An object with ``__array__`` only."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def records(values):
    return np.rec.array([tuple(row) for row in np.reshape(values, (len(values), -1))])


# -- X ---------------------------------------------------------------------------------

LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every other column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "rows reversed": lambda x: x[::-1].copy()[::-1],
    "columns reversed": lambda x: x[:, ::-1].copy()[:, ::-1],
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda x: x.astype(">f8"),
    "long double": lambda x: x.astype(np.longdouble),
    "objects": lambda x: x.astype(object),
    "decimals": lambda x: [[Decimal(float(v)) for v in row] for row in x],
    "nested lists": lambda x: x.tolist(),
    "tuples": lambda x: tuple(map(tuple, x.tolist())),
    "list of rows": list,
    "memoryview": memoryview,
    "protocol": Protocol,
    "masked array without masked entries": np.ma.array,
    "numbers as text": lambda x: x.astype(str),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_memory_layouts_give_the_same_model(layout):
    given = LAYOUTS[layout](X)
    original = copy.deepcopy(given) if layout != "memoryview" else given
    model = xlr.LogisticRegression(tol=1e-10).fit(given, Y)
    np.testing.assert_allclose(model.coef_, EXPECTED.coef_, rtol=1e-9)
    found = model.predict_proba(given)
    np.testing.assert_allclose(found, EXPECTED.predict_proba(X), rtol=1e-9)
    np.testing.assert_array_equal(np.asarray(given), np.asarray(original))


def test_float32_in_another_byte_order_is_computed_in_float32():
    given = X.astype(np.float32)
    expected = xlr.LogisticRegression().fit(given, Y)
    given = given.astype(given.dtype.newbyteorder())
    model = xlr.LogisticRegression().fit(given, Y)
    assert model.coef_.dtype == model.predict_proba(given).dtype == np.float32
    np.testing.assert_array_equal(model.coef_, expected.coef_)


NOT_A_MATRIX = {
    # function that makes X, error, and words of its message
    "generator": (lambda: (r for r in X), TypeError, "not 'generator'"),
    "set": (lambda: {1, 2}, TypeError, "not 'set'"),
    "dict": (lambda: {"a": X[:, 0]}, TypeError, "not 'dict'"),
    "None": (lambda: None, ValueError, "Expected 2D array, got scalar"),
    "0-d": (lambda: np.asarray(3.0), ValueError, "Expected 2D array, got scalar"),
    "text": (lambda: "abc", ValueError, "could not convert string to float"),
    "zero rows": (lambda: X[:0], ValueError, r"0 sample\(s\)"),
    "zero columns": (lambda: X[:, :0], ValueError, r"0 feature\(s\)"),
    "masked": (
        lambda: np.ma.array(X, mask=np.eye(120, 3, dtype=bool)),
        ValueError,
        r"X has 3 masked entries.*\(X\.filled\)",
    ),
    "records": (lambda: records(X), TypeError, r"Cannot cast .* \('f2', '<f8'\)"),
    "complex": (lambda: X + 0j, ValueError, "Complex data not supported"),
    "dates": (lambda: X.astype("M8[s]"), ValueError, "hold no numbers: X holds dates"),
    "ragged": (lambda: [[1, 2], [1]] * 60, ValueError, "inhomogeneous shape"),
    "too deep": (lambda: X[None].tolist(), ValueError, "dim 3"),
    "infinite": (lambda: X / 0, ValueError, "X contains infinity"),
    "None inside": (lambda: [[None, 1.0]] * 120, ValueError, "X contains NaN"),
    "bytes": (lambda: np.zeros((120, 3), "V8"), ValueError, "setting an array element"),
}


@pytest.mark.parametrize("kind", list(NOT_A_MATRIX))
@pytest.mark.parametrize(
    "estimator",
    [
        xlr.LogisticRegression(),
        xlr.LogisticRegressionCV(cv=2),
        xlr.MultiLabelLogisticRegression(),
        xlr.FirthLogisticRegression(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_fits_refuse_x_that_is_not_a_matrix(estimator, kind):
    make, error, words = NOT_A_MATRIX[kind]
    y = Y[:, None] if isinstance(estimator, xlr.MultiLabelLogisticRegression) else Y
    with np.errstate(all="ignore"), pytest.raises(error, match=words):
        estimator.fit(make(), y)
    assert not hasattr(estimator, "coef_")


@pytest.mark.parametrize("kind", ["generator", "masked", "records", "complex", "0-d"])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_predictions_refuse_x_that_is_not_a_matrix(kind, method):
    make, error, words = NOT_A_MATRIX[kind]
    with pytest.raises(error, match=words):
        getattr(EXPECTED, method)(make())


# -- labels ----------------------------------------------------------------------------

LABELS = {
    "beyond 2^53": np.asarray([2**53, 2**53 + 1]),
    "beyond int64": np.asarray([2**64 - 2, 2**64 - 1], dtype=np.uint64),
    "ends of int64": np.asarray([-(2**63), 2**63 - 1]),
    "NUL inside": np.asarray(["a\0b", "a\0c"]),
    "NUL at the end": np.asarray(["a", "a\0"], dtype=object),
    "floats": np.asarray([1.0, 2.0]),
    "huge floats": np.asarray([-1e300, 1e300]),
    "float16": np.asarray([0, 1], dtype=np.float16),
    "booleans": np.asarray([False, True]),
    "big-endian": np.asarray([3, 4], dtype=">i8"),
    "big-endian text": np.asarray(["ß", "é"], dtype=">U1"),
    "strings of NumPy 2": np.asarray(["a", "b"], dtype=np.dtypes.StringDType()),
    "dates": np.asarray(["2020-01-01", "2021-01-01"], dtype="M8[D]"),
    "empty text": np.asarray(["", " "]),
}


@pytest.mark.parametrize("kind", list(LABELS))
def test_predictions_keep_the_labels_of_y(kind):
    classes = LABELS[kind]
    y = classes[Y]
    model = xlr.LogisticRegression(tol=1e-10).fit(X, y)
    np.testing.assert_array_equal(model.coef_, EXPECTED.coef_)
    assert model.classes_.dtype == classes.dtype
    assert model.classes_.tolist() == classes.tolist()
    expected = classes[EXPECTED.predict(X)]
    assert model.predict(X).tolist() == expected.tolist()


@pytest.mark.shared_arithmetic
def test_integer_labels_beyond_2_53_are_kept(backend, sum_dtype):
    if backend.name == "jax":
        import jax

        assert jax.config.jax_enable_x64
    classes = np.asarray([2**53, 2**53 + 1, 2**53 + 2])
    y = np.arange(120) % 3
    data = backend.xp.asarray(X.astype(sum_dtype), device=backend.device)
    labels = backend.xp.asarray(classes[y], device=backend.device)
    model = xlr.LogisticRegression().fit(data, labels)
    assert [int(label) for label in model.classes_] == classes.tolist()
    assert {int(label) for label in model.predict(data)} <= set(classes.tolist())


def test_labels_of_signed_zeros_are_one_class():
    with pytest.raises(ValueError, match=r"only one class, 0\.0"):
        xlr.LogisticRegression().fit(X, np.where(Y, 0.0, -0.0))


NOT_LABELS = {
    "generator": (lambda: (v for v in Y), ValueError, "y should be a 1d array"),
    "set": (lambda: {0, 1}, ValueError, "y should be a 1d array"),
    "masked": (
        lambda: np.ma.array(Y, mask=[True] + [False] * 119),
        ValueError,
        "y has 1 masked entries",
    ),
    "records": (lambda: records(Y), ValueError, r"holds objects such as \(0,\)"),
    "lists": (
        lambda: np.fromiter(([int(v)] for v in Y), dtype=object),
        ValueError,
        r"do not compare \(list\)",
    ),
    "complex": (lambda: Y + 0j, ValueError, "Unknown label type: .* strings, whole"),
    "0-d": (lambda: np.asarray(1), ValueError, "y should be a 1d array"),
    "empty": (list, ValueError, "120 rows of X, 0 of y"),
    "text and numbers": (
        lambda: [1 if v else "1" for v in Y],
        ValueError,
        r"mix types or do not compare \(int and str\)",
    ),
    "text and NaN": (
        lambda: ["a" if v else float("nan") for v in Y],
        ValueError,
        "missing labels",
    ),
    "objects": (
        lambda: np.asarray([1, "a"], dtype=object)[Y],
        ValueError,
        "mix types",
    ),
    "whole numbers beyond 2^64": (
        lambda: [10**30 + int(v) for v in Y],
        ValueError,
        "holds objects such as 1000",
    ),
    "infinite": (lambda: np.where(Y, np.inf, 0), ValueError, "NaN or infinity"),
    "halves": (lambda: Y / 2, ValueError, "not whole, such as 0.5"),
}


@pytest.mark.parametrize("kind", list(NOT_LABELS))
@pytest.mark.parametrize(
    "estimator",
    [
        xlr.LogisticRegression(),
        xlr.LogisticRegressionCV(cv=2),
        xlr.FirthLogisticRegression(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_fits_refuse_y_that_does_not_hold_labels(estimator, kind):
    make, error, words = NOT_LABELS[kind]
    with pytest.raises(error, match=words):
        estimator.fit(X, make())
    assert not hasattr(estimator, "coef_")


# -- weights and offsets ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["sample_weight", "offset"])
@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.ma.array(np.ones(120), mask=Y == 1), ValueError, "masked entries"),
        ((1.0 for _ in Y), ValueError, "must hold real numbers: .* not 'generator'"),
        (np.ones(120, "m8[s]"), ValueError, "must hold real numbers; got timedelta64"),
        (np.ones((120, 2)), ValueError, r"shape \(120, 2\)|has 2 columns"),
        (np.asarray(2.0), ValueError, r"shape \(\), expected \(120,\)"),
        ("abc", ValueError, "must hold real numbers"),
        ([None] * 120, ValueError, "contains NaN"),
    ],
    ids=["masked", "generator", "times", "columns", "0-d", "text", "None"],
)
def test_fits_refuse_weights_and_offsets_that_are_not_numbers(
    name, values, error, words
):
    with pytest.raises(error, match=words):
        xlr.LogisticRegression().fit(X, Y, **{name: values})


def test_offsets_that_overflow_f_raise_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FloatingPointError, match="The objective is inf"):
            xlr.LogisticRegression().fit(X, Y, offset=np.full(120, 1e308))
