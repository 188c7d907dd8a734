"""A stand-in for CuPy without a GPU: its contract, computed by NumPy.

``install()`` makes ``import cupy`` find it. It has the functions and signatures of the
lowest CuPy allowed, from ``cupy_signatures.txt`` in this folder. It refuses what CuPy
refuses or does not define:

- NumPy's arrays as operands, and conversion to NumPy other than by ``get``;
- keywords that CuPy's functions lack, and dtypes that its kernels lack;
- arrays on a device other than the current one, of two devices.

As in CuPy, ``linalg`` raises no error: where it fails, it returns other numbers. Each
wait for the device goes through ``wait``, which tests replace. The stand-in does not
show the rounding of cuBLAS and cuSOLVER, compilation of kernels, memory or speed.
"""

from __future__ import annotations

import importlib.machinery
import inspect
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, lapack

SIGNATURES = Path(__file__).with_name("cupy_signatures.txt")
DTYPE_CODES = "?bhilqBHILQefdFD"  # dtypes that CuPy has kernels for


def wait(cause: str) -> None:
    """Do nothing where CuPy waits: for a transfer, or a shape that values decide."""


# -- devices ------------------------------------------------------------------------

_thread = threading.local()


def _device_stack() -> list[int]:
    """Return the ids of this thread's devices; the last one is current."""
    if not hasattr(_thread, "devices"):
        _thread.devices = [0]
    return _thread.devices


class Device:
    """One of two GPUs; as a context manager, it becomes the current one."""

    mem_info = (2**33, 2**34)

    def __init__(self, device: Device | int | None = None) -> None:
        self.id = _device_stack()[-1] if device is None else int(device)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        _device_stack().append(self.id)
        return self

    def __exit__(self, *_: object) -> None:
        _device_stack().pop()

    def synchronize(self) -> None:
        wait("synchronize")


# -- arrays -------------------------------------------------------------------------


def _operand(x: Any) -> Any:
    """Return the operand of a kernel: an array of the current device, or a scalar."""
    if isinstance(x, ndarray):
        if x.device != Device():
            raise ValueError(f"array of {x.device}, while {Device()} is the current")
        return x._values
    if isinstance(x, list | tuple):
        return type(x)(map(_operand, x))
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    return x


