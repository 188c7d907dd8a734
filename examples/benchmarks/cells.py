"""Cells of fits on the CPU: seeded data, C, and a goal for each.

A cell makes the same data every time. Tests pass a smaller number of rows, to run a
cell quickly; ``wide`` then has fewer columns too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from data import Data
from generators import (
    badly_scaled,
    correlated,
    embeddings,
    images,
    load,
    weighted,
    wide,
)
from sklearn.datasets import load_breast_cancer, load_digits


@dataclass(frozen=True)
class Cell:
    """One row of the table.

    ``goal`` is the ratio of the fastest peer's time to xlr's. Cells with the same
    ``seed`` and the same shape derive from the same data.
    """

    name: str
    description: str
    make: Callable[[np.random.Generator, int], Data]
    n: int
    goal: float
    C: float = 1.0
    seed: int = 0

    def data(self, n: int | None = None) -> Data:
        """Return the data, with at most ``n`` rows if given."""
        n = self.n if n is None else min(n, self.n)
        return self.make(np.random.default_rng(self.seed), n)


CELLS = {
    cell.name: cell
    for cell in [
        Cell(
            "tiny",
            "breast_cancer, standardised: 569 x 30",
            partial(load, load_breast_cancer, True),
            n=569,
            goal=2,
        ),
        Cell(
            "digits",
            "digits: 1,797 x 64, 10 classes",
            partial(load, load_digits, False),
            n=1_797,
            goal=3,
        ),
        Cell(
            "medium",
            "100k x 100, correlated",
            partial(correlated, p=100),
            n=100_000,
            goal=3,
        ),
        Cell(
            "bad scales",
            "medium, on scales over 4 decades, 100 standard deviations from zero",
            partial(badly_scaled, p=100),
            n=100_000,
            goal=3,
        ),
        Cell(
            "tall",
            "1M x 50, correlated",
            partial(correlated, p=50),
            n=1_000_000,
            goal=4,
        ),
        Cell(
            "tall float32",
            "tall, in float32",
            partial(correlated, p=50, dtype="float32"),
            n=1_000_000,
            goal=4,
        ),
        Cell(
            "many features",
            "200k x 500, correlated",
            partial(correlated, p=500),
            n=200_000,
            goal=3,
        ),
        Cell(
            "wide",
            "2,000 x 20,000, noise and ten factors",
            wide,
            n=2_000,
            goal=3,
        ),
        Cell(
            "softmax",
            "60k x 784, 10 classes, like images",
            images,
            n=60_000,
            goal=3,
        ),
        Cell(
            "embeddings",
            "100k x 512, 100 classes, like embeddings of a network",
            partial(embeddings, p=512, n_classes=100),
            n=100_000,
            goal=3,
        ),
        Cell(
            "weighted",
            "medium, with sample and class weights",
            partial(weighted, p=100),
            n=100_000,
            goal=3,
        ),
        Cell(
            "nearly separable",
            "100k x 50, correlated, 3 labels in 1000 on the wrong side",
            partial(correlated, p=50, logit_std=180.0),
            n=100_000,
            goal=3,
            C=1e6,
        ),
    ]
}
