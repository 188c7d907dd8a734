"""Names of columns and labels in messages are escaped, and shortened if long."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from optional import on_demand

import xlr

pd = on_demand("pandas")
NAME = "\x1b[31m" + "long" * 25_000
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = (X[:, 0] + RNG.logistic(size=60) > 0).astype(int)
LABELS = np.asarray(["no", NAME], dtype=object)


def table(first, second=X[:, 1]):
    """Return a table whose first column has a long name with an escape sequence."""
    return pd.DataFrame({NAME: first, "other": second})


def results_of(X, **options):
    model = xlr.LogisticRegression(C=np.inf).fit(X, Y)
    return xlr.infer(model, X, Y, **options)


UNPENALISED = xlr.LogisticRegression(C=np.inf)
ERRORS = {
    "text": lambda: UNPENALISED.fit(table(["a"] * 60), Y),
    "missing": lambda: UNPENALISED.fit(table([pd.NA, 1.0] * 30), Y),
    "not finite": lambda: UNPENALISED.fit(table(np.where(Y == 1, X[:, 0], np.nan)), Y),
    "no class": lambda: xlr.LogisticRegression(class_weight={NAME: 1}).fit(X, Y),
    "formula": lambda: xlr.FormulaTransformer(NAME).fit(table(X[:, 0])),
    "hypothesis": lambda: results_of(table(X[:, 0])).wald_test("no such = 0"),
    "cov_type": lambda: results_of(X, cov_type=NAME),
    "dates": lambda: UNPENALISED.fit(table(pd.date_range("2026", periods=60)), Y),
    "scale": lambda: UNPENALISED.fit(table(np.where(Y == 1, 1e200, -1e200)), Y),
    "collinear": lambda: results_of(
        table(X[:, 0], X[:, 0])[["other", NAME]], collinear="raise"
    ),
    "Firth": lambda: xlr.FirthLogisticRegression().fit(
        table(X[:, 1])[["other", NAME]], Y
    ),
    "parameter": lambda: xlr.LogisticRegression(solver=NAME).fit(X, Y),
    "class": lambda: UNPENALISED.fit(X, np.full(60, NAME)),
    "objects": lambda: UNPENALISED.fit(X, np.asarray([NAME.encode(), b"\xff"])[Y]),
    "weights": lambda: xlr.LogisticRegression(class_weight={"no": -1, NAME: 1}).fit(
        X, LABELS[Y].astype(str)
    ),
    "display": lambda: xlr.plotting.ThresholdDisplay.from_predictions(
        Y, X[:, 0], pos_label=NAME
    ),
}


def assert_short_and_printable(message):
    assert r"\x1b[31m" in message
    assert len(message) < 1000
    assert message.isprintable()


@pytest.mark.parametrize("kind", list(ERRORS))
def test_names_in_errors_are_escaped_and_shortened(kind):
    with pytest.raises((ValueError, TypeError)) as raised:
        ERRORS[kind]()
    assert_short_and_printable(str(raised.value))


def test_unseen_names_in_errors_are_escaped_and_shortened():
    model = xlr.LogisticRegression().fit(X, Y)
    model.feature_names_in_ = np.asarray(["first", "other"], dtype=object)
    with pytest.raises(ValueError, match="unseen at fit time") as raised:
        model.predict(table(X[:, 0]))
    assert_short_and_printable(str(raised.value).replace("\n", " "))


WITH_A_RARE_CLASS = np.where(np.arange(60) < 2, NAME, np.where(Y, "yes", "no"))
WARNINGS = {
    "separation": lambda: UNPENALISED.fit(table(Y + 0.1 * X[:, 0] ** 2), Y),
    "class without weight": lambda: UNPENALISED.fit(X, LABELS[Y], 1.0 - Y),
    "class without weight in Firth's fit": lambda: xlr.FirthLogisticRegression().fit(
        X, LABELS[Y], 1.0 - Y
    ),
    "class that a fold leaves out": lambda: xlr.LogisticRegressionCV(
        Cs=[1.0], cv=[(np.arange(5, 60), np.arange(5))]
    ).fit(X, WITH_A_RARE_CLASS),
    "class that resamples lack": lambda: xlr.bootstrap(
        xlr.LogisticRegression(), X, WITH_A_RARE_CLASS, n_resamples=9, random_state=0
    ),
    "outliers": lambda: xlr.LogisticRegression(max_iter=1).fit(
        table(np.where(np.arange(60) == 3, 1e9, X[:, 0])), Y
    ),
}


@pytest.mark.parametrize("kind", list(WARNINGS))
def test_names_in_warnings_are_escaped_and_shortened(kind):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WARNINGS[kind]()
    assert_short_and_printable(str(caught[0].message))


def test_tables_of_results_show_short_names():
    results = results_of(table(X[:, 0]))
    for shown in (str(results.summary()), results.summary()._repr_html_()):
        assert re.search(r"\\x1b\[31mlong.*\.\.\..*long", shown)
        assert all(line.isprintable() for line in shown.split("\n"))
        assert len(shown) < 20_000
    assert NAME in results.coefficients().to_frame().index
