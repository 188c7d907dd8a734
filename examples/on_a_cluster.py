"""Half a million rows in ten files, fitted on a Dask cluster.

    python examples/on_a_cluster.py
    python examples/on_a_cluster.py --scheduler tcp://10.0.0.1:8786 --folder /shared

The rows are random visits to a shop: ten numbers each, and whether the visit ended in a
purchase. The workers of the cluster read the files, one chunk of rows per file, and
return only sums over the rows. By default the cluster is two processes on this machine.
Any other cluster works if its workers have xlr and can read the folder. The script
needs ``pip install '.[dask]'``.
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from sklearn.base import clone

import xlr

N_FEATURES, N_FILES = 10, 10
# Change in the log-odds of a purchase per unit of each number.
COEF = np.linspace(1, -1, N_FEATURES) ** 3
INTERCEPT = -2.0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scheduler", help="by default, a local one starts")
    parser.add_argument("--folder", help="by default, a temporary one")
    parser.add_argument("--rows", type=int, default=500_000, help="a multiple of 10")
    return parser.parse_args()


def write_files(folder: Path, n_rows: int) -> None:
    """Make the rows on the workers, and write one file per chunk of X and y."""
    rng = da.random.default_rng(0)
    chunk = n_rows // N_FILES
    X = rng.normal(size=(n_rows, N_FEATURES), chunks=(chunk, N_FEATURES))
    probability = 1 / (1 + da.exp(-(X @ COEF + INTERCEPT)))
    y = rng.uniform(size=n_rows, chunks=chunk) < probability
    da.to_npy_stack(folder / "X", X)
    da.to_npy_stack(folder / "y", y)


def with_peak(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and its peak memory in this process, in MB."""
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def heading(text: str) -> None:
    """Print a title with a blank line above it."""
    print(f"\n{text}\n{'-' * len(text)}")


def main(folder: Path, n_rows: int) -> None:
    """Fit, predict, evaluate and compare on the current client's cluster."""
    write_files(folder, n_rows)
    X, y = da.from_npy_stack(folder / "X"), da.from_npy_stack(folder / "y")
    print(
        f"X: {X.shape[0]:,} rows of {X.shape[1]} numbers, {X.nbytes / 1e6:.0f} MB, in "
        f"{X.npartitions} files"
    )

    heading("Fit")
    # The call is the same as for arrays in memory: Dask uses the current client.
    started = perf_counter()
    model = xlr.LogisticRegression(verbose=1).fit(X, y)
    seconds = perf_counter() - started
    print(f"{seconds:.1f} s, in which all of X was read {model.n_passes_} times: first")
    print("for column statistics and a sample of rows to start on, then once")
    print("for each line above.")

    heading("Predict")
    probability = model.predict_proba(X)[:, 1]  # nothing is computed yet
    print(f"  predicted purchases    {float(probability.mean()):.4f} of all visits")
    print(f"  purchases              {float(y.mean()):.4f}")
    print(f"  accuracy               {model.score(X, y):.4f}")

    heading("How precise are the coefficients?")
    # A penalty would shrink the coefficients towards zero, so this fit has none.
    unpenalised = xlr.LogisticRegression(C=np.inf).fit(X, y)
    results = xlr.infer(unpenalised, X, y)
    header = ("", "truth", "estimate", "standard error", "difference")
    print("  {:<12}{:>10}{:>12}{:>17}{:>16}".format(*header))
    truth = [INTERCEPT, *COEF]
    for name, true, estimate, error in zip(
        results.names, truth, results.params, results.bse
    ):
        print(f"  {name:<12}{true:>10.4f}{estimate:>12.4f}{error:>17.4f}", end="")
        print(f"{abs(estimate - true) / error:>9.1f} errors")

    heading("Which penalty?")
    # Each C is evaluated on the third of the rows that its fit has not seen.
    cv = xlr.LogisticRegressionCV(Cs=[1e-5, 1e-3, 1e-1], cv=3).fit(X, y)
    print("  C (small: strong)    mean log-likelihood of unseen rows")
    for C, score in zip(cv.Cs_, cv.scores_.mean(axis=(0, 1))):
        print(f"  {C:<21g}{score:.6f}{'  <- chosen' if cv.C_ == C else ''}")

    heading("The memory of this process")
    model = xlr.LogisticRegression(tol=1e-10)
    remote, peak = with_peak(lambda: clone(model).fit(X, y))
    print(f"  a fit on the cluster                    {peak:>6.0f} MB at most")
    local, peak = with_peak(lambda: clone(model).fit(*da.compute(X, y)))
    print(f"  a fit to all rows, loaded here          {peak:>6.0f} MB at most")
    difference = np.abs(remote.coef_ - local.coef_).max()
    print(f"The coefficients differ by at most {difference:.0e}; ", end="")
    print(f"tol is {model.tol:.0e}.")


if __name__ == "__main__":
    options = read_options()
    with ExitStack() as stack:
        cluster = options.scheduler or stack.enter_context(
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        )
        client = stack.enter_context(Client(cluster))
        folder = options.folder or stack.enter_context(TemporaryDirectory())
        n_workers, address = len(client.ncores()), client.scheduler.address
        print(f"A cluster of {n_workers} workers, with its scheduler at {address}")
        main(Path(folder), options.rows)
