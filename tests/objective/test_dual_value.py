"""The duality gap against the value of the dual, written with probabilities."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import entr, softmax

from xlr import arrays
from xlr.design import DenseDesign, Standardisation
from xlr.losses import LogisticLoss, SoftmaxLoss
from xlr.objective import Objective, Responses, duality_gap
from xlr.penalties import ElasticNetPenalty, Kinks, L2Penalty

N, MODELS = 30, 2
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, N)
# A column for each: ridge, lasso, lower and upper bound, and a coefficient within.
FINITE = np.asarray(
    [
        [0.8, 0.00, -np.inf, np.inf, 0.4],
        [1.0, 0.02, -np.inf, np.inf, -0.4],
        [1.0, 9.00, -np.inf, np.inf, 0.0],
        [1.0, 0.02, -0.1, 0.1, 0.1],
        [1.0, 0.00, 0.0, np.inf, 0.3],
        [1.0, 0.00, -np.inf, 0.0, -0.2],
        [0.0, 0.02, -0.5, 0.3, 0.0],
        [0.0, 0.00, -1.0, 1.0, 0.5],
        [0.0, 0.02, 0.1, 0.5, 0.2],
        [1.0, 0.02, -0.5, -0.1, -0.3],
        [0.0, 0.02, 0.2, 0.2, 0.2],
        [0.0, 9.00, -0.4, 0.4, 0.0],
    ]
).T
RIDGE = np.asarray([[1.0, 0.0, -np.inf, np.inf, 0.4]] * 4).T
LASSO = np.asarray([[0.0, 0.02, -np.inf, np.inf, 0.3]] * 4).T
HALF = np.asarray([[0.0, 0.02, 0.0, np.inf, 0.3], [0.0, 0.02, -np.inf, 0.1, 0.0]]).T
COLUMNS = {
    "finite": FINITE,
    "ridge": RIDGE,
    "lasso": LASSO,
    "half": HALF,
    "both": np.hstack([FINITE, LASSO]),
}
binary_or_not = pytest.mark.parametrize("n_classes", [2, 3])


class Problem:
    """Two models with targets of their own, and coefficients where they may be."""

    def __init__(
        self,
        columns,
        n_classes,
        *,
        intercept=False,
        raw=False,
        factors=None,
        offset=None,
        blank=False,
    ):
        self.columns, self.n_classes, self.factors = columns, n_classes, factors
        self.intercept, self.offset = intercept, offset
        ridge, lasso, lower, upper, coef = columns[:, None, None, :]
        X = np.random.default_rng(1).normal(size=(N, columns.shape[1]))
        if intercept:
            X = X - WEIGHTS @ X / WEIGHTS.sum()
            X = X / np.sqrt(WEIGHTS @ X**2 / WEIGHTS.sum())
        if blank:
            X[:, -1] = 0
        units = None
        if raw:
            scale, mean = np.linspace(0.5, 1.5, len(X.T)), np.linspace(-1, 1, len(X.T))
            X, units = X * scale + mean, Standardisation(mean, scale)
        self.X = X
        y = np.random.default_rng(2).integers(0, n_classes, (N, MODELS))
        self.y = y
        one_sided = (lasso > 0).any() or np.isfinite([lower, upper]).any()
        kinks = Kinks(lasso, lower, upper)
        self.objective = Objective(
            DenseDesign(X, None, offset, xp=arrays.namespace(X)),
            Responses(MODELS, y.astype(float), WEIGHTS[:, None], class_factors=factors),
            LogisticLoss() if n_classes == 2 else SoftmaxLoss(n_classes),
            ElasticNetPenalty(ridge, kinks) if one_sided else L2Penalty(ridge),
            fit_intercept=intercept,
            units=units,
        )
        shape = MODELS, self.objective.n_outputs, len(X.T)
        sizes = np.asarray([0.2, 0.1])[:, None, None]
        self.coef = np.broadcast_to(np.clip(sizes * coef, lower, upper), shape)
        # Not quite what they are without coefficients.
        shares = [
            [self.weights(k) @ (y[:, k] == c) for c in range(n_classes)]
            for k in range(MODELS)
        ]
        logits = np.log(shares) + 0.05 * np.arange(n_classes)
        self.intercepts = (logits - logits[:, :1])[:, -shape[1] :]

    def weights(self, k):
        factors = 1.0 if self.factors is None else self.factors[k][self.y[:, k]]
        return WEIGHTS * factors

    @property
    def parameters(self):
        parts = [self.coef] + self.intercept * [self.intercepts[:, :, None]]
        return np.concatenate(parts, axis=2).reshape(MODELS, -1)

    def check(self):
        at = self.objective.value_and_gradient(self.parameters)
        with arrays.quiet():
            found = duality_gap(self.objective, self.parameters, at)
        expected = [self._of_model(k) for k in range(MODELS)]
        np.testing.assert_allclose(found, expected, rtol=1e-7)
        assert (found < at.value).any()  # else it would say nothing

    def _of_model(self, k):
        """F less the bound on its dual."""
        logits = self.X @ self.coef[k].T + self.intercept * self.intercepts[k]
        if self.offset is not None:
            logits = logits + self.offset
        p = probabilities(logits)
        own = np.eye(self.n_classes)[self.y[:, k]]
        s = self.weights(k)
        # Of what is known of the columns, one weight for all models.
        most = 1.0 if self.factors is None else self.factors[k].max()
        squares = np.ones(len(self.X.T))
        if self.objective.units is not None:
            squares = WEIGHTS @ self.X**2 / WEIGHTS.sum()
        spread = np.sqrt(squares * most * WEIGHTS.sum() / s.sum())
        s = s / s.sum()

        ridge, lasso, lower, upper, _ = self.columns
        penalty = np.sum(ridge * self.coef[k] ** 2 / 2 + lasso * np.abs(self.coef[k]))
        value = penalty - s @ np.log((own * p).sum(axis=1))
        # The most of the probabilities that is no more of any class than there is.
        mixed = 0.0
        if self.intercept:
            mixed = 1 - np.min((s @ own) / (s @ p), initial=1.0)
        slope = (1 - mixed) * ((s[:, None] * (own - p)).T @ self.X)
        slope = slope[-len(self.coef[k]) :]
        endless = (ridge == 0) & ~(np.isfinite(lower) & np.isfinite(upper))
        size = np.abs(slope) + mixed * spread
        # What is nothing already may stay.
        shares = np.divide(lasso, size, where=size > 0, out=np.ones_like(size))
        kept = shares[:, endless].min(initial=1.0)
        conjugates = [
            max(conjugate(kept * (v + u), *column) for u in (-mixed * r, mixed * r))
            for row in slope
            for v, r, column in zip(row, spread, self.columns[:4].T)
        ]
        fixed = s @ entr(p).sum(axis=1)
        if self.offset is not None:
            moved = (p - own)[:, -self.offset.shape[1] :] * self.offset
            most = 2 * np.abs(self.offset).max(axis=1)  # with other probabilities
            fixed += s @ moved.sum(axis=1) - mixed / (1 - mixed) * (s @ most)
        dual = kept * (1 - mixed) * fixed - sum(conjugates)
        return min(value - dual, value)


def conjugate(v, ridge, lasso, lower, upper):
    """sup over w of v w - ridge w^2 / 2 - lasso |w|, by search."""
    found = minimize_scalar(
        lambda w: ridge * w**2 / 2 + lasso * abs(w) - v * w,
        bounds=(max(lower, -100.0), min(upper, 100.0)),
        method="bounded",
        options={"xatol": 1e-12},
    )
    zero = [0.0] if lower <= 0 <= upper else []
    return max([-found.fun, *zero])


def probabilities(logits):
    if logits.shape[-1] == 1:
        logits = np.concatenate([0 * logits, logits], axis=-1)
    return softmax(logits, axis=-1)


@binary_or_not
@pytest.mark.parametrize("kind", list(COLUMNS))
def test_without_an_intercept_it_is_f_less_its_dual(kind, n_classes):
    Problem(COLUMNS[kind], n_classes).check()


@binary_or_not
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("kind", list(COLUMNS))
def test_with_an_intercept_as_much_is_left_as_is_of_each_class(kind, raw, n_classes):
    Problem(COLUMNS[kind], n_classes, intercept=True, raw=raw).check()


@binary_or_not
@pytest.mark.parametrize("kind", ["ridge", "lasso", "both"])
def test_a_column_of_zeros_without_a_penalty_is_no_loss(kind, n_classes):
    free = np.asarray([[0.0, 0.0, -np.inf, np.inf, 0.0]]).T
    Problem(np.hstack([COLUMNS[kind], free]), n_classes, blank=True).check()


@binary_or_not
@pytest.mark.parametrize("kind", ["ridge", "lasso"])
def test_another_column_without_a_penalty_leaves_nothing_to_say(kind, n_classes):
    free = np.asarray([[0.0, 0.0, -np.inf, np.inf, 0.1]]).T
    problem = Problem(np.hstack([COLUMNS[kind], free]), n_classes)
    at = problem.objective.value_and_gradient(problem.parameters)
    found = duality_gap(problem.objective, problem.parameters, at)
    np.testing.assert_allclose(found, at.value, rtol=1e-12)


@pytest.mark.parametrize("intercept", [False, True])
def test_with_weights_of_the_classes(intercept):
    factors = np.asarray([[0.5, 2.0], [3.0, 1.5]])
    Problem(RIDGE, 2, intercept=intercept, factors=factors).check()


@binary_or_not
@pytest.mark.parametrize("intercept", [False, True])
def test_with_an_offset(intercept, n_classes):
    shape = N, 1 if n_classes == 2 else n_classes
    offset = np.random.default_rng(3).normal(size=shape) / 10
    Problem(LASSO, n_classes, intercept=intercept, offset=offset).check()


@pytest.mark.parametrize(
    "p", [[0.7, 0.3], [0.4, 0.6], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.4, 0.6, 0.0]]
)
@pytest.mark.parametrize("shares", [[0.5, 0.5, 0.0], [0.4, 0.5, 0.1], [0.6, 0.1, 0.3]])
def test_of_an_intercept_alone(p, shares):
    """No coefficient brings anything, so that the entropy is all there is."""
    n = 20
    shares = np.asarray(shares[: len(p)]) / np.sum(shares[: len(p)])
    y = np.repeat(np.arange(len(p)), np.round(n * shares).astype(int)).astype(float)
    shares = np.bincount(y.astype(int), minlength=len(p)) / len(y)
    X = np.zeros((len(y), 1))
    problem = Objective(
        DenseDesign(X, None, xp=arrays.namespace(X)),
        Responses(1, y[:, None], np.ones((len(y), 1))),
        LogisticLoss() if len(p) == 2 else SoftmaxLoss(len(p)),
        L2Penalty(np.full((1, 1, 1), 1e12)),
        fit_intercept=True,
        units=None,
    )
    p = np.asarray(p)
    log_p = np.log(np.maximum(p, 1e-300)) - 100 * (p == 0)  # exp is 0 there
    logits = log_p[1:] - log_p[:1] if len(p) == 2 else log_p
    parameters = np.column_stack([0 * logits, logits]).reshape(1, -1)
    with arrays.quiet():
        at = problem.value_and_gradient(parameters)
        found = duality_gap(problem, parameters, at)
    most = np.min(shares[p > 0] / p[p > 0], initial=1.0)
    expected = -shares @ log_p - most * entr(p).sum()
    np.testing.assert_allclose(found, [expected], rtol=1e-9)
