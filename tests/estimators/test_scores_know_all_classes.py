"""Metrics get all classes, including those without a scored row."""

from __future__ import annotations

import numpy as np
import pytest
from problems import load
from sklearn.metrics import f1_score, make_scorer

import xlr

X, CODES = load("wine", True)
NAMES = np.asarray(["barbera", "barolo", "grignolino"])
Y = NAMES[CODES]


def test_score_of_a_fold_without_a_class_gets_all_classes():
    rows = np.arange(len(Y))
    is_test = (CODES < 2) & (rows % 3 == 0)
    train, test = rows[~is_test], rows[is_test]
    options = {"average": "macro", "zero_division": 0}
    scorer = make_scorer(f1_score, **options)
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=[(train, test)], scoring=scorer)
    model.fit(X, Y)
    one = xlr.LogisticRegression(tol=1e-9).fit(X[train], Y[train])
    expected = f1_score(Y[test], one.predict(X[test]), labels=NAMES, **options)
    assert model.scores_.item() == pytest.approx(expected, rel=1e-12)


def test_positive_class_of_scores_is_the_second():
    """scikit-learn's metrics get the codes 0 and 1 instead of names."""
    two = CODES < 2
    named = xlr.LogisticRegressionCV(Cs=[0.1], scoring="f1").fit(X[two], Y[two])
    coded = xlr.LogisticRegressionCV(Cs=[0.1], scoring="f1").fit(X[two], CODES[two])
    np.testing.assert_array_equal(named.scores_, coded.scores_)
    assert named.score(X[two], Y[two]) == coded.score(X[two], CODES[two])


@pytest.mark.parametrize("kept", [(CODES < 2), (CODES == 0)], ids=["two", "one"])
def test_log_loss_of_rows_without_some_classes_gets_all_classes(kept):
    model = xlr.LogisticRegressionCV(Cs=[1.0]).fit(X, Y)
    log_proba = model.predict_log_proba(X)[kept, CODES[kept]]
    assert model.score(X[kept], Y[kept]) == pytest.approx(log_proba.mean(), rel=1e-9)
