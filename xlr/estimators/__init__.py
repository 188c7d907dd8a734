"""Floor 5: what a person imports."""

from xlr.estimators.logistic_regression import LogisticRegression

__all__ = ["LogisticRegression"]
