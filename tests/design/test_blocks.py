"""How the rows are cut, and sums over the pieces."""

from itertools import chain

import numpy as np
import pytest

from xlr.design import DenseDesign, row_blocks, sum_over_blocks


@pytest.fixture
def set_block_bytes(monkeypatch):
    def set_block_bytes(size):
        monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: size)

    return set_block_bytes


@pytest.mark.parametrize("width", [1, 9])
@pytest.mark.parametrize("size", [1, 333, 10**6])
@pytest.mark.parametrize("shape", [(1, 1), (64, 3), (10, 0)])
def test_row_blocks_cover_all_rows_once_in_order(
    shape, size, width, xp, place, dtype, set_block_bytes
):
    set_block_bytes(size)
    X = place(np.zeros(shape))
    slices = list(row_blocks(X, width, xp=xp))
    rows = [list(range(s.start, s.stop)) for s in slices]
    assert all(rows)
    assert list(chain.from_iterable(rows)) == list(range(shape[0]))
    # No more rows than fit, but at least one; and blocks are alike.
    row_bytes = np.dtype(dtype).itemsize * max(shape[1], width)
    lengths = set(map(len, rows))
    assert max(lengths) <= max(1, size // row_bytes)
    assert max(lengths) - min(lengths) <= 1


def test_no_rows_give_no_blocks(xp, place):
    assert list(row_blocks(place(np.zeros((0, 3))), xp=xp)) == []


@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_sum_over_blocks_is_the_whole_sum(
    size, xp, place, assert_close, set_block_bytes
):
    set_block_bytes(size)
    rng = np.random.default_rng(0)
    # Small integers: the sums are exact in any order.
    X = rng.integers(-9, 10, size=(23, 3)).astype(float)
    y, s = rng.integers(0, 5, size=(2, 23, 1)).astype(float)
    design = DenseDesign(place(X), None, xp=xp)

    def kernel(block, y, s):
        return xp.sum(block.rows, axis=0), xp.sum(s * y * block.rows)

    slices = row_blocks(design.X, xp=xp)
    columns, total = sum_over_blocks(kernel, design, slices, place(y), place(s))
    assert_close(columns, X.sum(axis=0))
    assert_close(total, (s * y * X).sum())


def test_sum_over_no_rows_is_refused(xp, place):
    design = DenseDesign(place(np.zeros((0, 3))), None, xp=xp)
    with pytest.raises(ValueError, match="no rows"):
        sum_over_blocks(lambda block: (block.rows,), design, [])
