"""How many rows a pass takes at a time: what it makes of them keeps in the cache."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xlr import arrays
from xlr.design import DenseDesign, SparseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import (
    Objective,
    Responses,
    information,
    leverages,
    log_odds,
    mean_slopes,
)
from xlr.penalties import L2Penalty

N, CACHE = 4000, 2**16


class Watched:
    """An objective, and how many rows were asked for at a time."""

    def __init__(self, monkeypatch, n_features, n_classes, *, sparse=False):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(N, n_features))
        xp = arrays.namespace(X)
        if sparse:
            X = sp.csr_array(X * (rng.uniform(size=X.shape) < 0.1))
        make = SparseDesign if sparse else DenseDesign
        y = rng.integers(0, n_classes, (N, 1)).astype(float)
        self.objective = Objective(
            make(X, None, xp=xp),
            Responses(1, y, np.ones((N, 1))),
            LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes),
            L2Penalty(np.ones((1, 1, n_features))),
            fit_intercept=True,
            units=None,
        )
        self.parameters = rng.normal(size=(1, self.objective.n_parameters))
        self.matrix = np.eye(self.objective.n_parameters)
        self.rows: list[int] = []
        whole = self.objective.design.block

        def block(rows):
            self.rows.append(rows.stop - rows.start)
            return whole(rows)

        monkeypatch.setattr(self.objective.design, "block", block)


def leverages_of(watched):
    objective = watched.objective
    found = leverages(objective, watched.parameters, watched.matrix)
    return found, objective.n_parameters


def log_odds_of(watched):
    objective = watched.objective
    found = log_odds(objective, objective.design, watched.parameters, watched.matrix)
    return found, objective.n_outputs * objective.n_parameters


def mean_slopes_of(watched):
    objective = watched.objective
    return mean_slopes(objective, watched.parameters), objective.n_outputs**3


@pytest.mark.parametrize(
    ("run", "n_features", "n_classes", "sparse"),
    [
        (leverages_of, 60, 2, True),
        (log_odds_of, 20, 2, True),
        (log_odds_of, 4, 6, False),
        (mean_slopes_of, 3, 10, False),
    ],
)
def test_the_widest_temporary_fills_part_of_the_cache(
    run, n_features, n_classes, sparse, monkeypatch
):
    watched = Watched(monkeypatch, n_features, n_classes, sparse=sparse)
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**30)
    at_once, numbers_per_row = run(watched)
    assert watched.rows == [N]
    watched = Watched(monkeypatch, n_features, n_classes, sparse=sparse)
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: CACHE)
    in_blocks, _ = run(watched)
    assert sum(watched.rows) == N
    size = 8 * numbers_per_row * max(watched.rows)
    assert CACHE / 8 < size <= CACHE
    for here, there in zip(in_blocks, at_once):
        np.testing.assert_allclose(here, there, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_adding_matrices_costs_no_more_than_forming_them(n_classes, monkeypatch):
    """Each block adds one to the sum: as many numbers as a row that is counted."""
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 1)
    watched = Watched(monkeypatch, 15, n_classes)
    information(watched.objective, watched.parameters)
    assert sum(watched.rows) == N
    assert len(watched.rows) * watched.objective.n_parameters < N
