"""All checks of scikit-learn pass, without expected failures."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import xlr

pytestmark = [
    # Checks run few iterations, or fit data on which no solver reaches tol.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    # One check leaves a class without weight.
    pytest.mark.filterwarnings("ignore:The rows of the class"),
]

ESTIMATORS = [
    xlr.LogisticRegression(),
    xlr.LogisticRegression(l1_ratio=0.5),
    xlr.LogisticRegressionCV(Cs=[0.1, 1.0], cv=3),
]


@parametrize_with_checks(ESTIMATORS)
def test_sklearn_check(estimator, check):
    check(estimator)
