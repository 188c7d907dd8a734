"""Ways to fit on a device: xlr, torch's L-BFGS, and scikit-learn by the array API.

Each takes rows, C and a target optimality, and returns coefficients in scikit-learn's
shapes, on the device.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from time import perf_counter
from typing import Any

import sklearn
import sklearn.linear_model
from gpu_data import Rows
from measure import TimeLimitError, time_limit

import xlr

Model = tuple[Any, Any]


class TooLongError(Exception):
    """A fit took longer than its limit."""


def by_xlr(rows: Rows, C: float, tol: float, limit: float) -> Model:
    """Fit with xlr and its defaults; ``limit`` is ignored."""
    model = xlr.LogisticRegression(C=C, tol=tol).fit(rows.X, rows.y)
    return model.coef_, model.intercept_


def by_torch(rows: Rows, C: float, tol: float, limit: float) -> Model:
    """Fit with torch.optim.LBFGS and strong Wolfe, to a gradient of F within ``tol``.

    At the time limit, return the coefficients reached.
    """
    torch = rows.library.torch
    X, n = rows.X, rows.X.shape[0]
    n_outputs = 1 if rows.n_classes == 2 else rows.n_classes
    place = {"dtype": X.dtype, "device": X.device, "requires_grad": True}
    coef = torch.zeros((n_outputs, X.shape[1]), **place)
    intercept = torch.zeros(n_outputs, **place)
    targets = rows.y.to(X.dtype) if n_outputs == 1 else rows.y
    losses = torch.nn.functional
    optimiser = torch.optim.LBFGS(
        [coef, intercept],
        max_iter=100_000,
        max_eval=200_000,
        tolerance_grad=tol,
        tolerance_change=0.0,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    end = perf_counter() + limit

    def closure() -> Any:
        if perf_counter() > end:
            raise TooLongError
        optimiser.zero_grad()
        logits = X @ coef.T + intercept
        if n_outputs == 1:
            loss = losses.binary_cross_entropy_with_logits(logits[:, 0], targets)
        else:
            loss = losses.cross_entropy(logits, targets)
        value = loss + (coef * coef).sum() / (2 * C * n)
        value.backward()
        return value

    with suppress(TooLongError):
        optimiser.step(closure)
    return coef.detach(), intercept.detach()


def by_scikit_learn(
    rows: Rows, C: float, tol: float, limit: float, tighter: float = 1.0
) -> Model:
    """Fit with scikit-learn's lbfgs on the same array, by array API dispatch."""
    model = sklearn.linear_model.LogisticRegression(
        C=C, tol=tighter * tol, max_iter=100_000
    )
    with (
        sklearn.config_context(array_api_dispatch=True),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # about stopping before the tolerance
        try:
            with time_limit(limit):
                model.fit(rows.X, rows.y)
        except TimeLimitError:
            raise TooLongError(f"stopped after {limit:.0f} s") from None
    return model.coef_, model.intercept_
