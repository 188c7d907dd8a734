"""Dask graphs: the only module that imports or looks up Dask.

Each pass is one graph: a task for each chunk, a tree of sums above them, and one
``compute`` on the current scheduler.
"""

from __future__ import annotations

import functools
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

# A task of a Dask graph, before it is computed.
Delayed = Any

# Number of results that a task of a tree combines: Dask's default for tables.
FAN_IN = 8


def is_dask(x: object) -> bool:
    """Return whether ``x`` is a lazy array or table of Dask."""
    base = sys.modules.get("dask.base")
    return base is not None and base.is_dask_collection(x)


def _futures_of(values: Any) -> list[Any]:
    """Return the futures on a cluster that Dask collections depend on."""
    cluster = sys.modules.get("distributed")
    return [] if cluster is None else cluster.futures_of(values)


def call(
    function: Callable[..., Any], *arguments: Delayed, name: str, at: Sequence[str] = ()
) -> Delayed:
    """Return a task that applies a function to the results of other tasks.

    Dask's dashboard shows its name. Bind arguments other than tasks to the function, so
    that Dask does not inspect them. The task runs on a worker with one of the addresses
    ``at``, or anywhere if none is alive.
    """
    import dask

    annotations = {"workers": list(at), "allow_other_workers": True} if at else {}
    with dask.annotate(**annotations):
        task = dask.delayed(function, pure=False, traverse=False)
        return task(*arguments, dask_key_name=f"xlr-{name}-{uuid.uuid4().hex}")


def tree_reduce(
    tasks: Sequence[Delayed], combine: Callable[[Any, Any], Any], *, name: str
) -> Delayed:
    """Return a task that combines the results of tasks in their order, by a tree.

    Results of None are left out.
    """
    level = list(tasks)
    combine_all = partial(_combined, combine)
    while len(level) > 1:
        groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
        level = [call(combine_all, *group, name=f"{name}-sum") for group in groups]
    return level[0]


def _combined(combine: Callable[[Any, Any], Any], *results: Any) -> Any:
    results = tuple(result for result in results if result is not None)
    return functools.reduce(combine, results) if results else None


def literal(value: Any) -> Delayed:
    """Return a value as a task of a graph."""
    from dask import delayed

    return delayed(value, pure=False, traverse=False)


def parts_of(values: Any) -> list[Delayed]:
    """Return the chunks of the rows of an array, or the partitions of a table.

    They keep the futures of a cluster alive. A table has ``npartitions`` of them, the
    same for X and y: Dask's tuning, which is off, reads several files as one partition,
    and more files for fewer columns. Chunks of columns are joined.
    """
    import dask

    if len(getattr(values, "chunks", ())) > 1 and len(values.chunks[1]) > 1:
        values = values.rechunk({1: -1})
    with dask.config.set({"optimization.tune.active": False}):
        # Dask's optimisation of arrays drops the futures.
        parts = values.to_delayed(optimize_graph=not _futures_of(values))
    return parts if isinstance(parts, list) else parts.ravel().tolist()


def array_from_tasks(
    tasks: Sequence[Delayed], row_counts: tuple[float, ...], like: Any, *, name: str
) -> Any:
    """Return a Dask array whose chunks of rows are the results of tasks.

    Parameters
    ----------
    tasks : sequence of Delayed
    row_counts : tuple of int or float
        Number of rows of each chunk; NaN if unknown.
    like : array of shape (n, ...)
        Example of a chunk, with any number of rows.
    name : str
    """
    from dask import array as da
    from dask.highlevelgraph import HighLevelGraph

    # ``concatenate`` would drop empty chunks.
    key, other_axes = f"xlr-{name}-{uuid.uuid4().hex}", (0,) * (like.ndim - 1)
    keys: dict[Any, Any] = {
        (key, i, *other_axes): task.key for i, task in enumerate(tasks)
    }
    graph = HighLevelGraph.from_collections(key, keys, dependencies=tasks)
    chunks = (row_counts, *((size,) for size in like.shape[1:]))
    return da.Array(graph, key, chunks, meta=like[:0, ...], dtype=like.dtype)


