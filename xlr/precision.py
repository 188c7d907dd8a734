"""Full precision for products of float32, which libraries may reduce."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import array_api_compat


@contextlib.contextmanager
def full_precision(x: Any) -> Iterator[None]:
    """Compute products of float32 in float32 within the context.

    Settings of a library may round the factors to TF32 (three digits) on a GPU, or to
    bfloat16 on a CPU. The settings are restored at the end.
    """
    with contextlib.ExitStack() as stack:
        if array_api_compat.is_torch_array(x):
            _set_torch_precision(stack)
        elif array_api_compat.is_cupy_array(x):
            from cupy._core import _routines_linalg as linalg

            # This undoes CUPY_TF32=1. CuPy has no public function for it.
            stack.callback(
                linalg.set_compute_type, "float32", linalg.get_compute_type("float32")
            )
            linalg.set_compute_type("float32", linalg.COMPUTE_TYPE_DEFAULT)
        elif array_api_compat.is_jax_array(x):
            import jax

            stack.enter_context(jax.default_matmul_precision("highest"))
        yield


def _set_torch_precision(stack: contextlib.ExitStack) -> None:
    """Set torch's products of float32 to full precision until the stack unwinds."""
    import torch

    # The global setting overwrites those of the backends, so the stack restores it
    # first.
    for backend in (torch.backends.cuda, torch.backends.mkldnn):
        products: Any = getattr(backend, "matmul", None)
        if hasattr(products, "fp32_precision"):
            setting = products.fp32_precision
            stack.callback(setattr, products, "fp32_precision", setting)
    # A backend's own setting may differ from the global one, which then has no value.
    with contextlib.suppress(RuntimeError):
        precision = torch.get_float32_matmul_precision()
        stack.callback(torch.set_float32_matmul_precision, precision)
    torch.set_float32_matmul_precision("highest")
