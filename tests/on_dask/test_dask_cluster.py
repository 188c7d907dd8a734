"""Fits on a Dask cluster: placement, transfers, memory and failures.

Most tests of this file use two workers, which are threads of this process.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import pickle
import signal
import sys
import threading
import time

import numpy as np
import pytest

import xlr

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

N_CHUNKS, ROWS, FEATURES = 8, 500, 5


@pytest.fixture(scope="module")
def cluster():
    """Yield a cluster of threads; without work stealing, transfers are predictable."""
    with (
        dask.config.set({"distributed.scheduler.work-stealing": False}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def client(cluster):
    """Yield the current client, and check that no task remains on the cluster."""
    with distributed.Client(cluster) as client:
        yield client
        assert_in_time(lambda: not tasks(client))


def tasks(client):
    """Return the states of the scheduler's tasks, by the prefix of their keys."""

    def listed(dask_scheduler):
        return {
            (task.prefix.name, task.state) for task in dask_scheduler.tasks.values()
        }

    return client.run_on_scheduler(listed)


def assert_in_time(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        gc.collect()  # an error that a busy worker recovered from leaves a cycle
        time.sleep(0.1)


def chunk(position, seconds=0.0):
    """Return one chunk of X and y, the same at each call."""
    time.sleep(seconds)
    rng = np.random.default_rng(position)
    X = rng.normal(size=(ROWS, FEATURES))
    y = X[:, 0] - X[:, 1] + rng.logistic(size=ROWS) > 0
    return np.column_stack([X, y])


def dask_rows(make=chunk):
    """Return X and y in chunks that the workers make."""
    chunks = [
        da.from_delayed(
            dask.delayed(make)(position), (ROWS, FEATURES + 1), meta=np.empty((0, 0))
        )
        for position in range(N_CHUNKS)
    ]
    both = da.concatenate(chunks)
    return both[:, :-1], both[:, -1]


@pytest.fixture(scope="module")
def in_memory():
    both = np.concatenate([chunk(position) for position in range(N_CHUNKS)])
    return xlr.LogisticRegression(tol=1e-9).fit(both[:, :-1], both[:, -1])


def assert_same(model, expected):
    np.testing.assert_allclose(
        model.history_["objective"][-1], expected.history_["objective"][-1], rtol=1e-10
    )
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("persisted", [False, True])
def test_fit_leaves_no_task_on_the_cluster(client, in_memory, persisted):
    X, y = dask.persist(*dask_rows()) if persisted else dask_rows()
    model = xlr.LogisticRegression(tol=1e-9).fit(X, y)
    assert_same(model, in_memory)
    assert b"dask" not in pickle.dumps(model)
    assert_in_time(lambda: not any(name.startswith("xlr") for name, _ in tasks(client)))
    assert len(client.futures) == (2 * N_CHUNKS if persisted else 0)


def test_dask_predictions_keep_the_chunks_of_x(client, in_memory):
    """Dask alone would release the chunks of X on the cluster."""
    X, y = dask.persist(*dask_rows())
    expected = in_memory.predict(X.compute())
    lazy = [in_memory.predict(X), in_memory.predict(X + 0.0)]
    held = len(client.futures)
    del X
    for predictions in lazy:
        np.testing.assert_array_equal(predictions.compute(), expected)
    assert_in_time(lambda: len(client.futures) == held)
    model = xlr.LogisticRegression(tol=1e-9).fit(dask_rows()[0].persist(), y)
    assert_same(model, in_memory)
    del predictions, lazy
    assert_in_time(lambda: len(client.futures) == N_CHUNKS)  # the chunks of y


def test_fit_runs_on_the_client_of_its_context(client, in_memory):
    with (
        distributed.LocalCluster(
            n_workers=1, processes=False, dashboard_address=":0"
        ) as other_cluster,
        distributed.Client(other_cluster, set_as_default=False) as other,
    ):
        with other.as_current():
            model = xlr.LogisticRegression(tol=1e-9).fit(*dask_rows())
        names = other.run_on_scheduler(
            lambda dask_scheduler: set(dask_scheduler.task_prefixes)
        )
        assert "xlr-value-and-gradient" in names
    assert_same(model, in_memory)


def bytes_moved(client):
    """Return the number of bytes that workers have received from each other."""

    def received(dask_worker):
        log = dask_worker.transfer_incoming_log
        return sum(sum(entry["keys"].values()) for entry in log)

    return sum(client.run(received).values())


def alternated(client, array, first):
    """Return an array whose chunks alternate between the two workers."""
    places = sorted(client.scheduler_info()["workers"])
    parts = [
        client.persist(part, workers=places[(i + first) % 2])
        for i, part in enumerate(array.partitions)
    ]
    distributed.wait(parts)
    return da.concatenate(parts)


@pytest.mark.parametrize("kind", ["columns of a table", "y in memory"])
def test_fit_leaves_x_on_its_workers(client, kind):
    """y moves to X from the other worker."""
    n, p, n_chunks = 48_000, 20, 12
    rng = da.random.default_rng(0)
    X = rng.normal(size=(n, p), chunks=(n // n_chunks, p))
    y = X[:, 0] + rng.logistic(size=n, chunks=n // n_chunks) > 0
    array, y = alternated(client, X, 0), alternated(client, y, 1)
    if kind == "columns of a table":
        frame = pytest.importorskip("dask.dataframe", exc_type=ImportError)
        names = [f"x{j}" for j in range(p)]
        X = frame.from_dask_array(array, columns=names).persist()[names[1:]]
    else:
        X, y = array, y.compute()
    before = bytes_moved(client)
    model = xlr.LogisticRegression().fit(X, y)
    assert model.n_passes_ > 3
    assert bytes_moved(client) - before < 0.05 * array.nbytes


# -- failures ----------------------------------------------------------------------


def at_iteration(monkeypatch, number, action):
    """Run an action in an iteration of a ``verbose`` fit."""

    class Watched(io.StringIO):
        def write(self, text):
            if f"iteration {number:4d} " in text:
                action()
            return len(text)

    monkeypatch.setattr(sys, "stdout", Watched())


@pytest.fixture
def client_of_processes():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(silence_logs=logging.CRITICAL, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        yield client


def test_fit_survives_a_killed_worker(client_of_processes, in_memory, monkeypatch):
    """Dask computes the chunks of the killed worker again on the other one."""
    client = client_of_processes
    X, y = dask.persist(*dask_rows())
    distributed.wait([X, y])
    killed = client.run(os.getpid).popitem()[1]
    at_iteration(monkeypatch, 1, lambda: os.kill(killed, signal.SIGKILL))
    model = xlr.LogisticRegression(tol=1e-9, verbose=1, solver="newton-cg").fit(X, y)
    assert killed not in client.run(os.getpid).values()
    assert_same(model, in_memory)
    assert b"dask" not in pickle.dumps(model)


@pytest.mark.parametrize("at", [1, 4])
@pytest.mark.parametrize("on_cluster", [True, False])
def test_chunk_that_cannot_be_read_raises_its_error(request, tmp_path, at, on_cluster):
    """A note of the error has the number of the chunk; no attribute changes."""
    if on_cluster:
        request.getfixturevalue("client")
    reads = tmp_path / "reads"
    reads.touch()

    def make(position):
        if position == 5:
            with reads.open("a") as file:
                file.write("x")
            if reads.stat().st_size >= at:
                raise OSError("the file ends too early")
        return chunk(position)

    model = xlr.LogisticRegression()
    before = dict(vars(model))
    scheduler = {} if on_cluster else {"scheduler": "synchronous"}
    with dask.config.set(scheduler), pytest.raises(OSError, match="too early") as info:
        model.fit(*dask_rows(make))
    assert info.value.__notes__ == ["This was raised by chunk 5 of X or y."]
    assert reads.stat().st_size <= at + 6  # bisection finds the chunk
    assert vars(model) == before
    if on_cluster:  # even if the traceback is kept, as interactive sessions do
        assert_in_time(lambda: not tasks(distributed.default_client()))


@pytest.mark.parametrize("argument", ["X", "y", "weight"])
def test_chunk_with_invalid_numbers_is_named(client, argument):
    X, y = dask_rows()
    weight = da.ones_like(y)
    here = da.arange(len(y), chunks=y.chunks) == 5 * ROWS + 3
    if argument == "X":
        X = da.where(here[:, None], np.nan, X)
    elif argument == "y":
        y = da.where(here, np.nan, y)
    else:
        weight = da.where(here, -1, weight)
    model = xlr.LogisticRegression()
    before = dict(vars(model))
    with pytest.raises(ValueError, match=r"^Chunk 5 of the rows: .*(NaN|negative)"):
        model.fit(X, y, weight)
    assert vars(model) == before


def test_interrupt_in_an_iteration_cancels_all_tasks(client, monkeypatch):
    """Ctrl-C sends the same interrupt."""

    def interrupt():
        assert_in_time(lambda: any(state == "processing" for _, state in tasks(client)))
        os.kill(os.getpid(), signal.SIGINT)

    # Shells start background jobs with this signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    at_iteration(monkeypatch, 1, thread.start)
    X, y = dask_rows(lambda position: chunk(position, seconds=0.1))
    model = xlr.LogisticRegression(verbose=1)
    with pytest.raises(KeyboardInterrupt) as info:
        model.fit(X, y)
    thread.join()
    assert not hasattr(model, "coef_")
    assert_in_time(lambda: not tasks(client), seconds=10)
    assert info.value.__traceback__ is not None  # it was kept until now
