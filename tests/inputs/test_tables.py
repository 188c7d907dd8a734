"""Tables of pandas, polars, PyArrow and narwhals: names, dtypes and refusals."""

from __future__ import annotations

import sys
import types
import warnings

import narwhals
import numpy as np
import pytest
from optional import on_demand
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import xlr

pd = on_demand("pandas")
pl = on_demand("polars")
NAMES = ["age", "income", "sold"]
DAYS = np.datetime64("2026-01-01", "us") + np.arange(60) * np.timedelta64(1, "D")


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


def in_batch(columns):
    return in_pyarrow(columns).to_batches()[0]


def in_narwhals(columns):
    return narwhals.from_native(in_polars(columns))


TABLES = [in_pandas, in_polars, in_pyarrow, in_batch, in_narwhals]


@pytest.fixture
def in_cudf(monkeypatch):
    """Return a stand-in for cuDF: pandas that returns arrays of another library."""
    strict = pytest.importorskip("array_api_strict")
    module = types.ModuleType("cudf")

    class DataFrame(pd.DataFrame):
        def to_cupy(self):
            return strict.asarray(self.to_numpy(copy=True))

    module.DataFrame, module.Series, module.Index = DataFrame, pd.Series, pd.Index
    monkeypatch.setitem(sys.modules, "cudf", module)
    return DataFrame


@pytest.mark.parametrize("table", [*TABLES, "in_cudf"])
def test_column_names_are_kept_and_checked(table, request):
    table = request.getfixturevalue(table) if isinstance(table, str) else table
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


def test_categories_of_cudf_are_read_through_narwhals(in_cudf):
    X, y = numbers()
    columns = {"age": X[:, 0], "town": ["Oslo", "Rome", "Bern"] * 20}
    model = xlr.LogisticRegression(categorical="auto")
    expected = model.fit(pd.DataFrame(columns), y).coef_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pd.Series, "factorize", None, raising=False)
        model.fit(in_cudf(columns), y)
    assert model.coef_names_ == ["age", "town[Bern]", "town[Oslo]", "town[Rome]"]
    np.testing.assert_allclose(np.asarray(model.coef_), expected, atol=1e-8)


@pytest.mark.parametrize("table", TABLES)
def test_table_of_mixed_dtypes_gives_the_model_of_its_array(table):
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


def test_nullable_columns_of_pandas_are_read_as_numbers():
    X, y = numbers()
    table = pd.DataFrame(X, columns=NAMES).convert_dtypes()
    model = xlr.LogisticRegression().fit(table, y)
    expected = xlr.LogisticRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6)
    table.loc[3, "age"] = None
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(table, y)


@pytest.mark.parametrize("table", TABLES)
def test_column_without_numbers_is_named(table):
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
def test_columns_of_dates_are_refused(table):
    X, y = numbers()
    for values in (DAYS, DAYS - DAYS[0]):
        with pytest.raises(
            (TypeError, ValueError), match=r"'when' of X holds no numbers.*dates"
        ):
            xlr.LogisticRegression().fit(table({"age": X[:, 0], "when": values}), y)


def test_error_for_dates_says_what_categorical_can_do():
    _, y = numbers()
    table = pd.DataFrame({"town": ["Oslo", "Rome", "Bern"] * 20, "when": DAYS})
    model = xlr.LogisticRegression(categorical="auto")
    with pytest.raises(ValueError, match=r"'when' of X .* name them in categorical"):
        model.fit(table, y)


def dates_in_disguise():
    """Return tables that hold dates in other dtypes."""
    categories = pd.DataFrame({"age": np.arange(60.0), "when": pd.Categorical(DAYS)})
    pyarrow = pytest.importorskip("pyarrow")
    codes = pyarrow.array(DAYS).dictionary_encode()
    return {
        "categories": categories,
        "categories alone": categories[["when"]],
        "sparse": pd.DataFrame({"when": DAYS}).astype("Sparse[datetime64[us]]"),
        "periods": pd.DataFrame({"when": pd.Series(DAYS).dt.to_period("D")}),
        "Arrow in pandas": pd.DataFrame({"when": DAYS}).astype("date32[pyarrow]"),
        "codes": pyarrow.table({"age": np.arange(60.0), "when": codes}),
    }


