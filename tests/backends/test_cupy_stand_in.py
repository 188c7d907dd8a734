"""The stand-in for CuPy follows CuPy's contract and signatures."""

from __future__ import annotations

import inspect
from operator import attrgetter
from pathlib import Path

import cupy_stand_in
import numpy as np
import pytest
from conftest import STAND_IN
from cupy_stand_in import Device, cupy

VALUES = np.arange(6.0).reshape(2, 3)

REFUSED = {
    "np.asarray": lambda x: np.asarray(x),
    "a NumPy operand": lambda x: x + VALUES,
    "a NumPy operand first": lambda x: VALUES * x,
    "a NumPy argument": lambda x: cupy.maximum(x, VALUES),
    "a keyword of NumPy": lambda x: cupy.sum(x, axis=0, initial=0),
    "a keyword of the standard": lambda x: cupy.linalg.cholesky(x, upper=True),
    "an index": lambda x: range(x[0, 0]),
}

# Names of CuPy that xlr uses, apart from the standard's and array-api-compat's.
OTHER_NAMES = [
    "_core._routines_linalg.COMPUTE_TYPE_DEFAULT",
    "_core._routines_linalg.get_compute_type",
    "_core._routines_linalg.set_compute_type",
    "cuda.Device.mem_info",
    "get_default_memory_pool",
    "ndarray.device",
    "ndarray.get",
    "ndarray.scatter_add",
]


@pytest.mark.parametrize("kind", list(REFUSED))
def test_stand_in_refuses_what_cupy_refuses(kind):
    x = cupy.asarray(VALUES)
    with pytest.raises(TypeError):
        REFUSED[kind](x)


def test_stand_in_factorises_an_indefinite_matrix_without_an_error():
    """The result is not a factor, and contains no NaN."""
    indefinite = cupy.asarray(np.asarray([[1.0, 2.0], [2.0, 1.0]]))
    factor = cupy.linalg.cholesky(indefinite)
    assert np.isfinite(factor.get()).all()
    assert not np.allclose((factor @ factor.T).get(), indefinite.get())


def test_stand_in_reads_arrays_of_the_current_device_alone():
    with Device(1):
        x = cupy.asarray(VALUES)
    assert x.device == Device(1)
    assert Device() == Device(0)
    with pytest.raises(ValueError, match="Device 1"):
        x + 1
    np.testing.assert_array_equal(x.get(), VALUES)
    assert cupy.asarray(x).device == Device(0)
    with x.device:
        assert (x + 1).device == cupy.zeros(2).device == Device(1)


def test_stand_in_has_the_signatures_of_cupy():
    """CuPy shows its signatures without a GPU too."""
    real = pytest.importorskip("cupy")
    if STAND_IN:
        pytest.skip("the stand-in is in CuPy's place")
    for name in OTHER_NAMES:
        assert attrgetter(name)(real) is not None
    # Without CUDA's libraries, cupyx.lapack cannot be imported.
    lapack = Path(real.__file__).parents[1] / "cupyx" / "lapack.py"
    assert "\ndef potrs(L, b, lower):\n" in lapack.read_text(encoding="utf-8")
    empty = inspect.Parameter.empty
    for line in cupy_stand_in.SIGNATURES.read_text(encoding="ascii").splitlines():
        name, opened, rest = line.partition("(")
        function = attrgetter(name)(real)
        if isinstance(function, real.ufunc):
            n_inputs = rest.partition("/")[0].count("x")
            assert [function.nin, function.nout] == [n_inputs, 1]
        elif opened:
            parameters = inspect.signature(function).parameters.values()
            listed = inspect.signature(eval(f"lambda {rest.removesuffix(')')}: 0"))
            kinds = {each.name: each.kind for each in parameters}
            listed_kinds = {each.name: each.kind for each in listed.parameters.values()}
            assert kinds.items() >= listed_kinds.items(), name
            # Newer versions may add optional parameters.
            assert all(
                each.default is not empty
                for each in parameters
                if each.name not in listed.parameters
            ), name
