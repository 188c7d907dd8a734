"""Models in slices: all in their places, each begun where the last ones lead."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from problems import load
from test_loop import binary_objective

from xlr import arrays
from xlr.design import DenseDesign
from xlr.losses import SoftmaxLoss
from xlr.objective import Objective, Responses
from xlr.penalties import L2Penalty
from xlr.solvers import (
    LBFGS,
    ActiveSet,
    GradientDescent,
    NewtonCG,
    NewtonCholesky,
    ProximalNewton,
    minimise,
    minimise_in_slices,
)
from xlr.solvers.slices import share_of_step

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


@pytest.mark.parametrize("seed", [None, 0], ids=["told", "finds its start"])
@pytest.mark.parametrize("short_of_memory", [False, True])
def test_a_path_is_followed_to_the_same_solutions(short_of_memory, seed, monkeypatch):
    objective = along_a_path()
    options = {"tol": 1e-9, "max_iter": 200}
    expected = minimise(NewtonCholesky(), objective, objective.zeros(), **options)
    if short_of_memory:
        few = 6 * NewtonCholesky().model_bytes(objective)
        monkeypatch.setattr("xlr.arrays.free_bytes", lambda x: few)
    seen = []
    solution = minimise_in_slices(
        NewtonCholesky(seed),
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
    assert {parameters.shape for _, parameters in seen} == {(15, 5)}
    assert solution.records[-1].objective.shape == (15,)
    np.testing.assert_allclose(
        solution.records[-1].objective, expected.records[-1].objective, rtol=1e-9
    )

    # The first model of the second step begins where that of the first ended, that of
    # the third on the line through those, and that of the fourth, whose penalty is the
    # same, where the third ended.
    first, second, third = (solution.parameters[3 * k] for k in range(3))
    for step, start in ((1, first), (2, 2 * second - first), (3, third)):
        at = np.stack([parameters[3 * step] for _, parameters in seen])
        moved = at[np.any(at != 0, axis=1)]
        np.testing.assert_allclose(moved[0], start, rtol=1e-12)


@pytest.mark.parametrize(
    ("n_steps", "per_step", "room", "widths"),
    [
        (1, 4, 2, {2}),
        (1, 2, 1, {1}),
        (1, 3, 2, {1, 2}),
        (2, 4, 2, {2}),  # as many slices as steps
        (5, 1, 1, {1}),
    ],
)
def test_as_many_models_at_a_time_as_there_is_room_for(
    n_steps, per_step, room, widths, monkeypatch
):
    labels = [y > 0 for y in np.random.default_rng(0).normal(size=(per_step, len(X)))]
    objective = binary_objective(X, *(labels * n_steps))
    solver = NewtonCholesky()
    # A third of the memory is what a solver may take; a little is left over.
    free = int(3 * (room + 0.1) * solver.model_bytes(objective))
    monkeypatch.setattr("xlr.arrays.free_bytes", lambda x: free)
    seen = set()
    options = {"tol": 1e-9, "max_iter": 100}
    solution = minimise_in_slices(
        solver,
        objective,
        objective.zeros(),
        along=None if n_steps == 1 else np.arange(float(n_steps)),
        on_iteration=lambda record, parameters: seen.add(record.objective.shape[0]),
        **options,
    )
    assert seen == widths
    expected = minimise(solver, objective, objective.zeros(), **options)
    np.testing.assert_allclose(solution.parameters, expected.parameters, atol=1e-6)


def test_columns_enough_for_a_product_are_taken_at_a_time():
    """Of three outputs for each model: more would only take longer."""
    rng = np.random.default_rng(0)
    objective = Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(50, rng.integers(0, 3, (len(X), 50)), np.ones((len(X), 1))),
        SoftmaxLoss(3),
        L2Penalty(np.full((1, 1, 4), 0.1)),
        fit_intercept=True,
        units=None,
    )
    widths = set()
    minimise_in_slices(
        NewtonCG(),
        objective,
        objective.zeros(),
        tol=1e-3,
        max_iter=50,
        on_iteration=lambda record, parameters: widths.add(record.objective.shape[0]),
    )
    assert widths == {16, 17}  # of 64 columns, 21 models


@pytest.mark.parametrize("solver", [NewtonCholesky, NewtonCG, LBFGS, ProximalNewton])
def test_a_solver_finds_a_start_where_it_has_a_seed(solver):
    assert solver(0).finds_start
    assert not solver(None).finds_start


@pytest.mark.parametrize("solver", [NewtonCholesky(), ProximalNewton()])
def test_there_is_room_for_a_hessian_and_copies_of_it(solver):
    few, many = (solver.model_bytes(SimpleNamespace(n_parameters=q)) for q in (3, 1000))
    assert 2 * 8 * 1000**2 < many < 10 * 8 * 1000**2
    # Of few parameters it is the steps and gradients that take the most.
    assert 30 * 8 * 3 < few < 100 * 8 * 3


def test_there_is_room_for_parameters_and_gradients():
    problem = SimpleNamespace(n_parameters=1000)
    assert 2 * 1000 < GradientDescent(None).model_bytes(problem) / 8 < 10 * 1000


def test_there_is_room_for_a_hessian_of_the_few_features_in_play():
    size = 1_000_000
    problem = SimpleNamespace(n_features=size, n_parameters=size, n_outputs=1)
    assert 8 * 10 * size < ActiveSet().model_bytes(problem) < 8 * 20 * size
    problem = SimpleNamespace(n_features=300, n_parameters=600, n_outputs=2)
    assert 2 * 8 * 600**2 < ActiveSet().model_bytes(problem) < 10 * 8 * 600**2


@pytest.mark.parametrize(("n_samples", "estimate_size"), [(9, 10**6), (10**6, 10**6)])
def test_there_is_room_for_the_curvature_of_the_rows(n_samples, estimate_size):
    """And for the preconditioner, made of copies."""
    problem = SimpleNamespace(
        n_samples=n_samples, n_outputs=3, estimate_size=estimate_size
    )
    numbers = 3 * n_samples + estimate_size
    assert numbers < NewtonCG().model_bytes(problem) / 8 < 4 * numbers


@pytest.mark.parametrize(("size", "estimate_size"), [(10**6, 9), (9, 10**6)])
def test_there_is_room_for_what_is_remembered(size, estimate_size):
    """Twenty steps, as many changes of the gradient, and an estimate of the Hessian."""
    problem = SimpleNamespace(n_parameters=size, estimate_size=estimate_size)
    numbers = 2 * 20 * size + estimate_size
    assert numbers < LBFGS().model_bytes(problem) / 8 < 4 * numbers


@pytest.mark.parametrize(
    ("along", "share"),
    [
        ([7.0], 0),
        ([7.0, 8.0], 0),
        ([0.0, 2.0, 3.0], 0.5),
        ([9.0, 0.0, 0.5, 0.75], 0.5),
        ([0.0, 1.0, 4.0], 1),  # no farther than the last two are apart
        ([0.0, 1.0, 1.0], 0),
        ([1.0, 1.0, 2.0], 0),
        ([1.0, 0.5, 2.0], 0),
    ],
)
def test_how_far_a_line_goes_on(along, share):
    assert share_of_step(np.asarray(along)) == share
