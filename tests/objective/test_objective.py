"""The objective against an independent formula and its exact derivatives."""

from functools import lru_cache

import numpy as np
import pytest
from conftest import to_numpy

from xlr.design import DenseDesign, Standardisation, standardise
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses
from xlr.penalties import L2Penalty

N, P, MODELS = 24, 3, 3
N_OUTPUTS = {"binary": 1, "softmax": 3}
RNG = np.random.default_rng(0)
# Multiples of 1/16, so that they are the same numbers in float32.
X = RNG.integers(-32, 33, size=(N, P)) / 16 + [0, 2, -1]
WEIGHTS = RNG.integers(0, 17, size=(N, MODELS)) / 8
STRENGTH = RNG.integers(0, 9, size=(MODELS, 1, P)) / 16
TARGETS = {
    "binary": RNG.integers(0, 2, size=(N, MODELS)).astype(float),
    "softmax": RNG.integers(0, 3, size=(N, MODELS)).astype(float),
}
PARAMETERS = RNG.integers(-16, 17, size=(MODELS, 3 * (P + 1))) / 16
VECTOR = RNG.integers(-16, 17, size=(MODELS, 3 * (P + 1))) / 16

kinds = pytest.mark.parametrize("kind", ["binary", "softmax"])
intercepts = pytest.mark.parametrize(
    "fit_intercept", [True, False], ids=["intercept", "no intercept"]
)


def n_parameters(kind, fit_intercept):
    return N_OUTPUTS[kind] * (P + fit_intercept)


def formula(row, model, kind, fit_intercept):
    """F of one model, written for complex parameters too."""
    columns = row.reshape(N_OUTPUTS[kind], P + fit_intercept)
    coef = columns[:, :P]
    logits = X @ coef.T
    if fit_intercept:
        logits = logits + columns[:, P]
    y, s = TARGETS[kind][:, model], WEIGHTS[:, model]
    if kind == "binary":
        loss = np.log(1 + np.exp(logits[:, 0])) - y * logits[:, 0]
    else:
        chosen = logits[np.arange(N), y.astype(int)]
        loss = np.log(np.exp(logits).sum(axis=1)) - chosen
    return s @ loss / s.sum() + (STRENGTH[model] * coef**2).sum() / 2


@lru_cache
def expected(kind, fit_intercept):
    """Values, gradients (by complex steps, exact) and Hessians of all models."""
    size = n_parameters(kind, fit_intercept)
    identity = np.eye(size)

    def gradient(row, model):
        steps = [row + 1e-30j * e for e in identity]
        return np.asarray(
            [formula(s, model, kind, fit_intercept).imag / 1e-30 for s in steps]
        )

    models = range(MODELS)
    rows = PARAMETERS[:, :size]
    h = 1e-5
    hessians = [
        [
            (gradient(rows[m] + h * e, m) - gradient(rows[m] - h * e, m)) / (2 * h)
            for e in identity
        ]
        for m in models
    ]
    return (
        np.asarray([formula(rows[m], m, kind, fit_intercept) for m in models]),
        np.asarray([gradient(rows[m], m) for m in models]),
        np.asarray(hessians),
    )


@pytest.fixture
def wide(backend, dtype, wide):
    if backend.name == "jax" and dtype == "float64":
        # It compiles each operation for each shape and dtype, which takes a minute.
        pytest.skip("on JAX, float32 rows with float64 sums stand for both")
    return wide


@pytest.fixture
def make(xp, place, wide):
    """An objective of all models, or of the chosen ones."""

    def make(
        kind,
        fit_intercept,
        models=slice(None),
        *,
        X=X,
        targets=None,
        weights=WEIGHTS,
        strength=STRENGTH,
        standardisation=None,
        units=None,
    ):
        loss = LogisticLoss() if kind == "binary" else SoftmaxLoss(3)
        targets = TARGETS[kind] if targets is None else targets
        return Objective(
            DenseDesign(place(X), standardisation, xp=xp),
            Responses(
                len(range(MODELS)[models]),
                place(targets[:, models]),
                place(np.ones((len(X), 1))),
                place(weights[:, models]),
            ),
            loss,
            L2Penalty(place(strength[models], wide)),
            fit_intercept=fit_intercept,
            units=units,
        )

    return make


