"""The log-likelihood of the intercepts alone, where an offset makes it a fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import xlr


def log_likelihood(intercepts, y, offset):
    """Of one logit for two classes, else of one for each."""
    logits = offset + intercepts
    if logits.shape[1] == 1:
        logits = np.column_stack([np.zeros(len(y)), logits])
    own = np.take_along_axis(logits, y[:, None], axis=1)
    return float(-np.log(np.exp(logits - own).sum(axis=1)).sum())


@pytest.mark.usefixtures("not_compiled_for_long")
@pytest.mark.parametrize(("C", "n_columns"), [(np.inf, 2), (1.0, 100)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_columns_that_others_make_up_do_not_matter(place, C, n_columns, n_classes):
    """With an offset, the second derivatives in all coefficients were inverted."""
    rng = np.random.default_rng(0)
    outputs = 1 if n_classes == 2 else n_classes
    X = rng.normal(size=(60, n_columns))
    X = np.column_stack([X, X[:, 0]])
    y, offset = rng.integers(0, n_classes, 60), rng.normal(size=(60, outputs))
    best = minimize(
        lambda b: -log_likelihood(b, y, offset), np.zeros(outputs), tol=1e-10
    )
    data, labels, added = place(X), place(y, "int64"), place(np.squeeze(offset))
    model = xlr.LogisticRegression(C=C).fit(data, labels, offset=added)
    results = xlr.infer(model, data, labels, offset=added)
    assert results.llnull == pytest.approx(-best.fun, rel=1e-6)
