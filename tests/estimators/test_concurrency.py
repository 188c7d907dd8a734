"""Fits in several threads, in other processes, and interrupted."""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import xlr
from xlr.threads import thread_pool

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 10))
Y = (X[:, 0] + RNG.logistic(size=3000) > 0).astype(int)
CS = np.logspace(-3, 3, 16)


def fit(C):
    """Return the bits of a fit in two threads."""
    return xlr.LogisticRegression(C=C, n_jobs=2).fit(X, Y).coef_.tobytes()


@pytest.fixture(scope="module")
def sequential():
    """Return the bits of fits with each C, one after the other."""
    return [fit(C) for C in CS]


def test_fits_in_many_threads_have_the_same_bits(sequential):
    before = threadpool_info()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fit, CS)) == sequential
    assert threadpool_info() == before


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_estimator_predicts_in_many_threads(dtype):
    model, rows = xlr.LogisticRegression().fit(X, Y), X.astype(dtype)
    expected = model.predict_proba(rows).tobytes()
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: model.predict_proba(rows).tobytes(), range(40))
        assert set(found) == {expected}


def test_predictions_during_fits_use_a_single_model():
    """Refits change the shapes; a prediction uses the old model or the new one."""
    model, labels = xlr.LogisticRegression(), np.arange(len(Y)) % 3
    model.fit(X, Y)
    done, messages = threading.Event(), set()

    def predict():
        while not done.is_set():
            try:
                found = model.predict_proba(X)
            except ValueError as error:
                messages.add(str(error))
            else:
                assert found.shape[1] in {2, 3}
                assert np.isfinite(found).all()

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(predict) for _ in range(2)]
        for _ in range(5):
            model.fit(X, labels)
            model.fit(X[:, :2], Y)
            model.fit(X, Y)
        done.set()
        for task in running:
            task.result()
    expected = "features, but LogisticRegression is expecting"
    assert all(expected in message for message in messages)


def test_every_estimator_fits_in_many_threads():
    def fitted(kind):
        if kind == 0:
            return xlr.LogisticRegressionCV(Cs=3, cv=3, n_jobs=2).fit(X, Y).scores_
        if kind == 1:
            return xlr.FirthLogisticRegression(n_jobs=2).fit(X, Y).coef_
        labels = np.column_stack([Y, 1 - Y, X[:, 1] > 0])
        return xlr.MultiLabelLogisticRegression(n_jobs=2).fit(X[:, 2:], labels).coef_

    expected = [fitted(kind).tobytes() for kind in range(3)]
    with ThreadPoolExecutor(6) as pool:
        found = pool.map(lambda i: fitted(i % 3).tobytes(), range(12))
        assert list(found) == expected * 4


# -- other processes -------------------------------------------------------------------


@functools.cache
def forks_without_jax() -> str:
    """Return the report of the tests that fork, run where JAX is not imported."""
    command = [sys.executable, "-m", "pytest", "-qrA", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, __file__, "-k", "fork"],
        cwd=Path(__file__).parents[2],
        env={k: v for k, v in os.environ.items() if "XDIST" not in k},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    ).stdout


def passes_without_jax(request):
    """Return whether JAX, which must not fork, is imported here.

    If so, check that the test passes in a process without JAX.
    """
    if "jax" not in sys.modules:
        return False
    report = forks_without_jax()
    assert re.search(rf"^PASSED .*::{re.escape(request.node.name)}$", report, re.M), (
        report
    )
    return True


def send_fit(queue):
    queue.put(fit(CS[5]))


