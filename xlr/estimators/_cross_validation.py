"""Resamples of rows and their models: folds, their scores, a choice; and bootstraps."""

from __future__ import annotations

import copy
import inspect
import math
import operator
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack
from sklearn.base import BaseEstimator, ClassifierMixin

from xlr import arrays, numpy_namespace
from xlr.arrays import Array
from xlr.data import Block, Targets, TrainingData, column_statistics, is_matrix
from xlr.estimators._fit import Fitting
from xlr.estimators.base import (
    LinearClassifier,
    class_codes,
    linear_predictor,
    log_probabilities,
    one_or_more,
    probabilities,
)
from xlr.functions import log_sigmoid
from xlr.inputs.dataset import LabelledDataset, loss_of
from xlr.inputs.features import Features
from xlr.inputs.labels import on_host
from xlr.inputs.weights import balanced_factors
from xlr.losses import LogisticLoss, Loss
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


# -- folds -----------------------------------------------------------------------------


def read_folds(
    splitter: Any, y: np.ndarray, metadata: dict[str, Any]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the row numbers of the training and of the test rows of each fold.

    Parameters
    ----------
    splitter : scikit-learn splitter
    y : ndarray of shape (n_samples,)
        Labels, on the host.
    metadata : dict
        Metadata for the splitter, such as ``groups``.

    Raises
    ------
    ValueError
        If there are no folds, or if a fold is not a pair of row numbers or tests on no
        row.
    """
    n_samples = y.shape[0]
    # A splitter needs only the number of rows of X, so X does not move.
    splits = list(splitter.split(np.zeros((n_samples, 1)), y, **metadata))
    if not splits:
        raise ValueError("cv has no folds: give it at least one (train, test) pair.")
    trains, tests = (
        # Row numbers may count from the end, or be a mask.
        [np.arange(n_samples)[split[part]] for split in splits]
        for part in (0, 1)
    )
    if not all(test.size for test in tests):
        raise ValueError("cv has a fold without rows to test on.")
    return trains, tests


def count_rows(rows: list[np.ndarray], n_samples: int) -> np.ndarray:
    """Count how often each list holds each row, (n_samples, n_lists), in few bytes."""
    counts = (np.bincount(ids, minlength=n_samples) for ids in rows)
    small = [c.astype(np.uint8 if c.max() < 256 else np.int32) for c in counts]
    return np.stack(small, axis=1)


# -- models of resamples ---------------------------------------------------------------


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


# -- scores ----------------------------------------------------------------------------


def held_out_likelihood(
    dataset: LabelledDataset, tests: list[np.ndarray], coef: Array, intercept: Array
) -> np.ndarray:
    """Return the mean log-likelihood of the held-out rows of each fold.

    It is scikit-learn's ``'neg_log_loss'``, computed from logits, for all models in one
    pass.

    Parameters
    ----------
    dataset : LabelledDataset
    tests : list of ndarrays
        Row numbers of the held-out rows of each fold.
    coef : array of shape (n_folds, n_models, n_outputs, n_features)
    intercept : array of shape (n_folds, n_models, n_outputs)
        In the accumulation dtype.

    Returns
    -------
    ndarray of shape (n_folds, n_models)
        NaN for a fold whose held-out rows have no weight.
    """
    data = dataset.labelled_data
    loss = loss_of(dataset.totals.shape[0])
    counts = data.place_rows(count_rows(tests, data.n_samples))
    arguments = loss, dataset.class_weights.one_vs_rest, coef, intercept
    width = 4 * coef.shape[1] * coef.shape[2]
    total, weight = data.map_reduce(
        _held_out_loss, *arguments, width=width, per_row=counts
    )
    with arrays.quiet():
        return -arrays.to_host(total / weight[:, None])


@arrays.quiet()
def _held_out_loss(
    block: Block,
    loss: Loss,
    one_vs_rest: bool,
    coef: Array,
    intercept: Array,
    counts: np.ndarray,
) -> tuple[Array, ...]:
    """Return the weighted sums of the losses, (n_folds, n_models), and the weights.

    No probability is below eps of the widest dtype, as in scikit-learn's
    ``LogisticRegressionCV``.
    """
    xp, dtype = block.xp, block.matrix.dtype
    max_logit = float(xp.finfo(dtype).max) / 4  # so that differences are finite
    max_loss = -math.log(float(xp.finfo(block.accumulation_dtype).eps))
    numbers, sums = np.arange(counts.shape[0]), []
    for fold in range(coef.shape[0]):
        ids = np.repeat(numbers, counts[:, fold])
        ids = arrays.move(ids, xp=xp, device=arrays.device_of(block.weights))
        eta = _logits_of_models(block, ids, coef[fold, ...], intercept[fold, ...])
        if one_vs_rest:  # its probabilities are divided by their sum
            eta = log_sigmoid(eta)
        labels = xp.take(xp.astype(block.labels, dtype), ids, axis=0)
        # A class without weight has an infinite intercept.
        eta = arrays.clip(eta, -max_logit, max_logit, xp=xp)
        value, _ = loss.value_and_gradient(eta, labels, xp=xp)
        value = arrays.clip(value, None, max_loss, xp=xp)
        weights = xp.take(block.weights, ids, axis=0)
        sums.append((xp.sum(weights * value, axis=0), xp.sum(weights)))
    return tuple(xp.stack(list(part)) for part in zip(*sums))


def held_out_scores(
    scorer: Callable[..., float],
    dataset: LabelledDataset,
    y: np.ndarray,
    metadata: dict[str, Any],
    tests: list[np.ndarray],
    coef: Array,
    intercept: Array,
) -> np.ndarray:
    """Return the scores of the held-out rows of each fold, by a scikit-learn scorer.

    Each model that the scorer gets holds the logits of the scored rows, on the host.
    One pass computes the logits of all models of a fold. The rows are in ascending
    order; with chunks of Dask, X holds row numbers.

    Parameters
    ----------
    scorer : callable
    dataset : LabelledDataset
    y : ndarray of shape (n_samples,)
    metadata : dict
        Metadata for the scorer: arrays with an entry for each row of X, or other
        values.
    tests, coef, intercept
        As in :func:`held_out_likelihood`.

    Returns
    -------
    ndarray of shape (n_folds, n_models)
    """
    data, features = dataset.labelled_data, dataset.features
    one_vs_rest = dataset.class_weights.one_vs_rest
    metadata, scores = on_host(metadata), []
    for i, test in enumerate(map(np.sort, tests)):
        w, b = coef[i, ...], intercept[i, ...]
        counts = data.place_rows(count_rows([test], data.n_samples))
        options = {"width": w.shape[0] * w.shape[1], "combine": operator.add}
        blocks = data.map_reduce(_test_logits, w, b, per_row=counts, **options)
        logits, X = np.concatenate(blocks), test[:, None]
        if data.in_memory:
            X, ids, xp = features.X, features.place(test, None), features.xp
            X = X.take_rows(ids) if is_matrix(X) else arrays.take_rows(X, ids, xp=xp)
        given = {
            name: np.asarray(v)[test] if np.shape(v)[:1] == y.shape else v
            for name, v in metadata.items()
        }
        for k in range(w.shape[0]):
            model = LinearClassifier()
            model.coef_, model.intercept_ = w[k, ...], b[k, ...]
            model.classes_, model._one_vs_rest = dataset.classes, one_vs_rest
            model._has_offset = data.targets.offset is not None
            scored = ScoredModel(model, X, logits[:, k, :])
            scores.append(float(scorer(scored, X, y[test], **given)))
    return np.asarray(scores).reshape(len(tests), -1)


def _test_logits(
    block: Block, coef: Array, intercept: Array, counts: np.ndarray
) -> tuple[np.ndarray]:
    """Return the logits of the counted rows: (n_rows, n_models, n_outputs)."""
    ids = np.repeat(np.arange(counts.shape[0]), counts[:, 0])
    ids = arrays.move(ids, xp=block.xp, device=block.matrix.device)
    return (arrays.to_host(_logits_of_models(block, ids, coef, intercept)),)


def _logits_of_models(block: Block, ids: Array, coef: Array, intercept: Array) -> Array:
    """Return the logits of some rows for each model: (n_rows, n_models, n_outputs)."""
    xp, shape = block.xp, coef.shape
    coef, intercept = xp.reshape(coef, (-1, shape[2])), xp.reshape(intercept, (-1,))
    eta = linear_predictor(block.matrix.take_rows(ids), coef, intercept)
    eta = xp.reshape(eta, (-1, *shape[:2]))
    if block.offset is None:
        return eta
    return eta + xp.take(block.offset, ids, axis=0)[:, None, :]


def with_class_labels(
    scorer: Callable[..., float], classes: np.ndarray
) -> Callable[..., float]:
    """Return a scorer with all classes as the ``labels`` of its metric, if possible.

    Scored rows may lack some classes. scikit-learn's ``LogisticRegressionCV`` does the
    same.
    """
    metric: Any = getattr(scorer, "_score_func", None)
    taken = {} if metric is None else inspect.signature(metric).parameters
    if "labels" not in taken:
        return scorer
    known: dict[str, Any] = {"labels": classes}
    if "pos_label" in taken and classes.shape[0] == 2:
        known["pos_label"] = classes[1]
    changed: Any = copy.copy(scorer)
    changed._kwargs = {**known, **changed._kwargs}
    return changed


class ScoredModel(ClassifierMixin, BaseEstimator):
    """A fitted model for the scorers of scikit-learn, with NumPy results.

    It has the attributes that the fit stored, for scorers that read them.

    Parameters
    ----------
    model : LinearClassifier
        The model, which predicts any other rows.
    X : array or matrix
        The rows to score.
    logits : ndarray of shape (n_samples,) or (n_samples, n_columns)
        Logits of these rows.
    """

    def __init__(self, model: LinearClassifier, X: Any, logits: np.ndarray) -> None:
        self.__dict__.update(vars(model))
        self.classes_ = arrays.to_host(model.classes_)
        self.model, self.X, self.logits = model, X, logits
        self.is_ovr = model._is_one_vs_rest

    def fit(self, X: Array, y: Array) -> ScoredModel:
        """Do nothing: the model is fitted."""
        return self

    def _logits(self, X: Array, offset: Array | None) -> np.ndarray:
        """Return the logits of rows: (n_rows, n_columns)."""
        logits = self.logits
        if X is not self.X:
            logits = arrays.to_host(self.model.decision_function(X, offset))
        # A class without weight has an infinite intercept, which metrics refuse. The
        # result is a copy, which functions of the logits may overwrite.
        largest = np.finfo(logits.dtype).max
        return np.clip(logits, -largest, largest).reshape(logits.shape[0], -1)

    def decision_function(self, X: Array, offset: Array | None = None) -> np.ndarray:
        """Return the logits."""
        return one_or_more(self._logits(X, offset), xp=numpy_namespace)

    def predict_proba(self, X: Array, offset: Array | None = None) -> np.ndarray:
        """Return the probabilities of the classes."""
        return probabilities(self._logits(X, offset), self.is_ovr, xp=numpy_namespace)

    def predict_log_proba(self, X: Array, offset: Array | None = None) -> np.ndarray:
        """Return the logarithms of the probabilities."""
        logits = self._logits(X, offset)
        return log_probabilities(logits, self.is_ovr, xp=numpy_namespace)

    def predict(self, X: Array, offset: Array | None = None) -> np.ndarray:
        """Return the most probable classes."""
        codes = class_codes(self._logits(X, offset), xp=numpy_namespace)
        return self.classes_[codes]


# -- choice of a model -----------------------------------------------------------------


@arrays.quiet()
def mean_over_folds(
    coef: np.ndarray, intercept: np.ndarray, features: Features
) -> dict[str, Array]:
    """Average the models of the folds, in the format of :meth:`Problem.coefficients`.

    A class counts only in the models that have it; in the others, its intercept is
    infinite. If no model has it, its intercept stays that of the first fold.

    Parameters
    ----------
    coef : ndarray of shape (n_folds, n_logits, n_features)
    intercept : ndarray of shape (n_folds, n_logits)
    features : Features
    """
    mean = np.ma.masked_invalid(intercept).mean(axis=0).filled(intercept[0])
    is_left_out = np.broadcast_to(np.isinf(intercept)[..., None], coef.shape)
    mean_coef = np.ma.array(coef, mask=is_left_out).mean(axis=0).filled(0.0)
    rounded = features.place(mean, features.dtype)
    rest = np.where(np.isinf(mean), 0.0, mean - arrays.to_host(rounded))
    return {
        "coef_": features.place(mean_coef, features.dtype),
        "intercept_": rounded,
        "_intercept_rounding": features.place(rest, features.accumulation_dtype),
    }


@arrays.quiet()
def best_models(scores: np.ndarray, *, by_fold: bool) -> np.ndarray:
    """Return the index of the model with the highest mean score, or one per fold.

    Parameters
    ----------
    scores : ndarray of shape (n_folds, n_models)
        NaN for a model without a score, which does not count.
    by_fold : bool

    Returns
    -------
    ndarray of int, (1,) or (n_folds,)

    Raises
    ------
    ValueError
        If no model has a score, or if a fold has no score.
    """
    if not by_fold:
        n_known = np.sum(~np.isnan(scores), axis=0, keepdims=True)
        scores = np.nansum(scores, axis=0, keepdims=True) / n_known
    if np.isnan(scores).all(axis=1).any():
        raise ValueError(
            f"All scores{' of a fold' * by_fold} are NaN, so no model is the best. Use "
            "a scoring that returns numbers, or other folds."
        )
    return np.nanargmax(scores, axis=1)
