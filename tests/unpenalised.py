"""F without a penalty, and the linear conditions of separation, written out densely."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from xlr import arrays
from xlr.design import DenseDesign, SparseDesign, Standardisation, add
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses
from xlr.objective.passes import Passes
from xlr.penalties import L2Penalty


def standardised(X: Any) -> np.ndarray:
    """With columns that do not vary left as they are."""
    X = np.asarray(X, dtype=float)
    return (X - X.mean(axis=0)) / np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1.0)


def unpenalised(
    X: Any,
    y: Any,
    weights: Any = None,
    *,
    place: Callable[[Any], Any] = np.asarray,
    fit_intercept: bool = True,
    sparse: bool = False,
    of: type[Objective] = Objective,
) -> Any:
    """F in standardised units."""
    Z, y = standardised(X), np.asarray(y)
    n_classes = int(y.max()) + 1
    s = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    rows = place(Z)
    xp = arrays.namespace(rows)
    design: Any = DenseDesign(rows, None, xp=xp)
    if sparse:
        X = np.asarray(X, dtype=float)
        units = Standardisation(X.mean(axis=0), X.std(axis=0))
        design = SparseDesign(sp.csr_array(X), units, xp=xp)
    return of(
        design,
        Responses(1, place(y[:, None].astype(float)), place(s[:, None])),
        LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes),
        L2Penalty(place(np.zeros((1, 1, Z.shape[1])))),
        fit_intercept=fit_intercept,
        units=None,
    )


class InParts(Objective):
    """F of rows that are only to be had a part at a time, as chunks are."""

    has_rows = False
    n_parts = 3
    n_passes = 0

    def over_rows(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        beside: Any = None,
        combine: Callable[[Any, Any], Any] = add,
        name: str,
    ) -> tuple[Any, ...]:
        """What the function finds in the parts, combined."""
        self.n_passes += 1
        found: Any = None
        for rows in np.array_split(np.arange(self.n_samples), self.n_parts):
            part = Passes(
                self.design.sample(rows, self.design.dtype),
                self.responses.sample(rows, self.design.dtype, xp=self.xp),
                self.loss,
                fit_intercept=self.fit_intercept,
            )
            here = part.over_rows(function, *arguments, name=name)
            found = here if found is None else combine(found, here)
        return found


def dense_conditions(Z: Any, y: Any, n_classes: int, intercept: bool = True) -> Any:
    """(e_y - e_k) x z of each row and class k, zero where k = y: (n, k, parameters).

    Of two classes it is that of the second alone.
    """
    Z = np.column_stack([Z, np.ones(len(Z))]) if intercept else np.asarray(Z)
    unit = np.eye(n_classes)
    signs = unit[y][:, None, :] - unit[None, :, :]
    if n_classes == 2:
        signs = signs[:, :, 1:]
    return (signs[:, :, :, None] * Z[:, None, None, :]).reshape(len(Z), n_classes, -1)


def kind_by_definition(
    conditions: np.ndarray,
    least: np.ndarray | float = -np.inf,
    most: np.ndarray | float = np.inf,
) -> str | None:
    """Albert and Anderson (1984), by one linear programme on all conditions.

    Of directions between ``least`` and ``most``.
    """
    n, q = conditions.shape
    none = np.zeros(n)
    # The most margins t <= 1 that a direction of any size has together.
    solved = linprog(
        [0.0] * q + [-1.0] * n,
        np.hstack([-conditions, np.eye(n)]),
        np.zeros(n),
        bounds=np.column_stack(
            [
                np.append(least + np.zeros(q), none),
                np.append(most + np.zeros(q), none + 1),
            ]
        ),
        method="highs",
    )
    met = -solved.fun
    if met < 1e-6:
        return None
    return "complete" if met > n - 1e-6 else "quasi-complete"
