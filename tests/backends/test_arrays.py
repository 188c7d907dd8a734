"""Namespaces, moves between libraries and devices, and linear solves."""

import array_api_compat
import numpy as np
import pytest
from conftest import namespace_of, to_numpy

import xlr
from xlr import arrays

FLOATS = np.asarray([1.5, -2.0, 0.0])
INTEGERS = np.asarray([3, 0, 200])


def assert_on(x, backend, dtype):
    """Check the library, device and dtype of an array."""
    assert namespace_of(x) is backend.xp
    assert arrays.device_of(x) == backend.device
    assert x.dtype == getattr(backend.xp, dtype)


def test_namespace_of_arrays_is_that_of_their_library(xp, place):
    assert arrays.namespace(place(FLOATS)).__name__ == xp.__name__
    assert arrays.namespace([1.0, 2.0]).__name__ == "numpy"


def test_sparse_arrays_of_pydata_are_refused_with_advice():
    sparse = pytest.importorskip("sparse")
    x = sparse.COO.from_numpy(np.eye(3))
    with pytest.raises(TypeError, match=r"pydata/sparse.* x\.todense\(\)"):
        xlr.LogisticRegression().fit(x, [0, 1, 1])


def test_arrays_of_ndonnx_are_refused_with_advice():
    ndonnx = pytest.importorskip("ndonnx")
    model = xlr.LogisticRegression().fit(np.eye(3), [0, 1, 1])
    with pytest.raises(TypeError, match=r"ndonnx .* x\.unwrap_numpy\(\)"):
        model.predict(ndonnx.asarray(np.eye(3)))


def test_widest_dtype_of_a_device_is_found(xp, sum_dtype, device):
    assert arrays.widest_float(xp=xp, device=device) == getattr(xp, sum_dtype)
    for given, expected in [
        ("float32", "float32"),
        (sum_dtype, sum_dtype),
        ("int32", sum_dtype),
        ("bool", sum_dtype),
    ]:
        x = xp.zeros(2, dtype=getattr(xp, given), device=device)
        assert arrays.floating_dtype(x, xp=xp) == getattr(xp, expected)
        assert arrays.is_floating(x, xp=xp) == given.startswith("float")


@pytest.mark.parametrize(
    "values",
    [FLOATS, INTEGERS, INTEGERS > 0, FLOATS[:0], FLOATS[0]],
    ids=["floats", "integers", "booleans", "empty", "scalar"],
)
def test_to_host_keeps_values_and_dtype(values, place):
    x = place(values)
    host = arrays.to_host(x)
    assert type(host) is np.ndarray
    assert host.dtype.name == str(x.dtype).rpartition(".")[2]
    np.testing.assert_array_equal(host, values)


def test_to_host_reads_tensors_with_gradients():
    torch = pytest.importorskip("torch")
    x = torch.asarray(FLOATS, requires_grad=True)
    np.testing.assert_array_equal(arrays.to_host(x), FLOATS)


