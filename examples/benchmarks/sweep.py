"""Find, for each way to fit, the loosest tolerance that is good enough.

A fit is good enough if its F is within ``GOOD`` of the best known, relative. More fits
can only lower the best F; each choice is then made again.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from data import Data
from measure import TimeLimitError, objective, time_limit, timed
from peers import SKLEARN_DEFAULT, XLR, Peer

GOOD = 1e-8
SHOWN: dict = {}  # registry of warnings, so that each appears once
SLOW = 20  # times the best: a longer run ends the sweep of a peer


def say(text: str) -> None:
    """Print progress to stderr, away from the results."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Best:
    """The lowest F of all fits of a cell, and its coefficients."""

    F: float = math.inf
    by: str = ""
    coef: np.ndarray | None = None
    intercept: np.ndarray | None = None
    seconds: float = math.inf  # of the fastest run that was good enough at its time

    def update(
        self, F: float, by: str, coef: np.ndarray, intercept: np.ndarray
    ) -> None:
        """Keep a fit if its F is the lowest so far."""
        if F < self.F:
            self.F, self.by, self.coef, self.intercept = F, by, coef, intercept

    def distance(self, F: float | None) -> float:
        """Return the relative distance of F above the best."""
        return math.inf if F is None else (F - self.F) / self.F

    def reached(self, F: float | None) -> bool:
        return self.distance(F) <= GOOD


@dataclass
class Run:
    """One timed fit."""

    tol: float
    max_iter: int
    seconds: float
    F: float | None = None  # None if the run was stopped or failed
    n_iter: int | None = None
    converged: bool = False
    problem: str | None = None
    warned: list[str] = field(default_factory=list)


def run(
    peer: Peer,
    data: Data,
    C: float,
    tol: float,
    max_iter: int,
    best: Best,
    limit: float | None = None,
) -> Run:
    """Fit and time once, with a limit in seconds, and pass the result to ``best``.

    The Run keeps warnings that a fit did not converge; other warnings are shown too.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with time_limit(limit):
                seconds, (coef, intercept, n_iter) = timed(
                    lambda: peer.fit(*data, C, tol, max_iter)
                )
        except TimeLimitError:
            return Run(tol, max_iter, limit, problem=f"stopped after {limit:.3g} s")
        except Exception as error:  # the failure of a peer is a result too
            return Run(tol, max_iter, 0.0, problem=f"{type(error).__name__}: {error}")
    failed = [w for w in caught if w.category.__name__ == "ConvergenceWarning"]
    for warning in caught:
        if warning not in failed:
            warnings.warn_explicit(
                warning.message,
                warning.category,
                warning.filename,
                warning.lineno,
                registry=SHOWN,
            )
    F = objective(coef, intercept, data, C)
    if not math.isfinite(F):
        return Run(tol, max_iter, seconds, problem="the coefficients are not finite")
    best.update(F, f"{peer.name}, tol {tol:.0e}", coef, intercept)
    if best.reached(F):
        best.seconds = min(best.seconds, seconds)
    return Run(
        tol,
        max_iter,
        seconds,
        F,
        n_iter,
        converged=not failed and n_iter < max_iter,
        warned=sorted({str(w.message).splitlines()[0] for w in caught}),
    )


class Sweep:
    """The runs of one peer on one cell, and the run that counts."""

    def __init__(self, peer: Peer, data: Data, C: float, patience: float) -> None:
        self.peer, self.data, self.C, self.patience = peer, data, C, patience
        self.runs: list[Run] = []
        self.exhausted = False
        self._attempts = self._all_attempts()

    def chosen(self, best: Best) -> Run | None:
        """Return the run at the loosest tolerance that is good enough, or None."""
        good = [run for run in self.runs if best.reached(run.F)]
        return max(good, key=lambda run: run.tol, default=None)

    def closest(self) -> Run | None:
        """Return the run with the lowest F, the fastest of ties; None if all failed."""
        done = [run for run in self.runs if run.F is not None]
        return min(done, key=lambda run: (run.F, run.seconds), default=None)

    def advance(self, best: Best) -> None:
        """Tighten the tolerance until a run is good enough or none is left."""
        for tol, max_iter in self._attempts:
            last = self._run(tol, max_iter, best)
            if best.reached(last.F):
                self._refine(best)
                return
            limit = self._limit(best)
            if last.problem or (limit is not None and last.seconds > limit):
                break
        self.exhausted = True

    def _all_attempts(self) -> Iterator[tuple[float, int]]:
        """Yield each tolerance, again with more iterations if it ran out of them."""
        level = 0
        for tol in self.peer.tolerances:
            yield tol, self.peer.max_iter[level]
            while self._ran_out() and level + 1 < len(self.peer.max_iter):
                level += 1
                yield tol, self.peer.max_iter[level]
            if self._ran_out():
                return

    def _ran_out(self) -> bool:
        last = self.runs[-1]
        return last.n_iter is not None and last.n_iter >= last.max_iter

    def _refine(self, best: Best) -> None:
        """Try a tolerance half a decade looser than the first good one."""
        good = self.chosen(best)
        looser = [run.tol for run in self.runs if run.tol > good.tol]
        if looser and self.peer.name != XLR:
            self._run(math.sqrt(good.tol * min(looser)), good.max_iter, best)

    def _run(self, tol: float, max_iter: int, best: Best) -> Run:
        limit = self._limit(best)
        done = run(self.peer, self.data, self.C, tol, max_iter, best, limit=limit)
        self.runs.append(done)
        outcome = done.problem or f"{best.distance(done.F):.1e} above the best"
        say(f"  {self.peer.name}, tol {tol:.0e}: {done.seconds:.3g} s, {outcome}")
        return done

    def _limit(self, best: Best) -> float | None:
        """Return the limit of a run, in seconds.

        xlr has no limit; scikit-learn's default has the full patience.
        """
        if self.peer.name == XLR:
            return None
        if self.peer.name == SKLEARN_DEFAULT:
            return self.patience
        return min(self.patience, max(1.0, SLOW * best.seconds))


def sweep_all(sweeps: list[Sweep], best: Best) -> None:
    """Advance all sweeps until each has its choice by the final best F, or none."""
    while pending := [s for s in sweeps if not s.exhausted and not s.chosen(best)]:
        for sweep in pending:
            sweep.advance(best)
