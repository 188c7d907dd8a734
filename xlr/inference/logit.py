"""Logistic regression of a formula, with inference, in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.estimators import LogisticRegression
from xlr.inference.fitted_data import first_class
from xlr.inference.infer import infer
from xlr.inference.results import InferenceResults
from xlr.inputs.dask_input import load_columns
from xlr.inputs.formula import FormulaTransformer, names_in, read_column
from xlr.inputs.labels import on_host
from xlr.inputs.tables import as_real
from xlr.text import quoted


def logit(
    formula: str,
    data: Any,
    weights: Any = None,
    offset: Any = None,
    cov_type: Any = "nonrobust",
    groups: Any = None,
    *,
    keep_data: bool = False,
) -> InferenceResults:
    """Fit a logistic regression to a table; compute standard errors and tests.

    The fit has no penalty, as in R's ``glm`` and statsmodels' ``logit``.

    Parameters
    ----------
    formula : str
        As in R: ``"low ~ age + C(race)"``. The left-hand side names a column of labels.
    data : table of pandas, polars, PyArrow, narwhals or Dask
        The columns of a Dask table that the arguments name are loaded into memory. For
        larger tables, see ``categorical`` of :class:`LogisticRegression`.
    weights, offset, groups : str or array of shape (n_samples,), default=None
        Names of columns of the table, or their values; see :func:`infer`. The offset
        belongs to the log-odds that ``params`` describe, as in R.
    cov_type : str, default='nonrobust'
        As in :func:`infer`.
    keep_data : bool, default=False
        As in :func:`infer`.

    Returns
    -------
    InferenceResults
        Results whose methods take tables in memory as X.

    Raises
    ------
    ImportError
        If formulaic is not installed.
    TypeError, ValueError
        If the table lacks a column or has missing values in one, or the formula cannot
        be read.

    Warns
    -----
    ConvergenceWarning
        If the fit did not converge, or there is no finite estimate.

    Examples
    --------
    >>> import pandas as pd
    >>> import xlr
    >>> table = pd.DataFrame(
    ...     {"passed": [0, 0, 1, 0, 1, 1], "hours": [1, 2, 2, 3, 3, 4]}
    ... )
    >>> xlr.logit("passed ~ hours", table).params.round(3)
    array([-3.466,  1.386])
    """
    label, tilde, columns = str(formula).partition("~")
    label = label.strip().strip("`")
    if not (label and tilde):
        raise ValueError(
            f"formula={quoted(formula)} has no left-hand side. Write 'label ~ columns'."
        )
    rows = {"weights": weights, "offset": offset, "groups": groups}
    named = {label, *(name for name in rows.values() if isinstance(name, str))}
    data = load_columns(data, named | names_in(columns))
    design = FormulaTransformer(columns.strip())
    X = design.fit_transform(data)
    y = read_column(data, label, "The left-hand side")
    for name, values in rows.items():
        if isinstance(values, str):
            rows[name] = read_column(data, values, name)
    weights, offset, groups = on_host(rows).values()
    model = LogisticRegression(C=np.inf, fit_intercept=design.has_intercept_)
    model.fit(X, y, sample_weight=weights, offset=offset)
    classes = arrays.to_host(model.classes_).tolist()
    # The fit adds the offset to the log-odds of the second class.
    if offset is not None and first_class(y, classes) == classes[1] and not classes[2:]:
        offset = 0.0 - as_real(offset, "offset")
        model.fit(X, y, sample_weight=weights, offset=offset)
    model._encoder = design  # the results then read tables
    options = {"cov_type": cov_type, "groups": groups, "keep_data": keep_data}
    return infer(model, X, y, weights, offset=offset, **options)
