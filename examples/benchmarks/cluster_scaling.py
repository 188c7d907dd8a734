"""Scaling of a fit: constants of a formula for its time, and predictions.

A pass takes ``work / (rate * workers) + chunks * overhead + fixed`` seconds. The
workers do the first part in parallel, the scheduler does the second chunk by chunk, and
the third occurs once. The work of a start or a gradient is the number of entries of X.
For a Hessian, multiply it by the number of columns.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from cluster_passes import GRADIENT, HESSIAN, KINDS, START
from scipy.optimize import nnls

# Rows and columns of the predicted fits; workers, and bytes of a chunk.
PREDICTED = {
    "1e9 rows x 1,000 columns": (1e9, 1_000),
    "Criteo's terabyte of logs, 4.37e9 rows x 39 columns": (4.37e9, 39),
}
PREDICTED_WORKERS = 100
CHUNK_BYTES = 1e9


@dataclass(frozen=True)
class Setting:
    """A size of the data and of the cluster."""

    n: float
    p: int
    chunks: int
    workers: int

    def work(self, kind: str) -> float:
        """Return the multiply-adds of a pass of some kind."""
        return self.n * self.p * (self.p if kind == HESSIAN else 1)

    def sent_up(self, kind: str) -> int | None:
        """Return the bytes of the chunks' results: gradients or Hessians."""
        n_parameters = self.p + 1
        numbers = {GRADIENT: n_parameters + 1, HESSIAN: n_parameters**2}
        return 8 * self.chunks * numbers[kind] if kind in numbers else None

    def sent_down(self, kind: str) -> int | None:
        """Return the bytes of the parameters, once per chunk."""
        return None if kind == START else 8 * self.chunks * (self.p + 1)


@dataclass(frozen=True)
class Constants:
    """Constants of one kind of pass.

    Attributes
    ----------
    rate : float or None
        Work of a worker in a second; None if the work takes no time.
    overhead : float
        Seconds per chunk.
    fixed : float
        Seconds of a pass without rows or chunks.
    """

    rate: float | None
    overhead: float
    fixed: float

    def seconds(self, setting: Setting, kind: str) -> float:
        """Return the seconds of one pass."""
        parallel = 0.0
        if self.rate is not None:
            parallel = setting.work(kind) / (self.rate * setting.workers)
        return parallel + setting.chunks * self.overhead + self.fixed


def fitted(kind: str, measured: list[tuple[Setting, float]]) -> Constants | None:
    """Fit the constants by least squares of relative errors, none below zero.

    Return None if there are fewer measured settings than constants.
    """
    if len(measured) < 3:
        return None
    rows = [[s.work(kind) / s.workers, float(s.chunks), 1.0] for s, _ in measured]
    shares = np.asarray(rows) / np.asarray([[seconds] for _, seconds in measured])
    scales = shares.max(axis=0)
    found = nnls(shares / scales, np.ones(len(shares)))[0] / scales
    per_work, overhead, fixed = (float(value) for value in found)
    return Constants(1 / per_work if per_work > 0 else None, overhead, fixed)


def all_constants(runs: list[dict[str, Any]]) -> dict[str, Constants]:
    """Return the constants of each kind of pass that was measured often enough."""
    constants = {}
    for kind in KINDS:
        measured = [
            (Setting(**run["setting"]), run["passes"][kind]["seconds"])
            for run in runs
            if kind in run["passes"]
        ]
        if of_kind := fitted(kind, measured):
            constants[kind] = of_kind
    return constants


def predicted(
    constants: dict[str, Constants], counts: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """Predict, for data too large for this machine, the seconds of each kind of pass.

    Parameters
    ----------
    constants : dict of Constants
    counts : dict of int
        Numbers of passes of each kind in a fit.
    """
    predictions = {}
    for name, (n, p) in PREDICTED.items():
        setting = Setting(
            n, p, max(1, round(8 * n * p / CHUNK_BYTES)), PREDICTED_WORKERS
        )
        seconds = {
            kind: count * constants[kind].seconds(setting, kind)
            for kind, count in counts.items()
            if kind in constants
        }
        predictions[name] = {"setting": asdict(setting), "seconds": seconds}
    return predictions