@pytest.fixture
def at(place, wide):
    """Parameters or a vector of the right length, in the widest dtype."""

    def at(values, kind, fit_intercept, models=slice(None)):
        return place(values[models, : n_parameters(kind, fit_intercept)], wide)

    return at


@pytest.fixture
def close(dtype, wide, assert_close):
    """Sums over rows keep the precision of the rows; finite differences 1e-9."""
    rtol = {"float32": 2e-6, "float64": 1e-9}[dtype]

    def close(actual, expected, rtol=rtol):
        atol = rtol * np.abs(expected).max()
        assert_close(actual, expected, atol=float(atol), as_dtype=wide)

    return close


@intercepts
@kinds
def test_value_and_gradient(kind, fit_intercept, make, at, close):
    evaluation = make(kind, fit_intercept).value_and_gradient(
        at(PARAMETERS, kind, fit_intercept)
    )
    value, gradient, _ = expected(kind, fit_intercept)
    close(evaluation.value, value)
    close(evaluation.gradient, gradient)


def whole_hessian(objective, parameters, **options):
    """The one block of the Hessian of each model."""
    blocks = objective.hessian(parameters, **options).blocks
    assert blocks.shape[1] == 1
    return blocks[:, 0, :, :]


def along_equal_changes(kind, fit_intercept):
    """Projection onto equal changes of all classes, where softmax is constant."""
    identity = np.eye(P + fit_intercept)
    return np.kron(np.full((3, 3), 1 / 3), identity) if kind == "softmax" else None


@intercepts
@kinds
def test_hessian(kind, fit_intercept, make, at, close):
    objective = make(kind, fit_intercept)
    parameters = at(PARAMETERS, kind, fit_intercept)
    actual = whole_hessian(objective, parameters)
    *_, hessian = expected(kind, fit_intercept)
    if kind == "softmax":  # curvature is added along equal changes, and only there
        along = along_equal_changes(kind, fit_intercept)
        added = to_numpy(actual) - hessian
        size = np.trace(added, axis1=1, axis2=2) / np.trace(along)
        assert (size > 0.01).all()
        hessian = hessian + size[:, None, None] * along
    close(actual, hessian)


def test_hessian_of_softmax_is_positive_definite_without_penalty(make, at):
    objective = make("softmax", True, strength=0 * STRENGTH)
    parameters = at(PARAMETERS, "softmax", True)
    hessian = to_numpy(whole_hessian(objective, parameters))
    eigenvalues = np.linalg.eigvalsh(hessian)
    assert (eigenvalues.min(axis=1) > 1e-3 * eigenvalues.max(axis=1)).all()


@intercepts
@kinds
def test_hessian_product_and_diagonal(kind, fit_intercept, make, at, close):
    objective = make(kind, fit_intercept)
    parameters = at(PARAMETERS, kind, fit_intercept)
    vector = at(VECTOR, kind, fit_intercept)
    *_, hessian = expected(kind, fit_intercept)
    product = np.einsum("mij,mj->mi", hessian, to_numpy(vector))
    curvature = objective.curvature(parameters)
    close(objective.hessian_product(curvature, parameters, vector), product)
    diagonal = np.diagonal(hessian, axis1=1, axis2=2)
    close(objective.hessian_diagonal(parameters), diagonal)


@kinds
def test_several_models_equal_single_ones(kind, backend, make, at, close):
    if backend.name == "jax":
        pytest.skip("JAX compiles for each number of models")
    parameters, vector = at(PARAMETERS, kind, True), at(VECTOR, kind, True)
    together = make(kind, True)
    everything = results(together, parameters, vector)
    for model in range(MODELS):
        one = slice(model, model + 1)
        alone = make(kind, True, one)
        parameters, vector = (at(x, kind, True, one) for x in (PARAMETERS, VECTOR))
        for here, there in zip(results(alone, parameters, vector), everything):
            close(here, to_numpy(there)[one])


def results(objective, parameters, vector):
    """All that an objective says about some parameters."""
    return (
        *objective.value_and_gradient(parameters),
        whole_hessian(objective, parameters),
        objective.hessian_product(objective.curvature(parameters), parameters, vector),
        objective.hessian_diagonal(parameters),
        objective.curvature_bound(),
    )


