"""Fits keep no reference to their rows, and fits and predictions copy few of them."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from scipy.sparse import csr_array

import xlr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] + RNG.logistic(size=60) > 0).astype(int)


def fitted(estimator, rows):
    if isinstance(estimator, xlr.MultiLabelLogisticRegression):
        return estimator.fit(rows, np.c_[Y, 1 - Y])
    return estimator.fit(rows, Y)


FITS = {
    "logistic": lambda rows: fitted(xlr.LogisticRegression(), rows),
    "lasso": lambda rows: fitted(xlr.LogisticRegression(l1_ratio=1, C=0.1), rows),
    "cv": lambda rows: fitted(xlr.LogisticRegressionCV(Cs=3), rows),
    "cv, scorer": lambda rows: fitted(
        xlr.LogisticRegressionCV(Cs=3, scoring="accuracy", refit=False), rows
    ),
    "firth": lambda rows: fitted(xlr.FirthLogisticRegression(), rows),
    "multi-label": lambda rows: fitted(xlr.MultiLabelLogisticRegression(), rows),
    "path": lambda rows: xlr.logistic_path(rows, Y, n_Cs=3),
    "bootstrap": lambda rows: xlr.bootstrap(
        xlr.LogisticRegression(), rows, Y, n_resamples=5
    ),
}


@pytest.mark.parametrize("kind", list(FITS))
@pytest.mark.parametrize("form", [np.array, csr_array], ids=["dense", "sparse"])
def test_fit_frees_its_rows_without_the_garbage_collector(kind, form):
    FITS[kind](form(X))  # fills caches
    rows = form(X)
    is_alive = weakref.ref(rows)
    gc.disable()
    try:
        result = FITS[kind](rows)
        del rows
        assert is_alive() is None
    finally:
        gc.enable()
    assert result is not None


@pytest.mark.parametrize(
    "form",
    [lambda X: X > 0, lambda X: (X > 0).astype(np.uint8), np.asfortranarray],
    ids=["bool", "uint8", "fortran"],
)
def test_fit_makes_no_copy_of_all_rows_in_float64(form):
    rows = form(RNG.normal(size=(100_000, 40)))
    labels = (rows[:, 0] + RNG.logistic(size=100_000) > 0.5).astype(int)
    expected = xlr.LogisticRegression(n_jobs=1).fit(rows.astype(float), labels)
    tracemalloc.start()
    try:
        model = xlr.LogisticRegression(n_jobs=1).fit(rows, labels)
        proba = model.predict_proba(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * rows.size
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(model.predict(rows), proba[:, 1] > proba[:, 0])


@pytest.mark.parametrize("form", [lambda X: X > 0, np.float32], ids=["bool", "float32"])
def test_predictions_make_no_copy_of_all_rows_in_float64(form):
    rows = form(RNG.normal(size=(50_000, 40)))
    model = xlr.LogisticRegression().fit(rows[:200], np.arange(200) % 2)
    tracemalloc.start()
    try:
        proba = model.predict_proba(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * rows.size
    np.testing.assert_allclose(proba[-9:], model.predict_proba(rows[-9:]), rtol=1e-6)


def peak_of_a_fit_to_codes(codes, levels, *numbers):
    """Return the peak memory of the matrix of codes and of its fit, in bytes."""
    labels = (codes[:, 0] / levels - 0.5 + RNG.logistic(size=len(codes)) > 0) + 0
    few = xlr.CategoricalMatrix(codes[:1000], [levels] * codes.shape[1])
    xlr.LogisticRegression(n_jobs=1).fit(few, labels[:1000])  # fills caches
    tracemalloc.start()
    try:
        matrix = xlr.CategoricalMatrix(codes, [levels] * codes.shape[1])
        if numbers:
            matrix = xlr.SplitMatrix([*numbers, matrix])
        xlr.LogisticRegression(n_jobs=1).fit(matrix, labels)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("levels", "most"), [(10, 1.6), (67, 1.5)])
def test_fit_to_category_codes_takes_little_more_memory_than_the_codes(
    levels, most, missing
):
    codes = RNG.integers(0, levels, size=(400_000, 30), dtype=np.int32)
    if missing:
        codes[::7, 1] = -1
    assert peak_of_a_fit_to_codes(codes, levels) < most * codes.nbytes


def test_fit_to_numbers_and_codes_makes_no_copy_of_the_numbers():
    codes = RNG.integers(0, 1000, size=(400_000, 5), dtype=np.int32)
    numbers = RNG.normal(size=(400_000, 10))
    peak = peak_of_a_fit_to_codes(codes, 1000, numbers)
    # A copy in float32 would add 0.4.
    assert numbers.nbytes + peak < 1.6 * (numbers.nbytes + codes.nbytes)


PAGES_OF_SECOND_FIT = """
import resource
import numpy as np
import xlr

X = np.random.default_rng(0).standard_normal((100_000, 20), np.float32)
y = X[:, 0] > 0.5
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    xlr.LogisticRegression(n_jobs=1).fit(X, y)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_blocks_reuse_memory_in_a_new_process():
    # Dask sets variables of the allocator for its workers.
    ours = "MALLOC_", "GLIBC_TUNABLES"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", PAGES_OF_SECOND_FIT],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
    )
    # In pages. X has 2,000; without reuse there are several times as many.
    assert int(done.stdout) < 500
