"""Graphs over chunks: their names, their sums, and whose fault an error is."""

from __future__ import annotations

import operator
from functools import partial

import numpy as np
import pytest
from in_chunks import in_chunks, of_unknown_sizes

from xlr import arrays
from xlr.data import Chunks, call, fetch, literal, tree

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

pytestmark = pytest.mark.usefixtures("in_this_thread")

X = np.arange(36.0).reshape(12, 3)
SIZES = (4, 0, 3, 0, 5)


def chunks(array=None):
    array = in_chunks(X, SIZES) if array is None else array
    return Chunks(
        list(array.to_delayed()[:, 0]),
        array.chunks[0],
        3,
        dtype=array.dtype,
        device="cpu",
        xp=arrays.namespace(X),
        source=array,
    )


def counted(of):
    return of.counted(np.asarray(SIZES), (X[:2], np.arange(2)))


def sums(part):
    return part.sum(axis=0), np.asarray(len(part))


@pytest.mark.parametrize("name", ["gradient", "hessian-product", "scan"])
def test_tasks_are_grouped_under_their_name(name):
    keys = [call(abs, literal(-i), name=name).key for i in range(100)]
    assert len(set(keys)) == 100
    assert {dask.utils.key_split(key) for key in keys} == {f"xlr-{name}"}
    assert fetch([call(abs, literal(-3), name=name)])[0] == (3,)


def test_arguments_bound_to_a_function_stay_as_they_are():
    """Lists of arrays, and what would be taken for a task or a key."""
    bound = [np.ones(2), (abs, -1), call(abs, literal(-1), name="part").key]
    part = call(partial(lambda given, x: given, bound), literal(0), name="part")
    ((first, second, third),), _ = fetch([part])
    assert first is bound[0]
    assert (second, third) == (bound[1], bound[2])


@pytest.mark.parametrize("n", [1, 2, 8, 9, 64, 65, 200])
def test_a_tree_combines_in_order(n):
    parts = [literal((i,)) for i in range(n)]
    together = tree(parts, operator.add, name="gradient")
    assert fetch([together])[0] == (tuple(range(n)),)
    widths = [
        len(task.dependencies) if hasattr(task, "dependencies") else 8
        for task in dict(together.__dask_graph__()).values()
    ]
    assert max(widths) <= 8


def test_sums_over_chunks_are_passes():
    X_in_chunks = chunks()
    total, n = X_in_chunks.over_chunks(sums, name="sums")
    np.testing.assert_array_equal(total, X.sum(axis=0))
    assert n == 12
    weights = [literal(float(i)) for i in range(5)]
    (total,) = X_in_chunks.over_chunks(
        lambda part, weight: (weight * part.sum(),), weights, name="sums"
    )
    assert total == X[4:7].sum() * 2 + X[7:].sum() * 4
    (largest,) = X_in_chunks.over_chunks(
        lambda part: (len(part),), combine=max, name="largest"
    )
    assert largest == 5
    assert X_in_chunks.n_passes == 3
    (total,) = X_in_chunks.beside_chunks(
        lambda nothing, weight: (weight,), weights, name="sums"
    )
    assert total == 10.0
    assert X_in_chunks.n_passes == 3


def test_empty_chunks_are_left_out_once_they_are_known():
    before = chunks(of_unknown_sizes(in_chunks(X, SIZES)))
    assert np.isnan(before.shape[0])
    before.n_passes = 1
    after = counted(before)
    assert after.shape == (12, 3)
    assert after.row_counts == (4, 3, 5)
    assert after.positions == [0, 2, 4]
    assert after.n_passes == 1
    np.testing.assert_array_equal(after.sampled, X[:2])
    np.testing.assert_array_equal(
        after.over_chunks(sums, name="sums")[0], X.sum(axis=0)
    )


def test_rows_in_memory_are_cut_as_the_chunks():
    pieces = dask.compute(*counted(chunks()).cut(X[:, 0]))
    assert [piece.tolist() for piece in pieces] == [
        part.tolist() for part in np.split(X[:, 0], [4, 7])
    ]


