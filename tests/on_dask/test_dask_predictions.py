"""Predictions of rows in chunks are lazy, and equal those of rows in memory."""

from __future__ import annotations

import numpy as np
import pytest
from in_chunks import in_chunks, of_unknown_sizes
from sklearn.exceptions import NotFittedError

import xlr

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

pytestmark = pytest.mark.usefixtures("in_this_thread")

N = 90
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
CODES = (2 * X + RNG.gumbel(size=(N, 3))).argmax(axis=1)
OFFSET = RNG.normal(size=(N, 3))
WEIGHTS = RNG.uniform(0.5, 2, N)
WEIGHTS[30:60] = 0
SIZES = (30, 0, 30, 30)
METHODS = ["decision_function", "predict_proba", "predict_log_proba", "predict"]
LABELS = {
    "two": CODES > 0,
    "integers": CODES,
    "strings": np.asarray(["a", "bb", "ccc"])[CODES],
    "objects": np.asarray(["a", "bb", "ccc"], dtype=object)[CODES],
}


def lazily(values, sizes=SIZES):
    return in_chunks(values, sizes)


def assert_same(lazy, expected, sizes):
    """Compare with predictions in memory, and with the announced chunk sizes."""
    assert isinstance(lazy, da.Array)
    assert lazy.ndim == expected.ndim
    np.testing.assert_array_equal(lazy.chunks[0], sizes)
    assert lazy.shape[1:] == expected.shape[1:]
    assert lazy.dtype == expected.dtype
    assert type(lazy._meta) is type(expected)
    computed = lazy.compute()
    assert computed.dtype == expected.dtype
    if expected.dtype.kind == "f":
        precision = np.finfo(expected.dtype).eps
        np.testing.assert_allclose(computed, expected, rtol=8 * precision, atol=1e-15)
    else:
        np.testing.assert_array_equal(computed, expected)


@pytest.mark.parametrize(
    ("method", "kind"), [*zip(METHODS, LABELS), *(("predict", kind) for kind in LABELS)]
)
def test_predictions_of_chunks_are_those_in_memory(method, kind):
    predict = getattr(xlr.LogisticRegression().fit(X, LABELS[kind]), method)
    expected = predict(X)
    assert_same(predict(lazily(X)), expected, SIZES)
    assert_same(predict(X=of_unknown_sizes(lazily(X))), expected, [np.nan] * 4)
    assert_same(predict(lazily(X, (N,))), expected, (N,))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool"])
@pytest.mark.parametrize("method", METHODS)
def test_predictions_of_chunks_have_the_dtype_in_memory(method, dtype):
    predict = getattr(xlr.LogisticRegression().fit(X, CODES), method)
    features = (X > 0 if dtype == "bool" else 3 * X).astype(dtype)
    assert_same(predict(lazily(features)), predict(features), SIZES)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_of_chunks_take_an_offset(method):
    predict = getattr(xlr.LogisticRegression().fit(X, CODES), method)
    expected = predict(X, OFFSET)
    assert_same(predict(lazily(X), lazily(OFFSET)), expected, SIZES)
    assert_same(predict(lazily(X), offset=OFFSET), expected, SIZES)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_of_dask_tables_are_those_in_memory(method):
    frame = pytest.importorskip("dask.dataframe", exc_type=ImportError)
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    parts = [dask.delayed(table[i:j]) for i, j in ((0, 50), (50, 50), (50, N))]
    lazy = frame.from_delayed(parts, meta=table[:0])
    model = xlr.LogisticRegression().fit(table, CODES)
    predict = getattr(model, method)
    assert_same(predict(lazy), predict(table), [np.nan] * 3)
    with pytest.raises(ValueError, match="feature names should match"):
        predict(lazy[["b", "a", "c"]])


def test_predictions_of_chunks_are_lazy():
    read = []

    def record(block):
        read.append(len(block))
        return block

    lazy = lazily(X).map_blocks(record, dtype=X.dtype, meta=np.empty((0, 0)))
    model = xlr.LogisticRegression().fit(X, CODES)
    predicted = [getattr(model, method)(lazy) for method in METHODS]
    assert not read
    np.testing.assert_array_equal(predicted[-1][:10].compute(), model.predict(X[:10]))
    assert read == [30]  # one chunk is enough for ten rows


def test_lazy_predictions_keep_the_model_of_their_call():
    model = xlr.LogisticRegression(C=1e-3).fit(X, CODES)
    before = model.predict_proba(X)
    lazy = model.predict_proba(lazily(X))
    model.set_params(C=10).fit(X, (CODES == 0) + 1)
    np.testing.assert_allclose(lazy.compute(), before, rtol=1e-12)


def test_predictions_of_wrong_chunks_are_refused():
    model = xlr.LogisticRegression()
    for method in METHODS:
        with pytest.raises(NotFittedError):
            getattr(model, method)(lazily(X))
    model.fit(X, CODES)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* expecting 3"):
        model.predict(lazily(X[:, :2]))
    with pytest.raises(ValueError, match="offset is a single number"):
        model.predict(lazily(X), 1.0)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(lazily(np.where(X[50, 1] == X, np.nan, X))).compute()


# -- score -------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("kind", list(LABELS))
def test_score_of_chunks_is_that_in_memory(kind, in_memory):
    model, y = xlr.LogisticRegression().fit(X, LABELS[kind]), LABELS[kind]
    form = np.asarray if in_memory else lazily
    found = model.score(lazily(X), form(y))
    assert isinstance(found, float)
    assert found == pytest.approx(model.score(X, y), rel=1e-14)
    weighted = model.score(lazily(X), form(y), form(WEIGHTS))
    assert weighted == pytest.approx(model.score(X, y, WEIGHTS), rel=1e-14)
    named = model.score(X=lazily(X), y=form(y), sample_weight=form(WEIGHTS))
    assert named == weighted != found


def test_score_of_chunks_takes_an_offset():
    model = xlr.LogisticRegression().fit(X, CODES)
    rows = lazily(X), lazily(CODES)
    expected = model.score(X, CODES, offset=3 * OFFSET)
    assert model.score(*rows, offset=lazily(3 * OFFSET)) == pytest.approx(expected)
    assert model.score(*rows, None, 3 * OFFSET) == pytest.approx(expected)
    assert model.score(*rows) != pytest.approx(expected)


@hypothesis.given(
    st.lists(st.integers(0, N), max_size=6),
    st.booleans(),
    st.sampled_from([None, 2.0, "weights"]),
)
@hypothesis.settings(max_examples=30, deadline=None, derandomize=True, database=None)
def test_score_does_not_depend_on_chunk_sizes(edges, unknown, weight):
    sizes = np.diff([0, *sorted(edges), N]).tolist()
    rows = {"X": X, "y": CODES}
    if weight is not None:
        rows["sample_weight"] = WEIGHTS if weight == "weights" else np.full(N, weight)
    lazy = {name: lazily(values, sizes) for name, values in rows.items()}
    if unknown:
        lazy = {name: of_unknown_sizes(values) for name, values in lazy.items()}
    model = xlr.LogisticRegression().fit(X, CODES)
    assert model.score(**lazy) == pytest.approx(model.score(**rows), rel=1e-14)


def test_score_of_chunks_refuses_wrong_arguments():
    model = xlr.LogisticRegression().fit(X, CODES)
    with pytest.raises(ValueError, match="nothing to score"):
        model.score(lazily(X[:0], (0, 0)), CODES[:0])
    with pytest.raises(ValueError, match="nothing to score"):
        model.score(lazily(X), CODES, 0 * WEIGHTS)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(lazily(X), CODES[:-1])
