"""Starting from the solution for a random sample of the rows."""

from __future__ import annotations

from typing import NamedTuple

from xlr import arrays
from xlr.arrays import Array
from xlr.objective import Evaluation, Objective
from xlr.solvers.loop import Solver, minimise

__all__ = ["SampleSolution", "solve_sample"]

# Rows for each one drawn, so that a sample costs little beside the whole.
SHARE = 8

# Most rows that a sample needs for each parameter: beyond, its error falls slowly.
ENOUGH = 1000


class SampleSolution(NamedTuple):
    """The solution for a sample, looked at on all the rows.

    Attributes
    ----------
    parameters : array of shape (n_models, n_parameters)
    sample : Objective
        On the rows that were drawn.
    at : Evaluation
        The whole objective at the parameters.
    """

    parameters: Array
    sample: Objective
    at: Evaluation


def solve_sample(
    solver: Solver, objective: Objective, start: Array, least: int, *, seed: int
) -> SampleSolution | None:
    r"""Minimise the objective on a sample of its rows, itself begun on a sample.

    The minimiser for m rows is within about :math:`1 / \sqrt{m}` of that for all, in
    units of the noise of one row, so that it is solved to a fraction of that only.

    Parameters
    ----------
    solver : Solver
    objective : Objective
    start : array of shape (n_models, n_parameters)
    least : int
        Rows without which a sample is of no use.
    seed : int

    Returns
    -------
    SampleSolution or None
        None if the rows are too few, if the start is not zero, and so may be better
        than any sample's solution, or if what the sample says does not hold for the
        whole.
    """
    size = min(objective.n_samples // SHARE, ENOUGH * objective.n_parameters)
    if not objective.is_large or size < least:
        return None
    if arrays.to_host(objective.xp.any(start != 0)):
        return None
    sample = objective.sample(size, seed)
    solution = minimise(solver, sample, start, tol=0.1 / size**0.5, max_iter=20)
    at = objective.value_and_gradient(solution.parameters)
    better = arrays.to_host(at.value) < solution.records[0].objective
    if not better.all():
        return None
    return SampleSolution(solution.parameters, sample, at)