def test_targets_and_strengths_shared_by_models(make, at, close):
    shared, strength = TARGETS["binary"][:, :1], STRENGTH[:1]
    parameters = at(PARAMETERS, "binary", True)
    own = make(
        "binary",
        True,
        targets=np.repeat(shared, MODELS, axis=1),
        strength=np.repeat(strength, MODELS, axis=0),
    )
    one_for_all = make("binary", True, targets=shared, strength=strength)
    for a, b in zip(
        results(one_for_all, parameters, parameters),
        results(own, parameters, parameters),
    ):
        close(a, to_numpy(b))


@pytest.mark.parametrize("size", [1, 500])
@kinds
def test_blocks_of_any_size_give_the_same(
    kind, size, backend, make, at, dtype, close, monkeypatch
):
    if backend.name == "jax" and size != 1:
        pytest.skip("JAX compiles for each length of a block")
    parameters, vector = at(PARAMETERS, kind, True), at(VECTOR, kind, True)
    objective = make(kind, True)

    whole = results(objective, parameters, vector)
    monkeypatch.setattr("xlr.arrays.block_bytes", lambda x: size)
    for here, there in zip(results(objective, parameters, vector), whole):
        rtol = 1e-12 if dtype == "float64" else 2e-6
        close(here, to_numpy(there), rtol=rtol)


@intercepts
@kinds
def test_split_and_join_are_inverses(kind, fit_intercept, make, at, close):
    objective = make(kind, fit_intercept)
    parameters = at(PARAMETERS, kind, fit_intercept)
    coef, intercept = objective.split(parameters)
    columns = to_numpy(parameters).reshape(MODELS * N_OUTPUTS[kind], -1)
    close(coef, columns[:, :P], rtol=0)
    close(intercept, columns[:, P] if fit_intercept else np.zeros(len(columns)), rtol=0)
    close(objective.join(coef, intercept), to_numpy(parameters), rtol=0)


def test_total_weight_is_summed_in_the_widest_dtype(make, dtype, wide, close):
    if dtype == wide:
        pytest.skip("there is no wider dtype")
    weights = np.ones((N, MODELS))
    weights[0] = 2.0**24  # and one more is no number of float32
    total = make("binary", True, weights=weights).total_weight
    close(total, weights.sum(axis=0), rtol=0)


# -- standardised designs, and units -----------------------------------------------

SCALE, MEAN = np.asarray([0.5, 2.0, 4.0]), np.asarray([1.0, -2.0, 0.5])


@intercepts
@kinds
def test_standardised_design_is_a_change_of_variables(
    kind, fit_intercept, make, at, place, wide, close
):
    mean = MEAN * fit_intercept
    units = Standardisation(place(mean, wide), place(SCALE, wide))
    raw = make(kind, fit_intercept, units=units)
    standardised = make(
        kind,
        fit_intercept,
        strength=STRENGTH / SCALE**2,
        standardisation=units,
    )
    same = make(
        kind,
        fit_intercept,
        X=(X - mean) / SCALE,
        strength=STRENGTH / SCALE**2,
    )
    parameters = at(PARAMETERS, kind, fit_intercept)
    changed = raw.join(*units.into(*raw.split(parameters)))
    here = raw.value_and_gradient(parameters)
    there = standardised.value_and_gradient(changed)
    close(there.value, to_numpy(here.value))
    gradient = raw.join(*units.gradient(*raw.split(here.gradient)))
    close(there.gradient, to_numpy(gradient))
    for a, b in zip(
        results(standardised, changed, changed), results(same, changed, changed)
    ):
        close(a, to_numpy(b))
    optimality = np.abs(to_numpy(there.gradient)).max(axis=1)
    close(standardised.optimality(there.gradient), optimality)
    close(raw.optimality(here.gradient), optimality)


@pytest.mark.parametrize("standardised", [True, False], ids=["standardised", "raw"])
@intercepts
@kinds
def test_curvature_bound_is_no_less_than_any_eigenvalue(
    kind, fit_intercept, standardised, make, at, place, wide, xp, backend
):
    if backend.name == "dpnp":
        pytest.skip("dpnp 0.20 refuses products with arrays of stride 0")
    X_, weights = place(X), place(WEIGHTS[:, 0], wide)
    units = standardise(X_, weights, centre=fit_intercept, xp=xp)
    known = {"standardisation" if standardised else "units": units}
    objective = make(kind, fit_intercept, weights=WEIGHTS[:, :1], **known)
    bound = to_numpy(objective.curvature_bound())
    assert bound.shape == (MODELS,)
    largest = []
    for factor in (0, 1 / 8, 1):  # curvature is largest near zero logits
        parameters = at(factor * PARAMETERS, kind, fit_intercept)
        hessian = to_numpy(whole_hessian(objective, parameters))
        if kind == "softmax":
            away = np.eye(hessian.shape[-1]) - along_equal_changes(kind, fit_intercept)
            hessian = away @ hessian @ away
        largest.append(np.linalg.eigvalsh(hessian).max(axis=1))
    largest = np.max(largest, axis=0)
    assert (largest <= bound * (1 + 1e-6)).all()
    assert (bound < 8 * largest).all()  # of use as a step size