@pytest.mark.parametrize("unknown", [False, True])
def test_a_map_has_the_chunks_it_is_of(unknown):
    array = in_chunks(X, SIZES)
    of = chunks(of_unknown_sizes(array) if unknown else array)
    lazy = of.map(lambda part: part[:, :2] > 3, like=X[:1, :2] > 3, name="predict")
    np.testing.assert_array_equal(lazy.chunks[0], [np.nan] * 5 if unknown else SIZES)
    assert lazy.chunks[1] == (2,)
    assert lazy.dtype == bool
    np.testing.assert_array_equal(lazy.compute(), X[:, :2] > 3)
    np.testing.assert_array_equal(lazy[:, 1].compute(), X[:, 1] > 3)
    names = {dask.utils.key_split(key) for key in lazy.__dask_graph__()}
    assert "xlr-predict" in names
    assert of.n_passes == 0


def test_chunks_without_a_cluster_have_no_workers():
    array = in_chunks(X, SIZES)
    assert chunks(array).workers == [()] * 5
    assert chunks(array.persist()[:, 0:]).workers == [()] * 5


# -- errors ------------------------------------------------------------------------


def sums_of(parts):
    of = chunks()
    of.parts, of.positions, of.workers = parts, range(len(parts)), [()] * len(parts)
    return of.over_chunks(sums, name="sums")


class Loads:
    """Chunks that are counted as they are read, and of which some cannot be."""

    def __init__(self, n, broken=(), error=OSError):
        self.reads = []

        def load(i):
            self.reads.append(i)
            if i in broken:
                raise error(f"file {i} is broken")
            return X

        self.parts = [dask.delayed(load)(i) for i in range(n)]

    def sums(self):
        return sums_of(self.parts)


@pytest.mark.parametrize("n", [1, 2, 7, 30])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_an_error_says_which_chunk(n, place):
    broken = {"first": 0, "middle": n // 2, "last": n - 1}[place]
    loads = Loads(n, [broken])
    with pytest.raises(OSError, match=f"file {broken} is broken") as info:
        loads.sums()
    assert info.value.__notes__ == [f"This was raised by chunk {broken} of X or y."]
    # Once in vain, and in halves to find out: not chunk by chunk.
    assert len(loads.reads) <= 3 * n + 1


def test_error_names_the_first_of_several_chunks():
    with pytest.raises(OSError, match="is broken") as info:
        Loads(20, [17, 5, 6]).sums()
    assert info.value.__notes__ == ["This was raised by chunk 5 of X or y."]


def test_chunks_are_counted_with_those_that_are_empty():
    loads = Loads(5, [4])
    of = chunks()
    of.parts = loads.parts
    with pytest.raises(OSError, match="file 4") as info:
        counted(of).over_chunks(sums, name="sums")
    assert info.value.__notes__ == ["This was raised by chunk 4 of X or y."]


def test_value_errors_of_a_function_are_not_searched_for():
    """It says so; all chunks would be read again to find that they can be."""
    loads = Loads(5)
    of = chunks()
    of.parts = loads.parts

    def refuse(part):
        raise ValueError("these are no numbers")

    with pytest.raises(
        ValueError, match=r"^Chunk \d of the rows: these are no"
    ) as info:
        of.over_chunks(refuse, name="sums")
    assert not hasattr(info.value, "__notes__")
    assert len(loads.reads) <= 5


def test_chunks_that_kill_workers_are_not_searched_for():
    killed = type("KilledWorker", (Exception,), {})  # as distributed calls it
    loads = Loads(6, [3], killed)
    with pytest.raises(killed) as info:
        loads.sums()
    assert not hasattr(info.value, "__notes__")
    assert loads.reads.count(3) == 1


def test_an_error_that_does_not_come_again_is_still_raised():
    reads = []

    def load():
        reads.append(1)
        if len(reads) == 1:
            raise OSError("for a while")
        return X

    with pytest.raises(OSError, match="for a while") as info:
        sums_of([dask.delayed(load)()])
    assert not hasattr(info.value, "__notes__")


def test_an_interrupt_is_not_looked_for():
    loads = Loads(6, [3], KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        loads.sums()
    assert loads.reads.count(3) == 1
