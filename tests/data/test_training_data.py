"""Training data: a pass gives the same sums however the rows are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from conftest import to_numpy

from xlr import arrays
from xlr.data import DenseMatrix, Scaler, Targets, TrainingData
from xlr.data.blocks import map_reduce
from xlr.threads import workers

N, P = 50, 3
RNG = np.random.default_rng(0)
# Small integers: all sums are exact, in any order.
X = RNG.integers(-9, 10, size=(N, P)).astype(float)
LABELS = RNG.integers(0, 2, size=(N, 2))
WEIGHTS = RNG.integers(0, 5, size=N).astype(float)
COUNTS = RNG.integers(0, 3, size=(N, 3))
FACTORS = np.asarray([[1.0, 2.0], [3.0, 0.5], [1.0, 1.0], [2.0, 4.0]])
OFFSET = RNG.integers(-9, 10, size=(N, 1)).astype(float)
# Four models: their labels, and their counts.
LABEL_OF, COUNT_OF = np.asarray([0, 1, 1, 0]), np.asarray([2, 0, 1, 1])
MODEL_LABELS = LABELS[:, LABEL_OF]
MODEL_WEIGHTS = (
    WEIGHTS[:, None] * COUNTS[:, COUNT_OF] * FACTORS[np.arange(4), MODEL_LABELS]
)


@pytest.fixture
def targets(xp, device, place):
    return Targets(
        4,
        place(LABELS),
        place(WEIGHTS[:, None]),
        place(COUNTS),
        place(FACTORS),
        xp.asarray(LABEL_OF, device=device),
        xp.asarray(COUNT_OF, device=device),
        offset=place(OFFSET),
    )


@pytest.fixture
def data(xp, place, targets):
    return TrainingData(DenseMatrix(place(X), xp=xp), targets)


def sums(block, factor=1.0, per_row=None):
    xp = block.xp
    added = block.offset if per_row is None else block.offset * per_row
    return (
        factor * block.matrix.transpose_matvec(block.weights),
        xp.sum(block.weights * block.labels, axis=0),
        xp.sum(block.row_weights * added),
    )


EXPECTED = (
    2 * MODEL_WEIGHTS.T @ X,
    (MODEL_WEIGHTS * MODEL_LABELS).sum(axis=0),
    WEIGHTS @ OFFSET,
)


def check(found, expected=EXPECTED):
    for part, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(to_numpy(part), np.squeeze(reference))


@pytest.mark.parametrize("block_bytes", [1, 100, 10**6])
def test_map_reduce_sums_over_blocks_of_any_size(block_bytes, data, monkeypatch):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: block_bytes)
    check(data.map_reduce(sums, 2.0))
    check(data.map_reduce(sums, 2.0, width=7, least=3))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_map_reduce_sums_over_threads(n_threads, monkeypatch):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 100)
    columns = LABELS, WEIGHTS[:, None], COUNTS, FACTORS, LABEL_OF, COUNT_OF
    given = Targets(4, *columns, offset=OFFSET)
    with workers(X, n_threads) as pool:
        matrix = DenseMatrix(X, xp=arrays.namespace(X))
        check(TrainingData(matrix, given, pool=pool).map_reduce(sums, 2.0))


def test_map_reduce_cuts_what_belongs_to_the_rows(data, place, monkeypatch):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 100)
    row_numbers = np.arange(float(N))[:, None]
    found = data.map_reduce(sums, 2.0, per_row=place(row_numbers))
    check(found, (*EXPECTED[:2], WEIGHTS @ (OFFSET * row_numbers)))


def test_map_reduce_combines_in_the_order_of_the_rows(data, monkeypatch):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 100)

    def ends(block):
        return ((block.matrix.shape[0],),)

    (lengths,) = data.map_reduce(ends, combine=lambda a, b: (a[0] + b[0],))
    assert sum(lengths) == N
    assert len(lengths) > 1
    first = data.map_rows(lambda block: block.offset)
    np.testing.assert_array_equal(to_numpy(first), OFFSET)


def test_map_reduce_of_no_rows_is_refused():
    with pytest.raises(ValueError, match="no rows"):
        map_reduce(lambda rows: (1,), [])


def test_blocks_of_threads_come_in_order():
    slices = [slice(i, i + 1) for i in range(10)]
    with workers(X, 3) as pool:
        (rows,) = map_reduce(
            lambda part: ((part.start,),),
            slices,
            pool,
            lambda a, b: (a[0] + b[0],),
        )
    assert all(b - a == 1 for a, b in pairwise(rows))


def test_total_and_class_weights_are_those_of_each_model(data):
    check([data.total_weight()], [MODEL_WEIGHTS.sum(axis=0)])
    by_class = [(MODEL_WEIGHTS * (k == MODEL_LABELS)).sum(axis=0) for k in range(2)]
    check([data.class_weights(2)], [np.stack(by_class, axis=1)])


def test_weights_are_summed_in_the_widest_dtype(xp, place, wide):
    if wide == "float32":
        pytest.skip("there is no wider dtype")
    weights = np.ones((4, 1))
    weights[0] = 2.0**24  # and one more is no number of float32
    data = TrainingData(
        DenseMatrix(place(X[:4]), xp=xp), Targets(1, place(weights), place(weights))
    )
    assert float(data.total_weight()[0]) == weights.sum()


@pytest.mark.parametrize("chosen", [[2, 0], [3], [0, 1, 2, 3]])
def test_select_keeps_the_rows_of_some_models(chosen, data):
    part = data.select(np.asarray(chosen))
    assert part.targets.n_models == len(chosen)
    expected = EXPECTED[0][chosen], EXPECTED[1][chosen], EXPECTED[2]
    found = part.map_reduce(sums, 2.0)
    for value, reference in zip(found, expected):
        np.testing.assert_array_equal(
            to_numpy(value).reshape(-1), reference.reshape(-1)
        )
    again = part.select(np.asarray([0]))
    found = to_numpy(again.total_weight())
    np.testing.assert_array_equal(found, [MODEL_WEIGHTS[:, chosen[0]].sum()])


def test_select_of_models_that_have_a_column_each(xp, place):
    targets = Targets(2, place(LABELS), place(WEIGHTS[:, None]), place(COUNTS[:, :2]))
    labels, weights = targets.select(np.asarray([1])).block(slice(2, 9), xp=xp)
    np.testing.assert_array_equal(to_numpy(labels), LABELS[2:9, 1:])
    expected = WEIGHTS[2:9, None] * COUNTS[2:9, 1:2]
    np.testing.assert_array_equal(to_numpy(weights), expected)


def test_targets_know_whether_rows_weigh_alike(targets, xp, place):
    assert not targets.weighs_alike
    assert Targets(4, place(LABELS), place(WEIGHTS[:, None])).weighs_alike


def test_resampled_targets_count_the_rows_of_each_resample(xp, place):
    ones = Targets(1, place(LABELS[:, :1]), place(WEIGHTS[:, None]))
    many = ones.resampled(place(COUNTS), 2)
    assert many.n_models == 6
    np.testing.assert_array_equal(many.resample_of, [0, 0, 0, 1, 1, 1])
    _, weights = many.block(slice(0, N), xp=xp)
    expected = WEIGHTS[:, None] * np.tile(COUNTS, (1, 2))
    np.testing.assert_array_equal(to_numpy(weights), expected)
    _, weights = many.without_counts().block(slice(0, N), xp=xp)
    np.testing.assert_array_equal(to_numpy(weights), WEIGHTS[:, None])


@pytest.mark.parametrize("standardize", [False, True])
def test_sample_holds_whole_rows_in_float32(standardize, data, xp, place, wide):
    mean, scale = np.asarray([1.0, -2.0, 0.0]), np.asarray([2.0, 0.25, 8.0])
    if standardize:
        data = data.standardized(
            Scaler(*(place(v, wide) for v in (mean, scale, scale > 0)))
        )
    sample = data.sample(30, seed=3)
    assert sample.dtype == xp.float32
    assert 0 < sample.n_samples <= 30
    block = sample.block(slice(0, sample.n_samples))
    rows = to_numpy(block.matrix.to_dense())
    if standardize:
        rows = rows * scale + mean
    # Every row of the sample is one of X, with its own label, weight and offset.
    whole = np.column_stack([X, MODEL_LABELS, MODEL_WEIGHTS, OFFSET])
    found = np.column_stack(
        [rows, *map(to_numpy, (block.labels, block.weights, block.offset))]
    )
    distance = np.abs(found[:, None, :] - whole[None, :, :]).max(axis=2)
    assert (distance.min(axis=1) == 0).all()
    assert np.unique(found, axis=0).shape[0] > 10
    again = data.sample(30, seed=3).block(slice(0, sample.n_samples)).offset
    np.testing.assert_array_equal(to_numpy(again), to_numpy(block.offset))


def test_data_in_another_dtype_have_its_weights(data, xp):
    there = data.astype(xp.float32)
    block = there.block(slice(0, N))
    for part in (block.labels, block.weights, block.matrix):
        assert part.dtype == xp.float32


def test_data_of_some_columns(data, backend):
    part = data.take_columns(backend.xp.asarray([2, 0], device=backend.device))
    assert part.n_features == 2
    check(part.map_reduce(sums, 2.0), (EXPECTED[0][:, [2, 0]], *EXPECTED[1:]))
