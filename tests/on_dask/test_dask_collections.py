"""Dask collections: tables in files, columns in memory, and refused objects."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import DataConversionWarning

import xlr

pd = pytest.importorskip("pandas")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 4))
Y = (X @ [1.0, -1.0, 0.5, 0.0] + RNG.logistic(size=240) > 0).astype(int)
NAMES = list("abcd")
TABLE = pd.DataFrame(X, columns=NAMES).assign(y=Y, label=np.where(Y, "yes", "no"))


def fitted(features, labels):
    return xlr.LogisticRegression(tol=1e-10).fit(features, labels)


IN_MEMORY = fitted(X, Y)
FITTED_TO_TABLE = fitted(TABLE[NAMES], Y)


@pytest.fixture
def dd():
    return pytest.importorskip("dask.dataframe")


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask's own
def test_dask_table_of_files_and_its_column_have_the_same_partitions(
    dd, tmp_path: Path
) -> None:
    """Dask alone would read more files at once for one column than for four."""
    dd.from_pandas(TABLE, npartitions=6).to_parquet(tmp_path)
    table = dd.read_parquet(tmp_path)
    if len(table["y"].to_delayed()) == 6:
        pytest.skip("this Dask reads as many at once for one column as for four")
    model = fitted(table[NAMES], table["label"])
    np.testing.assert_allclose(model.coef_, IN_MEMORY.coef_, rtol=0, atol=1e-8)
    assert model.classes_.tolist() == ["no", "yes"]
    assert len(model.predict(table[NAMES]).chunks[0]) == table.npartitions
    assert model.score(table[NAMES], table["label"]) == IN_MEMORY.score(X, Y)


def test_missing_numbers_of_nullable_columns_are_refused(dd) -> None:
    table = TABLE.assign(b=TABLE["b"].round().astype("Int64"))
    table.loc[200, "b"] = pd.NA
    rows = dd.from_pandas(table, npartitions=3)
    message = r"Chunk 2 of the rows: Input X contains NaN\. Column 'b' is"
    with pytest.raises(ValueError, match=message):
        fitted(rows[NAMES], rows["y"])
    with pytest.raises(ValueError, match=r"Column 'b' is"):
        FITTED_TO_TABLE.predict(rows[NAMES]).compute()


def test_nullable_columns_without_missing_numbers_are_predicted(dd) -> None:
    table = TABLE.convert_dtypes()
    rows = dd.from_pandas(table, npartitions=3)[NAMES]
    expected = FITTED_TO_TABLE.predict_proba(table[NAMES])
    found = FITTED_TO_TABLE.predict_proba(rows).compute()
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    "labels",
    [TABLE["y"], TABLE["label"], Y.tolist()],
    ids=["integers", "strings", "list"],
)
def test_fit_of_chunks_takes_labels_in_columns_and_lists(labels) -> None:
    model = fitted(da.from_array(X, chunks=(100, 4)), labels)
    np.testing.assert_allclose(model.coef_, IN_MEMORY.coef_, rtol=0, atol=1e-8)


def test_labels_in_memory_need_x_in_chunks_of_known_size(dd) -> None:
    rows = dd.from_pandas(TABLE, npartitions=3)
    with pytest.raises(ValueError, match=re.escape("X.to_dask_array(lengths=True)")):
        fitted(rows[NAMES], Y)
    known = rows[NAMES].to_dask_array(lengths=True)
    np.testing.assert_allclose(
        fitted(known, Y).coef_, IN_MEMORY.coef_, rtol=0, atol=1e-8
    )


def test_column_vector_of_dask_labels_warns(dd) -> None:
    rows = dd.from_pandas(TABLE, npartitions=3)
    features = da.from_array(X, chunks=(100, 4))
    for given, labels in (
        (rows[NAMES], rows[["y"]]),
        (features, da.from_array(Y[:, None], chunks=(100, 1))),
        (features, Y[:, None]),
        (features, TABLE[["y"]]),
    ):
        with pytest.warns(DataConversionWarning, match="column-vector y"):
            model = fitted(given, labels)
        np.testing.assert_allclose(model.coef_, IN_MEMORY.coef_, rtol=0, atol=1e-8)
        assert model.score(given, labels) == IN_MEMORY.score(X, Y)


@pytest.mark.parametrize("meta", [None, np.empty((0, 0))])
@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "coo_array"])
def test_sparse_chunks_are_refused(kind: str, meta) -> None:
    sparse = da.from_array(X, chunks=(100, 4)).map_blocks(
        getattr(scipy.sparse, kind), dtype=float, meta=meta
    )
    with pytest.raises(TypeError, match=f"chunks of X are sparse, of type {kind};"):
        fitted(sparse, Y)


def test_masked_chunks_are_refused() -> None:
    masked = da.ma.masked_greater(da.from_array(X, chunks=(100, 4)), 2.0)
    with pytest.raises(TypeError, match=r"masked arrays.*dask.array.ma.filled"):
        fitted(masked, Y)


def test_delayed_objects_of_dask_are_refused() -> None:
    features = da.from_array(X, chunks=(100, 4))
    for given in ((dask.delayed(X), Y), (features, dask.delayed(Y))):
        with pytest.raises(TypeError, match="Delayed"):
            fitted(*given)


def test_rechunk_warning_of_score_names_y() -> None:
    features = da.from_array(X, chunks=(100, 4))
    with pytest.warns(UserWarning, match=r"^y has other chunks than X"):
        score = IN_MEMORY.score(features, da.from_array(Y, chunks=60))
    assert score == IN_MEMORY.score(X, Y)


def test_dask_labels_are_refused_with_x_in_memory() -> None:
    lazy = da.from_array(Y, chunks=100)
    for name in ("y", "sample_weight", "offset"):
        given = {"y": Y, name: lazy}
        advice = rf"with an X of Dask\..*pass {name}\.compute\(\)"
        with pytest.raises(TypeError, match=advice):
            xlr.LogisticRegression().fit(X, **given)


@pytest.mark.parametrize(
    "call",
    [
        lambda X, y: xlr.LogisticRegression().fit(X, y),
        lambda X, y: xlr.LogisticRegressionCV(Cs=2, cv=2).fit(X, y),
        lambda X, y: xlr.logistic_path(X, y, n_Cs=2),
        lambda X, y: IN_MEMORY.predict(X),
        lambda X, y: IN_MEMORY.score(X, y),
        lambda X, y: xlr.infer(IN_MEMORY, X, y),
    ],
    ids=["fit", "cross-validation", "path", "predict", "score", "infer"],
)
def test_dask_warnings_point_at_the_line_that_called_xlr(call) -> None:
    columns = da.from_array(X, chunks=(100, 2))
    with pytest.warns(UserWarning, match="columns of X are in 2 chunks") as caught:
        call(columns, da.from_array(Y, chunks=100))
    assert {warning.filename for warning in caught} == {__file__}
