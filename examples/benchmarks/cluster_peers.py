"""Other libraries on two cores: how each fits, and at which tolerances.

A peer is opened for some rows. It is then a function of a tolerance that returns the
seconds of a fit and the model. There is no penalty: dask-ml's Newton method has none,
and its L-BFGS would penalise the intercept too.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from cluster_data import Model, Rows
from comparison import quiet
from measure import timed

MAX_ITER = 10_000
# SciPy ends L-BFGS when F falls by a relative 2e-9 or less, and dask-ml keeps that
# default. Below this tolerance, the benchmark lets it continue.
MIN_TOL_OF_DEFAULT = 1e-7
SCIPY_FACTR = 1e7  # SciPy's default, in units of the float64 epsilon

TimedFit = Callable[[float], tuple[float, Model]]


class Opened(NamedTuple):
    """A peer that is ready to fit, and the versions of its libraries."""

    fit: TimedFit
    versions: dict[str, str]


class MissingPeerError(RuntimeError):
    """A peer is not installed, or does not run."""


@dataclass(frozen=True)
class PeerArguments:
    """Arguments of peers.

    Attributes
    ----------
    rows : Rows
    X, y : Dask arrays
        The rows, on the workers.
    python : str
        An interpreter that has PySpark.
    scratch : Path
        A folder to write to.
    """

    rows: Rows
    X: Any
    y: Any
    python: str
    scratch: Path


@dataclass(frozen=True)
class Peer:
    """A library and a solver.

    ``tolerances`` go from loose to tight; the first is likely to be too loose.
    """

    name: str
    goal: float
    tolerances: tuple[float, ...]
    opened: Callable[[PeerArguments], AbstractContextManager[Opened]]


@contextmanager
def dask_ml(arguments: PeerArguments, *, solver: str) -> Iterator[Opened]:
    """Open dask-ml on the workers."""
    try:
        from dask_glm import algorithms
        from dask_ml.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingPeerError(f"dask-ml is not installed ({error})") from error

    def fit(tol: float) -> tuple[float, Model]:
        if solver == "newton":  # a bound on coefficients, in standardised units
            model = LogisticRegression(solver="newton", tol=tol, max_iter=MAX_ITER)
        else:  # a bound on the gradient, which is a sum over the rows
            model = LogisticRegression(
                solver="lbfgs", C=np.inf, tol=tol * arguments.rows.n, max_iter=MAX_ITER
            )
        factr = SCIPY_FACTR * min(1.0, tol / MIN_TOL_OF_DEFAULT)
        lbfgs = partial(algorithms.fmin_l_bfgs_b, factr=factr)
        with patch.object(algorithms, "fmin_l_bfgs_b", lbfgs):
            seconds, _ = timed(
                lambda: quiet(lambda: model.fit(arguments.X, arguments.y))
            )
        coef, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
        return seconds, {"coef": coef[None], "intercept": intercept.reshape(1)}

    yield Opened(fit, {name: version(name) for name in ("dask-ml", "dask-glm")})


@contextmanager
def spark(arguments: PeerArguments) -> Iterator[Opened]:
    """Open MLlib on two cores, with the rows in its memory, after a first fit."""
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        path = Path(folder)
        (path / "rows").mkdir()
        arguments.rows.write_parquet(path / "rows")
        with closing(_Spark(arguments, path)) as process:
            versions = process.versions()
            process.fit(1e-3)  # the first takes longer
            yield Opened(process.fit, versions)


class _Spark:
    """A process of ``cluster_spark.py``, which the caller closes."""

    def __init__(self, arguments: PeerArguments, folder: Path) -> None:
        # Spark keeps the rows twice: as they are, and standardised.
        memory = f"{max(1, round(5e-9 * arguments.rows.X_bytes))}g"
        script = Path(__file__).with_name("cluster_spark.py")
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [arguments.python, str(script), str(folder / "rows"), memory],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def versions(self) -> dict[str, str]:
        """Return the first answer, when the rows are in the peer's memory."""
        return self._answer()

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def fit(self, tol: float) -> tuple[float, Model]:
        """Return the seconds of a fit and the model."""
        self.process.stdin.write(f"{tol!r}\n")
        self.process.stdin.flush()
        found = self._answer()
        model = {key: np.asarray(found[key]) for key in ("coef", "intercept")}
        return found["seconds"], model

    def _answer(self) -> dict[str, Any]:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.process.wait()
        lines = self.log.read_text().strip().splitlines()
        last = lines[-1] if lines else "its log is empty"
        raise MissingPeerError(f"Spark did not run: {last}")


DASK_NEWTON = Peer(
    "dask-ml newton", 5, (1.0, 0.1, 1e-2, 1e-3, 1e-4), partial(dask_ml, solver="newton")
)
DASK_LBFGS = Peer(
    "dask-ml lbfgs",
    20,
    (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10),
    partial(dask_ml, solver="lbfgs"),
)
SPARK = Peer("Spark MLlib", 10, (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9), spark)
PEERS = (DASK_NEWTON, DASK_LBFGS, SPARK)
