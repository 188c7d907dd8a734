"""Many rows and many columns: where a fit begins changes its time, not its end."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from problems import load, objective, tightest_sklearn
from sklearn.linear_model import LogisticRegression

import xlr
from xlr.design import DenseDesign
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses, row_space
from xlr.penalties import ElasticNetPenalty, Kinks, L2Penalty
from xlr.solvers import NewtonCG, NewtonCholesky, ProximalNewton, minimise
from xlr.solvers.starts import _within_noise, find_start, pooled_start

N, P = 30_000, 20  # large enough for samples: more than two blocks


def draw(n_classes, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, P)) @ rng.normal(size=(P, P)) + rng.normal(size=P)
    scores = X @ rng.normal(size=(P, n_classes)) / P + rng.gumbel(size=(N, n_classes))
    return X, scores.argmax(axis=1)


DATA = {2: draw(2), 3: draw(3)}
solvers = pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg"])


@pytest.fixture(params=[2, 3], ids=["binary", "softmax"])
def data(request):
    return DATA[request.param]


def reached(model, X, y):
    return objective(model.coef_, model.intercept_, X, y, 1.0)


@solvers
def test_ends_where_sklearn_does(solver, data):
    X, y = data
    model = xlr.LogisticRegression(solver=solver).fit(X, y)
    expected = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(X, y)
    assert model.converged_
    assert reached(model, X, y) <= reached(expected, X, y) * (1 + 1e-8)
    # It began on a sample, far closer than zero is.
    assert model.history_["optimality"][0] < 0.05


@solvers
def test_the_same_bits_each_time(solver, data):
    X, y = data
    first, second = (xlr.LogisticRegression(solver=solver).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.intercept_, second.intercept_)


@solvers
def test_threads_blocks_and_seeds_change_only_digits(solver, data, monkeypatch):
    X, y = data

    def fit(**options):
        model = xlr.LogisticRegression(solver=solver, **options).fit(X, y)
        return reached(model, X, y)

    expected = fit(n_jobs=1)
    assert fit(n_jobs=2) == pytest.approx(expected, rel=1e-12)
    assert fit(n_jobs=3) == pytest.approx(expected, rel=1e-12)
    expected = fit(tol=1e-8)
    assert fit(tol=1e-8, random_state=7) == pytest.approx(expected, rel=1e-10)
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**17)
    assert fit(tol=1e-8) == pytest.approx(expected, rel=1e-10)


@solvers
@pytest.mark.parametrize("order", ["label", "feature", "extremes last"])
def test_the_order_of_the_rows_does_not_matter(solver, order, data):
    X, y = data
    key = {"label": y, "feature": X[:, 0], "extremes last": np.abs(X).max(axis=1)}
    rows = np.argsort(key[order], kind="stable")
    expected = xlr.LogisticRegression(solver=solver, tol=1e-8).fit(X, y)
    model = xlr.LogisticRegression(solver=solver, tol=1e-8).fit(X[rows], y[rows])
    assert reached(model, X, y) == pytest.approx(reached(expected, X, y), rel=1e-10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@solvers
def test_a_class_that_no_sample_holds(solver):
    X, _ = DATA[2]
    y = np.zeros(N, dtype=int)
    y[[17, 12_000, 29_000]] = 1
    model = xlr.LogisticRegression(solver=solver).fit(X, y)
    expected = LogisticRegression(
        solver="newton-cholesky", tol=1e-12, max_iter=1000
    ).fit(X, y)
    assert reached(model, X, y) <= reached(expected, X, y) * (1 + 1e-7)


def test_a_sample_is_not_better_than_a_start_that_was_given():
    X, y = DATA[2]
    cold = xlr.LogisticRegression().fit(X, y)
    warm = xlr.LogisticRegression(tol=2e-6).fit(
        X, y, coef_init=cold.coef_, intercept_init=cold.intercept_
    )
    assert warm.n_iter_ == 1


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
def test_the_solution_for_another_penalty_is_not_taken_for_this_one(solver):
    # Of separable classes: its gradient is within tol already.
    X, y = load("digits", True)
    warm = xlr.LogisticRegression(C=1e4, solver=solver, tol=1e-5, warm_start=True)
    before = objective(warm.fit(X, y).coef_, warm.intercept_, X, y, 1e5)
    warm.set_params(C=1e5).fit(X, y)
    assert warm.history_["optimality"][0] <= 1e-5
    best = tightest_sklearn("digits", True, 1e5)
    best = objective(best.coef_, best.intercept_, X, y, 1e5)
    reached = objective(warm.coef_, warm.intercept_, X, y, 1e5)
    assert reached - best < 0.01 * (before - best)


def test_a_sample_of_small_residuals_is_solved_further():
    # The better the rows are told apart, the less noise is in the gradient of a sample.
    X, _ = DATA[2]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    slope = np.random.default_rng(1).normal(size=P)
    y = np.where(X @ slope + np.random.default_rng(2).normal(size=N) / 10 > 0, 1.0, 0.0)
    whole = Objective(
        DenseDesign(X, None, xp=xlr.arrays.namespace(X)),
        Responses(1, y[:, None], np.ones((N, 1))),
        LogisticLoss(),
        L2Penalty(np.full((1, 1, P), 1e-8)),
        fit_intercept=True,
        units=None,
    )
    begun = find_start(NewtonCholesky(0), whole, whole.zeros(), least=200, seed=0)
    inside = begun.reference.objective.value_and_gradient(begun.parameters)
    noise = np.sqrt(inside.value / begun.reference.objective.n_samples)
    assert inside.value < 0.1
    assert begun.reference.objective.optimality(inside.gradient) < 0.2 * noise


@pytest.mark.parametrize(
    ("optimality", "n_outputs", "enough"),
    [
        # A fifth of 0.5 / 20 for the first model, of 1 / 20 for the second.
        ([0.0049, 0.0099], 1, True),
        ([0.0051, 0.0099], 1, False),
        ([0.0049, 0.0101], 1, False),
        # Four classes share the noise: half as much for each.
        ([0.0024, 0.0049], 4, True),
        ([0.0026, 0.0049], 4, False),
    ],
)
def test_a_gradient_is_lost_in_the_noise_of_400_rows(optimality, n_outputs, enough):
    record = SimpleNamespace(
        objective=np.asarray([0.25, 4.0]), optimality=np.asarray(optimality)
    )
    assert _within_noise(400, n_outputs)(record, None) is enough


@pytest.mark.parametrize(("n_samples", "pools"), [(199, False), (200, True)])
def test_resamples_begin_together_from_ten_rows_for_each_parameter(n_samples, pools):
    models = SimpleNamespace(
        n_samples=n_samples, n_parameters=20, pooled=lambda: ("whole", np.zeros(3))
    )
    assert (pooled_start(models) is not None) == pools


def large_objective(n_samples=N):
    X, y = DATA[2]
    X, y = X[:n_samples], y[:n_samples]
    ones = np.ones((1, 1, P))
    return Objective(
        DenseDesign(X, None, xp=xlr.arrays.namespace(X)),
        Responses(1, y[:, None], np.ones((n_samples, 1))),
        LogisticLoss(),
        ElasticNetPenalty(1e-3 * ones, Kinks(1e-3 * ones, -9 * ones, 9 * ones)),
        fit_intercept=True,
        units=None,
    )


def test_how_many_rows_a_fit_begins_on(monkeypatch):
    """An eighth of them, or as many as are enough for each parameter."""
    whole = large_objective()

    def rows():
        begun = find_start(ProximalNewton(0), whole, whole.zeros(), least=200, seed=0)
        return begun.reference.objective.n_samples

    assert rows() == N // 8
    monkeypatch.setattr("xlr.solvers.starts.ENOUGH", 100)
    assert rows() == 100 * (P + 1)


@pytest.mark.parametrize("solver", [NewtonCholesky, ProximalNewton])
def test_the_first_hessian_is_rough_where_rows_are_many(solver, monkeypatch):
    """A sample is in float32 as it is; few rows cost little."""
    seen = []
    hessian = Objective.hessian

    def watched(self, parameters, *, rough=False):
        seen.append((self.n_samples, rough))
        return hessian(self, parameters, rough=rough)

    monkeypatch.setattr(Objective, "hessian", watched)
    for n_samples, seed, expected in (
        (N, None, (N, True)),
        (N, 0, (N // 8, False)),
        (500, None, (500, False)),
        (500, 0, (500, False)),
    ):
        objective = large_objective(n_samples)
        state = solver(seed).init(objective, objective.zeros())
        assert seen[-1] == expected
        fresh = expected[0] == n_samples
        assert np.all(state.fresh) == fresh


@pytest.mark.parametrize("solver", [NewtonCG, ProximalNewton])
def test_a_start_beyond_the_bounds_is_moved_onto_them(solver):
    objective = large_objective(500)
    state = solver().init(objective, objective.zeros() + 20)
    np.testing.assert_array_equal(state.parameters[0, :P], 9)
    assert state.fresh


def test_the_first_solve_from_afar_has_more_products():
    objective = large_objective(500)
    state = NewtonCG().init(objective, objective.zeros())
    assert state.budget == NewtonCG.first_budget
    assert state.forcing == 0.1
    assert state.first_optimality == 0  # of which nothing is known
    np.testing.assert_array_equal(state.damping, 0)


# -- more columns than rows ----------------------------------------------------------


@pytest.fixture(params=[1, 3], ids=["binary", "softmax"])
def wide(request, xp, place):
    """An objective on 200 rows of 2,000 columns, which fits the space of the rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2000)) + 3 * rng.normal(size=(200, 1))
    n_outputs = request.param
    y = (X[:, :3] + rng.normal(size=(200, 3))).argmax(axis=1) % max(2, n_outputs)
    return Objective(
        DenseDesign(place(X), None, xp=xp),
        Responses(1, place(y[:, None]), place(np.ones((200, 1)))),
        LogisticLoss() if n_outputs == 1 else SoftmaxLoss(3),
        L2Penalty(place(np.full((1, 1, 2000), 0.02))),
        fit_intercept=True,
        units=None,
    )


