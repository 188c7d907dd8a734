"""Calls that nobody should make: a sentence, not an answer."""

from __future__ import annotations

import numpy as np
import pytest

import xlr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] + RNG.logistic(size=60) > 0).astype(int)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"C": 10**400}, "C must be a number above 0 .* got a number beyond float64"),
        ({"tol": 10**400}, "tol must be"),
        ({"solver": np.asarray(["lbfgs", "auto"])}, "solver must be one of"),
        ({"multi_class": ["ovr"]}, "multi_class must be one of"),
    ],
    ids=str,
)
def test_parameters_of_other_kinds(parameters, words):
    with pytest.raises(ValueError, match=words):
        xlr.LogisticRegression(**parameters).fit(X, Y)


def test_scores_need_weights_and_labels_that_make_sense():
    model = xlr.LogisticRegression().fit(X, Y)
    with pytest.raises(ValueError, match="negative values"):
        model.score(X, Y, sample_weight=-np.ones(60))
    with pytest.raises(ValueError, match="masked entries"):
        model.score(X, np.ma.array(Y, mask=Y == 1))
    with pytest.raises(TypeError, match="got a generator"):
        model.score(X, (label for label in Y))
