"""Rows as linear conditions, and programmes under them, against dense ones."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import linprog
from unpenalised import dense_conditions, standardised, unpenalised

from xlr import arrays
from xlr.objective import conditions
from xlr.objective.conditions import Conditions, Reach, zero_of
from xlr.penalties import ElasticNetPenalty, Kinks, L2Penalty

N = 300
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)) * [1.0, 5.0, 0.2] + [0.0, 3.0, 1.0]
WEIGHTS = np.where(np.arange(N) % 7 == 0, 0.0, 1.0)


def labels(n_classes, n=N):
    return np.random.default_rng(n_classes).integers(0, n_classes, n)


@pytest.mark.parametrize("n_chosen", [1, 256, 257])  # 256 are read at a time
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_row_is_a_condition_for_each_class(n_classes, intercept, n_chosen, place):
    y = labels(n_classes)
    problem = unpenalised(X, y, WEIGHTS, place=place, fit_intercept=intercept)
    rows, dense = Conditions(problem), dense_conditions
    expected = dense(standardised(X), y, n_classes, intercept).reshape(
        N * n_classes, -1
    )
    chosen = np.random.default_rng(0).permutation(len(expected))[:n_chosen]
    np.testing.assert_allclose(
        rows.conditions(chosen), expected[chosen], rtol=1e-6, atol=1e-6
    )
    direction = np.random.default_rng(1).normal(size=rows.n_parameters)
    other = (y[:, None] != np.arange(n_classes)) & (WEIGHTS > 0)[:, None]
    np.testing.assert_array_equal(rows.counted, other.reshape(-1))
    margins = np.where(rows.counted, expected @ direction, np.inf)
    np.testing.assert_allclose(rows.margins_along(direction), margins, atol=1e-5)
    gains = rows.counted * np.random.default_rng(2).random(rows.n_conditions)
    np.testing.assert_allclose(
        rows.direction(gains), gains @ expected, rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_that_are_sparse_are_centred_as_others(n_classes):
    y = labels(n_classes)
    entries = np.where(RNG.random(X.shape) < 0.4, X, 0.0)
    rows = Conditions(unpenalised(entries, y, sparse=True))
    expected = dense_conditions(standardised(entries), y, n_classes)
    chosen = np.arange(rows.n_conditions)
    np.testing.assert_allclose(
        rows.conditions(chosen), expected.reshape(chosen.size, -1), atol=1e-12
    )


def test_those_that_do_not_count_begin_no_programme():
    """Where there are few rows, all others do."""
    rows = Conditions(unpenalised(X[:8], [0, 1, 2, 0, 1, 2, 0, 1], WEIGHTS[:8]))
    margins = rows.margins_along(np.ones(rows.n_parameters))
    begin = rows.hardest(margins)
    np.testing.assert_array_equal(np.sort(begin), np.nonzero(rows.counted)[0])
    assert (np.diff(margins[begin]) >= 0).all()


def feasible(n_classes, n_features=3, n=N):
    """Conditions, and what a direction that is known reaches of them or more."""
    rng = np.random.default_rng(n_classes)
    features, y = rng.normal(size=(n, n_features)), labels(n_classes, n)
    rows = Conditions(unpenalised(features, y))
    dense = dense_conditions(standardised(features), y, n_classes)
    dense = dense.reshape(rows.n_conditions, -1)
    known = rng.uniform(-0.5, 0.5, size=rows.n_parameters)
    slack = rng.exponential(size=rows.n_conditions)
    return rows, dense, dense @ known - np.where(rows.counted, slack, 0.0)


@pytest.mark.parametrize("n_begin", [1, 20])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_programme_on_few_conditions_is_that_on_all(n_classes, sign, n_begin):
    rows, dense, least = feasible(n_classes)
    cost = sign * np.random.default_rng(0).normal(size=rows.n_parameters)
    for level in (least, least - 100):  # with and without conditions that count
        expected = linprog(cost, -dense, -level, bounds=(-1, 1), method="highs")
        found = rows.best(cost, level, np.arange(n_begin))
        assert (dense @ found >= level - 1e-6).all()
        assert cost @ found == pytest.approx(expected.fun, abs=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_least_sum_of_sizes_is_that_without_the_intercepts(n_classes):
    rows, dense, least = feasible(n_classes)
    q = rows.n_parameters
    # d, and a bound t on its sizes.
    sizes = np.where(np.arange(q) % 4 == 3, 0.0, 1.0)
    expected = linprog(
        np.concatenate([np.zeros(q), sizes]),
        np.block(
            [
                [-dense, np.zeros_like(dense)],
                [np.eye(q), -np.eye(q)],
                [-np.eye(q), -np.eye(q)],
            ]
        ),
        np.concatenate([-least, np.zeros(2 * q)]),
        bounds=(None, None),
        method="highs",
    )
    found = rows.best(None, least, np.arange(10))
    assert (dense @ found >= least - 1e-6).all()
    assert sizes @ np.abs(found) == pytest.approx(expected.fun, abs=1e-6)


def test_of_a_programme_that_nothing_meets_there_is_none():
    rows, dense, _ = feasible(2)
    everything = np.where(rows.counted, 1.0, 0.0)
    for cost in (None, dense.mean(axis=0)):
        assert rows.best(cost, everything, np.arange(10)) is None


def counted_programmes(monkeypatch):
    sizes = []

    def counted(cost, matrix, *others, **options):
        sizes.append(matrix.shape)
        return linprog(cost, matrix, *others, **options)

    monkeypatch.setattr(conditions, "linprog", counted)
    return sizes


def test_few_programmes_however_few_conditions_they_begin_with(monkeypatch):
    rows, dense, least = feasible(2, n_features=12, n=1000)
    cost = dense.sum(axis=0) / len(dense)
    sizes = counted_programmes(monkeypatch)
    rows.best(cost, least, np.arange(1))
    assert len(sizes) <= 8


@pytest.mark.parametrize(("share", "n_programmes"), [(0.9, 0), (1.1, 1)])
def test_too_large_is_one_of_too_many_numbers(share, n_programmes, monkeypatch):
    rows, dense, least = feasible(2)
    everything = np.arange(rows.n_conditions)
    monkeypatch.setattr(conditions, "LARGEST", share * dense.size)
    sizes = counted_programmes(monkeypatch)
    found = rows.best(dense.mean(axis=0), least, everything)
    assert len(sizes) == n_programmes
    assert (found is None) == (n_programmes == 0)


@pytest.mark.parametrize("seed", range(20))
def test_all_conditions_that_some_direction_meets_are_separated(seed):
    rng = np.random.default_rng(seed)
    n, n_classes = int(rng.integers(4, 12)), int(rng.integers(2, 4))
    features = rng.integers(0, 3, (n, 2)).astype(float)
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, n - n_classes))
    weights = np.where(rng.random(n) < 0.7, 1.0, 0.0)
    rows = Conditions(unpenalised(features, y, weights))
    dense = dense_conditions(standardised(features), y, n_classes)
    dense = dense.reshape(rows.n_conditions, -1)
    # Each by itself, under all others.
    below = -dense[rows.counted]
    expected = [
        counts and linprog(-a, below, np.zeros(len(below)), bounds=(-1, 1)).fun < -1e-6
        for a, counts in zip(dense, rows.counted)
    ]
    margins = rows.margins_along(rng.normal(size=rows.n_parameters))
    separated, direction = rows.separable(margins)
    np.testing.assert_array_equal(separated, expected)
    met = dense @ direction
    assert (met[rows.counted] >= -1e-7).all()
    assert (met[separated] > 1e-7).all()


def test_rows_as_conditions_take_no_square_matrix_of_them():
    rng = np.random.default_rng(3)
    features, y = rng.normal(size=(4000, 2)), rng.integers(0, 2, 4000)
    rows = Conditions(unpenalised(features, y))
    chosen = 2 * np.arange(4000) + (1 - y)  # a row, and the other class
    tracemalloc.start()
    found = rows.conditions(chosen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    Z = np.column_stack([standardised(features), np.ones(4000)])
    np.testing.assert_allclose(found, (2 * y - 1)[:, None] * Z, rtol=0, atol=1e-12)
    assert peak < 4000**2  # bytes; the matrix would take eight times as many


def test_a_direction_reaches_where_neither_penalty_nor_bound_is_in_the_way():
    problem = unpenalised(X, labels(3))
    assert (Reach.of(problem).moving == np.arange(12)).all()
    ridge = problem.with_penalty(L2Penalty(np.asarray([[[0.0, 1e-30, 0.0]]])))
    np.testing.assert_array_equal(Reach.of(ridge).most, [1, 0, 1, 1] * 3)
    np.testing.assert_array_equal(Reach.of(ridge).least, [-1, 0, -1, -1] * 3)
    far = np.inf
    lasso, lower, upper = [0, 0, 1e-30], [-1, -far, -far], [far, 2, far]
    kinks = Kinks(*(np.asarray([[part]]) for part in (lasso, lower, upper)))
    boxed = ElasticNetPenalty(np.zeros((1, 1, 3)), kinks)
    reach = Reach.of(problem.with_penalty(boxed))
    np.testing.assert_array_equal(reach.most, [1, 0, 0, 1] * 3)
    np.testing.assert_array_equal(reach.least, [0, -1, 0, -1] * 3)
    np.testing.assert_array_equal(reach.moving[:3], [0, 1, 3])
    part = [0.5, 0, 0, 0.5] * 3
    np.testing.assert_array_equal(reach.part(np.full(12, 0.5)), part)
    np.testing.assert_array_equal(reach.part(np.full(12, -2.0)), [0, -2, 0, -2] * 3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_programmes_keep_within_reach(n_classes):
    rows, dense, _ = feasible(n_classes)
    q = rows.n_parameters
    reach = Reach(-(np.arange(q) % 3 > 0).astype(float), (np.arange(q) % 3 < 2) * 1.0)
    reach.most[1] = reach.least[1] = 0
    within = Conditions(rows.objective, reach)
    rng = np.random.default_rng(0)
    known = reach.part(rng.uniform(-0.5, 0.5, q))
    least = dense @ known - np.where(rows.counted, rng.exponential(size=len(dense)), 0)
    # Of any size: d, and its size in each parameter, the intercepts' for nothing.
    sizes = np.where(np.arange(q) % 4 == 3, 0.0, 1.0)
    anywhere = 1e6 * np.column_stack(reach)
    either = np.vstack([np.eye(q), -np.eye(q)])
    smallest = linprog(
        np.concatenate([np.zeros(q), sizes]),
        np.block([[-dense, 0 * dense], [either, np.vstack([-np.eye(q)] * 2)]]),
        np.concatenate([-least, np.zeros(2 * q)]),
        bounds=np.vstack([anywhere, np.tile([0, np.inf], (q, 1))]),
        method="highs",
    )
    cost = rng.normal(size=q)
    bounds = np.column_stack(reach)
    solve = {"A_ub": -dense, "b_ub": -least, "method": "highs"}
    best = linprog(cost, bounds=bounds, **solve)
    found = within.best(cost, least, np.arange(10))
    simple = within.best(None, least, np.arange(10))
    assert cost @ found == pytest.approx(best.fun, abs=1e-6)
    assert sizes @ np.abs(simple) == pytest.approx(smallest.fun, abs=1e-6)
    for direction in (found, simple):
        assert (dense @ direction >= least - 1e-6).all()
        assert ((direction >= 0) | (reach.least < 0)).all()
        assert ((direction <= 0) | (reach.most > 0)).all()


def test_nothing_of_a_margin_is_as_much_as_the_rows_are_rounded_by(place):
    problem = unpenalised(X, labels(2), place=place)
    eps = {8: 0.0, 4: 64 * np.finfo(np.float32).eps}[
        arrays.to_host(problem.zeros()).itemsize
    ]
    assert zero_of(problem) == max(1e-7, eps)