def test_the_space_of_the_rows_has_the_same_minimum(wide, backend, dtype, monkeypatch):
    if backend.name != "numpy" or dtype != "float64":
        pytest.skip("the answer is looked at in float64, on NumPy")
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**17)
    reduced, back = row_space(wide)
    assert reduced.design.n_features == 200
    inside = minimise(NewtonCG(), reduced, reduced.zeros(), tol=1e-6, max_iter=100)
    outside = minimise(NewtonCG(), wide, wide.zeros(), tol=1e-10, max_iter=100)
    value, gradient = wide.value_and_gradient(back(inside.parameters))
    best = outside.records[-1].objective
    # To what float32 leaves of a kernel matrix whose eigenvalues span three decades.
    np.testing.assert_allclose(value, best, rtol=1e-4)
    np.testing.assert_allclose(inside.records[-1].objective, best, rtol=1e-4)
    assert np.abs(gradient).max() < 1e-4


def test_a_fit_of_many_columns_begins_there(wide, dtype, monkeypatch):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**17)
    begun = find_start(NewtonCG(0), wide, wide.zeros(), least=10**9, seed=0)
    assert begun.is_close
    assert begun.reference is None
    # The first solve from so near has few products, and takes them all.
    state = NewtonCG(0).init(wide, wide.zeros())
    assert state.budget == NewtonCG.least_budget
    assert state.forcing == 0
    there = float(wide.optimality(begun.at.gradient)[0])
    assert there < 1e-3 * float(
        wide.optimality(wide.value_and_gradient(wide.zeros()).gradient)[0]
    )


def test_without_a_penalty_there_is_no_space_of_the_rows(wide, monkeypatch):
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 2**17)
    wide.penalty = L2Penalty(0 * wide.penalty.strength)
    assert row_space(wide) is None


@pytest.mark.parametrize("solver", [NewtonCholesky, NewtonCG])
def test_a_solver_without_a_seed_begins_where_it_is_told(solver):
    X, y = DATA[2]
    xp = xlr.arrays.namespace(X)
    whole = Objective(
        DenseDesign(X, None, xp=xp),
        Responses(1, y[:, None], np.ones((N, 1))),
        LogisticLoss(),
        L2Penalty(np.full((1, 1, P), 1e-3)),
        fit_intercept=True,
        units=None,
    )
    solution = minimise(solver(), whole, whole.zeros(), tol=1e-8, max_iter=50)
    assert solution.records[0].objective == pytest.approx(np.log(2))
