"""A linear probe: a classifier on frozen embeddings, with hundreds of classes.

    python examples/linear_probe.py
    python examples/linear_probe.py --backend cupy --imagenet

The embeddings are random: each class has a centre, with noise around it. As in a
trained network, the noise is large in a few directions and small in many.
Cross-validation on some of the rows chooses C. The script then fits the probe to all
rows, and evaluates it on new ones.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import array_api_compat
import numpy as np
from backends import Backend, find_backend, to_numpy

import xlr

# Distance between centres, in standard deviations of the noise; some classes overlap.
DISTANCE = 6.0
ROWS_AT_A_TIME = 8192
IMAGENET = {"rows": 1_281_167, "dimensions": 1024, "classes": 1000}


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend", choices=["numpy", "cupy", "torch", "jax"], default="numpy"
    )
    parser.add_argument("--rows", type=int, default=20_000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=5_000, help="test rows")
    parser.add_argument("--dimensions", type=int, default=128, help="of an embedding")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument(
        "--choose-on", type=int, default=5_000, help="rows to choose C with; 0 for C=1"
    )
    parser.add_argument("--tol", type=float, default=1e-5)
    parser.add_argument(
        "--imagenet",
        action="store_true",
        help="1.28M rows of 1,024 numbers, 1,000 classes: for a GPU",
    )
    options = parser.parse_args()
    if options.imagenet:
        vars(options).update(IMAGENET, test_rows=50_000, choose_on=20_000)
    return options


class Embeddings:
    """Random embeddings of classes, similar to those of a trained network."""

    def __init__(self, dimensions: int, n_classes: int) -> None:
        rng = np.random.default_rng(0)
        # The variance falls as 1 / j along random directions.
        std = (1 + np.arange(dimensions)) ** -0.5
        rotation, _ = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))
        self._root = np.float32((rotation * std).T)  # of the covariance
        centres = rng.standard_normal((n_classes, dimensions), dtype=np.float32)
        self._centres = centres * DISTANCE / np.float32(2 * dimensions) ** 0.5
        self._frequencies = rng.dirichlet(np.full(n_classes, 5.0))

    def draw(self, n_rows: int, seed: int, backend: Backend) -> tuple[Any, Any]:
        """Draw rows and their classes, as arrays of the backend."""
        rng = np.random.default_rng(seed)
        n_classes = len(self._frequencies)
        y = rng.choice(n_classes, size=n_rows, p=self._frequencies)
        # Include every class, if there are enough rows.
        y[:n_classes] = np.arange(n_classes)[:n_rows]
        blocks = []
        for rows in slices(n_rows):
            size = len(y[rows]), self._root.shape[0]
            noise = rng.standard_normal(size, dtype=np.float32)
            blocks.append(backend.place((noise + self._centres[y[rows]]) @ self._root))
        return backend.xp.concat(blocks), backend.place(y)


def slices(n_rows: int) -> Iterator[slice]:
    """Yield slices of a few thousand rows each."""
    for start in range(0, n_rows, ROWS_AT_A_TIME):
        yield slice(start, min(start + ROWS_AT_A_TIME, n_rows))


def top_k_accuracy(model: Any, X: Any, y: Any, ks: tuple[int, ...]) -> list[float]:
    """Return, for each k, the share of rows whose class is among its k best scores."""
    xp = array_api_compat.array_namespace(X)
    hits = dict.fromkeys(ks, 0.0)
    for rows in slices(X.shape[0]):
        scores = model.decision_function(X[rows, :])
        classes = xp.arange(
            scores.shape[1], dtype=y.dtype, device=array_api_compat.device(y)
        )
        is_true = y[rows][:, None] == classes
        own = xp.sum(xp.where(is_true, scores, xp.zeros_like(scores)), axis=1)
        n_above = to_numpy(xp.sum(xp.astype(scores > own[:, None], xp.int32), axis=1))
        for k in ks:
            hits[k] += (n_above < k).sum()
    return [hits[k] / X.shape[0] for k in ks]


def peak_bytes(backend: Backend) -> int:
    """Return the peak memory in bytes: of arrays on the GPU, or of the process."""
    if backend.name == "torch" and backend.device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(backend.device)
    if backend.name == "cupy":
        import cupy

        return cupy.get_default_memory_pool().total_bytes()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def choose_penalty(X: Any, y: Any, options: argparse.Namespace) -> float:
    """Choose C by cross-validation on some of the rows."""
    n_rows = min(options.choose_on, X.shape[0])
    print(f"Choosing C on {n_rows:,} rows, with 5 values of C and 3 folds:")
    grid = np.logspace(-3, 1, 5)
    cv = xlr.LogisticRegressionCV(Cs=grid, cv=3, tol=options.tol)
    started = perf_counter()
    cv.fit(X[:n_rows, :], y[:n_rows])
    losses = -cv.scores_.mean(axis=0)
    for C, loss in zip(grid, losses.reshape(-1)):
        chosen = "  <- chosen" if cv.C_ == C else ""
        print(f"  C={C:<7g} log-loss {loss:.4f}{chosen}")
    print(f"  in {perf_counter() - started:.1f} s")
    return float(cv.C_)


def main() -> None:
    """Make the embeddings, choose C, fit, and evaluate."""
    options = read_options()
    backend = find_backend(options.backend)
    print(f"Arrays: {backend.name} on {backend.device}")
    embeddings = Embeddings(options.dimensions, options.classes)
    X, y = embeddings.draw(options.rows, 1, backend)
    n_bytes = 4 * X.shape[0] * X.shape[1]
    print(
        f"X: {X.shape[0]:,} x {X.shape[1]:,}, {options.classes:,} classes, "
        f"{n_bytes / 1e6:,.0f} MB in float32\n"
    )
    C = choose_penalty(X, y, options) if options.choose_on else 1.0

    print(f"\nFitting with C={C:g} to all rows:")
    before = peak_bytes(backend)
    model = xlr.LogisticRegression(C=C, tol=options.tol, verbose=1)
    started = perf_counter()
    model.fit(X, y)
    seconds = perf_counter() - started
    print(
        f"{seconds:.1f} s in {model.n_iter_[0]} iterations of {model.solver_}; "
        f"converged: {model.converged_}"
    )
    additional = peak_bytes(backend) - before
    print(f"Additional peak memory during the fit: {additional / n_bytes:.2f} times X")

    X_test, y_test = embeddings.draw(options.test_rows, 2, backend)
    top_1, top_5 = top_k_accuracy(model, X_test, y_test, ks=(1, 5))
    print(f"\nOn {options.test_rows:,} new rows: top-1 {top_1:.3f}, top-5 {top_5:.3f}")


if __name__ == "__main__":
    main()