# -- estimates of the Hessian, and samples --------------------------------------------


@intercepts
@kinds
def test_class_hessians_are_the_diagonal_blocks(kind, fit_intercept, make, at, close):
    objective = make(kind, fit_intercept)
    blocks = objective.class_hessians(at(PARAMETERS, kind, fit_intercept)).blocks
    *_, hessian = expected(kind, fit_intercept)
    q = P + fit_intercept
    parts = [
        [each[k * q : (k + 1) * q, k * q : (k + 1) * q] for k in range(N_OUTPUTS[kind])]
        for each in hessian
    ]
    close(blocks, np.asarray(parts))


@kinds
def test_a_rough_hessian_is_good_to_float32(kind, make, at, close):
    objective, parameters = make(kind, True), at(PARAMETERS, kind, True)
    exact = to_numpy(whole_hessian(objective, parameters))
    close(whole_hessian(objective, parameters, rough=True), exact, rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 64.0], ids=["folded", "centred"])
@intercepts
@kinds
def test_a_rough_hessian_in_standardised_units(
    kind, fit_intercept, offset, make, at, place, wide, close
):
    """Near zero it is summed up in units of X; far from it, rows are centred first."""
    offset = offset * fit_intercept
    mean = MEAN * fit_intercept + offset
    units = Standardisation(place(mean, wide), place(SCALE, wide))
    objective = make(kind, fit_intercept, X=X + offset, standardisation=units)
    if fit_intercept:
        assert objective.design.gram_form(rough=True)[1] == (offset == 0)
    parameters = at(PARAMETERS / 8, kind, fit_intercept)
    for method in (objective.hessian, objective.class_hessians):
        exact = to_numpy(method(parameters).blocks)
        close(method(parameters, rough=True).blocks, exact, rtol=1e-5)


@pytest.mark.parametrize("damping", [0.0, 0.5])
@intercepts
@kinds
def test_solving_with_the_hessian(
    kind, fit_intercept, damping, make, at, place, wide, close
):
    objective = make(kind, fit_intercept, strength=STRENGTH + 1 / 16)
    hessian = objective.hessian(at(PARAMETERS, kind, fit_intercept))
    vector = at(VECTOR, kind, fit_intercept)
    solve = hessian.solver(place(np.full(MODELS, damping), wide))
    right, lower = to_numpy(vector), np.tril(to_numpy(hessian.matrices()))
    # A product in float32 is symmetric but for rounding; half of it is looked at.
    matrix = lower + np.tril(lower, -1).mT
    diagonal = to_numpy(hessian.diagonal)
    own = np.diagonal(to_numpy(hessian.blocks)[:, 0], axis1=1, axis2=2)
    np.testing.assert_allclose(diagonal, own, rtol=1e-6)
    damped = matrix + damping * diagonal[:, None, :] * np.eye(matrix.shape[-1])
    solved = np.linalg.solve(damped, right[..., None])[..., 0]
    condition = np.linalg.cond(
        damped / np.sqrt(diagonal[:, None] * diagonal[..., None])
    )
    rtol = 32 * matrix.shape[-1] * condition.max() * np.finfo(wide).eps
    close(solve(vector), solved, rtol=max(rtol, 1e-9))


@kinds
def test_sample_is_the_objective_on_its_rows(kind, backend, make, at, place, wide):
    if backend.name == "jax":
        pytest.skip("JAX compiles for each number of rows")
    units = Standardisation(place(MEAN, wide), place(SCALE, wide))
    whole = make(kind, True, standardisation=units)
    parameters = at(PARAMETERS, kind, True)
    sample = whole.sample(500, seed=3)
    rows = np.sort(np.random.default_rng([3, 500]).integers(0, N, size=500))
    again = make(
        kind,
        True,
        X=(X[rows] - MEAN) / SCALE,
        targets=TARGETS[kind][rows],
        weights=WEIGHTS[rows],
    )
    for here, there in zip(
        sample.value_and_gradient(parameters), again.value_and_gradient(parameters)
    ):
        np.testing.assert_allclose(to_numpy(here), to_numpy(there), atol=2e-6)


