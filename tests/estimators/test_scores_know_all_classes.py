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
    n = np.arange(len(Y))
    lacking = (CODES < 2) & (n % 3 == 0)
    given = {"average": "macro", "zero_division": 0}
    folds, scorer = [(n[~lacking], n[lacking])], make_scorer(f1_score, **given)
    model = xlr.LogisticRegressionCV(Cs=[1.0], cv=folds, scoring=scorer).fit(X, Y)
    one = xlr.LogisticRegression(tol=1e-9).fit(X[~lacking], Y[~lacking])
    predicted = one.predict(X[lacking])
    expected = f1_score(Y[lacking], predicted, labels=NAMES, **given)
    assert model.scores_.item() == pytest.approx(expected, rel=1e-12)


def test_positive_class_of_scores_is_the_second():
    """scikit-learn's metrics get the classes 0 and 1."""
    two = CODES < 2
    named = xlr.LogisticRegressionCV(Cs=[0.1], scoring="f1").fit(X[two], Y[two])
    coded = xlr.LogisticRegressionCV(Cs=[0.1], scoring="f1").fit(X[two], CODES[two])
    np.testing.assert_array_equal(named.scores_, coded.scores_)
    assert named.score(X[two], Y[two]) == coded.score(X[two], CODES[two])


@pytest.mark.parametrize("kept", [(CODES < 2), (CODES == 0)], ids=["two", "one"])
def test_log_loss_of_rows_without_some_classes_gets_all_classes(kept):
    model = xlr.LogisticRegressionCV(Cs=[1.0]).fit(X, Y)
    own = model.predict_log_proba(X)[kept, CODES[kept]]
    assert model.score(X[kept], Y[kept]) == pytest.approx(own.mean(), rel=1e-9)
