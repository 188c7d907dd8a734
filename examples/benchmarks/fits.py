"""Fits by xlr and by the libraries it is compared with, as functions of one form.

``fit(X, y, sample_weight, class_weight, C, tol, max_iter)`` returns coefficients and
intercepts in scikit-learn's shapes and the number of iterations. All minimise F, whose
intercept has no penalty. The time of a library includes its preparation of the arrays,
such as a column of ones or a tensor. A library is imported at its first use, because
some may be missing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import sklearn.linear_model
from data import row_weights

import xlr

Fit = tuple[np.ndarray, np.ndarray, int]


def fit_xlr(X, y, sample_weight, class_weight, C, tol, max_iter) -> Fit:
    """Fit with xlr and its defaults, including ``max_iter``."""
    model = xlr.LogisticRegression(C=C, tol=tol, class_weight=class_weight)
    model.fit(X, y, sample_weight)
    return model.coef_, model.intercept_, int(np.max(model.n_iter_))


def fit_sklearn(
    X, y, sample_weight, class_weight, C, tol, max_iter, *, solver, cls=None
) -> Fit:
    """Fit with scikit-learn, or with a class that takes its parameters."""
    cls = cls or sklearn.linear_model.LogisticRegression
    model = cls(
        C=C, solver=solver, tol=tol, max_iter=max_iter, class_weight=class_weight
    )
    model.fit(X, y, sample_weight)
    return model.coef_, model.intercept_, int(np.max(model.n_iter_))


@contextmanager
def no_fallback() -> Iterator[None]:
    """Raise an error if the log of sklearnex says that scikit-learn runs the fit."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("sklearnex")
    before = logger.level, logger.handlers, logger.propagate
    logger.setLevel(logging.INFO)
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.level, logger.handlers, logger.propagate = before
    if not messages or any("fallback" in message for message in messages):
        raise RuntimeError(f"sklearnex did not run its own code: {messages}")


def fit_sklearnex(
    X, y, sample_weight, class_weight, C, tol, max_iter, *, solver
) -> Fit:
    """Fit with scikit-learn-intelex, whose newton-cg needs its previews.

    It passes SciPy the sum over the rows, not the mean, so that the same tol is n times
    as tight as scikit-learn's. This function multiplies tol by n.
    """
    from sklearnex.linear_model import LogisticRegression

    with patch.dict(os.environ, {"SKLEARNEX_PREVIEW": "1"}), no_fallback():
        return fit_sklearn(
            X,
            y,
            sample_weight,
            class_weight,
            C,
            tol * len(X),
            max_iter,
            solver=solver,
            cls=LogisticRegression,
        )


def fit_glum(X, y, sample_weight, class_weight, C, tol, max_iter) -> Fit:
    """Fit with glum's iteratively reweighted least squares."""
    from glum import GeneralizedLinearRegressor

    weights = row_weights(y, sample_weight, class_weight)
    S = len(y) if weights is None else weights.sum()
    model = GeneralizedLinearRegressor(
        family="binomial",
        alpha=1 / (C * S),
        l1_ratio=0,
        solver="irls-ls",
        gradient_tol=tol,
        max_iter=max_iter,
    )
    model.fit(X, y.astype(X.dtype), sample_weight=weights)
    return model.coef_[None], np.asarray([model.intercept_]), int(model.n_iter_)


def fit_torch(X, y, sample_weight, class_weight, C, tol, max_iter) -> Fit:
    """Fit with torch's L-BFGS, its strong Wolfe line search, and autograd."""
    import torch
    from torch.nn import functional

    weights = row_weights(y, sample_weight, class_weight)
    S = len(y) if weights is None else float(weights.sum())
    X, target = torch.from_numpy(X), torch.from_numpy(y)
    if weights is not None:
        weights = torch.from_numpy(weights).to(X.dtype)
    n_classes = int(target.max()) + 1
    shape = (X.shape[1],) if n_classes == 2 else (X.shape[1], n_classes)
    w = torch.zeros(shape, dtype=X.dtype, requires_grad=True)
    b = torch.zeros(shape[1:], dtype=X.dtype, requires_grad=True)
    if n_classes == 2:
        target, loss = target.to(X.dtype), functional.binary_cross_entropy_with_logits
    else:
        loss = functional.cross_entropy
    optimiser = torch.optim.LBFGS(
        [w, b],
        max_iter=max_iter,
        max_eval=10 * max_iter,
        tolerance_grad=tol,
        tolerance_change=1e-16,  # practically none: the gradient decides
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        if weights is None:
            mean = loss(X @ w + b, target)
        else:
            mean = (weights * loss(X @ w + b, target, reduction="none")).sum() / S
        F = mean + (w**2).sum() / (2 * C * S)
        F.backward()
        return F

    optimiser.step(closure)
    n_iter = optimiser.state[w]["n_iter"]
    coef, intercept = w.detach().numpy(), b.detach().numpy()
    if n_classes == 2:
        return coef[None], intercept[None], n_iter
    return coef.T, intercept, n_iter


def fit_statsmodels(X, y, sample_weight, class_weight, C, tol, max_iter) -> Fit:
    """Fit with statsmodels' GLM, whose ridge penalty can leave the constant free.

    Logit has no ridge penalty. GLM's takes a penalty for each coefficient, and uses
    SciPy's BFGS by default; this function passes the same BFGS with a tolerance.
    """
    import statsmodels.api as sm
    from scipy.optimize import minimize

    iterations = 0

    def bfgs(fun, x0, args=(), *, jac, **ignored):
        nonlocal iterations
        options = {"gtol": tol, "maxiter": max_iter}
        result = minimize(fun, x0, args, method="BFGS", jac=jac, options=options)
        iterations = result.nit
        return result

    weights = row_weights(y, sample_weight, class_weight)
    S = len(y) if weights is None else weights.sum()
    # statsmodels divides by the number of rows, F divides by S.
    weights = None if weights is None else weights * (len(y) / S)
    ridge = np.full(X.shape[1] + 1, 1 / (C * S))
    ridge[0] = 0
    design = sm.add_constant(X, has_constant="add")
    model = sm.GLM(y, design, family=sm.families.Binomial(), var_weights=weights)
    fitted = model.fit_regularized(alpha=ridge, L1_wt=0, opt_method=bfgs)
    return fitted.params[None, 1:], fitted.params[:1], iterations
