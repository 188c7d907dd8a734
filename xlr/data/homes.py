"""Which workers of a cluster hold the chunks of an array or a table of Dask."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["futures_of", "homes_of"]


def futures_of(values: Any) -> list[Any]:
    """What a cluster holds, or is about to, of collections of Dask."""
    cluster = sys.modules.get("distributed")
    return [] if cluster is None else cluster.futures_of(values)


def homes_of(X: Any, parts: Sequence[Any]) -> list[Sequence[str]]:
    """Addresses of the workers that hold each chunk of the rows, or most of what it is
    made of; none where a cluster holds nothing of it.

    Waits for what a cluster was asked to hold and has not computed yet.

    Parameters
    ----------
    X : array or table of Dask
    parts : sequence of Delayed
        Its chunks of rows.
    """
    futures = futures_of(X)
    if not futures:
        return [()] * len(parts)
    sys.modules["distributed"].wait(futures)
    client = futures[0].client
    held = client.who_has(futures)
    sizes = client.nbytes(list(held), summary=False)
    largest = {key: key for key in held}
    below = parts[0].__dask_graph__().get_all_dependencies()
    for part in parts:
        _find_largest(part.key, below, sizes, largest)
    return [held.get(largest[part.key], ()) for part in parts]


def _find_largest(
    key: Any,
    below: Mapping[Any, Any],
    sizes: Mapping[Any, int],
    largest: dict[Any, Any],
) -> None:
    """Note, for all that a key is made of, the largest result that is held."""
    stack = [key]
    while stack:
        if stack[-1] in largest:
            stack.pop()
            continue
        parts = below.get(stack[-1], ())
        left = [part for part in parts if part not in largest]
        if not left:
            found = (largest[part] for part in parts)
            largest[stack[-1]] = max(found, key=lambda k: sizes.get(k, 0), default=None)
        stack.extend(left)
