"""Measure F, the time of a product, and the time and peak memory of a call.

SciPy computes F here from the coefficients alone, without any code under test.
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

SHORT = 0.2  # seconds: a shorter call is timed in a loop
SETTLE = 0.02  # seconds until threads of the last call stop spinning


def objective(coef: np.ndarray, intercept: np.ndarray, data: Data, C: float) -> float:
    """Return F in float64: the weighted mean loss plus |coef|^2 / (2 C S).

    S is the sum of the weights. ``coef`` is (1, p) for two classes, else (K, p), as in
    scikit-learn.
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
    """Return the seconds of one call and its result, without garbage collection."""
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
    """Return how many calls in a row time a call of these seconds well."""
    return max(1, math.ceil(SHORT / max(seconds, 1e-6))) if seconds < SHORT else 1


def timed_in_loop(call: Callable[[], Any], number: int) -> float:
    """Return the seconds of one of ``number`` calls in a row."""

    def loop() -> None:
        for _ in range(number):
            call()

    return timed(loop)[0] / number


def matvec_seconds(X: np.ndarray, n_outputs: int, repeats: int = 7) -> float:
    """Return the median time of one product of X with coefficients."""
    w = np.ones((X.shape[1], n_outputs), X.dtype)
    w = w[:, 0] if n_outputs == 1 else w
    X @ w  # starts the threads of BLAS
    number = loops_for(timed(lambda: X @ w)[0])
    return median(timed_in_loop(lambda: X @ w, number) for _ in range(repeats))


class TimeLimitError(BaseException):
    """A call ran out of time. Not an Exception, so that no library catches it."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Stop the ``with`` block after some seconds, at the next step of Python.

    Only the main thread of a process can be stopped; other threads have no limit.
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
    """Read a number of bytes from /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def peak_bytes() -> int | None:
    """Return this process's peak resident memory; None if the system hides it."""
    try:
        return _status("VmHWM")
    except OSError:
        return None


def _release() -> None:
    """Return free memory to the system, so that its next use shows."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def peak_extra_bytes(call: Callable[[], Any]) -> int | None:
    """Return the peak of resident memory during a call, less the memory before it.

    Return None where the system lacks this: Linux counts the peak and lets a process
    reset its own. Memory that a library keeps between calls (buffers of BLAS, thread
    pools) does not count after a first call.
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
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
