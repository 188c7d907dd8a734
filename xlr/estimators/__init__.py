"""Layer 6: the estimators and functions that users import."""

from xlr.estimators._fit import SeparationWarning
from xlr.estimators.bootstrap import BootstrapResult, bootstrap
from xlr.estimators.firth import FirthLogisticRegression
from xlr.estimators.logistic_regression import LogisticRegression
from xlr.estimators.logistic_regression_cv import LogisticRegressionCV
from xlr.estimators.multi_label import MultiLabelLogisticRegression
from xlr.estimators.path import LogisticPath, logistic_path