def send(literals: Sequence[Delayed]) -> list[Delayed]:
    """Send literals to a scheduler once, for all passes.

    They are in the graph: unlike values of ``scatter``, they survive a dead worker.
    """
    import dask

    # A cluster warns about graphs with data, which are usually a mistake. Set the
    # option only if ``distributed`` is loaded: an import within this context would lose
    # all its settings at the end.
    options = {}
    if "distributed" in sys.modules:
        options["distributed.admin.large-graph-warning-threshold"] = "1 TB"
    with dask.config.set(options):
        return list(dask.persist(*literals))


def fetch(
    tasks: Sequence[Delayed],
    *inputs: Sequence[Delayed],
    keep: Sequence[Delayed] = (),
    persisted: Sequence[Delayed] = (),
) -> tuple[tuple[Any, ...], list[Delayed]]:
    """Compute tasks in one graph.

    Parameters
    ----------
    tasks : sequence of Delayed
    *inputs : sequences of Delayed
        Inputs of each chunk. The error of a failed input names its chunk.
    keep : sequence of Delayed
        Further tasks to compute; their results stay on the workers.
    persisted : sequence of Delayed
        Tasks of earlier results on the workers, which a failure cancels.

    Returns
    -------
    results : tuple
        Results of ``tasks``.
    kept : list of Delayed
        Tasks of the results on the workers.
    """
    import dask

    kept: tuple[Delayed, ...] = ()
    try:
        if keep:
            # In one graph, shared inputs are computed once.
            kept = dask.persist(*keep, *tasks)
            tasks = kept[len(keep) :]
        return dask.compute(*tasks), list(kept[: len(keep)])
    except BaseException as error:
        if isinstance(error, Exception):
            _note_position(error, list(zip(*inputs)))
        # The error of a client and its traceback form a reference cycle.
        for future in _futures_of([*persisted, *kept]):
            future.cancel()
        raise


def _note_position(error: Exception, chunks: Sequence[tuple[Delayed, ...]]) -> None:
    """Add a note with the position of the first chunk that cannot be computed.

    There is no note if the error names the chunk, or if the search would kill workers.
    """
    if str(error).startswith("Chunk ") or type(error).__name__ == "KilledWorker":
        return
    # Bisection. No chunk before ``first`` fails.
    first = 0
    while len(chunks) > 1:
        middle = len(chunks) // 2
        if _some_fail(type(error), chunks[:middle]):
            chunks = chunks[:middle]
        else:
            first, chunks = first + middle, chunks[middle:]
    if _some_fail(type(error), chunks):  # perhaps the first look at the last chunk
        error.add_note(f"This was raised by chunk {first} of X or y.")


def _some_fail(kind: type[Exception], chunks: Sequence[tuple[Delayed, ...]]) -> bool:
    """Return whether the computation of chunks raises an error of this class.

    Their results stay on the workers.
    """
    import dask

    try:
        dask.compute(*(call(_none, *chunk, name="find-error") for chunk in chunks))
    except Exception as error:
        return type(error) is kind
    return False


def _none(*inputs: Any) -> None:
    """Return None: the inputs are computed, but not sent to the client."""


def workers_of(X: Any) -> list[Sequence[str]]:
    """Return the addresses of the workers that hold each chunk of X, or its inputs.

    A chunk outside a cluster has no address. The function waits for persisted chunks.
    """
    parts, futures = parts_of(X), _futures_of(X)
    if not futures:
        return [()] * len(parts)
    sys.modules["distributed"].wait(futures)
    holders = futures[0].client.who_has(futures)
    dependencies = parts[0].__dask_graph__().get_all_dependencies()
    return [_holders_of(part.key, holders, dependencies) for part in parts]


def _holders_of(
    key: Any, holders: Mapping[Any, Sequence[str]], dependencies: Mapping[Any, Any]
) -> Sequence[str]:
    """Return the workers that hold the result of a key, or of its inputs."""
    stack, visited = [key], set()
    while stack:
        key = stack.pop()
        if key in holders:
            return holders[key]
        visited.add(key)
        inputs = dependencies.get(key, ())
        stack.extend(each for each in inputs if each not in visited)
    return ()
