"""The yardsticks: F, the time of a product, the time and the peak memory of a call.

F is computed here by SciPy from the coefficients alone, not by any code under test.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import numpy as np
from data import Data, row_blocks, row_weights
from scipy.special import logsumexp

SHORT = 0.2  # seconds: a call that is shorter is timed in a loop
SETTLE = 0.02  # seconds in which threads of the call before stop spinning


def objective(coef: np.ndarray, intercept: np.ndarray, data: Data, C: float) -> float:
    """F in float64: the weighted mean loss plus |coef|^2 / (2 C S), S the weights' sum.

    ``coef`` is (1, p) for two classes, else (K, p), as scikit-learn has it.
    """
    X, y = data.X, data.y
    coef, intercept = np.float64(coef), np.float64(intercept)
    weights = row_weights(y, data.sample_weight, data.class_weight)
    losses = []
    for rows in row_blocks(*X.shape):
        logits = np.float64(X[rows]) @ coef.T + intercept
        if len(coef) == 1:
            loss = np.logaddexp(0, (1 - 2 * y[rows]) * logits[:, 0])
        else:
            loss = logsumexp(logits, axis=1) - logits[np.arange(len(logits)), y[rows]]
        losses.append(loss.sum() if weights is None else weights[rows] @ loss)
    S = len(y) if weights is None else math.fsum(weights)
    return (math.fsum(losses) + float((coef**2).sum()) / (2 * C)) / S


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and what it returned; no collector runs meanwhile."""
    gc.collect()
    collected = gc.isenabled()
    gc.disable()
    try:
        sleep(SETTLE)
        started = perf_counter()
        result = call()
        return perf_counter() - started, result
    finally:
        if collected:
            gc.enable()


def loops_for(seconds: float) -> int:
    """Return the number of calls that time a call of some seconds well."""
    return max(1, math.ceil(SHORT / max(seconds, 1e-6))) if seconds < SHORT else 1


def timed_in_loop(call: Callable[[], Any], number: int) -> float:
    """Seconds of one of ``number`` calls in a row."""

    def loop() -> None:
        for _ in range(number):
            call()

    return timed(loop)[0] / number


def matvec_seconds(X: np.ndarray, n_outputs: int, repeats: int = 7) -> float:
    """Median time of one product of X with the coefficients: the unit of a pass."""
    w = np.ones((X.shape[1], n_outputs), X.dtype)
    w = w[:, 0] if n_outputs == 1 else w
    X @ w  # starts the threads of BLAS
    number = loops_for(timed(lambda: X @ w)[0])
    return median(timed_in_loop(lambda: X @ w, number) for _ in range(repeats))


class TimeLimitError(BaseException):
    """A call ran out of time. Not an Exception, so that no library catches it."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Stop what runs within after some seconds, wherever it is next in Python.

    Only the main thread of a process can be stopped so; elsewhere there is no limit.
    """
    usable = hasattr(signal, "SIGALRM") and seconds is not None
    if not usable or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise TimeLimitError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _status(field: str) -> int:
    """A number of bytes out of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def peak_bytes() -> int | None:
    """Peak of this process's resident memory; None where the system does not say."""
    try:
        return _status("VmHWM")
    except OSError:
        return None


def _release() -> None:
    """Give what is free back to the system, so that its next use shows."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def peak_extra_bytes(call: Callable[[], Any]) -> int | None:
    """Peak of resident memory during a call, over what there was before it.

    None where the system does not say: Linux counts the peak and lets a process reset
    its own. What a library keeps for itself between calls (buffers of BLAS, pools of
    threads) was there before, and does not count, if there was a call before.
    """
    if not sys.platform.startswith("linux"):
        return None
    _release()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        if _status("VmHWM") - before > 2**20:  # the reset did nothing
            return None
    except OSError:
        return None
    call()
    return max(0, _status("VmHWM") - before)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
