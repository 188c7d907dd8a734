"""Threads for the parts of a pass.

Each thread works on its own rows with a BLAS of one thread, which keeps a block of
rows in the cache of one core. BLAS has one thread in the entire process while any fit
has a thread pool. A change for each pass would leave BLAS's own threads spinning.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from _thread import start_new_thread
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from xlr import arrays
from xlr.arrays import Array
from xlr.precision import full_precision

T = TypeVar("T")

_lock = threading.Lock()
_fits: set[object] = set()  # fits with a thread pool, in any thread of the process
_user_threads: list[int] = []  # threads of each BLAS before the first fit


@functools.cache
def _blas_libraries() -> list[Any]:
    """Return the loaded BLAS libraries. The scan for them takes half a millisecond."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _set_blas_threads(library: Any, n_threads: int) -> None:
    """Set the threads of a BLAS from any thread of the process.

    From version 3.8 on, threadpoolctl obeys only the first thread that sets the number,
    while that thread lives. A fit that ends last, in another thread, could not restore
    the number without this private method.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(n_threads)


def available_threads(n_jobs: int | None) -> int:
    """Return the number of threads of a pass.

    Parameters
    ----------
    n_jobs : int or None
        None for as many as BLAS may use, as set by ``OMP_NUM_THREADS``, threadpoolctl
        or a worker of joblib. Otherwise as in joblib: -1 for all processors, -2 for all
        except one.
    """
    if n_jobs is not None:
        return joblib.effective_n_jobs(n_jobs)
    with _lock:
        counts = _user_threads or [each.num_threads for each in _blas_libraries()]
        # threadpoolctl may not know the BLAS.
        return min(counts) if counts else joblib.cpu_count()


@contextlib.contextmanager
def _blas_of_one_thread() -> Iterator[None]:
    """Limit BLAS to one thread within the context."""
    fit = object()
    try:
        with _lock:
            _fits.add(fit)
            if not _user_threads:
                _user_threads.extend([each.num_threads for each in _blas_libraries()])
            for library, n_threads in zip(_blas_libraries(), _user_threads):
                if n_threads > 1:
                    _set_blas_threads(library, 1)
        yield
    finally:
        try:
            _end(fit)
        except BaseException:  # Ctrl-C interrupted the first call
            _end(fit)
            raise


def _end(fit: object) -> None:
    """End a fit; the last fit restores the threads of BLAS.

    A call that was interrupted can be repeated.
    """
    with _lock:
        _fits.discard(fit)
        if not _fits:
            for library, n_threads in zip(_blas_libraries(), _user_threads):
                if n_threads > 1:
                    _set_blas_threads(library, n_threads)
            _user_threads.clear()


def _forget_fits() -> None:
    """Reset the state in a forked process, which has no other threads."""
    global _lock
    _lock = threading.Lock()  # another thread may have held it
    _fits.clear()
    _end(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_fits)


class ThreadPool:
    """Threads for the passes of one fit.

    The threads start with the first tasks, so that small fits have none.

    Ctrl-C cannot interrupt a call of a ``SimpleQueue`` or of ``start_new_thread``.
    Executors, events and ``Thread.start`` wait for conditions, which are written in
    Python. Ctrl-C within one may leave a lock that nobody releases, and the wait for
    the end of a thread would then never end.

    Parameters
    ----------
    n_threads : int
        Number of threads, including the calling thread.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._started: list[int] = []
        self._tasks: SimpleQueue[Any] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Return the results of the tasks. The first runs in this thread."""
        if self.n_threads == 1:
            return [task() for task in tasks]
        while len(self._started) < self.n_threads - 1:
            self._started.append(start_new_thread(self._work, ()))
        first, *others = tasks
        outcomes: list[SimpleQueue[Any]] = [SimpleQueue() for _ in others]
        for task, outcome in zip(others, outcomes):
            # Threads do not inherit the context, which holds NumPy's error state.
            run = functools.partial(contextvars.copy_context().run, task)
            self._tasks.put((run, outcome))
        results, errors = zip((first(), None), *(each.get() for each in outcomes))
        for error in errors:
            if error is not None:
                raise error
        return list(results)

    def _work(self) -> None:
        """Run tasks until None, and pass it on."""
        while (task := self._tasks.get()) is not None:
            run, outcome = task
            try:
                outcome.put((run(), None))
            except BaseException as error:
                outcome.put((None, error))
            del task, run, outcome  # frees the rows, and results that nobody took
        self._tasks.put(None)  # for the next thread
        self._ended.put(None)

    def end(self) -> None:
        """End the threads, and wait for them."""
        self._tasks.put(None)
        for _ in self._started:
            self._ended.get()


SERIAL_POOL = ThreadPool(1)


@contextlib.contextmanager
def thread_pool(x: Array, n_jobs: int | None) -> Iterator[ThreadPool]:
    """Yield threads for passes over ``x``, which end with the context.

    No thread outlives a fit, because a fork would lose it. Libraries other than NumPy
    have their own threads.

    Parameters
    ----------
    x : array
    n_jobs : int or None
        As in :func:`available_threads`.
    """
    if not isinstance(x, np.ndarray) and arrays.is_foreign(x):
        entries = arrays.entries(x)
        device = arrays.current_device(entries)
        with device, full_precision(entries), arrays.memory_errors(entries):
            yield SERIAL_POOL
        return
    # An ExitStack would leave exceptions in reference cycles. After Ctrl-C, contexts
    # would then end only with the garbage collector.
    with _blas_of_one_thread():
        pool = ThreadPool(available_threads(n_jobs))
        try:
            yield pool
        finally:
            pool.end()
