"""Fixtures that run the numerical tests on every array library, device and dtype.

Most tests use ``place``, which moves NumPy arrays to the library, device and dtype of
the test. ``XLR_TEST_BACKENDS`` (comma-separated) selects libraries; a name that is not
installed is then an error, not a skip. Without a GPU, ``cupy`` in that list is the
stand-in of ``cupy_stand_in.py``. With ``XLR_REQUIRE_GPU=1`` a missing GPU is an error
too. ``-m gpu`` without a GPU prints a sentence and ends.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys

if "PYTEST_XDIST_WORKER" in os.environ:
    # Set this before NumPy loads: BLAS threads of several workers block each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ["MPLBACKEND"] = "agg"  # no windows

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import array_api_compat
import cupy_stand_in
import numpy as np
import pytest

from xlr import arrays

# XLA compiles for every shape, which takes most of the time of a test on JAX. Workers
# and later runs share the compiled code.
JAX_CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(JAX_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# pip installs the OpenCL runtime here; dpnp needs it to find the CPU.
OPENCL = Path(sys.prefix) / "lib" / "libintelocl.so"
if OPENCL.exists():
    os.environ.setdefault("OCL_ICD_FILENAMES", str(OPENCL))
# dpnp 0.20 holds the GIL while it waits for a thread of SYCL's small pool, and it hangs
# when all of these wait for the GIL. A large pool makes that rare.
os.environ.setdefault("SYCL_QUEUE_THREAD_POOL_SIZE", "512")

GPU_BACKENDS = ["cupy", "torch-cuda"]
BACKENDS = ["numpy", "array_api_strict", "torch", "jax", "dpnp", *GPU_BACKENDS]
# CPU_DEVICE is the default and would add nothing to device1. On no_x64, argmax and
# unique_inverse of array-api-strict 2.6 raise errors: they return int64, which that
# device lacks.
STRICT_DEVICES = ["device1", "no_float64"]
# Combinations that run only if XLR_TEST_BACKENDS names the library. XLA compiles again
# for another dtype, and array-api-strict checks each operation, which takes long.
COVERED = {
    ("array_api_strict:device1", None),
    ("array_api_strict:no_float64", "float64"),  # does not exist
    ("torch", "float64"),
    ("jax", "float32"),
}
SKIPPED_MARKS = {
    "array_api_strict:no_float64": ("shared_arithmetic",),
    "jax": ("shared_arithmetic", "slow_on_jax"),
}
REQUIRE_GPU = os.environ.get("XLR_REQUIRE_GPU") == "1"
CHOSEN = [b for b in os.environ.get("XLR_TEST_BACKENDS", "").split(",") if b]
if unknown := set(CHOSEN) - set(BACKENDS):
    raise pytest.UsageError(f"XLR_TEST_BACKENDS: {unknown}; choose from {BACKENDS}.")


@dataclass(frozen=True)
class Backend:
    """One library on one device."""

    name: str
    xp: Any
    device: Any

    def supports(self, dtype: str) -> bool:
        info = self.xp.__array_namespace_info__()
        return dtype in info.dtypes(device=self.device, kind="real floating")


def namespace_of(x: Any) -> Any:
    """Return the namespace of an array: NumPy is its own."""
    if isinstance(x, np.ndarray | np.generic):
        return np
    return array_api_compat.array_namespace(x)


def _skip_or_fail(reason: str, *, required: bool) -> None:
    if required:
        pytest.fail(reason)
    pytest.skip(reason)


def why_not(name: str) -> str | None:
    """Return why a backend on a GPU cannot run here, or None."""
    library = "cupy" if name == "cupy" else "torch"
    if importlib.util.find_spec(library) is None:
        return f"{library} is not installed"
    if name == "cupy":
        import cupy

        try:
            available = cupy.cuda.is_available()
        except RuntimeError as error:  # CuPy 13 without a driver
            return str(error)
        return None if available else "CuPy sees no CUDA GPU"
    import torch

    return None if torch.cuda.is_available() else "torch sees no CUDA GPU"


# The stand-in runs CuPy's tests on the CPU.
STAND_IN = "cupy" in CHOSEN and not REQUIRE_GPU and why_not("cupy") is not None
if STAND_IN:
    cupy_stand_in.install()


def pytest_report_header() -> str:
    if STAND_IN:
        return "cupy: no GPU, so the stand-in of cupy_stand_in.py"
    return f"libraries: {', '.join(CHOSEN or filter(_is_installed, BACKENDS))}"


def pytest_configure(config: pytest.Config) -> None:
    """End the run with a sentence if the selected GPU tests cannot run."""
    if config.option.markexpr != "gpu":
        return
    reasons = [why_not(name) for name in GPU_BACKENDS if name in (CHOSEN or BACKENDS)]
    missing = "; ".join(reason for reason in reasons if reason is not None)
    if REQUIRE_GPU and missing:
        raise pytest.UsageError(f"XLR_REQUIRE_GPU=1: {missing}.")
    if None not in reasons:
        pytest.exit(f"no GPU test can run here: {missing}.", returncode=0)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Deselect absent libraries and, without a chosen library, covered tests."""
    if CHOSEN or REQUIRE_GPU or config.option.markexpr == "gpu":
        return
    deselected = {item for item in items if _is_absent(item) or _is_covered(item)}
    config.hook.pytest_deselected(items=list(deselected))
    items[:] = [item for item in items if item not in deselected]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker consecutive tests, which share fixtures and caches."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def _backend_and_dtype(item: pytest.Item) -> tuple[str, str]:
    """Return the backend and dtype of a test, or empty strings."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    backend = parameters.get("backend", parameters.get("half", ""))
    backend = backend if isinstance(backend, str) else backend[0]
    return backend, parameters.get("dtype", "")


@functools.cache
def _is_installed(name: str) -> bool:
    if name in GPU_BACKENDS:
        return why_not(name) is None
    return importlib.util.find_spec(name) is not None


def _is_absent(item: pytest.Item) -> bool:
    name = re.split("[: ]", _backend_and_dtype(item)[0])[0]
    return name in BACKENDS and not _is_installed(name)


def _is_covered(item: pytest.Item) -> bool:
    """Return whether the same test on another library, dtype or device suffices."""
    backend, dtype = _backend_and_dtype(item)
    if any(map(item.get_closest_marker, SKIPPED_MARKS.get(backend, ()))):
        return True
    return not COVERED.isdisjoint({(backend, dtype), (backend, None)})


def _gpu_backend(name: str) -> Backend:
    required = REQUIRE_GPU or (name in CHOSEN and name != "cupy")
    if reason := why_not(name):
        _skip_or_fail(reason, required=required)
    if name == "cupy":
        import cupy

        xp = namespace_of(cupy.empty(0))
        return Backend(name, xp, cupy.cuda.Device(0))
    import torch

    xp = namespace_of(torch.empty(0))
    return Backend(name, xp, torch.device("cuda:0"))


def make_backend(parameter: str) -> Backend:
    """Return the backend of a parameter, or skip the test."""
    name, _, strict_device = parameter.partition(":")
    if CHOSEN and name not in CHOSEN:
        pytest.skip(f"{name} is not among XLR_TEST_BACKENDS")
    if name in GPU_BACKENDS:
        return _gpu_backend(name)
    if importlib.util.find_spec(name) is None:
        _skip_or_fail(f"{name} is not installed", required=name in CHOSEN)
    if name == "array_api_strict":
        import array_api_strict as xp

        return Backend(name, xp, xp.Device(strict_device))
    if name == "torch":
        import torch

        xp = namespace_of(torch.empty(0))
        return Backend(name, xp, torch.device("cpu"))
    if name == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
        empty = jax.numpy.empty(0)
        return Backend(name, namespace_of(empty), empty.device)
    if name == "dpnp":
        import dpnp

        return Backend(name, dpnp, dpnp.empty(0).device)
    empty = np.empty(0)
    return Backend(name, namespace_of(empty), "cpu")


PARAMETERS = [
    pytest.param(
        parameter,
        marks=[pytest.mark.gpu] if parameter in GPU_BACKENDS else [],
    )
    for parameter in [
        "numpy",
        *(f"array_api_strict:{device}" for device in STRICT_DEVICES),
        "torch",
        "jax",
        "dpnp",
        "cupy",
        "torch-cuda",
    ]
]


@pytest.fixture
def in_this_thread() -> Iterator[None]:
    """Run Dask's tasks in the thread of the test, its cheapest scheduler."""
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(params=PARAMETERS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Return a library on a device; torch computes itself there.

    xlr would read torch tensors in host memory as NumPy arrays. This fixture prevents
    that, so that the tests run the code that runs on a GPU.
    """
    backend = make_backend(request.param)
    if backend.name == "torch":
        view = functools.partial(arrays.numpy_view, differentiable=True)
        monkeypatch.setattr(arrays, "numpy_view", lambda x, **options: view(x))
    return backend


@pytest.fixture
def xp(backend: Backend) -> Any:
    return backend.xp


@pytest.fixture
def device(backend: Backend) -> Any:
    return backend.device


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest, backend: Backend) -> str:
    if not backend.supports(request.param):
        pytest.skip(f"{backend.device} has no {request.param}")
    return request.param


@pytest.fixture
def place(backend: Backend, dtype: str) -> Callable[..., Any]:
    """Return a function that moves NumPy arrays to the backend, floats in ``dtype``."""

    def place(values: Any, as_dtype: str | None = None) -> Any:
        values = np.asarray(values)
        if as_dtype is None and values.dtype.kind == "f":
            as_dtype = dtype
        values = np.ascontiguousarray(values, dtype=as_dtype)
        return backend.xp.asarray(values, device=backend.device)

    return place


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    """Close the figures of a test: matplotlib warns about many open figures."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def to_numpy(x: Any) -> np.ndarray:
    """Copy an array of any library to NumPy, without the code under test."""
    if array_api_compat.is_torch_array(x):
        return x.cpu().numpy()
    if array_api_compat.is_cupy_array(x):
        return x.get()
    xp = namespace_of(x)
    if array_api_compat.is_array_api_strict_namespace(xp):
        x = x.to_device(xp.Device("CPU_DEVICE"))
    return x.asnumpy() if hasattr(x, "asnumpy") else np.asarray(x)


@pytest.fixture
def sum_dtype(backend: Backend) -> str:
    """Return the widest dtype of the backend, for sums over rows, means and scales."""
    return "float64" if backend.supports("float64") else "float32"


@pytest.fixture
def assert_close(backend: Backend, dtype: str) -> Callable[..., None]:
    """Return a function that compares namespace, device, dtype and values."""

    def assert_close(
        actual: Any,
        expected: Any,
        *,
        rtol: float = 0.0,
        atol: float = 0.0,
        as_dtype: str | None = None,
    ) -> None:
        assert namespace_of(actual) is backend.xp
        assert array_api_compat.device(actual) == backend.device
        assert actual.dtype == getattr(backend.xp, as_dtype or dtype)
        assert tuple(actual.shape) == np.shape(expected)
        np.testing.assert_allclose(to_numpy(actual), expected, rtol=rtol, atol=atol)

    return assert_close
