"""Models in slices: all in their places, each begun where the last ones lead."""

from __future__ import annotations

import numpy as np
import pytest
from problems import load
from test_loop import binary_objective

from xlr.objective import Objective
from xlr.penalties import L2Penalty
from xlr.solvers import NewtonCholesky, minimise, minimise_in_slices

X, Y = load("iris", True)
CS = np.asarray([1.0, 10.0, 100.0, 100.0, 300.0])


def along_a_path() -> Objective:
    """For each penalty, one model for each of three classes."""
    labels = [k == Y for k in range(3)] * len(CS)
    objective = binary_objective(X, *labels)
    strengths = np.repeat(1 / (len(X) * CS), 3)[:, None, None]
    return objective._with_models(
        objective.responses, L2Penalty(np.broadcast_to(strengths, (15, 1, 4)).copy())
    )


@pytest.mark.parametrize("short_of_memory", [False, True])
def test_a_path_is_followed_to_the_same_solutions(short_of_memory, monkeypatch):
    objective = along_a_path()
    options = {"tol": 1e-9, "max_iter": 200}
    expected = minimise(NewtonCholesky(), objective, objective.zeros(), **options)
    if short_of_memory:
        few = 6 * NewtonCholesky().model_bytes(objective)
        monkeypatch.setattr("xlr.arrays.free_bytes", lambda x: few)
    seen = []
    solution = minimise_in_slices(
        NewtonCholesky(),
        objective,
        objective.zeros(),
        along=np.log(CS),
        on_iteration=lambda record, parameters: seen.append(
            (record.objective.shape[0], parameters.copy())
        ),
        **options,
    )
    np.testing.assert_allclose(solution.parameters, expected.parameters, atol=1e-6)
    widths = {width for width, _ in seen}
    assert widths == ({1, 2} if short_of_memory else {3})
    np.testing.assert_array_equal(seen[-1][1], solution.parameters)
    assert solution.records[-1].objective.shape == (15,)
    np.testing.assert_allclose(
        solution.records[-1].objective, expected.records[-1].objective, rtol=1e-9
    )

    # The first model of the third step begins on the line through those of the first
    # two, and that of the fourth, whose penalty is the same, where the third ended.
    first, second, third = (solution.parameters[3 * k] for k in range(3))
    for step, start in ((2, 2 * second - first), (3, third)):
        at = np.stack([parameters[3 * step] for _, parameters in seen])
        moved = at[np.any(at != 0, axis=1)]
        np.testing.assert_allclose(moved[0], start, rtol=1e-12)
