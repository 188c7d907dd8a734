"""Cells measured on a device: passes, fits, cross-validation, a linear probe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import gpu_data
import gpu_fits
import numpy as np
from gpu_data import Rows, value_and_optimality
from gpu_libraries import NumPy, timed

import xlr
from xlr.data import DenseMatrix, Targets, TrainingData
from xlr.losses import LogisticLoss
from xlr.objective import Objective
from xlr.penalties import Penalty

Row = dict[str, Any]
# Largest accepted optimality, summed in float64, in units of the target.
SLACK = 1.1


@dataclass(frozen=True)
class Setting:
    """Where the cells run.

    Attributes
    ----------
    libraries : list
        Libraries of one device; the first makes the data.
    share : float
        Share of the rows of each cell to make.
    end : float
        Time after which no fit starts, by ``perf_counter``.
    """

    libraries: list[Any]
    share: float
    end: float

    def rows(
        self, make: Callable[..., Rows], n: int, p: int, k: int, dtype: str
    ) -> Rows:
        """Make the data of a cell: fewer rows, columns and classes in a dry run."""
        if self.share < 1:
            n, p, k = max(600, int(n * self.share)), min(p, 20), min(k, 5)
        return make(self.libraries[0], n, p, k, dtype)

    @property
    def torch(self) -> Any:
        """Return torch if it is among the libraries, or None."""
        return next((each for each in self.libraries if each.name == "torch"), None)


@dataclass(frozen=True)
class Cell:
    """A line of the table of goals.

    Attributes
    ----------
    name : str
    goal : str
    run : callable
        Takes a setting; yields a row for each measurement.
    """

    name: str
    goal: str
    run: Callable[[Setting], Iterator[Row]]


def pass_over_rows(setting: Setting) -> Iterator[Row]:
    """Time value and gradient, against a copy that reads X once and writes it once.

    A pass reads X twice: for the logits and for the gradient.
    """
    rows = setting.rows(gpu_data.correlated, 10_000_000, 100, 2, "float32")
    for library in setting.libraries:
        own = rows.of(library)
        xp, X = library.xp, own.X
        n = X.shape[0]
        _, copying = timed(lambda X=X, xp=xp: xp.asarray(X, copy=True), library, 7)
        ones = xp.ones_like(X[:, :1])
        targets = Targets(1, xp.astype(own.y, X.dtype)[:, None], ones)
        ridge = xp.astype(xp.ones_like(X[:1, :]), xp.float64)[None, :, :] / n
        data = TrainingData(DenseMatrix(X, xp=xp), targets)
        objective = Objective(data, LogisticLoss(), Penalty(ridge), fit_intercept=True)
        zeros = objective.zeros()
        _, seconds = timed(partial(objective.value_and_gradient, zeros), library, 7)
        of_copy = 2 * rows.nbytes / copying
        of_pass = 2 * rows.nbytes / seconds
        yield {
            "who": f"xlr, {library.name}",
            "seconds": seconds,
            "note": f"{of_pass / 1e9:.4g} GB/s, X counted twice; a copy moves "
            f"{of_copy / 1e9:.4g} GB/s: {of_pass / of_copy:.0%} of it",
            "share_of_bandwidth": of_pass / of_copy,
        }


def fits(
    setting: Setting,
    make: Callable[..., Rows],
    shape: tuple[int, int, int],
    dtype: str,
    tol: float,
    *,
    limit: float = 20.0,
    on_cpu: bool = False,
    scikit_learn: bool = True,
) -> Iterator[Row]:
    """Measure fits of one problem by xlr on each library and by its peers."""
    rows, C = setting.rows(make, *shape, dtype), 1.0
    for library in setting.libraries:
        yield measured(
            f"xlr, {library.name}", gpu_fits.by_xlr, rows.of(library), C, tol
        )
    if scikit_learn:
        yield loosest_of_scikit_learn(rows, C, tol, limit, end=setting.end)
    if setting.torch is not None:
        own = rows.of(setting.torch)
        yield measured(
            "torch LBFGS", gpu_fits.by_torch, own, C, tol, limit, end=setting.end
        )
    if on_cpu:
        X_and_y = (rows.library.to_host(part) for part in (rows.X, rows.y))
        own = Rows(*X_and_y, rows.n_classes, NumPy())
        name = "xlr, numpy on the CPU"
        yield measured(name, gpu_fits.by_xlr, own, C, tol, limit, end=setting.end)


def loosest_of_scikit_learn(
    rows: Rows, C: float, tol: float, limit: float, *, end: float
) -> Row:
    """Measure the loosest tolerance that reaches the target, or the tightest."""
    who = f"scikit-learn, {rows.library.name}"
    for tighter in (1, 0.1, 0.01):
        fit = partial(gpu_fits.by_scikit_learn, tighter=tighter)
        row = measured(who, fit, rows, C, tol, limit, end=end)
        if row.get("good", True):  # on target, or it did not end
            break
    return row


def measured(
    who: str,
    fit: Callable[..., gpu_fits.Model],
    rows: Rows,
    C: float,
    tol: float,
    limit: float = math.inf,
    *,
    end: float = math.inf,
) -> Row:
    """Measure the time, memory and optimality of one way to fit."""
    library = rows.library
    if perf_counter() > end:
        return {"who": who, "note": "left out: no time was left"}
    try:
        library.release()
        with library.peak() as peak_bytes:
            (coef, intercept), seconds = timed(
                partial(fit, rows, C, tol, limit), library
            )
            extra = peak_bytes()
        F, optimality = value_and_optimality(rows, coef, intercept, C)
    except Exception as error:  # the other fits still run
        message = str(error).partition("\n")[0][:150]
        return {"who": who, "note": f"{type(error).__name__}: {message}"}
    good = optimality <= SLACK * tol
    return {
        "who": who,
        "seconds": seconds,
        "F": F,
        "optimality": optimality,
        "good": good,
        "peak": None if extra is None else 1 + extra / rows.nbytes,
        "note": "" if good else f"missed the target optimality, {tol:.0e}",
    }


def cross_validation(setting: Setting) -> Iterator[Row]:
    """Measure 20 values of C in 10 folds at once, and single fits for one fold."""
    rows = setting.rows(gpu_data.correlated, 1_000_000, 100, 2, "float32")
    Cs, n_folds = np.logspace(-4, 4, 20), 10
    for library in setting.libraries:
        own = rows.of(library)
        model = xlr.LogisticRegressionCV(Cs=Cs, cv=n_folds, tol=1e-5)
        _, seconds = timed(partial(model.fit, own.X, own.y), library, 1)
        n = own.X.shape[0]
        X, y = own.X[n // n_folds :, :], own.y[n // n_folds :]

        def one_by_one(X: Any = X, y: Any = y) -> None:
            for C in Cs:
                xlr.LogisticRegression(C=C, tol=1e-5).fit(X, y)

        _, of_a_fold = timed(one_by_one, library, 1)
        yield {
            "who": f"xlr, {library.name}",
            "seconds": seconds,
            "note": f"single fits: {n_folds * of_a_fold:.3g} s, from those of one fold",
            "loop_seconds": n_folds * of_a_fold,
        }


def small(setting: Setting) -> Iterator[Row]:
    """Measure the fixed cost of a fit."""
    rows = gpu_data.correlated(setting.libraries[0], 569, 30, 2, "float32")
    for library in setting.libraries:
        own = rows.of(library)
        yield measured(f"xlr, {library.name}", gpu_fits.by_xlr, own, 1.0, 1e-5)


CELLS = [
    Cell(
        "one pass, 10M x 100 float32",
        "80 % of the bandwidth of a copy",
        pass_over_rows,
    ),
    Cell(
        "fit, 10M x 100 float32",
        "25 passes; a fifth of torch's time, a tenth of scikit-learn's, a twentieth of "
        "xlr's on the CPU",
        partial(
            fits,
            make=gpu_data.correlated,
            shape=(10_000_000, 100, 2),
            dtype="float32",
            tol=1e-5,
            on_cpu=True,
        ),
    ),
    Cell(
        "fit, 1M x 1000 float64",
        "a fifth of the time of every other library",
        partial(
            fits,
            make=gpu_data.correlated,
            shape=(1_000_000, 1000, 2),
            dtype="float64",
            tol=1e-5,
        ),
    ),
    Cell(
        "softmax, 1M x 784 x 10 float32",
        "a fifth of the time of every other library",
        partial(
            fits,
            make=gpu_data.correlated,
            shape=(1_000_000, 784, 10),
            dtype="float32",
            tol=1e-5,
        ),
    ),
    Cell(
        "cross-validation, 20 C x 10 folds, 1M x 100",
        "a tenth of the time of single fits",
        cross_validation,
    ),
    Cell(
        "linear probe, 1.28M x 1024 x 1000 float32",
        "under a minute, a fifth of torch's time, at most 1.5 times the memory of X",
        partial(
            fits,
            make=gpu_data.embeddings,
            shape=(1_280_000, 1024, 1000),
            dtype="float32",
            tol=1e-4,
            limit=60.0,
            scikit_learn=False,
        ),
    ),
    Cell("fixed cost, 569 x 30", "tens of milliseconds at most", small),
]
