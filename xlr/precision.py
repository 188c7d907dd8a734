"""Floor 0: products of float32 in float32, where a library may round them further."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat


@contextlib.contextmanager
def full_precision(x: Any) -> Iterator[None]:
    """Keep products of float32 in float32, as libraries may be told not to.

    On a GPU they may round the factors to TF32, which has three digits, and on a CPU
    to bfloat16. What was set before holds again afterwards.
    """
    with contextlib.ExitStack() as stack:
        if array_api_compat.is_torch_array(x):
            stack.callback(_torch_in_full())
        elif array_api_compat.is_cupy_array(x):
            from cupy._core import _routines_linalg as linalg

            # CUPY_TF32=1. There is no public function for it.
            stack.callback(
                linalg.set_compute_type, "float32", linalg.get_compute_type("float32")
            )
            linalg.set_compute_type("float32", linalg.COMPUTE_TYPE_DEFAULT)
        elif array_api_compat.is_jax_array(x):
            import jax

            stack.enter_context(jax.default_matmul_precision("highest"))
        yield


def _torch_in_full() -> Callable[[], None]:
    """Set torch's products of float32 to full precision; returns what undoes it."""
    import torch

    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set by the settings of one library, below
        before = None
    backends: list[Any] = [torch.backends.cuda, torch.backends.mkldnn]
    libraries = [each.matmul for each in backends if hasattr(each, "matmul")]
    libraries = [each for each in libraries if hasattr(each, "fp32_precision")]
    settings = [each.fp32_precision for each in libraries]
    torch.set_float32_matmul_precision("highest")

    def undo() -> None:
        if before is not None:
            torch.set_float32_matmul_precision(before)
        for each, setting in zip(libraries, settings):
            each.fp32_precision = setting

    return undo
