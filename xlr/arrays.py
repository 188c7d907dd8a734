"""Arrays of any library: namespace, device, dtype, and transfers between libraries.

Apart from ``precision``, this module alone knows array-api-compat. All others use the
``xp`` that it returns, and move arrays to the host only by :func:`to_host`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import array_api_compat
import numpy as np
from array_api_compat import is_array_api_obj
from scipy.sparse import issparse

from xlr import numpy_namespace
from xlr.dask_graph import is_dask

# Arrays, namespaces and devices of any library that follows the Array API standard. No
# static type covers all libraries.
Array = Any
Namespace = Any
Device = Any
F = TypeVar("F", bound=Callable[..., Any])

# Bytes of a block of rows in host memory, which stays in the cache between products.
HOST_BLOCK_BYTES = 2**21

# Bytes of a block on a GPU, which hides the launch times of kernels.
DEVICE_BLOCK_BYTES = 2**27


def is_foreign(x: Any, name: str = "x") -> bool:
    """Return whether ``x`` is an array of a library other than NumPy and SciPy.

    If it is, the array stays in its library. scikit-learn's validation reads NumPy
    arrays, matrices of scipy.sparse, lists and tables.

    Raises
    ------
    TypeError
        If ``x`` belongs to ndonnx, is a sparse tensor of a library other than SciPy and
        CuPy, or belongs to Dask where all of it must be in memory.
    """
    if is_dask(x):
        raise TypeError(
            "Only LogisticRegression, LogisticRegressionCV, logistic_path and infer "
            "(and logit for tables) accept Dask collections, together with an X of "
            f"Dask. Otherwise, pass {name}.compute()."
        )
    is_torch_sparse = array_api_compat.is_torch_array(x) and "sparse" in str(x.layout)
    unsupported = "sparse.", "jax.experimental.sparse.", "ndonnx."
    if is_torch_sparse or type(x).__module__.startswith(unsupported):
        raise TypeError(
            "Sparse tensors of torch and JAX, arrays of pydata/sparse and ndonnx are "
            "not supported: pass x.to_dense() (torch), x.todense(), x.unwrap_numpy() "
            "(ndonnx), or a matrix of scipy.sparse."
        )
    if is_sparse(x):
        return not issparse(x)
    return is_array_api_obj(x) and not isinstance(x, np.ndarray | np.generic)


def is_sparse(x: object) -> bool:
    """Return whether ``x`` is a matrix of scipy.sparse or cupyx.scipy.sparse."""
    on_device = sys.modules.get("cupyx.scipy.sparse")
    return issparse(x) or (on_device is not None and on_device.issparse(x))


def is_traced(*values: object) -> bool:
    """Return whether a value is a tracer of JAX, as under its jit."""
    jax = sys.modules.get("jax")
    if jax is not None:
        for x in values:  # fewer calls than any() of a generator
            if isinstance(x, jax.core.Tracer):
                return True
    return False


def entries(x: Array) -> Array:
    """Return the array that holds the numbers: ``data`` of a sparse matrix."""
    if isinstance(x, np.ndarray):
        return x
    return x.data if is_sparse(x) else x


def namespace(x: Array) -> Namespace:
    """Return the array API namespace ``xp`` of an array, which is NumPy for a list."""
    if type(x) is np.ndarray or not is_array_api_obj(x):
        return numpy_namespace
    xp = array_api_compat.array_namespace(x)
    return numpy_namespace if array_api_compat.is_numpy_namespace(xp) else xp


def device_of(x: Array) -> Device:
    """Return the device of an array."""
    return "cpu" if isinstance(x, np.ndarray) else array_api_compat.device(x)


def compiles(xp: Namespace) -> bool:
    """Return whether a library compiles functions, as JAX does."""
    return array_api_compat.is_jax_namespace(xp)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function compiled by JAX if it is :func:`compilable`, else itself.

    Outside of such functions XLA compiles each operation for each shape, and a fit has
    hundreds.
    """
    return _compiled(function) if function in _COMPILABLE else function


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    # The leaves of the arguments are traced arrays or fixed values. ``fixed`` has a
    # placeholder for each array.
    def run(structure: Any, fixed: tuple[Any, ...], traced: list[Array]) -> Any:
        remaining = iter(traced)
        leaves = [next(remaining) if leaf is _ARRAY else leaf for leaf in fixed]
        return function(*jax.tree.unflatten(structure, leaves))

    run.__name__ = function.__name__  # in the logs and profiles of JAX
    program = jax.jit(run, static_argnums=(0, 1))

    def call(*arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        traced = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
        fixed = tuple(_ARRAY if isinstance(x, jax.Array) else x for x in leaves)
        return program(structure, fixed, traced)

    for cls, names in _PYTREES.items():
        _register_pytree(cls, names)
    _PYTREES.clear()
    return call


def compilable(function: F) -> F:
    """Mark a function as compilable: it moves no array to the host.

    Arguments other than arrays are part of the compiled program. They must be hashable,
    and equal arguments share a program.
    """
    _COMPILABLE.add(function)
    return function


# Functions marked as compilable.
_COMPILABLE: set[Callable[..., Any]] = set()

# Placeholder of an array among the fixed arguments of a compiled function.
_ARRAY = object()

# Classes of arguments of compiled functions, and their attributes that hold arrays. The
# first use of JAX registers them.
_PYTREES: dict[type, tuple[str, ...]] = {}


def pytree(*names: str) -> Callable[[type], type]:
    """Let compiled functions take instances of a class.

    ``names`` are the attributes that hold arrays or instances of other such classes.
    All other attributes must be hashable.
    """

    def mark(cls: type) -> type:
        _PYTREES[cls] = names
        return cls

    return mark


def _register_pytree(cls: type, names: tuple[str, ...]) -> None:
    import jax

    def flatten(instance: Any) -> tuple[list[Any], tuple[Any, ...]]:
        state = vars(instance)
        fixed = tuple((k, v) for k, v in state.items() if k not in names)
        return [state[name] for name in names], fixed

    def unflatten(fixed: tuple[Any, ...], values: list[Any]) -> Any:
        instance: Any = object.__new__(cls)
        vars(instance).update(fixed, **dict(zip(names, values)))
        return instance

    jax.tree_util.register_pytree_node(cls, flatten, unflatten)


def has_gradient(x: Array) -> bool:
    """Return whether torch or JAX may ask for derivatives of operations on an array."""
    return bool(getattr(x, "requires_grad", False)) or is_traced(x)


def without_gradient(x: Array) -> Array:
    """Detach a torch tensor from its graph. Fits are not differentiated."""
    return x.detach() if array_api_compat.is_torch_array(x) else x


def quiet() -> np.errstate:
    """Silence NumPy's floating-point warnings, as a context or a decorator.

    The caller checks the results.
    """
    return np.errstate(all="ignore")


def is_floating(x: Array, *, xp: Namespace) -> bool:
    """Return whether the dtype of ``x`` is a real floating-point one."""
    return is_half(x) or xp.isdtype(x.dtype, "real floating")


def widest_float(*, xp: Namespace, device: Device) -> Any:
    """Return float64 if the device has it, else float32.

    Sums over rows and arrays of the size of the coefficients have this dtype. Fits to
    float32 data are then as accurate as the data.
    """
    if xp is numpy_namespace:  # the look-up takes longer than a small sum
        return np.dtype(np.float64)
    dtypes = xp.__array_namespace_info__().dtypes(device=device, kind="real floating")
    return dtypes.get("float64", dtypes["float32"])


def widened(x: Array, *, xp: Namespace) -> Array:
    """Return ``x`` in the widest dtype of its device."""
    if x.dtype == xp.float64:
        return x
    return xp.astype(x, widest_float(xp=xp, device=device_of(x)), copy=False)


def is_half(x: Array) -> bool:
    """Return whether the numbers of ``x`` are float16 or bfloat16."""
    return str(x.dtype).rpartition(".")[2] in ("float16", "bfloat16")


def floating_dtype(x: Array, *, xp: Namespace) -> Any:
    """Return the dtype to compute in.

    float32 and float64 stay, half precision becomes float32, and other dtypes become
    the widest.
    """
    if x.dtype in (xp.float32, xp.float64):
        return x.dtype
    if is_half(x) or str(x.dtype) in ("<f4", ">f4"):  # another byte order
        return xp.float32
    return widest_float(xp=xp, device=device_of(x))


def to_host(x: Array) -> np.ndarray:
    """Copy an array to NumPy; xlr has no other transfer from a device to the host.

    Each call waits for the GPU, so keep it out of inner loops.
    """
    if isinstance(x, np.ndarray):
        return x
    if isinstance(x, np.generic):
        return np.asarray(x)
    if array_api_compat.is_torch_array(x):
        x = x.detach().cpu()
        # NumPy has no bfloat16. float32 represents all its numbers.
        return (x.float() if "bfloat16" in str(x.dtype) else x).numpy()
    if array_api_compat.is_cupy_array(x):
        return x.get()
    if array_api_compat.is_jax_array(x) or not is_foreign(x):
        return np.asarray(x)
    xp = array_api_compat.array_namespace(x)
    if array_api_compat.is_array_api_strict_namespace(xp):
        x = x.to_device(xp.Device("CPU_DEVICE"))  # it reads from no other
    return np.from_dlpack(x, device="cpu")


def move(x: Any, *, xp: Namespace, device: Device, dtype: Any | None = None) -> Array:
    """Convert an array of any library, or a list, to a library, device and dtype.

    An array that changes library passes through the host. Use this function for small
    arrays or for a single transfer: coefficients, labels, weights. Without ``dtype``, a
    dtype that the device lacks becomes the device's default of the same kind.
    """
    if isinstance(x, np.ndarray) and array_api_compat.is_numpy_namespace(xp):
        return x if dtype is None else x.astype(dtype, copy=False)
    if issparse(x):
        x = x.toarray()
    elif is_foreign(x):
        x = without_gradient(x)
    if is_array_api_obj(x) and array_api_compat.array_namespace(x) is xp:
        if device_of(x) != device:
            x = array_api_compat.to_device(x, device)
        return x if dtype is None else xp.astype(x, dtype, copy=False)
    # torch refuses NumPy arrays that are reversed, read-only or of foreign byte order.
    x = to_host(x)
    x = np.require(x, dtype=x.dtype.newbyteorder("="), requirements=["C", "W"])
    if dtype is None and x.dtype.kind in "fiu":
        info = xp.__array_namespace_info__()
        kind = "real floating" if x.dtype.kind == "f" else "integral"
        if x.dtype.name not in info.dtypes(device=device, kind=kind):
            dtype = info.default_dtypes(device=device)[kind]
    if array_api_compat.is_jax_namespace(xp):  # its asarray compiles for each shape
        import jax

        x = x if dtype is None else x.astype(dtype, copy=False)
        return jax.device_put(x, device, may_alias=False)
    return xp.asarray(x, dtype=dtype, device=device)


def move_with_gradient(x: Any, *, xp: Namespace, device: Device, dtype: Any) -> Array:
    """Convert like :func:`move`; an array of this device keeps its derivatives."""
    if (
        is_foreign(x)
        and namespace(x) is xp
        and (is_traced(x) or device_of(x) == device)
    ):
        return xp.astype(x, dtype, copy=False)
    return move(x, xp=xp, device=device, dtype=dtype)


def move_like(x: Any, like: Array, dtype: Any | None = None) -> Array:
    """Convert an array or a list to the library and device of another array.

    A matrix of scipy.sparse becomes dense. Without ``dtype``, the dtype stays if the
    device has it.
    """
    return move(x, xp=namespace(like), device=device_of(like), dtype=dtype)


def take(x: Array, indices: np.ndarray) -> Array:
    """Return entries of ``x`` along its first axis, by their indices on the host."""
    return namespace(x).take(x, move_like(indices, x), axis=0)


def take_rows(x: Array, indices: Array, *, xp: Namespace) -> Array:
    """Return rows of a dense or sparse matrix, by their indices on the device."""
    # NumPy's take copies all of an array that is in Fortran order.
    by_index = not x.flags.c_contiguous if isinstance(x, np.ndarray) else is_sparse(x)
    return x[indices, :] if by_index else xp.take(x, indices, axis=0)


def concat_blocks(blocks: Iterator[Array], n_rows: int) -> Array:
    """Join blocks of rows to one array of ``n_rows`` rows.

    With NumPy, one block at a time is in memory in addition to the result.
    """
    first = next(blocks)
    if first.shape[0] == n_rows:
        return first
    if not isinstance(first, np.ndarray):
        return namespace(first).concat([first, *blocks])
    joined_rows = np.empty((n_rows, *first.shape[1:]), dtype=first.dtype)
    end = 0
    for block in itertools.chain([first], blocks):
        start, end = end, end + block.shape[0]
        joined_rows[start:end] = block
    return joined_rows


def clip(x: Array, lower: float | None, upper: float | None, *, xp: Namespace) -> Array:
    """Clip ``x`` to two bounds; None for no bound.

    The clip of array-api-compat selects by a mask, which makes CuPy wait.
    """
    if lower is not None:
        x = xp.maximum(x, xp.full_like(x, lower))
    return x if upper is None else xp.minimum(x, xp.full_like(x, upper))


def in_host_memory(x: Array) -> bool:
    """Return whether an array is in host memory."""
    try:
        return bool(x.__dlpack_device__()[0] == 1)  # kDLCPU
    except (BufferError, ValueError, AttributeError):  # torch's meta, JAX's tracers
        return False


def numpy_view(x: Array, *, differentiable: bool = False) -> Array:
    """Return a NumPy view of an array of JAX or torch in host memory, else ``x``.

    XLA compiles each operation for each shape, which takes longer than a small fit. A
    torch call takes two to four times as long as a NumPy call. With ``differentiable``,
    torch tensors stay tensors, so that gradients reach them.
    """
    is_torch = array_api_compat.is_torch_array(x) and not differentiable
    if not (is_torch or array_api_compat.is_jax_array(x)) or not in_host_memory(x):
        return x
    if not is_torch:
        return np.asarray(x)
    return x if is_half(x) else x.numpy(force=True)


def picklable(x: Array) -> Array:
    """Return ``x``, or a copy in NumPy if its library cannot pickle it, as dpnp."""
    try:
        copy.deepcopy(x)  # uses the same methods as pickle
    except TypeError:
        return np.array(to_host(x))
    return x


def current_device(x: Array) -> contextlib.AbstractContextManager[Any]:
    """Make the device of a CuPy array current: CuPy creates arrays there.

    Other libraries take the device of each new array as an argument.
    """
    on_cupy_device = not isinstance(x, np.ndarray) and (
        array_api_compat.is_cupy_array(x) or (is_sparse(x) and not issparse(x))
    )
    return x.device if on_cupy_device else contextlib.nullcontext()


def block_bytes(x: Array) -> int:
    """Return the size in bytes of a block of rows of X, for the device of ``x``.

    On a CPU, a block stays in the cache between the two products that read it. On a
    GPU, it is large enough to hide the launch times of kernels.
    """
    on_host = isinstance(x, np.ndarray) or in_host_memory(x)
    return HOST_BLOCK_BYTES if on_host else DEVICE_BLOCK_BYTES


@functools.cache
def keep_block_memory() -> None:
    """Let the C library keep the memory of one block for the next.

    glibc returns freed memory to the system above a threshold, and the next block then
    needs new pages: in a new process, a fit to 100,000 x 50 numbers in float32 took 59
    ms instead of 29 ms (examples/benchmarks/results/libraries.md, before and after).
    The largest array that the process has freed sets the threshold, unless the
    environment does (mallopt(3), M_MMAP_THRESHOLD). One array of four blocks is large
    enough.
    """
    np.empty(4 * HOST_BLOCK_BYTES, dtype=np.uint8)


def free_bytes(x: Array) -> int | None:
    """Return the free bytes on the device of ``x``, or None if they are unknown.

    They include memory that CuPy and torch keep for reuse. On the host, the answer
    needs psutil.
    """
    device = device_of(x)
    if array_api_compat.is_cupy_array(x):
        import cupy

        with device:
            return device.mem_info[0] + cupy.get_default_memory_pool().free_bytes()
    if array_api_compat.is_torch_array(x) and device.type == "cuda":
        from torch import cuda

        reusable = cuda.memory_reserved(device) - cuda.memory_allocated(device)
        return cuda.mem_get_info(device)[0] + reusable
    if not in_host_memory(x):
        # JAX returns None if the device does not count memory.
        statistics: dict[str, int] = getattr(device, "memory_stats", dict)() or {}
        limit, used = statistics.get("bytes_limit"), statistics.get("bytes_in_use", 0)
        return None if limit is None else limit - used
    try:
        import psutil
    except ImportError:
        return None
    return psutil.virtual_memory().available


@contextlib.contextmanager
def memory_errors(x: Array) -> Iterator[None]:
    """Turn the out-of-memory error of a device into a MemoryError with advice."""
    try:
        yield
    except Exception as error:
        names = {kind.__name__ for kind in type(error).__mro__}
        is_full = "OutOfMemoryError" in names or "RESOURCE_EXHAUSTED" in str(error)
        if not is_full:
            raise
        first_line, n_bytes = str(error).partition("\n")[0], free_bytes(x)
        free = "" if n_bytes is None else f" with {n_bytes:.3g} bytes free"
        raise MemoryError(
            f"{device_of(x)} ran out of memory{free} ({first_line}). Fit to fewer "
            "rows, to X in lower precision, or to chunks of Dask."
        ) from error


def index_add(sums: Any, indices: Array, values: Array) -> Array:
    """Return the sums with each row of values added at each of its indices, (n, k).

    The standard has no such function: other libraries than torch, JAX and CuPy add on
    the host.
    """
    if not any(hasattr(sums, name) for name in ("index_add", "at", "scatter_add")):
        total, added = np.array(to_host(sums)), to_host(values)[:, None, :]
        np.add.at(total, to_host(indices), added)
        return move_like(total, sums)
    for j in range(indices.shape[1]):
        index = indices[:, j]
        if hasattr(sums, "index_add"):  # torch
            sums = sums.index_add(0, index, values)
        elif hasattr(sums, "at"):  # JAX
            sums = sums.at[index].add(values)
        else:  # CuPy
            sums.scatter_add(index, values)
    return sums


def cholesky(a: Array, *, xp: Namespace) -> Array:
    """Return lower Cholesky factors of symmetric matrices (..., n, n).

    The factor of a matrix that is not positive definite is NaN. It raises no exception.
    """
    if array_api_compat.is_cupy_namespace(xp):
        # CuPy does not report failures, and returns an incomplete factor.
        factor = xp.linalg.cholesky(a)
        error = xp.abs(xp.matmul(factor, factor.mT) - a)
        root = xp.sqrt(xp.linalg.diagonal(a))
        is_factor = error <= 1e-3 * root[..., :, None] * root[..., None, :]
        is_factor = xp.all(is_factor, axis=(-2, -1), keepdims=True)
        return xp.where(is_factor, factor, xp.full_like(factor, xp.nan))
    if array_api_compat.is_torch_namespace(xp):
        factor, failed = xp.linalg.cholesky_ex(a)
        return xp.where(failed[..., None, None] == 0, factor, float("nan"))
    if array_api_compat.is_jax_namespace(xp):
        return xp.linalg.cholesky(a)
    if a.ndim > 2:
        factors = [cholesky(a[i, ...], xp=xp) for i in range(a.shape[0])]
        return xp.stack(factors) if factors else a
    try:
        return xp.linalg.cholesky(a)
    except Exception as error:  # the standard does not specify the class
        if type(error).__name__ != "LinAlgError":
            raise
        return xp.full_like(a, xp.nan)


def positive_definite_solver(a: Array, *, xp: Namespace) -> Callable[[Array], Array]:
    """Factorise symmetric positive-definite matrices, and return a solve function.

    The relative error of Cholesky factors does not depend on the scales of the rows
    (Higham 2002, *Accuracy and Stability of Numerical Algorithms*, theorem 10.6). The
    standard has no triangular solve: libraries other than NumPy, torch, JAX and CuPy
    invert the factors.

    Parameters
    ----------
    a : array of shape (m, n, n)
    xp : namespace

    Returns
    -------
    solve : callable
        Takes b, an array of one or more vectors of length n for each matrix, in the
        order of the matrices and of any shape. Returns x of the same shape with
        ``a x = b``; NaN for a matrix that is not positive definite. It raises no
        exception and does not wait for the device.
    """
    shape = a.shape[0], -1, a.shape[2]
    if array_api_compat.is_numpy_namespace(xp):
        from scipy.linalg import lapack

        if a.dtype == np.float64:  # a look-up takes longer than a small solve
            potrf, potrs = lapack.dpotrf, lapack.dpotrs
        else:
            potrf, potrs = lapack.spotrf, lapack.spotrs
        # The matrix equals its transpose, which is in Fortran order: no copy.
        factors = [potrf(matrix.T, lower=True, clean=False) for matrix in a]

        def solve(b: np.ndarray) -> np.ndarray:
            x = b.reshape(shape).copy()
            for i, (factor, failed) in enumerate(factors):
                x[i] = np.nan if failed else potrs(factor, x[i].T, lower=True)[0].T
            return x.reshape(b.shape)

        return solve
    on_device = _solver_on_device(a, xp=xp)
    return lambda b: xp.reshape(on_device(xp.reshape(b, shape)), b.shape)


def _solver_on_device(a: Array, *, xp: Namespace) -> Callable[[Array], Array]:
    """Return the solve function of a library other than NumPy, for b (m, k, n)."""
    factor = cholesky(a, xp=xp)
    if array_api_compat.is_torch_namespace(xp):
        return lambda b: xp.cholesky_solve(b.mT, factor).mT
    if array_api_compat.is_jax_namespace(xp):
        from jax.scipy.linalg import cho_solve

        return lambda b: cho_solve((factor, True), b.mT).mT
    if array_api_compat.is_cupy_namespace(xp):
        from cupyx.lapack import potrs

        # potrs writes into its second argument.
        return lambda b: potrs(factor, xp.asarray(b.mT, copy=True), True).mT
    inverse = xp.linalg.inv(factor)
    return lambda b: xp.matmul(xp.matmul(b, inverse.mT), inverse)
