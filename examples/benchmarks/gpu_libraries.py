"""Libraries that use a GPU: their arrays, clocks and memory."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import array_api_compat
import numpy as np

SHORT = 2.0  # seconds: a longer call is timed once


class NumPy:
    """NumPy in host memory, for dry runs and for comparison."""

    name = "numpy"

    def __init__(self) -> None:
        self.xp = array_api_compat.array_namespace(np.empty(0))
        self.generator: Any = np.random.default_rng(0)

    def dtype(self, name: str) -> Any:
        return getattr(self.xp, name)

    def normal(self, *shape: int, dtype: str = "float32") -> Any:
        return self.generator.standard_normal(shape, dtype=self.dtype(dtype))

    def uniform(self, *shape: int) -> Any:
        return self.generator.random(shape)

    def take_over(self, array: Any) -> Any:
        """Convert an array of another library on the same device, without a copy."""
        return np.from_dlpack(array)

    def synchronise(self) -> None:
        """Wait for the device to finish."""

    def release(self) -> None:
        """Free cached memory."""

    @contextmanager
    def peak(self) -> Iterator[Callable[[], float | None]]:
        """Yield a function that returns the peak of additional bytes, or None."""
        yield lambda: None

    def to_host(self, array: Any) -> np.ndarray:
        return np.asarray(array)


class CuPy(NumPy):
    """CuPy on the first GPU."""

    name = "cupy"

    def __init__(self) -> None:
        self._cupy = cupy = importlib.import_module("cupy")
        if not cupy.cuda.is_available():
            raise RuntimeError("CuPy sees no CUDA GPU")
        self.xp = array_api_compat.array_namespace(cupy.empty(0))
        self.generator = cupy.random.default_rng(0)

    def take_over(self, array: Any) -> Any:
        return self._cupy.from_dlpack(array)

    def synchronise(self) -> None:
        self._cupy.cuda.Device().synchronize()

    def release(self) -> None:
        self._cupy.get_default_memory_pool().free_all_blocks()

    @contextmanager
    def peak(self) -> Iterator[Callable[[], float | None]]:
        class MemoryCounter(self._cupy.cuda.MemoryHook):
            name = "memory counter"
            in_use = peak = 0

            def malloc_postprocess(self, **details: Any) -> None:
                self.in_use += details["mem_size"]
                self.peak = max(self.peak, self.in_use)

            def free_postprocess(self, **details: Any) -> None:
                self.in_use -= details["mem_size"]

        with MemoryCounter() as counter:
            yield lambda: counter.peak

    def to_host(self, array: Any) -> np.ndarray:
        return array.get()


class Torch(NumPy):
    """torch on the first GPU, or on the processor for dry runs."""

    name = "torch"

    def __init__(self, device: str = "cuda") -> None:
        self.torch = torch = importlib.import_module("torch")
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("torch sees no CUDA GPU")
        self.xp = array_api_compat.array_namespace(torch.empty(0))
        self.device = device
        self.generator = torch.Generator(device=device).manual_seed(0)

    def normal(self, *shape: int, dtype: str = "float32") -> Any:
        return self.torch.randn(*shape, dtype=self.dtype(dtype), **self._options())

    def uniform(self, *shape: int) -> Any:
        return self.torch.rand(*shape, dtype=self.torch.float64, **self._options())

    def _options(self) -> dict[str, Any]:
        return {"generator": self.generator, "device": self.device}

    def take_over(self, array: Any) -> Any:
        return self.torch.from_dlpack(array)

    def synchronise(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def release(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.empty_cache()

    @contextmanager
    def peak(self) -> Iterator[Callable[[], float | None]]:
        if self.device != "cuda":
            yield lambda: None
            return
        cuda = self.torch.cuda
        cuda.reset_peak_memory_stats()
        before = cuda.memory_allocated()
        yield lambda: cuda.max_memory_allocated() - before

    def to_host(self, array: Any) -> np.ndarray:
        return array.cpu().numpy()


def find(*, dry_run: bool) -> tuple[list[Any], list[str]]:
    """Return the libraries that work here, and why the others do not."""
    makers: list[Callable[[], Any]] = [Torch, CuPy]
    if dry_run:
        makers = [lambda: Torch("cpu"), NumPy]
    found, missing = [], []
    for maker in makers:
        try:
            found.append(maker())
        except (ImportError, RuntimeError) as error:
            missing.append(str(error))
    return found, missing


def timed(call: Callable[[], Any], library: Any, repeats: int = 3) -> tuple[Any, Any]:
    """Return the result of a call and the median of its seconds after a first call.

    If the first call takes longer than :data:`SHORT`, it is the only one.
    """
    seconds = []
    for _ in range(1 + repeats):
        library.synchronise()
        started = perf_counter()
        result = call()
        library.synchronise()
        seconds.append(perf_counter() - started)
        if seconds[0] > SHORT:
            return result, seconds[0]
    return result, float(np.median(seconds[1:]))
