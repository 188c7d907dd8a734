"""Tables of pandas, polars and PyArrow: names, dtypes, pipelines and refusals."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import xlr

NAMES = ["age", "income", "sold"]


def numbers(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) * [10, 1e4, 1]
    return X, (X @ [0.1, 1e-4, 1] + rng.logistic(size=n) > 0).astype(int)


def in_pandas(columns):
    return pd.DataFrame(columns)


def in_polars(columns):
    return pl.DataFrame(columns)


def in_pyarrow(columns):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table(columns)


class OnDevice:
    """What is asked of a cuDF table."""

    def __init__(self, columns):
        self.columns = list(columns)
        self._columns = columns

    def to_cupy(self):
        import array_api_strict

        return array_api_strict.asarray(np.stack(list(self._columns.values()), axis=1))


TABLES = [in_pandas, in_polars, in_pyarrow]


@pytest.mark.parametrize("table", [*TABLES, OnDevice])
def test_names_are_kept_and_checked(table):
    X, y = numbers()
    columns = dict(zip(NAMES, X.T))
    model = xlr.LogisticRegression().fit(table(columns), y)
    assert list(model.feature_names_in_) == NAMES
    expected = xlr.LogisticRegression().fit(X, y)
    np.testing.assert_allclose(np.asarray(model.coef_), expected.coef_, rtol=1e-6)
    probabilities = np.asarray(model.predict_proba(table(columns)))
    np.testing.assert_allclose(probabilities, expected.predict_proba(X), rtol=1e-6)
    other = {name: columns[name] for name in reversed(NAMES)}
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table(other))


@pytest.mark.parametrize("table", TABLES)
def test_whole_numbers_booleans_and_float32(table):
    X, y = numbers()
    columns = {
        "whole": np.round(X[:, 0]).astype(np.int16),
        "yes": X[:, 1] > 0,
        "single": X[:, 2].astype(np.float32),
    }
    model = xlr.LogisticRegression().fit(table(columns), y)
    dense = np.stack([c.astype(float) for c in columns.values()], axis=1)
    expected = xlr.LogisticRegression().fit(dense, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-4)


def test_nullable_columns_of_pandas():
    X, y = numbers()
    table = pd.DataFrame(X, columns=NAMES).convert_dtypes()
    model = xlr.LogisticRegression().fit(table, y)
    expected = xlr.LogisticRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6)
    table.loc[3, "age"] = None
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(table, y)


def test_sparse_columns_of_pandas_stay_sparse():
    X, y = numbers()
    X[np.abs(X) < np.abs(X).mean(axis=0)] = 0
    table = pd.DataFrame(X, columns=NAMES).astype(pd.SparseDtype(float, 0.0))
    model = xlr.LogisticRegression().fit(table, y)
    expected = xlr.LogisticRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6)
    assert list(model.feature_names_in_) == NAMES


@pytest.mark.parametrize("table", TABLES)
def test_a_column_without_numbers_is_named(table):
    X, y = numbers()
    towns = ["Oslo", "Rome", "Bern"] * 20
    columns = {"age": X[:, 0], "town": towns, "sold": X[:, 2]}
    model = xlr.LogisticRegression()
    with pytest.raises(
        ValueError, match=r"Column 'town' of X holds no numbers.*OneHot"
    ):
        model.fit(table(columns), y)
    assert not hasattr(model, "coef_")
    with pytest.raises(ValueError, match="Columns 'land', 'town' of X hold no numbers"):
        model.fit(table({"land": towns, **columns}), y)


@pytest.mark.parametrize("table", TABLES)
def test_dates_are_refused(table):
    X, y = numbers()
    days = np.datetime64("2026-01-01", "us") + np.arange(60) * np.timedelta64(1, "D")
    for values in (days, days - days[0]):
        with pytest.raises(ValueError, match="Column 'when' of X holds dates or times"):
            xlr.LogisticRegression().fit(table({"age": X[:, 0], "when": values}), y)


def test_two_columns_of_one_name():
    X, y = numbers()
    table = pd.DataFrame({"a": ["x"] * 60, "b": X[:, 0]})
    table.columns = ["same", "same"]
    with pytest.raises(ValueError, match="Column 'same' of X holds no numbers"):
        xlr.LogisticRegression().fit(table, y)


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
@pytest.mark.parametrize("sparse", [True, False])
def test_in_a_pipeline_with_encoders(output, sparse):
    if sparse and output != "default":
        pytest.skip("scikit-learn has no sparse tables")
    X, y = numbers()
    table = pd.DataFrame(X, columns=NAMES)
    table["town"] = ["Oslo", "Rome", "Bern"] * 20
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=sparse), ["town"]),
        (StandardScaler(), NAMES),
        sparse_threshold=1.0 if sparse else 0.0,
    )
    pipeline = make_pipeline(encode, xlr.LogisticRegression(tol=1e-9))
    pipeline.set_output(transform=output)
    with warnings.catch_warnings():
        # Of the versions of polars and scikit-learn, which are not the subject.
        warnings.simplefilter("ignore", DeprecationWarning)
        pipeline.fit(table, y)
        predicted = pipeline.predict_proba(table)
    towns = pd.get_dummies(table["town"]).to_numpy(dtype=float)
    dense = np.concatenate([towns, StandardScaler().fit_transform(X)], axis=1)
    expected = xlr.LogisticRegression(tol=1e-9).fit(dense, y)
    np.testing.assert_allclose(predicted, expected.predict_proba(dense), atol=1e-6)
    if output != "default":
        assert "onehotencoder__town_Oslo" in pipeline[-1].feature_names_in_
