"""The objective against an independent formula, and its exact derivatives."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from conftest import to_numpy
from make_objective import in_dask_chunks, make_objective, make_penalty

from xlr.data import Scaler
from xlr.objective import DiagonalHessian, JeffreysTerm, Objective

N, P, MODELS = 24, 3, 3
RNG = np.random.default_rng(0)
# Multiples of 1/16, so that they are the same numbers in float32.
X = RNG.integers(-32, 33, size=(N, P)) / 16 + [0, 2, -1]
WEIGHTS = RNG.integers(4, 17, size=N) / 8
COUNTS = RNG.integers(0, 3, size=(N, MODELS)).astype(float)
RIDGE = RNG.integers(0, 9, size=(MODELS, 1, P)) / 16
LABELS = {k: RNG.integers(0, k, size=(N, MODELS)).astype(float) for k in (2, 3)}
OFFSET = RNG.integers(-8, 9, size=(N, 3)) / 8
PARAMETERS = RNG.integers(-16, 17, size=(MODELS, 3 * (P + 1))) / 16
VECTOR = RNG.integers(-16, 17, size=(MODELS, 3 * (P + 1))) / 16

class_numbers = pytest.mark.parametrize("n_classes", [2, 3], ids=["binary", "softmax"])
intercepts = pytest.mark.parametrize(
    "fit_intercept", [True, False], ids=["intercept", "no intercept"]
)
offsets = pytest.mark.parametrize("offset", [False, True], ids=["", "offset"])


def n_outputs(n_classes):
    return 1 if n_classes == 2 else n_classes


def size_of(n_classes, fit_intercept=True):
    return n_outputs(n_classes) * (P + fit_intercept)


def formula(row, model, n_classes, fit_intercept, offset):
    """F of one model, for complex parameters too."""
    outputs = n_outputs(n_classes)
    columns = row.reshape(outputs, P + fit_intercept)
    coef = columns[:, :P]
    logits = X @ coef.T
    if fit_intercept:
        logits = logits + columns[:, P]
    if offset:
        logits = logits + OFFSET[:, :outputs]
    y, s = LABELS[n_classes][:, model], WEIGHTS * COUNTS[:, model]
    if n_classes == 2:
        loss = np.log(1 + np.exp(logits[:, 0])) - y * logits[:, 0]
    else:
        chosen = logits[np.arange(N), y.astype(int)]
        loss = np.log(np.exp(logits).sum(axis=1)) - chosen
    return s @ loss / s.sum() + (RIDGE[model] * coef**2).sum() / 2


@lru_cache
def expected(n_classes, fit_intercept=True, offset=False):
    """Values, gradients (by complex steps, exact) and Hessians of all models."""
    size = size_of(n_classes, fit_intercept)
    options = n_classes, fit_intercept, offset
    identity, h = np.eye(size), 1e-5

    def gradient(row, model):
        steps = [row + 1e-30j * e for e in identity]
        return np.asarray([formula(s, model, *options).imag / 1e-30 for s in steps])

    values, gradients, hessians = [], [], []
    for model, row in enumerate(PARAMETERS[:, :size]):
        values.append(formula(row, model, *options))
        gradients.append(gradient(row, model))
        ends = (
            (gradient(row + h * e, model), gradient(row - h * e, model))
            for e in identity
        )
        hessians.append([(up - down) / (2 * h) for up, down in ends])
    return np.asarray(values), np.asarray(gradients), np.asarray(hessians)


@pytest.fixture
def wide(backend, dtype, wide):
    if backend.name == "jax" and dtype == "float64":
        # JAX compiles each operation for each shape and dtype.
        pytest.skip("on JAX, float32 rows with float64 sums stand for both")
    return wide


@pytest.fixture
def make(place, wide):
    """An objective of all models, or of the chosen ones."""

    def make(n_classes, fit_intercept=True, models=slice(None), **options):
        outputs = n_outputs(n_classes)
        if options.pop("offset", False):
            options["offset"] = OFFSET[:, :outputs]
        return make_objective(
            options.pop("X", X),
            options.pop("labels", LABELS[n_classes][:, models]),
            WEIGHTS,
            counts=options.pop("counts", COUNTS[:, models]),
            n_classes=n_classes,
            fit_intercept=fit_intercept,
            ridge=options.pop("ridge", RIDGE[models]),
            place=place,
            wide=lambda values: place(values, wide),
            **options,
        )

    return make


@pytest.fixture
def at(place, wide):
    """Parameters or a vector of the right length, in the widest dtype."""

    def at(values, n_classes, fit_intercept=True, models=slice(None)):
        return place(values[models, : size_of(n_classes, fit_intercept)], wide)

    return at


@pytest.fixture
def close(dtype, wide, assert_close):
    """Sums over rows keep the precision of the rows; finite differences 1e-9."""
    rtol = {"float32": 2e-6, "float64": 1e-9}[dtype]

    def close(actual, expected, rtol=rtol):
        atol = rtol * np.abs(expected).max()
        assert_close(actual, expected, atol=float(atol), as_dtype=wide)

    return close


def blocks_of(hessian):
    """Return the blocks with the penalty: (n_models, n_blocks, q, q)."""
    blocks, penalty = to_numpy(hessian.blocks), to_numpy(hessian.penalty)
    return blocks + penalty.reshape(blocks.shape[:-1])[..., None] * np.eye(
        blocks.shape[-1]
    )


def whole(hessian):
    """Return the Hessian of each model: (n_models, q, q)."""
    blocks = blocks_of(hessian)
    assert blocks.shape[1] == 1
    return blocks[:, 0]


def along_equal_changes(fit_intercept=True):
    """Projection onto equal changes of three classes, where softmax is constant."""
    return np.kron(np.full((3, 3), 1 / 3), np.eye(P + fit_intercept))


def everything(objective, parameters, vector):
    """All that an objective says about some parameters."""
    return (
        *objective.value_and_gradient(parameters),
        objective.hessian(parameters).blocks,
        objective.hessian_operator(parameters)(vector),
        objective.hessian_diagonal(parameters),
        objective.curvature_bound(),
    )


# -- values and derivatives ------------------------------------------------------------


@offsets
@intercepts
@class_numbers
def test_objective_value_and_gradient(
    n_classes, fit_intercept, offset, make, at, close
):
    parameters = at(PARAMETERS, n_classes, fit_intercept)
    objective = make(n_classes, fit_intercept, offset=offset)
    value, gradient, _ = expected(n_classes, fit_intercept, offset)
    found = objective.value_and_gradient(parameters)
    close(found.value, value)
    close(found.gradient, gradient)


@offsets
@intercepts
@class_numbers
def test_objective_hessian(n_classes, fit_intercept, offset, make, at, close, dtype):
    objective = make(n_classes, fit_intercept, offset=offset)
    hessian_object = objective.hessian(at(PARAMETERS, n_classes, fit_intercept))
    found = whole(hessian_object)
    *_, hessian = expected(n_classes, fit_intercept, offset)
    atol = {"float32": 2e-6, "float64": 1e-9}[dtype] * np.abs(hessian).max()
    if n_classes > 2:  # curvature is added along equal changes, and only there
        along, added = along_equal_changes(fit_intercept), found - hessian
        np.testing.assert_allclose(along @ added @ along, added, rtol=0, atol=4 * atol)
        rank = P + fit_intercept
        assert (np.linalg.eigvalsh(added)[:, -rank:] > 0.01).all()
        hessian = hessian + along @ added @ along
    np.testing.assert_allclose(found, hessian, rtol=0, atol=4 * atol)
    close(hessian_object.diagonal, np.diagonal(found, axis1=1, axis2=2))


def test_objective_hessian_without_a_penalty_is_positive_definite(make, at):
    objective = make(3, ridge=0 * RIDGE)
    hessian = whole(objective.hessian(at(PARAMETERS, 3)))
    eigenvalues = np.linalg.eigvalsh(hessian)
    assert (eigenvalues.min(axis=1) > 1e-3 * eigenvalues.max(axis=1)).all()


@intercepts
@class_numbers
def test_objective_class_hessians_are_the_diagonal_blocks(
    n_classes, fit_intercept, make, at
):
    """In float32."""
    objective = make(n_classes, fit_intercept)
    *_, hessian = expected(n_classes, fit_intercept)
    q = P + fit_intercept
    parts = [
        [each[k : k + q, k : k + q] for k in range(0, each.shape[0], q)]
        for each in hessian
    ]
    parameters = at(PARAMETERS, n_classes, fit_intercept)
    found = blocks_of(objective.class_hessians(parameters))
    np.testing.assert_allclose(found, parts, rtol=0, atol=2e-6 * np.abs(hessian).max())


@offsets
@intercepts
@class_numbers
def test_objective_hessian_operator_and_diagonal(
    n_classes, fit_intercept, offset, make, at, close
):
    objective = make(n_classes, fit_intercept, offset=offset)
    parameters = at(PARAMETERS, n_classes, fit_intercept)
    vector = at(VECTOR, n_classes, fit_intercept)
    *_, hessian = expected(n_classes, fit_intercept, offset)
    product = np.einsum("mij,mj->mi", hessian, to_numpy(vector))
    close(objective.hessian_operator(parameters)(vector), product)
    diagonal = np.diagonal(hessian, axis1=1, axis2=2)
    close(objective.hessian_diagonal(parameters), diagonal)


def test_objective_hessian_operator_of_many_models_stores_no_curvature(place, wide):
    """What it would store is more than X: each product computes it again."""
    labels = RNG.integers(0, 2, size=(N, 20)).astype(float)
    many = make_objective(
        X, labels, ridge=0.1, place=place, wide=lambda values: place(values, wide)
    )
    w, v = (place(RNG.normal(size=(20, P + 1)), wide) for _ in range(2))
    found = to_numpy(many.hessian_operator(w)(v))
    hessian = whole(many.hessian(w))
    product = np.einsum("mij,mj->mi", hessian, to_numpy(v))
    np.testing.assert_allclose(found, product, atol=1e-5)


@class_numbers
def test_objective_curvature_bound_exceeds_every_eigenvalue(n_classes, make, at):
    objective = make(n_classes)
    bound = to_numpy(objective.curvature_bound())
    largest = []
    for factor in (0, 1 / 8, 1):  # curvature is largest near zero logits
        parameters = at(factor * PARAMETERS, n_classes)
        hessian = whole(objective.hessian(parameters))
        if n_classes > 2:
            away = np.eye(hessian.shape[-1]) - along_equal_changes()
            hessian = away @ hessian @ away
        largest.append(np.linalg.eigvalsh(hessian).max(axis=1))
    largest = np.max(largest, axis=0)
    assert (largest <= bound * (1 + 1e-6)).all()
    assert (bound < 8 * largest).all()  # of use as a step size


# -- the same, however it is computed --------------------------------------------------


@pytest.mark.parametrize("block_bytes", [1, 500])
@class_numbers
def test_objective_of_blocks_of_any_size(
    n_classes, block_bytes, backend, make, at, close, dtype, monkeypatch
):
    if backend.name == "jax" and block_bytes != 1:
        pytest.skip("JAX compiles for each length of a block")
    parameters, vector = at(PARAMETERS, n_classes), at(VECTOR, n_classes)
    in_one = everything(make(n_classes, offset=True), parameters, vector)
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: block_bytes)
    in_blocks = everything(make(n_classes, offset=True), parameters, vector)
    for found, reference in zip(in_blocks, in_one):
        close(found, to_numpy(reference), rtol=1e-12 if dtype == "float64" else 2e-6)


@pytest.mark.usefixtures("in_this_thread")
@intercepts
@class_numbers
def test_objective_of_dask_chunks(n_classes, fit_intercept):
    pytest.importorskip("dask.array")
    options = {"n_classes": n_classes, "fit_intercept": fit_intercept, "ridge": RIDGE}
    offset = OFFSET[:, : n_outputs(n_classes)]
    whole_rows = make_objective(
        X, LABELS[n_classes], WEIGHTS, counts=COUNTS, offset=offset, **options
    )
    in_chunks = in_dask_chunks(whole_rows, (5, 12, 7))
    size = size_of(n_classes, fit_intercept)
    w, v = PARAMETERS[:, :size], VECTOR[:, :size]
    for found, reference in zip(
        everything(in_chunks, w, v), everything(whole_rows, w, v)
    ):
        np.testing.assert_allclose(found, reference, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(in_chunks.class_shares(), whole_rows.class_shares())
    few = np.asarray([2, 0])
    part = in_chunks.select(few).value_and_gradient(w[few])
    at = whole_rows.value_and_gradient(w)
    np.testing.assert_allclose(part.gradient, at.gradient[few], rtol=1e-10, atol=1e-14)


@class_numbers
def test_objective_of_sparse_rows(n_classes):
    sp = pytest.importorskip("scipy.sparse")
    entries = np.where(RNG.random(X.shape) < 0.5, X, 0.0)
    mean, scale = entries.mean(axis=0), entries.std(axis=0)
    scaler = Scaler(mean, scale, np.ones(P))
    dense, sparse = (
        make_objective(
            rows,
            LABELS[n_classes],
            WEIGHTS,
            n_classes=n_classes,
            scaler=scaler,
            ridge=0.1,
        )
        for rows in (entries, sp.csr_array(entries))
    )
    size = size_of(n_classes)
    w, v = PARAMETERS[:, :size], VECTOR[:, :size]
    for found, reference in zip(everything(sparse, w, v), everything(dense, w, v)):
        np.testing.assert_allclose(found, reference, rtol=1e-9, atol=1e-12)


@intercepts
@class_numbers
def test_objective_of_standardized_rows_is_a_change_of_variables(
    n_classes, fit_intercept, make, at, place, wide, close, monkeypatch
):
    mean = np.asarray([1.0, -2.0, 0.5]) * fit_intercept
    scale = np.asarray([0.5, 2.0, 4.0])
    scaler = Scaler(*(place(part, wide) for part in (mean, scale, np.ones(P))))
    raw = make(n_classes, fit_intercept)
    standardized = make(n_classes, fit_intercept, ridge=RIDGE / scale**2, scaler=scaler)
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: 500)
    in_blocks = make(n_classes, fit_intercept, ridge=RIDGE / scale**2, scaler=scaler)
    parameters = at(PARAMETERS, n_classes, fit_intercept)
    coef, intercept = raw.split(parameters)
    if intercept is None:
        intercept = 0 * coef[:, 0]
    changed = raw.join(*scaler.to_standardized(coef, intercept))
    here = raw.value_and_gradient(parameters)
    gradient, total = raw.split(here.gradient)
    total = 0 * gradient[:, 0] if total is None else total
    gradient = to_numpy(raw.join(*scaler.gradient(gradient, total)))
    for objective in (standardized, in_blocks):
        there = objective.value_and_gradient(changed)
        close(there.value, to_numpy(here.value))
        close(there.gradient, gradient)
    # Optimality is in standardized units, for data in either.
    largest = np.abs(gradient).max(axis=1)
    close(standardized.optimality(there.gradient), largest)
    raw = Objective(
        raw.data, raw.loss, raw.penalty, fit_intercept=fit_intercept, scaler=scaler
    )
    close(raw.optimality(here.gradient), largest)
    for found, reference in zip(
        everything(in_blocks, changed, changed),
        everything(standardized, changed, changed),
    ):
        close(found, to_numpy(reference))


# -- other models, columns and penalties -----------------------------------------------


@class_numbers
def test_objective_of_several_models_equals_single_ones(
    n_classes, backend, make, at, close
):
    if backend.name == "jax":
        pytest.skip("JAX compiles for each number of models")
    together = make(n_classes)
    parameters, vector = at(PARAMETERS, n_classes), at(VECTOR, n_classes)
    of_all = everything(together, parameters, vector)
    for model in range(MODELS):
        one = slice(model, model + 1)
        w, v = (at(x, n_classes, True, one) for x in (PARAMETERS, VECTOR))
        for alone in (make(n_classes, True, one), together.select(np.asarray([model]))):
            for found, reference in zip(everything(alone, w, v), of_all):
                close(found, to_numpy(reference)[one])


def test_objective_of_models_that_share_labels_and_strengths(make, at, close):
    shared, parameters = LABELS[2][:, :1], at(PARAMETERS, 2)
    own = make(
        2,
        labels=np.repeat(shared, MODELS, axis=1),
        ridge=np.repeat(RIDGE[:1], MODELS, axis=0),
    )
    one_for_all = make(2, labels=shared, ridge=RIDGE[:1])
    for found, reference in zip(
        everything(one_for_all, parameters, parameters),
        everything(own, parameters, parameters),
    ):
        close(found, to_numpy(reference))


@class_numbers
def test_objective_of_some_columns_has_the_others_at_zero(
    n_classes, backend, make, at, close
):
    objective = make(n_classes)
    columns = backend.xp.asarray([2, 0], device=backend.device)
    part = objective.take_columns(columns)
    parameters = to_numpy(at(PARAMETERS, n_classes)).reshape(MODELS, -1, P + 1).copy()
    parameters[..., 1] = 0
    few = at(parameters[..., [2, 0, 3]].reshape(MODELS, -1), n_classes)
    every = at(parameters.reshape(MODELS, -1), n_classes)
    found, reference = part.value_and_gradient(few), objective.value_and_gradient(every)
    close(found.value, to_numpy(reference.value))
    gradient = to_numpy(reference.gradient).reshape(MODELS, -1, P + 1)
    close(found.gradient, gradient[..., [2, 0, 3]].reshape(MODELS, -1))


@class_numbers
def test_objective_with_another_penalty_needs_no_pass(
    n_classes, make, at, close, place, wide
):
    first, parameters = make(n_classes), at(PARAMETERS, n_classes)
    penalty = make_penalty(
        P, ridge=0.5, l1=0.25, place=lambda values: place(values, wide)
    )
    second = first.with_penalty(penalty)
    reference = second.value_and_gradient(parameters)
    at_first = first.value_and_gradient(parameters)
    found = second.with_penalty_of(first, parameters, at_first)
    close(found.value, to_numpy(reference.value))
    close(found.gradient, to_numpy(reference.gradient))


def test_objective_subgradient_leaves_intercepts_free(make, at, place, wide):
    objective = make(2, l1=0.25, lower=-0.5, upper=0.5)
    w = np.tile([0.0, 0.5, -0.25, 0.0], (MODELS, 1))
    g = np.tile([0.2, -1.0, 0.5, -0.1], (MODELS, 1))
    found = objective.minimum_norm_subgradient(place(w, wide), place(g, wide))
    # At the kink, at the bound, within the bounds, and the intercept.
    expected_row = [0.0, 0.0, 0.25, -0.1]
    np.testing.assert_allclose(
        to_numpy(found), np.tile(expected_row, (MODELS, 1)), atol=1e-6
    )


@intercepts
@class_numbers
def test_objective_split_and_join_are_inverses(
    n_classes, fit_intercept, make, at, close
):
    objective = make(n_classes, fit_intercept)
    parameters = at(PARAMETERS, n_classes, fit_intercept)
    coef, intercept = objective.split(parameters)
    columns = to_numpy(parameters).reshape(MODELS * n_outputs(n_classes), -1)
    close(coef, columns[:, :P], rtol=0)
    assert (intercept is None) == (not fit_intercept)
    if fit_intercept:
        close(intercept, columns[:, P], rtol=0)
    close(objective.join(coef, intercept), to_numpy(parameters), rtol=0)


@class_numbers
def test_objective_centres_over_classes(n_classes, make, at, close):
    vector = at(VECTOR, n_classes)
    centred = to_numpy(vector)
    if n_classes > 2:
        centred = centred @ (np.eye(centred.shape[1]) - along_equal_changes())
    close(make(n_classes).centred_over_classes(vector), centred)


def test_objective_centres_unrestricted_parameters_alone(make, at):
    """An L1 penalty or a bound decides between the classes."""
    objective = make(3, l1=[0.0, 1.0, 0.0], upper=[np.inf, np.inf, 1.0], ridge=0.0)
    vector = at(VECTOR, 3)
    found = to_numpy(objective.centred_over_classes(vector)).reshape(MODELS, 3, P + 1)
    given = to_numpy(vector).reshape(MODELS, 3, P + 1)
    for column in (0, 3):
        expected = given[..., column] - given[..., column].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found[..., column], expected, atol=1e-6)
    np.testing.assert_array_equal(found[..., 1:3], given[..., 1:3])


@class_numbers
def test_objective_without_resampling_is_one_model_on_all_rows(
    n_classes, xp, place, make, at, close
):
    alone = make(n_classes, models=slice(0, 1), counts=None)
    resampled = alone.data.resampled(place(COUNTS), 2)
    penalty = make_penalty(P, ridge=RIDGE[[0, 0, 0, 1, 1, 1]], place=place)
    many = Objective(resampled, alone.loss, penalty, fit_intercept=True)
    whole_rows, of = many.without_resampling()
    np.testing.assert_array_equal(of, [0, 0, 0, 1, 1, 1])
    assert whole_rows.n_models == 2
    parameters = at(PARAMETERS[[0, 0]], n_classes)
    found = to_numpy(whole_rows.value_and_gradient(parameters).value)
    single = to_numpy(alone.value_and_gradient(parameters[:1, :]).value)[0]
    coef = to_numpy(alone.by_class(parameters[:1, :]))
    penalties = [(RIDGE[k] * coef[0] ** 2).sum() / 2 for k in (0, 1)]
    expected_values = single - penalties[0] + np.asarray(penalties)
    np.testing.assert_allclose(found, expected_values, rtol=1e-5)
    assert make(n_classes).without_resampling() is None


# -- Firth's term ----------------------------------------------------------------------


def jeffreys(row):
    """Minus half the log-determinant of the information of the first model."""
    Z = np.column_stack([X, np.ones(N)])
    p = 1 / (1 + np.exp(-Z @ row))
    s = WEIGHTS * COUNTS[:, 0]
    information = (Z * (s * p * (1 - p))[:, None]).T @ Z
    return -np.linalg.slogdet(information)[1] / 2 / s.sum()


def test_objective_with_jeffreys_term(make, at, close, dtype):
    plain = make(2, models=slice(0, 1))
    with_term = Objective(
        plain.data,
        plain.loss,
        plain.penalty,
        fit_intercept=True,
        term=JeffreysTerm(plain.total_weight),
    )
    parameters = at(PARAMETERS, 2, True, slice(0, 1))
    row, h = PARAMETERS[0, : P + 1], 1e-5
    derivative = [
        (jeffreys(row + h * e) - jeffreys(row - h * e)) / (2 * h) for e in np.eye(P + 1)
    ]
    value, gradient, _ = expected(2)
    rtol = {"float32": 1e-5, "float64": 1e-8}[dtype]
    # The term stays with the objective of other models, rows and penalties.
    for objective in (
        with_term,
        with_term.select(np.asarray([0])),
        with_term.with_penalty(plain.penalty),
        with_term.with_data(plain.data),
        with_term.take_columns(plain.xp.asarray([0, 1, 2], device=plain.device)),
    ):
        found = objective.value_and_gradient(parameters)
        close(found.value, value[:1] + jeffreys(row), rtol=rtol)
        close(found.gradient, gradient[:1] + np.asarray([derivative]), rtol=rtol)


# -- solving with a Hessian ------------------------------------------------------------


@pytest.mark.parametrize("by_class", [False, True], ids=["whole", "by class"])
@pytest.mark.parametrize("damping", [0.0, 0.5])
@class_numbers
def test_hessian_solver_solves_its_damped_equations(
    n_classes, damping, by_class, make, at, place, wide
):
    objective = make(n_classes, ridge=RIDGE + 1 / 16)
    parameters, vector = at(PARAMETERS, n_classes), at(VECTOR, n_classes)
    method = objective.class_hessians if by_class else objective.hessian
    hessian = method(parameters)
    added = damping * np.arange(1.0, to_numpy(vector).size + 1).reshape(MODELS, -1)
    solved = to_numpy(hessian.solver(place(added, wide))(vector))
    blocks = blocks_of(hessian)
    q = blocks.shape[-1]
    for model in range(MODELS):
        for k in range(blocks.shape[1]):
            part = slice(k * q, (k + 1) * q)
            matrix = blocks[model, k] + np.diag(added[model, part])
            reference = np.linalg.solve(matrix, to_numpy(vector)[model, part])
            np.testing.assert_allclose(
                solved[model, part], reference, rtol=1e-2, atol=1e-3
            )
            residual = matrix @ solved[model, part] - to_numpy(vector)[model, part]
            assert np.abs(residual).max() < 1e-4


def test_hessians_of_chosen_models(make, at, close):
    objective, parameters = make(3), at(PARAMETERS, 3)
    hessian, order = objective.hessian(parameters), np.asarray([2, 0, 2])
    close(hessian.select(order).blocks, to_numpy(hessian.blocks)[order])
    close(hessian.select(order).diagonal, to_numpy(hessian.diagonal)[order])
    mixed = hessian.replace(np.asarray([1]), hessian.select(np.asarray([0])))
    close(mixed.blocks, to_numpy(hessian.blocks)[[0, 0, 2]])


def test_hessian_of_a_constant_column_has_a_diagonal_of_one(make, at):
    objective = make(2, X=X * [1, 0, 1], ridge=0 * RIDGE)
    diagonal = to_numpy(objective.hessian(at(PARAMETERS, 2)).diagonal)
    np.testing.assert_array_equal(diagonal[:, 1], 1)
    assert (diagonal[:, [0, 2, 3]] > 0).all()
    assert (diagonal[:, [0, 2, 3]] != 1).all()


def test_diagonal_hessian_divides(xp, place, assert_close):
    diagonal = np.asarray([[2.0, 0.0], [4.0, 1.0]])
    hessian = DiagonalHessian(place(diagonal), xp=xp)
    vector, added = np.asarray([[1.0, 3.0], [2.0, 5.0]]), np.asarray([[2.0, 0], [0, 4]])
    found = hessian.solver(place(added))(place(vector))
    assert_close(found, vector / ([[4, 1], [4, 5]]), rtol=1e-6)
    assert_close(hessian.select(np.asarray([1])).diagonal, diagonal[1:])
