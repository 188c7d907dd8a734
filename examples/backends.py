"""The array library that an example uses, and conversion to and from NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np


@dataclass(frozen=True)
class Backend:
    """An array library and a device."""

    name: str
    xp: Any
    device: Any

    def place(self, values: np.ndarray) -> Any:
        """Convert a NumPy array to an array of this library."""
        return self.xp.asarray(values, device=self.device)


def find_backend(name: str) -> Backend:
    """Return the library with this name, or print a message and return NumPy."""
    try:
        if name == "cupy":
            import cupy

            if not cupy.cuda.is_available():
                raise ImportError("CuPy sees no CUDA GPU")
            empty = cupy.empty(0)
        elif name == "torch":
            import torch

            empty = torch.empty(0, device="cuda" if torch.cuda.is_available() else None)
        elif name == "jax":
            import jax

            jax.config.update("jax_enable_x64", True)  # float64, as the others have
            empty = jax.numpy.empty(0)
        else:
            empty = np.empty(0)
    except (ImportError, RuntimeError) as error:  # no library, or no driver
        print(f"{name} cannot be used here ({error}): going on with numpy.")
        name, empty = "numpy", np.empty(0)
    xp = array_api_compat.array_namespace(empty)
    return Backend(name, xp, array_api_compat.device(empty))


def to_numpy(values: Any) -> np.ndarray:
    """Copy an array of any library to NumPy."""
    if array_api_compat.is_torch_array(values):
        return values.cpu().numpy()
    if array_api_compat.is_cupy_array(values):
        return values.get()
    return np.asarray(values)
