"""Errors name the columns that hold strings, NaN or infinity."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import xlr

RNG = np.random.default_rng(0)
N = 40
X = RNG.normal(size=(N, 8))
Y = (X[:, 0] > 0).astype(int)
FITS = {
    "fit": lambda X: xlr.LogisticRegression().fit(X, Y),
    "without intercept": lambda X: xlr.LogisticRegression(fit_intercept=False).fit(
        X, Y
    ),
    "cv": lambda X: xlr.LogisticRegressionCV(Cs=[1.0], cv=2).fit(X, Y),
    "labels": lambda X: xlr.MultiLabelLogisticRegression().fit(X, Y[:, None]),
    "firth": lambda X: xlr.FirthLogisticRegression().fit(X, Y),
    "predict": lambda Z: xlr.LogisticRegression().fit(X, Y).predict(Z),
}


def altered(columns, value):
    """Return X with a value in a random row of each of the columns."""
    changed = X.copy()
    changed[RNG.integers(N, size=len(columns)), columns] = value
    return changed


@pytest.mark.parametrize("name", list(FITS))
@pytest.mark.parametrize("columns", [[2], [0, 7]])
@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, csr_array, csc_array])
def test_columns_that_are_not_finite_are_named(name, columns, form):
    shown = ", ".join(f"'?x{j}'?" for j in columns)
    for value, word in ((np.nan, "NaN"), (-np.inf, "infinity")):
        with pytest.raises(
            ValueError, match=rf"contains {word}\. Columns? {shown} (is|are) not"
        ):
            FITS[name](form(altered(columns, value)))


@pytest.mark.slow_on_jax
def test_columns_that_are_not_finite_are_named_on_every_library(place):
    for name in ("fit", "predict"):
        with pytest.raises(ValueError, match=r"NaN\. Columns '?x1'?, '?x3'? are"):
            FITS[name](place(altered([1, 3], np.nan)))


@pytest.mark.parametrize("name", list(FITS))
def test_columns_of_a_table_are_named(name):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(altered([1, 4], np.nan), columns=list("abcdefgh"))
    if name == "predict":
        model = xlr.LogisticRegression().fit(table.fillna(0.0), Y)
        with pytest.raises(ValueError, match=r"NaN\. Columns 'b', 'e' are not finite"):
            model.predict_proba(table)
    else:
        with pytest.raises(ValueError, match=r"NaN\. Columns 'b', 'e' are not finite"):
            FITS[name](table)
        with pytest.raises(ValueError, match="'a', 'b', 'c', 'd', 'e' and 3 more"):
            FITS[name](table * np.nan)


@pytest.mark.parametrize("name", ["fit", "cv", "labels", "firth"])
@pytest.mark.parametrize("wrong", [[1], [0, 5]])
@pytest.mark.parametrize("dtype", [object, str])
def test_columns_of_strings_are_named(name, wrong, dtype):
    rows = X.astype(dtype)
    rows[3:, wrong] = "red"
    word = "Column 1" if wrong == [1] else "Columns 0, 5"
    for given in (rows, rows.tolist()):
        with pytest.raises(
            ValueError, match=f"{word} of X .* to float: .*'red'.*OneHotEnc"
        ):
            FITS[name](given)
    rows[:, :] = "x" * 100_000
    with pytest.raises(ValueError, match="0, 1, 2, 3, 4 and 3 more of X") as error:
        FITS[name](rows)
    assert len(str(error.value)) < 400


def test_advice_about_columns_of_strings_gives_a_fit():
    rows = X.astype(object)
    rows[:, 1] = RNG.choice(["red", "blue"], size=N)
    with pytest.raises(ValueError, match=r"\(\(OneHotEncoder\(\), \[1\]\), remainder"):
        xlr.LogisticRegression().fit(rows, Y)
    encoder = make_column_transformer((OneHotEncoder(), [1]), remainder="passthrough")
    model = make_pipeline(encoder, xlr.LogisticRegression()).fit(rows, Y)
    assert model.score(rows, Y) > 0.9