@pytest.mark.parametrize("given", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("reference", [None, "float32", "float64", "int32"])
def test_move_from_numpy_and_back_keeps_values(sum_dtype, given, reference, backend):
    if reference == "float64" and not backend.supports("float64"):
        pytest.skip("the device has no float64")
    xp, device = backend.xp, backend.device
    values = np.asarray([0, 1, 1]).astype(given)
    dtype = None if reference is None else getattr(xp, reference)
    moved = arrays.move(values, xp=xp, device=device, dtype=dtype)
    kept = sum_dtype if given == "float64" else given
    assert_on(moved, backend, reference or kept)
    np.testing.assert_array_equal(to_numpy(moved), values)

    dtype = None if reference is None else getattr(np, reference)
    back = arrays.move(moved, xp=np, device="cpu", dtype=dtype)
    assert type(back) is np.ndarray
    assert back.dtype.name == (reference or kept)
    np.testing.assert_array_equal(back, values)


def test_move_within_a_library_keeps_values(backend, place, dtype):
    x = place(FLOATS)
    same = arrays.move(x, xp=backend.xp, device=backend.device)
    if array_api_compat.is_torch_array(x):
        assert same.data_ptr() == x.data_ptr()
    else:
        assert same is x
    changed = arrays.move(
        x, xp=backend.xp, device=backend.device, dtype=backend.xp.int32
    )
    assert_on(changed, backend, "int32")
    np.testing.assert_array_equal(to_numpy(changed), FLOATS.astype("int32"))


def test_move_between_devices_of_a_library_keeps_values():
    xp = pytest.importorskip("array_api_strict")
    x = xp.asarray(FLOATS, device=xp.Device("device1"))
    moved = arrays.move(x, xp=xp, device=xp.Device("device2"))
    assert moved.device == xp.Device("device2")
    np.testing.assert_array_equal(to_numpy(moved), FLOATS)


def test_move_converts_a_list_to_an_array(backend, sum_dtype):
    x = arrays.move(FLOATS.tolist(), xp=backend.xp, device=backend.device)
    assert_on(x, backend, sum_dtype)
    np.testing.assert_array_equal(to_numpy(x), FLOATS)


@pytest.mark.parametrize("source", ["int64", "uint64", "float64"])
def test_move_to_a_device_without_64_bits_gives_32_bits(source):
    xp = pytest.importorskip("array_api_strict")
    try:
        device = xp.Device("no_x64")
    except ValueError:
        pytest.skip("this array-api-strict has no device without 64 bits")
    x = arrays.move(INTEGERS.astype(source), xp=xp, device=device)
    assert x.device == device
    assert x.dtype == (xp.float32 if source == "float64" else xp.int32)
    np.testing.assert_array_equal(to_numpy(x), INTEGERS)


@pytest.mark.parametrize("layout", ["reversed", "strided", "big-endian", "read-only"])
def test_move_takes_numpy_memory_of_any_layout(layout, backend):
    values = np.arange(6.0)
    if layout == "reversed":
        values = values[::-1]
    elif layout == "strided":
        values = values[::2]
    elif layout == "big-endian":
        values = values.astype(">f8")
    else:
        values.flags.writeable = False
    x = arrays.move(values, xp=backend.xp, device=backend.device)
    np.testing.assert_array_equal(to_numpy(x), values)
    if backend.name == "torch" and layout == "read-only":
        # torch has no read-only tensors, and warns when it shares such memory.
        assert not np.shares_memory(to_numpy(x), values)


# -- positive_definite_solver ------------------------------------------------------


def positive_definite_systems():
    """Return three matrices, and two right-hand sides for each."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 4, 6))
    return root @ root.mT + 0.1 * np.eye(4), rng.normal(size=(3, 2, 4))


def test_positive_definite_solver_solves_each_system(xp, place, dtype, assert_close):
    a, b = positive_definite_systems()
    expected = np.linalg.solve(a, b.mT).mT
    condition = np.linalg.cond(a).max()
    tolerance = 4 * condition * np.finfo(dtype).eps * np.abs(expected).max()
    right_side = place(b[:, :1, :])
    solve = arrays.positive_definite_solver(place(a), xp=xp)
    assert_close(solve(place(b)), expected, atol=float(tolerance))
    assert_close(solve(right_side), expected[:, :1, :], atol=float(tolerance))
    assert_close(right_side, b[:, :1, :].astype(dtype))  # LAPACK solves in place


@pytest.mark.parametrize("kind", ["indefinite", "singular", "nan"])
def test_positive_definite_solver_of_another_matrix_gives_nan(
    kind, backend, place, assert_close
):
    a, b = positive_definite_systems()
    solution = arrays.positive_definite_solver(place(a), xp=backend.xp)(place(b))
    a[1] = {
        "indefinite": np.diag([1.0, -1.0, 1.0, 1.0]),
        "singular": np.diag([1.0, 0.0, 1.0, 1.0]),
        "nan": np.full((4, 4), np.nan),
    }[kind]
    expected = to_numpy(solution).copy()
    expected[1] = np.nan
    actual = arrays.positive_definite_solver(place(a), xp=backend.xp)(place(b))
    assert_close(actual, expected, rtol=1e-6)
