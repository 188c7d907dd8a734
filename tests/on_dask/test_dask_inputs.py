"""Labels, weights and offsets of rows in chunks, in arrays, tables and memory."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from in_chunks import in_chunks, of_unknown_sizes

import xlr

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

pytestmark = pytest.mark.usefixtures("in_this_thread")

N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)) * [1, 10, 0.1] + [0, 50, 3]
CODES = (X @ [1, 0.1, 5] - 20 + RNG.gumbel(size=(3, N)).T[:, 0] > 0).astype(int)
CODES[:20] = 2
NAMES = np.asarray(["no", "maybe", "yes!"])
WEIGHTS = RNG.uniform(0.5, 2, N)
WEIGHTS[40:80] = 0
SIZES = (40, 40, 0, 40)


def lazily(values, sizes=SIZES):
    return in_chunks(values, sizes)


def assert_same(model, y, sample_weight=None, features=X):
    """Compare with the fit to the same rows in memory."""
    expected = xlr.LogisticRegression(tol=1e-9).fit(features, y, sample_weight)
    F, expected_F = (m.history_["objective"][-1] for m in (model, expected))
    assert pytest.approx(expected_F, rel=1e-10) == F
    np.testing.assert_array_equal(model.classes_, expected.classes_)
    np.testing.assert_allclose(
        model.predict_proba(X), expected.predict_proba(X), atol=1e-6
    )


def fitted(*rows, **options):
    return xlr.LogisticRegression(tol=1e-9, **options).fit(*rows)


LABELS = {
    "integers": CODES,
    "floats": CODES.astype(float),
    "booleans": CODES > 0,
    "strings": NAMES[CODES],
    "objects": NAMES[CODES].astype(object),
    "unsigned": CODES.astype(np.uint8),
}


@pytest.mark.parametrize("kind", list(LABELS))
def test_fit_of_chunks_takes_labels_of_every_kind(kind):
    y = LABELS[kind]
    model = fitted(lazily(X), lazily(y))
    assert_same(model, y)
    assert model.classes_.dtype == fitted(X, y).classes_.dtype
    assert_same(fitted(lazily(X), y), y)
    assert_same(fitted(lazily(X), y.tolist()), y)


def test_fit_takes_chunks_of_strings_of_different_lengths():
    parts = [NAMES[CODES[:60]], NAMES[CODES[60:]].astype("U30")]
    parts[0] = parts[0].astype(f"U{max(map(len, parts[0]))}")
    y = da.concatenate([da.from_array(part, chunks=60) for part in parts])
    assert_same(fitted(lazily(X, (60, 60)), y), NAMES[CODES])


@pytest.mark.parametrize("weights", [WEIGHTS, list(WEIGHTS), WEIGHTS > 0.9])
def test_fit_of_chunks_takes_weights_in_memory_and_in_chunks(weights):
    """The second chunk has only zero weights."""
    expected = np.asarray(weights)
    assert_same(fitted(lazily(X), lazily(CODES), weights), CODES, expected)
    assert_same(fitted(lazily(X), lazily(CODES), lazily(weights)), CODES, expected)


@pytest.mark.parametrize("which", ["X", "y", "both"])
def test_fit_takes_chunks_of_unknown_size(which):
    lazy_X, y = lazily(X), lazily(CODES)
    if which in ("X", "both"):
        lazy_X = of_unknown_sizes(lazy_X)
    if which in ("y", "both"):
        y = of_unknown_sizes(y)
    assert_same(fitted(lazy_X, y), CODES)


def test_fit_takes_filtered_rows_of_dask():
    kept = X[:, 0] > -0.5
    lazy = lazily(X)
    chosen = lazy[:, 0] > -0.5
    model = fitted(lazy[chosen], lazily(CODES)[chosen])
    assert_same(model, CODES[kept], features=X[kept])


@pytest.mark.parametrize("sizes", [(120,), (7, 0, 113), (1,) * 120])
@pytest.mark.parametrize("name", ["y", "sample_weight", "offset"])
def test_rows_in_other_chunks_are_rechunked_with_a_warning(name, sizes):
    weights = np.where(WEIGHTS > 0, WEIGHTS, 1)
    offset = RNG.normal(size=(N, 3))
    rows = {"y": CODES, "sample_weight": weights, "offset": offset}
    expected = xlr.LogisticRegression(tol=1e-9).fit(X, **rows)
    lazy = {key: lazily(values) for key, values in rows.items()}
    lazy[name] = lazily(rows[name], sizes)
    model = xlr.LogisticRegression(tol=1e-9)
    match = f"^{name} has other chunks than X, .*{name}.rechunk"
    with pytest.warns(UserWarning, match=match) as caught:
        model.fit(lazily(X), **lazy)
    assert [warning.filename for warning in caught] == [__file__]
    assert model.history_["objective"][-1] == pytest.approx(
        expected.history_["objective"][-1], rel=1e-10
    )


def test_offset_in_chunks_of_columns_is_rechunked():
    offset = RNG.normal(size=(N, 3))
    expected = xlr.LogisticRegression(tol=1e-9).fit(X, CODES, offset=offset)
    model = xlr.LogisticRegression(tol=1e-9)
    lazy = da.from_array(offset, chunks=(SIZES, 1))
    model.fit(lazily(X), lazily(CODES), offset=lazy)
    np.testing.assert_allclose(
        model.history_["objective"][-1], expected.history_["objective"][-1], rtol=1e-10
    )


# -- tables ------------------------------------------------------------------------


@pytest.fixture
def frames():
    """Return a table, and the same table of Dask with an empty partition."""
    frame = pytest.importorskip("dask.dataframe", exc_type=ImportError)
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    table["y"], table["name"], table["weight"] = CODES, NAMES[CODES], WEIGHTS
    edges = np.cumsum([0, *SIZES])
    parts = [dask.delayed(table.iloc[i:j]) for i, j in itertools.pairwise(edges)]
    return table, frame.from_delayed(parts, meta=table.iloc[:0])


def test_partitions_of_dask_tables_are_chunks(frames):
    table, lazy = frames
    model = fitted(lazy[["a", "b", "c"]], lazy["name"], lazy["weight"])
    expected = fitted(table[["a", "b", "c"]], table["name"], table["weight"])
    np.testing.assert_allclose(
        model.history_["objective"][-1], expected.history_["objective"][-1], rtol=1e-10
    )
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.classes_.tolist() == ["maybe", "no", "yes!"]
    assert not hasattr(fitted(lazily(X), CODES), "feature_names_in_")


def test_fit_takes_dask_arrays_and_tables_together(frames):
    table, lazy = frames
    expected = table["y"].to_numpy()
    assert_same(fitted(lazily(X), lazy["y"]), expected)
    assert_same(fitted(lazy[["a", "b", "c"]].values, lazily(CODES)), expected)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        assert_same(fitted(lazy[["a", "b", "c"]], lazily(CODES)), expected)


@pytest.mark.parametrize("dtype", ["float32", "int64", "Float64", "Int8", "bool"])
def test_dask_table_dtypes_give_the_fit_in_memory(frames, dtype):
    table, lazy = frames

    def change(part):
        part = part[["a", "b"]]
        return (part > 0 if dtype == "bool" else part.round()).astype(dtype)

    model = xlr.LogisticRegression(tol=1e-7).fit(lazy.map_partitions(change), lazy["y"])
    expected = xlr.LogisticRegression(tol=1e-7).fit(change(table), table["y"])
    assert model.coef_.dtype == expected.coef_.dtype
    np.testing.assert_allclose(
        model.history_["objective"][-1],
        expected.history_["objective"][-1],
        rtol=1e-6 if dtype == "float32" else 1e-10,
    )


def test_categories_of_dask_tables_are_labels(frames):
    _, lazy = frames
    model = fitted(lazy[["a", "b", "c"]], lazy["name"].astype("category"))
    assert model.classes_.tolist() == ["maybe", "no", "yes!"]


# -- refused -----------------------------------------------------------------------


def with_one(values, row, value):
    """Return the values, with another value in one row."""
    changed = np.array(values, dtype=float if values.dtype.kind in "if" else object)
    changed[row] = value
    return changed


WRONG_CHUNKS = {
    "no rows": (
        lambda: (lazily(X[:0], (0, 0)), lazily(CODES[:0], (0, 0))),
        r"Found array with 0 sample\(s\)",
    ),
    "no columns": (lambda: (lazily(X[:, :0]), CODES), r"Found array with 0 feature"),
    "one dimension": (lambda: (lazily(X[:, 0]), CODES), "Expected 2D array"),
    "three dimensions": (lambda: (lazily(X[:, :, None]), CODES), "Expected 2D array"),
    "complex": (lambda: (lazily(X + 1j), CODES), "Complex data not supported"),
    "no labels": (lambda: (lazily(X), None), "requires y to be passed"),
    "one class": (lambda: (lazily(X), lazily(0 * CODES)), "only one class, 0;"),
    "two columns of labels": (
        lambda: (lazily(X), lazily(np.c_[CODES, CODES])),
        "Chunk . of the rows: y should be a 1d array",
    ),
    "few labels": (
        lambda: (lazily(X), CODES[:-1]),
        "X and y have inconsistent .* 120 rows of X, 119 of y",
    ),
    "few labels in chunks": (
        lambda: (lazily(X), lazily(CODES[:-1], (40, 79))),
        "X and y have inconsistent .* 120 rows of X, 119 of y",
    ),
    "few weights": (
        lambda: (lazily(X), CODES, WEIGHTS[:-1]),
        "X and sample_weight have inconsistent .* 119 of sample_weight",
    ),
    "few labels in a chunk of unknown size": (
        lambda: (lazily(X), of_unknown_sizes(lazily(CODES[:-1], (40, 40, 0, 39)))),
        "Chunk 3 of the rows: .* 40 rows of X, 39 of y",
    ),
    "labels in a chunk without rows": (
        lambda: (
            of_unknown_sizes(lazily(X[:100], (50, 0, 50))),
            of_unknown_sizes(lazily(CODES, (50, 20, 50))),
        ),
        "Chunk 1 of the rows: .* 0 rows of X, 20 of y",
    ),
    "other unknown chunks": (
        lambda: (of_unknown_sizes(lazily(X)), lazily(CODES, (60, 60))),
        r"y is in 2 chunks and X in 4\. .* compute_chunk_sizes",
    ),
    "labels in memory for unknown chunks": (
        lambda: (of_unknown_sizes(lazily(X)), CODES),
        "chunks of X are not known, and y is in memory.* X.compute_chunk_sizes",
    ),
    "an unknown number of columns": (
        lambda: (lazily(X)[:, da.from_array(np.asarray([True, False, True]))], CODES),
        "number of columns of X is not known",
    ),
    "a single label": (lambda: (lazily(X), np.asarray(1)), "y is a single number"),
    "a single weight": (
        lambda: (lazily(X), CODES, np.asarray(2.0)),
        "sample_weight is a single number",
    ),
    "NaN among labels": (
        lambda: (lazily(X), lazily(with_one(CODES, 50, np.nan))),
        "Chunk 1 of the rows: Input y contains NaN",
    ),
    "None among labels": (
        lambda: (lazily(X), lazily(with_one(NAMES[CODES], 50, None))),
        "Chunk 1 of the rows: Input y contains missing labels, 1 of 40",
    ),
    "mixed labels": (
        lambda: (lazily(X), lazily(with_one(NAMES[CODES], 50, 1.0))),
        "Chunk 1 of the rows: The labels in y cannot be sorted",
    ),
    "mixed labels of two chunks": (
        lambda: (
            lazily(X, (60, 60)),
            lazily(CODES, (60, 60)).map_blocks(
                lambda codes: NAMES[codes] if 2 in codes else codes, dtype=object
            ),
        ),
        "cannot be sorted, because they mix types",
    ),
    "NaN in X": (
        lambda: (lazily(np.where(X[90, 2] == X, np.nan, X)), CODES),
        "Chunk 3 of the rows: Input X contains NaN",
    ),
    "infinity in rows without weight": (
        lambda: (lazily(np.where(X[50, 2] == X, np.inf, X)), CODES, WEIGHTS),
        "Chunk 1 of the rows: Input X contains infinity",
    ),
    "negative weights": (
        lambda: (lazily(X), CODES, lazily(with_one(WEIGHTS, 50, -1.0))),
        "Chunk 1 of the rows: sample_weight contains negative values",
    ),
    "NaN among weights": (
        lambda: (lazily(X), CODES, lazily(with_one(WEIGHTS, 50, np.nan))),
        "Chunk 1 of the rows: sample_weight contains NaN",
    ),
    "zero weights": (
        lambda: (lazily(X), CODES, lazily(0 * WEIGHTS)),
        "All weights are zero: sample_weight times",
    ),
    "infinite sum of weights in a chunk": (
        lambda: (lazily(X), CODES, lazily(np.full(N, 1e307))),
        "sample_weight contains NaN or infinity, or its sum overflows",
    ),
    "infinite sum of weights of all chunks": (
        lambda: (lazily(X), CODES, lazily(np.full(N, 3e306))),
        "^sample_weight contains NaN or infinity, or its sum overflows",
    ),
    "wrong meta": (
        lambda: (
            lazily(X).map_blocks(
                lambda chunk: chunk[:, :2], dtype=float, meta=np.empty((0, 0))
            ),
            CODES,
        ),
        r"Chunk . of the rows: X has shape \(\d+, 2\), .* Correct the meta",
    ),
}


@pytest.mark.parametrize("case", list(WRONG_CHUNKS))
def test_wrong_chunks_are_refused_with_a_clear_error(case):
    rows, sentence = WRONG_CHUNKS[case]
    model = xlr.LogisticRegression()
    before = dict(vars(model))
    with pytest.raises(ValueError, match=sentence):
        model.fit(*rows())
    assert vars(model) == before


WRONG_OFFSETS = {
    "a single number": (lambda: 1.0, "offset is a single number"),
    "too few columns": (
        lambda: lazily(np.zeros((N, 2))),
        "offset has 2 columns, expected 3",
    ),
    "one column": (
        lambda: lazily(np.zeros(N)),
        "offset has 1 columns, expected 3",
    ),
    "NaN among offsets": (
        lambda: lazily(np.full((N, 3), np.nan)),
        "Chunk . of the rows: offset contains NaN",
    ),
}


@pytest.mark.parametrize("case", list(WRONG_OFFSETS))
def test_wrong_offsets_of_chunks_are_refused_with_a_clear_error(case):
    offset, sentence = WRONG_OFFSETS[case]
    with pytest.raises(ValueError, match=sentence):
        xlr.LogisticRegression().fit(lazily(X), CODES, offset=offset())


def test_offset_of_one_vs_rest_fits_to_chunks_is_refused():
    model = xlr.LogisticRegression(multi_class="ovr")
    with pytest.raises(
        ValueError, match="An offset belongs to the logits of one model"
    ):
        model.fit(lazily(X), CODES, offset=np.zeros((N, 3)))


def test_score_of_soft_labels_for_chunks_is_refused():
    model = xlr.LogisticRegression().fit(X, CODES)
    with pytest.raises(ValueError, match="score takes one label for each row"):
        model.score(lazily(X), xlr.soft_labels(np.eye(3)[CODES]))


def test_dask_tables_in_other_partitions_are_refused(frames):
    _, lazy = frames
    with pytest.raises(ValueError, match=r"y is in 2 chunks and X in 4\..*one table"):
        fitted(lazy[["a", "b"]], lazy["y"].repartition(npartitions=2))