@pytest.mark.parametrize(
    "kind",
    ["categories", "categories alone", "sparse", "periods", "Arrow in pandas", "codes"],
)
def test_columns_of_dates_in_other_dtypes_are_refused(kind):
    _, y = numbers()
    with pytest.raises(
        (TypeError, ValueError), match=r"'when' of X holds no numbers.*dates"
    ):
        xlr.LogisticRegression().fit(dates_in_disguise()[kind], y)


def test_columns_of_lists_and_complex_numbers_are_refused():
    pyarrow = pytest.importorskip("pyarrow")
    X, y = numbers()
    pairs = [[1.0, 2.0]] * 60
    wide = {"wide": pl.Array(pl.Float64, 2)}
    for table, words in [
        (pl.DataFrame({"wide": pairs}), "'wide' of X holds no numbers"),
        (pl.DataFrame({"wide": pairs}, wide), "'wide' of X holds no numbers"),
        (pl.DataFrame({"wide": [{"a": 1}] * 60}), "'wide' of X holds no numbers"),
        (pyarrow.table({"wide": pairs}), "'wide' of X holds no numbers"),
        (pd.DataFrame({"z": X[:, 0] + 1j}), "Complex data not supported"),
        (pd.DataFrame({"z": [np.complex128(1j)] * 60}, dtype=object), "Complex data"),
    ]:
        with pytest.raises(ValueError, match=words):
            xlr.LogisticRegression().fit(table, y)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1.0, pd.NA, 3.0] * 20, dtype=object),
        pd.Series(["1", pd.NA, "3"] * 20, dtype="string"),
    ],
    ids=["objects", "numbers in text"],
)
def test_missing_values_of_object_columns_are_named(values):
    X, y = numbers()
    table = pd.DataFrame({"age": values, "sold": X[:, 2]})
    with pytest.raises(ValueError, match="Column 'age' of X holds missing values"):
        xlr.LogisticRegression().fit(table, y)


@pytest.mark.parametrize("batch", [False, True])
def test_dictionary_columns_of_pyarrow_are_read_as_numbers(batch):
    """NumPy would read the code of a missing number as the last number."""
    pyarrow = pytest.importorskip("pyarrow")
    X, y = numbers()
    whole = np.round(X[:, 0])

    def table(column):
        found = pyarrow.table(
            {"age": pyarrow.array(column).dictionary_encode(), "sold": X[:, 2]}
        )
        return found.to_batches()[0] if batch else found

    model = xlr.LogisticRegression().fit(table(whole), y)
    expected = xlr.LogisticRegression().fit(np.stack([whole, X[:, 2]], axis=1), y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-12)
    with pytest.raises(ValueError, match="X contains NaN"):
        model.fit(table([None, *whole[1:]]), y)


def test_sparse_columns_of_booleans_are_read_as_numbers():
    _, y = numbers()
    table = pd.get_dummies(pd.Series(["Oslo", "Rome", "Bern"] * 20), sparse=True)
    dense = table.sparse.to_dense().to_numpy(dtype=float)
    expected = xlr.LogisticRegression().fit(dense, y)
    model = xlr.LogisticRegression().fit(table, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-12)
    proba = model.predict_proba(table)
    np.testing.assert_allclose(proba, expected.predict_proba(dense), atol=1e-12)
    both = table.assign(sold=pd.arrays.SparseArray(np.arange(60.0), fill_value=0.0))
    wider = np.concatenate([dense, np.arange(60.0)[:, None]], axis=1)
    expected.fit(wider, y)
    np.testing.assert_allclose(model.fit(both, y).coef_, expected.coef_, atol=1e-6)