@kinds
def test_symmetric_takes_equal_changes_out(kind, make, at, close):
    objective, vector = make(kind, True), at(VECTOR, kind, True)
    symmetric = to_numpy(vector)
    if kind == "softmax":
        away = np.eye(symmetric.shape[1]) - along_equal_changes(kind, True)
        symmetric = symmetric @ away
    close(objective.symmetric(vector), symmetric)


# -- what models share -----------------------------------------------------------------


@kinds
def test_some_of_the_models(kind, make, at, close):
    objective, parameters = make(kind, True), at(PARAMETERS, kind, True)
    chosen = np.asarray([2, 0])
    part = objective.select(chosen).value_and_gradient(
        at(PARAMETERS, kind, True, chosen)
    )
    whole = objective.value_and_gradient(parameters).select(chosen)
    close(part.value, to_numpy(whole.value))
    close(part.gradient, to_numpy(whole.gradient))


@pytest.mark.parametrize("indexed", [True, False])
@intercepts
@kinds
def test_resamples_at_the_parameters_of_their_model(
    kind, fit_intercept, indexed, make, at, close, xp, device
):
    """Counts times losses of one model are what each resample's own pass finds."""
    objective = make(kind, fit_intercept)
    targets = objective.responses.targets[:, :1]
    weights, counts = objective.responses.weights, objective.responses.counts
    count_of, resample_of = np.arange(MODELS), np.zeros(MODELS, dtype=int)
    if indexed:  # two models, in all ways to count
        count_of, resample_of = np.asarray([0, 1, 2, 0, 1, 2]), np.repeat([0, 1], 3)
    many = Objective(
        objective.design,
        Responses(
            len(count_of),
            targets,
            weights,
            counts,
            count_of=xp.asarray(count_of, device=device) if indexed else None,
            resample_of=resample_of,
        ),
        objective.loss,
        L2Penalty(objective.penalty.strength[:1, ...]),
        fit_intercept=fit_intercept,
        units=None,
    )
    pooled, of = many.pooled()
    np.testing.assert_array_equal(of, resample_of)
    parameters = at(PARAMETERS, kind, fit_intercept, slice(0, pooled.n_models))
    together = many.at_pooled(pooled, parameters, of)
    spread = at(PARAMETERS, kind, fit_intercept, of)
    expected = many.value_and_gradient(spread)
    close(together.value, to_numpy(expected.value))
    close(together.gradient, to_numpy(expected.gradient))
    ones = Responses(pooled.n_models, targets, weights)
    plain = pooled._with_models(ones, pooled.penalty).value_and_gradient(parameters)
    close(pooled.value_and_gradient(parameters).value, to_numpy(plain.value))


@kinds
def test_models_that_share_a_hessian_solve_with_the_same(kind, make, at, close, place):
    objective, parameters = make(kind, True), at(PARAMETERS, kind, True)
    own = objective.hessian(parameters)
    of = np.asarray([2, 0, 2, 2])
    shared = own.select(of)
    vectors = at(VECTOR, kind, True, [0, 1, 2, 0])
    damping = at(np.asarray([[0.0], [0.1], [0.3], [0.2]]), "binary", False)[:, 0]
    found = to_numpy(shared.solver(damping)(vectors))
    blocks, diagonal = to_numpy(own.blocks)[:, 0], to_numpy(own.diagonal)
    largest = {2: 0.3, 0: 0.1}  # of the models that share a matrix
    for model, k in enumerate(of):
        damped = blocks[k] + largest[k] * np.diag(diagonal[k])
        expected = np.linalg.solve(damped, to_numpy(vectors)[model])
        np.testing.assert_allclose(
            found[model], expected, rtol=0, atol=1e-3 * np.abs(expected).max()
        )
    # And with a matrix of its own for one of them.
    mixed = shared.replace(np.asarray([3]), own.select(np.asarray([1])))
    order = [2, 0, 2, 1]
    close(mixed.diagonal, diagonal[order])
    close(mixed.select(np.asarray([3, 0])).diagonal, diagonal[[1, 2]])
