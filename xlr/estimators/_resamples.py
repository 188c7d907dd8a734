"""Models of resampled rows: training folds and bootstrap resamples."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack

from xlr import arrays
from xlr.data import Targets, TrainingData, column_statistics
from xlr.estimators._fit import Fitting
from xlr.inputs.dataset import LabelledDataset
from xlr.inputs.weights import balanced_factors
from xlr.losses import LogisticLoss
from xlr.objective import Objective
from xlr.penalties import Penalty
from xlr.text import listed, quoted, warn

# Minimum number of classes of a model, by the kind of the resamples. As in
# scikit-learn, a fold that trains on one class has a score.
MIN_CLASSES = {"fold": 1, "resample": 2}

# Advice if resamples lack classes, by the kind of the resamples.
ADVICE = {
    "fold": "Use fewer folds, or a splitter that shuffles and stratifies "
    "(sklearn.model_selection.StratifiedKFold(shuffle=True)).",
    "resample": "There are too few rows of the rarer classes to resample.",
}

# Strength of a penalty, in standardized units, from which a solver finds coefficients
# that the rows leave undetermined: above the rounding errors of a factor, or a thousand
# times the default tol.
MIN_STRENGTH = {"newton-cholesky": 1e-10, "proximal-newton": 1e-10}
DEFAULT_MIN_STRENGTH = 1e-3

# Rows per column that usually show whether the columns are linearly independent. A
# resample holds two thirds of them.
RANK_ROWS_PER_COLUMN = 3

# Minimum share of the sum of squares of a column that is not a sum of others: a number,
# and a multiple of the rounding errors of the Gram matrix.
MIN_RESIDUAL, MIN_RESIDUAL_ROUNDINGS = 1e-9, 100

# Maximum of the resamples times the cube of the columns for which ranks are found: they
# take 7 s (two cores of an x86 server).
MAX_RANK_WORK = 5e10


class ResampledModels(NamedTuple):
    """Models by resample, l1_ratio and C, on the host; NaN for unusable resamples.

    Attributes
    ----------
    coef : ndarray of shape (n_resamples, n_l1_ratios, n_Cs, n_logits, n_features)
    intercept : ndarray of shape (n_resamples, n_l1_ratios, n_Cs, n_logits)
        With the digits of the accumulation dtype.
    n_iter, converged : ndarray of shape (n_resamples, n_l1_ratios, n_Cs)
    usable : ndarray of int
        Indices of the resamples with enough classes.
    solver : str
        The solver of the last fit.
    """

    coef: np.ndarray
    intercept: np.ndarray
    n_iter: np.ndarray
    converged: np.ndarray
    usable: np.ndarray
    solver: str


def fit_resamples(
    estimator: Any,
    dataset: LabelledDataset,
    counts: np.ndarray,
    grid: tuple[np.ndarray, np.ndarray],
    kind: str,
) -> ResampledModels:
    """Fit the models of all resamples and penalties.

    A model leaves out the classes without weight. Resamples with the same classes have
    models of the same size, which are fitted together for each l1_ratio.

    Parameters
    ----------
    estimator : estimator
    dataset : LabelledDataset
    counts : ndarray of shape (n_samples, n_resamples)
        Copies of each row in each resample.
    grid : tuple of two ndarrays
        Values of l1_ratio and of C.
    kind : {'fold', 'resample'}

    Raises
    ------
    ValueError
        If no resample has weight in two classes.

    Warns
    -----
    ConvergenceWarning
        If some models did not converge.
    UserWarning
        If resamples have no weight in a class, or too few classes for a model.
    """
    features, (l1_ratios, Cs) = dataset.features, grid
    # 1. The classes with weight in each resample.
    is_ovr = dataset.class_weights.one_vs_rest
    spec = dataset.spec_of(one_vs_rest=False) if is_ovr else dataset.spec
    kept = dataset.class_weights.kept
    resampled = spec.data.resampled(spec.data.place_rows(counts), 1)
    totals = arrays.to_host(resampled.class_weights(kept.size)).astype(np.float64)
    has_class = totals > 0
    del resampled  # a copy of the counts on the device
    is_balanced = kind == "resample" and estimator.class_weight == "balanced"
    n_classes, min_classes = has_class.sum(axis=1), MIN_CLASSES[kind]
    if n_classes.max() < min(2, max(min_classes, kept.size)):
        raise ValueError(
            f"No {kind} has rows of positive weight in two classes. {ADVICE[kind]}"
        )
    is_usable = n_classes >= min_classes
    _warn_of_missing_classes(has_class, is_usable, dataset.kept_classes, kind)
    # 2. The models of the resamples with the same classes, per l1_ratio. Resamples that
    # leave coefficients undetermined are fitted alone.
    usable = np.nonzero(is_usable)[0]
    order = np.argsort(Cs, kind="stable")  # weaker and weaker penalties: a path
    shape = (is_usable.size, l1_ratios.size, Cs.size)
    n_iter, converged = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=bool)
    coef = np.full((*shape, *dataset.coef_shape), np.nan)
    intercept = np.full(coef.shape[:-1], np.nan)

    def fittings_of(members: np.ndarray, rows: LabelledDataset) -> list[Fitting]:
        """Return the fits of some resamples with the same classes, per l1_ratio."""
        pattern = has_class[members[0]]
        # With chunks, each new spec stores a copy of the targets on the workers.
        spec = rows.spec if pattern.all() else rows.spec_of(kept=kept[pattern])
        data = spec.data.resampled(spec.data.place_rows(counts[:, members]), Cs.size)
        if is_balanced:
            given = dataset.class_weights.factors[kept[pattern]]
            own = totals[members][:, pattern] / given  # without class weights
            own = balanced_factors(own, one_vs_rest=is_ovr)
            own = own.reshape(-1, 2) if is_ovr else own / given
            own = features.place(own, data.dtype)
            data = data.with_targets(partial(replace, class_factors=own))
        spec = replace(spec, data=data)
        C: Any = float(Cs[0])
        if Cs.size > 1:
            C = np.repeat(Cs[order], spec.data.targets.n_models // Cs.size)
            C = features.place(C, features.accumulation_dtype)
        ratios = l1_ratios.tolist()
        return [Fitting(estimator, rows, spec, C=C, l1_ratio=r) for r in ratios]

    def fit(members: np.ndarray, fittings: list[Fitting], warns: bool = True) -> bool:
        """Run the fits and store their models; return whether all have an optimum."""
        by_label, have_optimum = (Cs.size, members.size, -1), True
        for j, fitting in enumerate(fittings):
            solution = fitting.run(n_steps=Cs.size)
            if warns:
                have_optimum &= fitting.check_convergence(solution)
            index = members, j, order[:, None]
            n_iter[index] = solution.n_iter.reshape(by_label).max(axis=2)
            converged[index] = solution.converged.reshape(by_label).all(axis=2)
            fitted = fitting.problem.coefficients(solution.parameters)
            w, b, rest = map(arrays.to_host, fitted.values())
            coef[index] = w.reshape(*by_label[:2], *dataset.coef_shape)
            intercept[index] = (b + rest).reshape(by_label)
        return have_optimum

    for pattern in np.unique(has_class[usable], axis=0):
        members, warns = usable[(has_class[usable] == pattern).all(axis=1)], True
        fittings = fittings_of(members, dataset)
        solver = fittings[-1].solver_name
        if any(map(_is_weak, fittings)):
            objective = fittings[0].problem.objective
            alone = _loses_rank(objective, dataset, counts[:, members])
            for k in members[alone, None]:
                own = _standardized(dataset, counts[:, k[0]])
                # The first without an optimum warns: a test takes long.
                warns &= fit(k, fittings_of(k, own), warns)
            if alone.any():
                members = members[~alone]
                fittings = fittings_of(members, dataset) if members.size else []
        fit(members, fittings)
    return ResampledModels(coef, intercept, n_iter, converged, usable, solver)


def _is_weak(fitting: Fitting) -> bool:
    """Return whether the penalty is too weak for coefficients without other evidence.

    Models of resamples start at the model of all rows, and share its column statistics.
    A coefficient that the rows of a resample do not determine, such as that of a rare
    level, then keeps what the other rows say of it.
    """
    penalty, xp = fitting.problem.objective.penalty, fitting.problem.objective.xp
    strength = penalty.curvature
    if penalty.non_smooth is not None:
        strength = strength + penalty.non_smooth.l1
    limit = MIN_STRENGTH.get(fitting.solver_name, DEFAULT_MIN_STRENGTH)
    return bool(arrays.to_host(xp.min(strength)) < limit)


def _loses_rank(
    objective: Objective, dataset: LabelledDataset, counts: np.ndarray
) -> np.ndarray:
    """Return in which resamples the columns have a lower rank than in all rows.

    Where that would take long, return in which a column is constant.
    """
    n_resamples, q = counts.shape[1], objective.output_size
    loses_rank = np.zeros(n_resamples, dtype=bool)
    if objective.n_samples <= q:
        return loses_rank
    if n_resamples * q**3 > MAX_RANK_WORK:
        varies = arrays.to_host(dataset.statistics.std) > 0
        for k in range(n_resamples):
            own = _standardized(dataset, counts[:, k]).statistics
            loses_rank[k] = (varies & (arrays.to_host(own.std) == 0)).any()
        return loses_rank
    # 1. The rank in some rows, which is that in all rows for most designs. The models
    # of the first penalty come first.
    count_of = arrays.to_host(objective.data.targets.count_of)
    _, first = np.unique(count_of, return_index=True)
    data = objective.data.select(first)
    n = data.max_sample_size
    size = min(n, RANK_ROWS_PER_COLUMN * q)
    some = data.take_rows(np.arange(size) * n // max(1, size), data.dtype)
    Z = arrays.to_host(some.matrix.to_dense()).astype(np.float64)
    Z = np.column_stack([Z, np.ones((size, q - Z.shape[1]))])
    _, weights = some.targets.block(slice(0, size), xp=objective.xp)
    has_weight = arrays.to_host(weights) > 0
    tol = max(MIN_RESIDUAL, MIN_RESIDUAL_ROUNDINGS * objective.hessian_rounding)
    ranks = np.asarray([_rank(Z[rows].T @ Z[rows], tol) for rows in has_weight.T])
    if (ranks == q).all():
        return loses_rank
    # 2. The rank in all rows, and of resamples that do not reach it.
    one = np.zeros(1, dtype=np.int64)
    rank = _rank(_gram(objective, data.select(one).without_counts()), tol)
    for model in np.flatnonzero(ranks < rank)[:, None]:
        loses_rank[model] = _rank(_gram(objective, data.select(model)), tol) < rank
    return loses_rank


def _gram(objective: Objective, data: TrainingData) -> np.ndarray:
    """Return a multiple of the weighted Gram matrix of the columns of one model."""
    unpenalised = Penalty(objective.xp.zeros_like(objective.penalty.curvature[:1, ...]))
    # Without an offset, the curvature at zero is the same in all rows, for any labels.
    binary = Objective(
        data.with_targets(partial(replace, offset=None)),
        LogisticLoss(),
        unpenalised,
        fit_intercept=objective.fit_intercept,
    )
    return binary.hessian_on_host(binary.zeros())


def _rank(gram: np.ndarray, tol: float) -> int:
    """Return the rank of a Gram matrix, by a Cholesky factorisation with pivoting.

    :func:`~xlr.objective.find_aliased` also names the columns, but takes a step in
    Python for each column of a singular matrix.
    """
    diagonal = np.diagonal(gram)
    root = np.sqrt(np.where(diagonal > 0, diagonal, 1))
    return int(lapack.dpstrf(gram / root / root[:, None], tol=tol)[2])


def _standardized(dataset: LabelledDataset, counts: np.ndarray) -> LabelledDataset:
    """Return the dataset with the column statistics of a resample, if it is in memory.

    Columns that are constant in the resample then have no effect on its model.
    """
    data = dataset.spec.data
    if not data.in_memory:
        return dataset
    weights = data.targets.weights
    own = weights * arrays.move_like(counts[:, None], weights, weights.dtype)
    data = data.with_targets(lambda targets: Targets(1, targets.labels, own))
    return replace(dataset, statistics=column_statistics(data))


def _warn_of_missing_classes(
    has_class: np.ndarray, is_usable: np.ndarray, classes: list[Any], kind: str
) -> None:
    """Warn about resamples without weight in a class, or with too few classes."""
    few = "no class" if MIN_CLASSES[kind] == 1 else "fewer than two classes"
    cases = {f"have weight in {few}: they have no model, and give NaN": ~is_usable}
    for label, own in zip(classes, has_class.T):
        cases[
            f"have no weight in the class {quoted(label)}: their models leave it out, "
            "with a probability of 0"
        ] = ~own & is_usable
    sentences = [
        f"{kind.capitalize()}s {listed(np.nonzero(those)[0].tolist())} (of "
        f"{those.size}) {said}."
        for said, those in cases.items()
        if those.any()
    ]
    if sentences:
        warn(" ".join([*sentences, ADVICE[kind]]))


def count_rows(rows: list[np.ndarray], n_samples: int) -> np.ndarray:
    """Count how often each list holds each row, (n_samples, n_lists), in few bytes."""
    counts = (np.bincount(ids, minlength=n_samples) for ids in rows)
    small = [c.astype(np.uint8 if c.max() < 256 else np.int32) for c in counts]
    return np.stack(small, axis=1)