def fit_in_new_process(context):
    """Return the bits of a fit with CS[5] in another process."""
    queue = context.SimpleQueue()
    process = context.Process(target=send_fit, args=(queue,))
    with warnings.catch_warnings():
        # Python 3.12 warns that a fork with threads may hang. This one does not.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    process.join(60)
    hangs = process.is_alive()
    process.kill()
    assert not hangs
    assert process.exitcode == 0
    return queue.get()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_fits_in_another_process_have_the_same_bits(method, sequential, request):
    if method == "fork" and passes_without_jax(request):
        return
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this system")
    fit(1.0)  # a fork copies the caches that a fit leaves
    context = multiprocessing.get_context(method)
    assert fit_in_new_process(context) == sequential[5]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forks_during_fits_have_the_same_bits(sequential, request):
    if passes_without_jax(request):
        return
    stop = threading.Event()

    def keep_fitting():
        while not stop.is_set():
            fit(1.0)

    threads = [threading.Thread(target=keep_fitting) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        context = multiprocessing.get_context("fork")
        for _ in range(3):
            assert fit_in_new_process(context) == sequential[5]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_joblib_during_a_fit_gives_the_same_bits(sequential):
    with thread_pool(X, 2):  # as during a fit
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(fit)(C) for C in CS[:4])
    assert found == sequential[:4]


# -- Ctrl-C and memory -----------------------------------------------------------------

INTERRUPTED = """
import signal, threading, time
import numpy as np
import xlr
from threadpoolctl import threadpool_info

rng = np.random.default_rng(0)
X = rng.normal(size=(20_000, 20))
y = (X[:, 0] + rng.logistic(size=20_000) > 0).astype(int)
signal.signal(signal.SIGALRM, signal.default_int_handler)
blas = threadpool_info()
model = xlr.LogisticRegression(n_jobs=2).fit(X, y)
began = time.perf_counter()
expected = model.fit(X, y).coef_.tobytes()
seconds = time.perf_counter() - began
state = dict(vars(model))
interrupted = 0
for share in np.linspace(0.02, 0.9, 15):
    model.C = state["C"] = 2.0
    try:
        signal.setitimer(signal.ITIMER_REAL, share * seconds)
        model.fit(X, y)
        signal.setitimer(signal.ITIMER_REAL, 0)
        state = dict(vars(model))
    except KeyboardInterrupt:
        interrupted += 1
        assert vars(model).keys() == state.keys()
        kept = [vars(model)[name] is value for name, value in state.items()]
        if not all(kept):  # Ctrl-C came after the fit: all attributes are new
            arrays = ("coef_", "intercept_", "history_")
            assert not any(vars(model)[name] is state[name] for name in arrays)
            state = dict(vars(model))
    assert threadpool_info() == blas
    deadline = time.perf_counter() + 10  # a new thread has this time to end
    while threading.active_count() > 1:
        assert time.perf_counter() < deadline
        time.sleep(0.001)
model.C = 1.0
assert model.fit(X, y).coef_.tobytes() == expected
print(interrupted)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no setitimer")
def test_ctrl_c_leaves_no_thread_and_no_setting_behind():
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "2"}
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 3


def test_hessian_larger_than_memory_is_refused_before_an_iteration(monkeypatch, capsys):
    monkeypatch.setattr("xlr.arrays.free_bytes", lambda x: 1000)
    model = xlr.LogisticRegression(solver="newton-cholesky", verbose=1)
    with pytest.raises(MemoryError, match="Use solver='auto'"):
        model.fit(X, Y)
    assert capsys.readouterr().out == ""
    assert not hasattr(model, "coef_")


def test_error_for_a_hessian_that_numpy_cannot_allocate_advises_auto(monkeypatch):
    def fail(self, objective, start):
        raise MemoryError("Unable to allocate 8 TiB.")

    monkeypatch.setattr("xlr.arrays.free_bytes", lambda x: None)  # without psutil
    monkeypatch.setattr("xlr.solvers.NewtonCholesky.init", fail)
    model = xlr.LogisticRegression(solver="newton-cholesky", C=1e-6)
    with pytest.raises(MemoryError, match=r"parameters \(Unable to.*Use solver='auto'"):
        model.fit(X[:8], Y[:8])
