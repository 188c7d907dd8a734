"""Threads for passes, and the BLAS settings after them."""

from __future__ import annotations

import io
import sys
import threading

import joblib
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import xlr
from xlr.threads import SERIAL_POOL, available_threads, thread_pool

LARGE = np.zeros((1000, 1000))


def blas_threads():
    """Return the number of threads of each BLAS of the process."""
    controller = ThreadpoolController().select(user_api="blas")
    return [library.num_threads for library in controller.lib_controllers]


@pytest.fixture(params=[1, 2])
def limit(request):
    """Set a limit on BLAS threads, as a user may; yield it."""
    with threadpool_limits(request.param, user_api="blas"):
        yield request.param


def test_thread_pool_has_as_many_threads_as_blas_may_use(limit):
    assert available_threads(None) == limit
    with thread_pool(LARGE, None) as pool:
        assert pool.n_threads == limit


def test_n_jobs_counts_threads_as_joblib(limit):
    assert available_threads(3) == 3
    assert available_threads(-1) == joblib.cpu_count()
    with thread_pool(LARGE, 2) as pool:
        assert pool.n_threads == 2


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_thread_pool_restores_blas_threads(limit, error):
    before = blas_threads()
    try:
        with thread_pool(LARGE, 2) as pool:
            assert set(blas_threads()) == {1}
            pool.run([lambda: None, lambda: None])
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert blas_threads() == before


def test_overlapping_fits_restore_blas_threads(limit):
    before = blas_threads()
    first_runs, second_runs = threading.Event(), threading.Event()
    seen = []

    def second_fit():
        first_runs.wait()
        with thread_pool(LARGE, None) as pool:
            seen.append(pool.n_threads)  # the user's limit, not that of the first fit
            second_runs.set()
        seen.append(blas_threads())

    thread = threading.Thread(target=second_fit)
    thread.start()
    with thread_pool(LARGE, None):
        first_runs.set()
        second_runs.wait()
        thread.join()
    assert seen == [limit, [1] * len(before)]
    assert blas_threads() == before


def test_last_of_overlapping_fits_restores_blas_threads(limit):
    before = blas_threads()
    first_runs, second_runs, first_ended = (threading.Event() for _ in range(3))

    def second_fit():
        first_runs.wait()
        with thread_pool(LARGE, None):
            second_runs.set()
            first_ended.wait()

    thread = threading.Thread(target=second_fit)
    thread.start()
    with thread_pool(LARGE, None):
        first_runs.set()
        second_runs.wait()
    first_ended.set()
    thread.join()
    assert blas_threads() == before


def test_array_libraries_keep_their_own_threads():
    torch = pytest.importorskip("torch")
    with thread_pool(torch.zeros((1000, 1000)), 2) as pool:
        assert pool is SERIAL_POOL


# -- fits ------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20_000, 20))
Y = (X[:, 0] + RNG.normal(size=20_000) > 0).astype(int)


def fit(C):
    return xlr.LogisticRegression(C=C).fit(X, Y).coef_


def test_parallel_fits_equal_fits_in_a_loop():
    before = blas_threads()
    Cs = [0.01, 1.0, 100.0]
    parallel = joblib.Parallel(n_jobs=2, backend="threading")
    for C, coef in zip(Cs, parallel(joblib.delayed(fit)(C) for C in Cs)):
        np.testing.assert_allclose(coef, fit(C), rtol=0, atol=1e-6)
    assert blas_threads() == before


def test_interrupted_fit_restores_blas_threads(monkeypatch):
    class Interrupting(io.StringIO):
        def write(self, text):
            raise KeyboardInterrupt

    before = blas_threads()
    monkeypatch.setattr(sys, "stdout", Interrupting())
    model = xlr.LogisticRegression(verbose=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert blas_threads() == before