def test_column_names_may_be_attributes_of_other_libraries():
    X, y = numbers()
    names = ["to_cupy", "column_names", "to_native"]
    model = xlr.LogisticRegression().fit(pd.DataFrame(X, columns=names), y)
    assert list(model.feature_names_in_) == names
    for others in (["schema", "dtype", "dtypes"], ["columns", "shape", "iloc"]):
        model.fit(pd.DataFrame(X, columns=others), y)
        assert list(model.feature_names_in_) == others


class Named(np.ndarray):
    """An array with names of columns."""

    columns = NAMES


class Readable:
    """A table of an unknown library."""

    columns = NAMES

    def __init__(self, values):
        self.shape = values.shape
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return self._values.astype(dtype or self._values.dtype)


@pytest.mark.parametrize("table", [lambda X: X.view(Named), Readable])
def test_arrays_with_named_columns_are_not_tables(table):
    X, y = numbers()
    model = xlr.LogisticRegression().fit(table(X), y)
    np.testing.assert_array_equal(model.coef_, xlr.LogisticRegression().fit(X, y).coef_)
    np.testing.assert_array_equal(model.predict(table(X)), model.predict(X))


def test_lazy_tables_are_refused():
    X, y = numbers()
    table = pl.DataFrame(X, schema=NAMES)
    for lazy in (table.lazy(), narwhals.from_native(table).lazy()):
        with pytest.raises(TypeError, match=r"LazyFrame .* call its \.collect\(\)"):
            xlr.LogisticRegression().fit(lazy, y)
        with pytest.raises(TypeError, match=r"LazyFrame .* call its \.collect\(\)"):
            xlr.LogisticRegression().fit(X, lazy)


def test_duckdb_relations_are_refused():
    duckdb = pytest.importorskip("duckdb")
    X, y = numbers()
    relation = duckdb.from_arrow(in_pyarrow(dict(zip(NAMES, X.T))))
    with pytest.raises(
        TypeError, match=r"DuckDBPyRelation .* call its .* \.to_arrow_table\(\)"
    ):
        xlr.LogisticRegression().fit(relation, y)
    model = xlr.LogisticRegression().fit(relation.to_arrow_table(), y)
    assert list(model.feature_names_in_) == NAMES


@pytest.mark.parametrize("first", [np.arange(60), ["x"] * 60])
@pytest.mark.parametrize("batch", [False, True])
def test_duplicate_column_names_are_refused(first, batch):
    pyarrow = pytest.importorskip("pyarrow")
    X, y = numbers()
    columns = [pyarrow.array(first), pyarrow.array(X[:, 0])]
    table = pyarrow.table(columns, names=["same", "same"])
    other = pd.DataFrame({"a": first, "b": X[:, 0]})
    other.columns = ["same", "same"]
    for given in (table.to_batches()[0] if batch else table, other):
        with pytest.raises(
            ValueError, match=r"unique column names.*\n.*'same' 2 times"
        ):
            xlr.LogisticRegression().fit(given, y)


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
@pytest.mark.parametrize("sparse", [True, False])
def test_pipelines_with_encoders_pass_tables(output, sparse):
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
        # Versions of polars and scikit-learn may warn about each other.
        warnings.simplefilter("ignore", DeprecationWarning)
        pipeline.fit(table, y)
        predicted = pipeline.predict_proba(table)
    towns = pd.get_dummies(table["town"]).to_numpy(dtype=float)
    dense = np.concatenate([towns, StandardScaler().fit_transform(X)], axis=1)
    expected = xlr.LogisticRegression(tol=1e-9).fit(dense, y)
    np.testing.assert_allclose(predicted, expected.predict_proba(dense), atol=1e-6)
    if output != "default":
        assert "onehotencoder__town_Oslo" in pipeline[-1].feature_names_in_
