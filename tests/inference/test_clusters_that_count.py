"""Clusters all of whose rows have a weight of zero: as if they were not there."""

from __future__ import annotations

import numpy as np
import pytest

import xlr


def test_a_cluster_without_weight_does_not_count():
    rng = np.random.default_rng(0)
    X, y, groups = rng.normal(size=(60, 2)), rng.integers(0, 2, 60), np.arange(60) % 12
    weights = np.where(groups < 4, 0.0, 1.0)
    model = xlr.LogisticRegression(C=np.inf, tol=1e-10).fit(X, y, weights)
    options = {"cov_type": "cluster"}
    whole = xlr.infer(model, X, y, sample_weight=weights, groups=groups, **options)
    left = weights > 0
    alone = xlr.infer(model, X[left], y[left], groups=groups[left], **options)
    np.testing.assert_allclose(whole.bse, alone.bse, rtol=1e-10)


def test_one_cluster_with_a_weight_is_too_few():
    rng = np.random.default_rng(0)
    X, y, groups = rng.normal(size=(40, 1)), np.arange(40) % 2, np.arange(40) // 20
    weights = 1.0 - groups
    model = xlr.LogisticRegression(C=np.inf).fit(X, y, weights)
    with pytest.raises(ValueError, match="of one cluster"):
        xlr.infer(model, X, y, sample_weight=weights, cov_type="cluster", groups=groups)
