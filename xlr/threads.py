"""Floor 1: running the parts of a pass in several threads.

Each thread works on its own rows with a BLAS of one thread, which keeps a block of
rows in the cache of one core.  The BLAS of the process is set to one thread for as
long as any fit has workers, and back when the last one ends: switching for each pass
would leave BLAS's own threads spinning beside ours.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from _thread import start_new_thread
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from queue import SimpleQueue
from typing import Any, TypeVar

import joblib
import numpy as np
from threadpoolctl import ThreadpoolController

from xlr import arrays
from xlr.arrays import Array
from xlr.precision import full_precision

__all__ = ["ALONE", "Workers", "available_threads", "workers"]

T = TypeVar("T")

_lock = threading.Lock()
_fits: set[object] = set()  # with workers now, in any thread of the process
_before: list[tuple[Any, int]] = []  # threads of each BLAS, before the first of them


@functools.cache
def _blas() -> ThreadpoolController:
    # Looking through the loaded libraries takes half a millisecond.
    return ThreadpoolController().select(user_api="blas")


def _blas_threads() -> int:
    libraries = _blas().lib_controllers
    if not libraries:  # a BLAS that threadpoolctl does not know
        return joblib.cpu_count()
    return min(map(attrgetter("num_threads"), libraries))


def available_threads(n_jobs: int | None) -> int:
    """Threads that a pass may use.

    Parameters
    ----------
    n_jobs : int or None
        None for as many as BLAS may use, which follows ``OMP_NUM_THREADS``,
        threadpoolctl's limits and joblib's workers; otherwise as joblib counts:
        -1 for all processors, -2 for all but one.
    """
    if n_jobs is not None:
        return joblib.effective_n_jobs(n_jobs)
    with _lock:
        return min(n for _, n in _before) if _before else _blas_threads()


@contextlib.contextmanager
def _blas_of_one_thread() -> Iterator[None]:
    """Ctrl-C may come between any two steps: each can be done again, or undone."""
    fit = object()
    try:
        with _lock:
            _fits.add(fit)
            libraries = _blas().lib_controllers
            if not _before:
                _before.extend([(each, each.num_threads) for each in libraries])
            for library in libraries:
                library.set_num_threads(1)
        yield
    finally:
        interrupted = None
        while fit in _fits:
            try:
                _end(fit)
            except KeyboardInterrupt as error:
                interrupted = error
        try:
            if interrupted is not None:
                raise interrupted
        finally:
            del interrupted  # it would hold on to itself, by this frame


def _end(fit: object) -> None:
    """Take a fit from those that run; the last gives BLAS its threads back."""
    with _lock:
        if _fits == {fit}:
            _restore()
        _fits.discard(fit)


def _restore() -> None:
    for library, n_threads in _before:
        library.set_num_threads(n_threads)
    _before.clear()


def _forget_fits() -> None:
    """In a forked process, where the fits of other threads are not."""
    global _lock
    _lock = threading.Lock()  # another thread may have held it
    _fits.clear()
    _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_fits)


class Workers:
    """Threads for the passes of one fit.

    Parameters
    ----------
    n : int
        How many, the calling thread included.
    start : callable
        Starts a task in one of the others.
    """

    def __init__(self, n: int, start: Callable[[Callable[[], None]], None]) -> None:
        self.n = n
        self._start = start

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results of the tasks, in their order; the first runs in this thread."""
        if self.n == 1:
            return [task() for task in tasks]
        first, *others = tasks
        done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
        for number, task in enumerate(others):
            # NumPy's error state belongs to the context, which threads do not inherit.
            run = functools.partial(contextvars.copy_context().run, task)
            self._start(functools.partial(_tell, done, number, run))
        results: list[Any] = [first(), *[None] * len(others)]
        errors: list[BaseException | None] = [None] * len(others)
        for _ in others:
            number, results[1 + number], errors[number] = done.get()
        for error in errors:
            if error is not None:
                raise error
        return results


ALONE = Workers(1, lambda task: task())


def _tell(
    done: SimpleQueue[tuple[int, Any, BaseException | None]],
    number: int,
    task: Callable[[], Any],
) -> None:
    """Run a task and put what came of it where it is waited for."""
    try:
        done.put((number, task(), None))
    except BaseException as error:
        done.put((number, None, error))


@contextlib.contextmanager
def _threads(n: int) -> Iterator[Callable[[Callable[[], None]], None]]:
    """What starts a task in one of n threads, which are gone with the context.

    They begin with the first task: small fits have none.

    Each call of a queue or of ``start_new_thread`` is one step, before or after which
    Ctrl-C may come. Executors, events and ``Thread.start`` wait for conditions, which
    are written in Python: Ctrl-C in the middle may leave their lock to nobody, and a
    thread that is to tell of its end waits for it for ever.
    """
    tasks: SimpleQueue[Any] = SimpleQueue()
    ended: SimpleQueue[None] = SimpleQueue()
    started: list[int] = []

    def start(task: Callable[[], None]) -> None:
        try:
            while len(started) < n:
                started.append(start_new_thread(_work, (tasks, ended)))
        except RuntimeError:  # no memory for the stack of another thread
            pass
        if started:
            tasks.put(task)
        else:
            task()

    try:
        yield start
    finally:
        tasks.put(None)
        for _ in started:
            ended.get()


def _work(tasks: SimpleQueue[Any], ended: SimpleQueue[None]) -> None:
    while (task := tasks.get()) is not None:
        task()
        del task  # and the rows that it holds
    tasks.put(None)  # for the next thread
    ended.put(None)


@contextlib.contextmanager
def workers(x: Array, n_jobs: int | None) -> Iterator[Workers]:
    """Threads for passes over ``x`` within the context, gone with it however it ends.

    None is left behind to be lost in a fork. A library other than NumPy has threads of
    its own.

    Parameters
    ----------
    x : array
    n_jobs : int or None
        As for :func:`available_threads`.
    """
    if not isinstance(x, np.ndarray) and arrays.is_array(x):
        entries = arrays.entries(x)
        device = arrays.current_device(entries)
        with device, full_precision(entries), arrays.memory_errors(entries):
            yield ALONE
        return
    n = available_threads(n_jobs)
    # No ExitStack: it leaves exceptions in circles, and what Ctrl-C keeps from its end
    # would not be ended with the exception, but when the collector comes by.
    with _blas_of_one_thread(), _threads(n - 1) as start:
        yield Workers(n, start)
