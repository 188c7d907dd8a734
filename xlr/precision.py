"""Full precision for products of float32, which libraries may reduce."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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
            stack.callback(_set_torch_precision())
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


def _set_torch_precision() -> Callable[[], None]:
    """Set torch's products of float32 to full precision; return a function to undo."""
    import torch

    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:  # a backend's own setting differs from the global one
        precision = None
    backends: list[Any] = [torch.backends.cuda, torch.backends.mkldnn]
    products = [each.matmul for each in backends if hasattr(each, "matmul")]
    products = [each for each in products if hasattr(each, "fp32_precision")]
    settings = [each.fp32_precision for each in products]
    torch.set_float32_matmul_precision("highest")

    def restore() -> None:
        if precision is not None:
            torch.set_float32_matmul_precision(precision)
        for each, setting in zip(products, settings):
            each.fp32_precision = setting

    return restore
