"""Which workers of a cluster hold the chunks of an array or a table of Dask."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["homes_of"]


def homes_of(X: Any) -> list[Sequence[str]]:
    """Addresses of the workers that hold each chunk of the rows, or most of what it is
    made of; none where a cluster holds nothing of it.

    Waits for what a cluster was asked to hold and has not computed yet.

    Parameters
    ----------
    X : array or table of Dask
    """
    parts = X.to_delayed(optimize_graph=False)
    parts = parts if isinstance(parts, list) else parts[:, 0].tolist()
    cluster: Any = sys.modules.get("distributed")
    futures = cluster.futures_of(X) if cluster is not None else []
    if not futures:
        return [()] * len(parts)
    cluster.wait(futures)
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
