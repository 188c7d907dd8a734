"""Floor 5: what a person imports."""

from xlr.estimators.bootstrap import BootstrapResult, bootstrap
from xlr.estimators.logistic_regression import LogisticRegression
from xlr.estimators.logistic_regression_cv import LogisticRegressionCV
from xlr.estimators.multi_label import MultiLabelLogisticRegression

__all__ = [
    "BootstrapResult",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MultiLabelLogisticRegression",
    "bootstrap",
]