def _result(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return (
            type(x)(*map(_result, x)) if hasattr(x, "_fields") else [*map(_result, x)]
        )
    if isinstance(x, np.ndarray | np.generic):
        return ndarray(np.asarray(x))
    return x


def _index(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    if not isinstance(key, ndarray):
        return key
    if key.dtype == bool:
        wait("mask")
    return _operand(key)


class ndarray:  # noqa: N801
    __array_ufunc__ = None  # NumPy leaves the operators to this class
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: np.ndarray, device: Device | None = None) -> None:
        self._values = values
        self.device = Device() if device is None else device

    def __array__(self, *_: Any, **__: Any) -> None:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device.id

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> ndarray:
        return ndarray(np.asarray(self._values[_index(key)]), self.device)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[_index(key)] = _operand(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return ndarray, (self._values, self.device)

    def get(self) -> np.ndarray:
        wait("get")
        return self._values.copy()

    def item(self) -> Any:
        wait("item")
        return self._values.item()

    def tolist(self) -> Any:
        wait("tolist")
        return self._values.tolist()

    def __bool__(self) -> bool:
        wait("bool")
        return bool(self._values)

    def __int__(self) -> int:
        wait("int")
        return int(self._values)

    def __float__(self) -> float:
        wait("float")
        return float(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        if not copy and self.dtype == dtype:
            return self
        return ndarray(_operand(self).astype(_supported(dtype)))

    def scatter_add(self, slices: Any, value: Any) -> None:
        np.add.at(self._values, _index(slices), _operand(value))

    def copy(self) -> ndarray:
        return ndarray(self._values.copy())  # to the current device

    def reshape(self, *shape: Any) -> ndarray:
        return ndarray(self._values.reshape(*shape), self.device)


for _name in ("T", "mT"):
    setattr(
        ndarray,
        _name,
        property(lambda x, n=_name: ndarray(getattr(x._values, n), x.device)),
    )
for _name in ("dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size"):
    setattr(ndarray, _name, property(lambda x, n=_name: getattr(x._values, n)))

UNARY = {"abs": "absolute", "invert": "invert", "neg": "negative", "pos": "positive"}
BINARY = {
    **{name: name for name in ("add", "matmul")},
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


def _operator(name: str, *, mirrored: bool = False) -> Any:
    def method(*operands: Any) -> Any:
        return getattr(cupy, name)(*(operands[::-1] if mirrored else operands))

    return method


for _dunder, _name in {**UNARY, **BINARY}.items():
    setattr(ndarray, f"__{_dunder}__", _operator(_name))
for _dunder, _name in BINARY.items():
    setattr(ndarray, f"__r{_dunder}__", _operator(_name, mirrored=True))


# -- functions ----------------------------------------------------------------------


def _supported(dtype: Any) -> Any:
    """Return a dtype, or raise an error if CuPy has no kernels for it."""
    if dtype is not None and np.dtype(dtype).char not in DTYPE_CODES:
        raise ValueError(f"Unsupported dtype {np.dtype(dtype)}")
    return dtype


def _array(obj: Any, dtype: Any = None, copy: bool | None = True, **_: Any) -> ndarray:
    if isinstance(obj, ndarray):
        if not copy and obj.device == Device():
            return obj.astype(obj.dtype if dtype is None else dtype, copy=False)
        return obj.copy().astype(obj.dtype if dtype is None else dtype, copy=False)
    if isinstance(obj, list | tuple):
        obj = _operand(obj)
    values = np.array(obj, dtype=dtype)
    _supported(values.dtype)
    return ndarray(values)


def _asarray(a: Any, dtype: Any = None, copy: bool | None = None, **_: Any) -> ndarray:
    return _array(a, dtype, copy)


def _cholesky(a: np.ndarray) -> np.ndarray:
    """Factorise as cuSOLVER does: a failed factor stays incomplete."""
    (potrf,) = lapack.get_lapack_funcs(("potrf",), (a,))
    flat = a.reshape((-1, *a.shape[-2:]))
    factors = [np.tril(potrf(each, lower=True, clean=False)[0]) for each in flat]
    return np.reshape(factors, a.shape).astype(a.dtype)


def _potrs(L: ndarray, b: ndarray, lower: bool) -> ndarray:
    """Solve with factors and write into b, as cupyx.lapack.potrs does."""
    factors, x = _operand(L), _operand(b)
    for i in np.ndindex(factors.shape[:-2]):
        x[i] = cho_solve((factors[i], lower), x[i], check_finite=False)
    return b


def _waiting(name: str) -> Any:
    """Return a function of NumPy that waits, because values decide its shape."""

    def function(*args: Any, **kwargs: Any) -> Any:
        wait(name)
        return getattr(np, name)(*args, **kwargs)

    return function


def _where(condition: Any, *choices: Any) -> Any:
    if not choices:
        wait("where")
    return np.where(condition, *choices)


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    return np.take(a, indices, axis=axis, mode="wrap")


# Functions that NumPy computes in another way or under another name.
DIFFERENT = {
    "take": _take,
    "where": _where,
    "concat": np.concatenate,
    "permute_dims": np.transpose,
    "linalg.cholesky": _cholesky,
    **{name: _waiting(name) for name in ("bincount", "nonzero", "unique")},
}


def _with_signature(name: str, signature: str) -> Any:
    """Return a function with CuPy's signature and NumPy's arithmetic."""
    names: dict[str, Any] = {}
    exec(f"def f{signature}: ...", names)
    bind = inspect.signature(names["f"]).bind
    if name in ("array", "asarray"):
        compute, prepare = {"array": _array, "asarray": _asarray}[name], lambda x: x
    else:
        compute, prepare = DIFFERENT.get(name), _operand
    if compute is None:
        compute = np
        for part in name.split("."):
            compute = getattr(compute, part)

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"cupy.{name}: {error}") from None
        _supported(kwargs.get("dtype"))
        kwargs = {key: prepare(value) for key, value in kwargs.items()}
        with np.errstate(all="ignore"):
            return _result(compute(*map(prepare, args), **kwargs))

    function.__name__ = name
    return function


# -- modules ------------------------------------------------------------------------


def _module(name: str, **names: Any) -> Any:
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []
    vars(module).update(names)
    return module


def _out_of_memory() -> type:
    return type("OutOfMemoryError", (MemoryError,), {})


_precision = {"float32": 0}
_routines = _module(
    "cupy._core._routines_linalg",
    COMPUTE_TYPE_DEFAULT=0,
    COMPUTE_TYPE_TF32=3,
    get_compute_type=_precision.get,
    set_compute_type=_precision.__setitem__,
)
runtime = SimpleNamespace(getDeviceCount=lambda: 2)
cuda = _module(
    "cupy.cuda",
    Device=Device,
    is_available=lambda: True,
    runtime=runtime,
    memory=SimpleNamespace(OutOfMemoryError=_out_of_memory()),
)
linalg = _module("cupy.linalg", LinAlgError=np.linalg.LinAlgError)
pool = SimpleNamespace(free_bytes=lambda: 0)
cupy = _module(
    "cupy",
    __version__="14.0 (stand-in)",
    ndarray=ndarray,
    cuda=cuda,
    linalg=linalg,
    get_default_memory_pool=lambda: pool,
)
MODULES = [
    cupy,
    cuda,
    linalg,
    _module("cupy.cuda.device", Device=Device),
    _module("cupy.fft"),
    _module("cupy._core", _routines_linalg=_routines),
    _routines,
    _module("cupyx"),
    _module("cupyx.lapack", potrs=_potrs),
]
ndarray.__module__, Device.__module__ = "cupy", "cupy.cuda"
for _line in SIGNATURES.read_text(encoding="ascii").splitlines():
    _name, _open, _rest = _line.partition("(")
    _parent = linalg if _name.startswith("linalg.") else cupy
    # A name without a signature is a type or a constant of NumPy.
    _value = _with_signature(_name, _open + _rest) if _open else getattr(np, _name)
    setattr(_parent, _name.rpartition(".")[2], _value)


def install() -> None:
    """Make ``import cupy`` and ``import cupyx`` find the stand-in."""
    sys.modules.update({module.__name__: module for module in MODULES})
