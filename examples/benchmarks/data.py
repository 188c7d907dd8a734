"""Data of a fit, and blocks of its rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BLOCK = 2**20  # entries of X that are read or made at a time


class Data(NamedTuple):
    """Arguments of ``fit``. ``y`` holds the codes 0, 1, ... of the classes."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    class_weight: dict[int, float] | None = None

    @property
    def n_outputs(self) -> int:
        """Return the number of columns of coefficients: one, or one per class."""
        n_classes = int(self.y.max()) + 1
        return 1 if n_classes == 2 else n_classes

    def head(self, n: int) -> Data:
        """Return the first n rows."""
        weight = None if self.sample_weight is None else self.sample_weight[:n]
        return Data(self.X[:n], self.y[:n], weight, self.class_weight)


def row_weights(
    y: np.ndarray,
    sample_weight: np.ndarray | None,
    class_weight: dict[int, float] | None,
) -> np.ndarray | None:
    """Return sample weights times class weights, or None if all are one."""
    if class_weight is None:
        return sample_weight
    weights = np.asarray([class_weight[code] for code in sorted(class_weight)])[y]
    return weights if sample_weight is None else weights * sample_weight


def row_blocks(n: int, p: int) -> list[slice]:
    """Return slices of rows with about BLOCK entries each."""
    step = max(1, BLOCK // p)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
