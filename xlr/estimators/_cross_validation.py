"""Cross-validation: the rows of each fold, and the models of all folds."""

from __future__ import annotations

import inspect
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn import get_config
from sklearn.metrics import make_scorer

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block, fetch, parts_of
from xlr.estimators._fit import Fitting, Listener
from xlr.estimators.base import LinearClassifier, logits, one_or_more
from xlr.estimators.dataset import LabelledDataset, ModelSpec, loss_of
from xlr.functions import log_sigmoid
from xlr.inputs.features import is_matrix
from xlr.inputs.labels import with_plain_integers
from xlr.inputs.weights import place_weights
from xlr.losses import Loss
from xlr.text import quoted, warn


class Group(NamedTuple):
    """Ways to count the rows that give weight to the same classes.

    Attributes
    ----------
    members : ndarray of int
        Indices of these ways.
    kept : ndarray of int
        The classes with weight, as codes of the spec.
    """

    members: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Folds:
    """Folds of a splitter, and those with rows to train on.

    Attributes
    ----------
    tests : list of ndarrays
        Row numbers that each fold is tested on.
    usable : ndarray of int
        The folds with rows of positive weight to train on.
    groups : list of Group
        Groups of the usable folds, by their indices.
    counts : list of arrays of shape (n_samples, n_members), or of PerRow
        How often the folds of each group train on each row.
    """

    tests: list[np.ndarray]
    usable: np.ndarray
    groups: list[Group]
    counts: list[Any]


def small_counts(numbers: list[np.ndarray], n_samples: int) -> np.ndarray:
    """Count each row in lists of row numbers, (n_samples, n_lists), in few bytes."""
    counts = [np.bincount(rows, minlength=n_samples) for rows in numbers]
    most = max(int(count.max()) for count in counts)
    dtype = np.uint8 if most < 256 else np.int32
    return np.stack([count.astype(dtype) for count in counts], axis=1)


def has_weight(spec: ModelSpec, counts: Any) -> np.ndarray:
    """Return which classes have weight, for each way to count the rows.

    Returns
    -------
    ndarray of bool, (n_counts, n_classes)
    """
    data = spec.resampled(counts, 1).data
    return arrays.to_host(data.class_weights(spec.n_classes)) > 0


def groups_of(weighs: np.ndarray, usable: np.ndarray) -> list[Group]:
    """Group ways to count the rows by the classes with weight.

    Parameters
    ----------
    weighs : ndarray of bool, (n_counts, n_classes)
    usable : ndarray of int
        Indices of the ways to group.
    """
    patterns, group_of = np.unique(weighs[usable], axis=0, return_inverse=True)
    return [
        Group(usable[group_of.reshape(-1) == i], np.nonzero(pattern)[0])
        for i, pattern in enumerate(patterns)
    ]


def joined(groups: list[Group], n_counts: int, parts: list[Array]) -> Array:
    """Return the arrays of all groups as one, in the order of the ways to count.

    Rows of ways outside all groups are NaN.
    """
    xp = arrays.namespace(parts[0])
    members = np.concatenate([group.members for group in groups])
    order = np.full(n_counts, members.size)
    order[members] = np.arange(members.size)
    nan = xp.full_like(parts[0][:1, ...], xp.nan)
    return arrays.rows(xp.concat([*parts, nan]), order)


def read_folds(
    splitter: Any, y: np.ndarray, dataset: LabelledDataset, metadata: dict[str, Any]
) -> Folds:
    """Read the folds of a splitter, and the classes in them.

    Parameters
    ----------
    splitter : splitter of scikit-learn's
    y : ndarray of shape (n_samples,)
        Labels, on the host.
    dataset : LabelledDataset
    metadata : dict
        Metadata for the splitter, such as ``groups``.

    Raises
    ------
    ValueError
        If there are no folds, if a fold is not a pair of row numbers or tests on no
        row, or if no fold has two classes to train on.

    Warns
    -----
    UserWarning
        If folds have no weight to train on, or no weight in a class.
    """
    n_samples = y.shape[0]
    # A splitter needs only the number of rows of X, so X does not move.
    try:
        splits = list(splitter.split(np.zeros((n_samples, 1)), y, **metadata))
    except TypeError as error:
        raise ValueError(
            f"cv must give pairs (train, test) of row numbers: {error}."
        ) from error
    except ValueError as error:
        if "'groups' parameter" not in str(error) or "groups" in metadata:
            raise
        name = type(splitter).__name__
        raise ValueError(
            f"cv={name} needs the group of each row: {error} Call "
            "sklearn.set_config(enable_metadata_routing=True), and pass groups= to fit."
        ) from error
    if not splits:
        raise ValueError("cv has no folds: give it at least one (train, test) pair.")
    trains, tests = (
        [_chosen(split[part], n_samples, f"fold {k}") for k, split in enumerate(splits)]
        for part in (0, 1)
    )
    for k, test in enumerate(tests):
        if test.size == 0:
            raise ValueError(f"cv has no rows to test on in fold {k}.")
    counts = small_counts(trains, n_samples)
    spec = dataset.of_all_classes
    weighs = has_weight(spec, spec.data.place_rows(counts))
    if weighs.sum(axis=1).max() < min(2, spec.n_classes):
        raise ValueError(
            "No fold has samples of two classes to train on. Use fewer folds, or a "
            "splitter that shuffles and stratifies (sklearn.model_selection."
            "StratifiedKFold(shuffle=True))."
        )
    usable = np.nonzero(weighs.any(axis=1))[0]
    _warn_of_left_out(weighs, dataset)
    groups = groups_of(weighs, usable)
    placed = [spec.data.place_rows(counts[:, group.members]) for group in groups]
    return Folds(tests, usable, groups, placed)


def _warn_of_left_out(weighs: np.ndarray, dataset: LabelledDataset) -> None:
    sentences = []
    empty = np.nonzero(~weighs.any(axis=1))[0]
    if empty.size:
        sentences.append(
            f"Of the {weighs.shape[0]} folds, those with the numbers {empty.tolist()} "
            "have no rows of positive weight to train on; their scores are NaN and do "
            "not count."
        )
    for label, own in zip(dataset.kept_classes, weighs.T):
        without = np.nonzero(~own & weighs.any(axis=1))[0]
        if without.size:
            sentences.append(
                f"Of the {weighs.shape[0]} folds, those with the numbers "
                f"{without.tolist()} train on no row of the class {quoted(label)} that "
                "has weight: their models leave it out, with a probability of 0."
            )
    if sentences:
        advice = "Use a splitter that stratifies, or fewer folds."
        warn(" ".join([*sentences, advice]))


def _chosen(numbers: Any, n_samples: int, fold: str) -> np.ndarray:
    """Return row numbers of a splitter, which may count from the end or be a mask."""
    try:
        return np.arange(n_samples)[numbers]
    except IndexError as error:
        raise ValueError(
            f"cv has row numbers in {fold} that do not fit {n_samples} rows: {error}."
        ) from error


@dataclass(frozen=True)
class FoldModels:
    """Models of the folds, by fold, share of L1 and C; NaN for unusable folds.

    Attributes
    ----------
    coef : array of shape (n_folds, n_l1_ratios * n_Cs, n_columns, n_features)
        Coefficients, ordered by share of L1 and then by C.
    intercept : array of shape (n_folds, n_l1_ratios * n_Cs, n_columns)
        Intercepts, in the widest dtype.
    n_iter : ndarray of shape (n_folds, n_l1_ratios * n_Cs)
    converged : bool
    solver : str
        The solver of the last fit.
    """

    coef: Array
    intercept: Array
    n_iter: np.ndarray
    converged: bool
    solver: str

    @arrays.quiet()
    def mean_of(self, folds: np.ndarray, models: np.ndarray) -> dict[str, Array]:
        """Return the mean coefficients of one model of each of some folds.

        The format is that of :meth:`Problem.coefficients`. The mean of a class is over
        the folds whose models have the class.
        """
        xp = arrays.namespace(self.coef)
        coef, intercept = (
            xp.stack([values[int(i), int(k), ...] for i, k in zip(folds, models)])
            for values in (self.coef, self.intercept)
        )
        known = xp.isfinite(intercept)
        n_known = xp.sum(xp.astype(known, intercept.dtype), axis=0)
        divisor = xp.maximum(n_known, xp.ones_like(n_known))
        mean = xp.where(known, intercept, xp.zeros_like(intercept))
        mean = xp.sum(mean, axis=0) / divisor
        # If no fold has the class, all have the same infinity.
        intercept = xp.where(n_known > 0, mean, intercept[0, ...])
        coef = xp.where(known[..., None], coef, xp.zeros_like(coef))
        coef = xp.sum(coef, axis=0) / xp.astype(divisor, coef.dtype)[..., None]
        rounded = xp.astype(intercept, coef.dtype)
        rest = intercept - xp.astype(rounded, intercept.dtype)
        rest = xp.where(xp.isfinite(rest), rest, xp.zeros_like(rest))
        return {"coef_": coef, "intercept_": rounded, "_intercept_rest": rest}


def fit_folds(
    estimator: Any,
    dataset: LabelledDataset,
    folds: Folds,
    grid: tuple[np.ndarray, np.ndarray],
    listener: Callable[[Fitting], Listener | None],
) -> FoldModels:
    """Fit the models of all folds and penalties, together for each share of L1.

    Parameters
    ----------
    estimator : LogisticRegressionCV
    dataset : LabelledDataset
    folds : Folds
    grid : tuple of two ndarrays
        Shares of L1 and values of C.
    listener : callable
        Takes a fitting; returns a function to call after its iterations.

    Warns
    -----
    ConvergenceWarning
        If some models did not converge.
    """
    parts = [
        _fit_group(estimator, dataset, group, counts, grid, listener)
        for group, counts in zip(folds.groups, folds.counts)
    ]
    n_folds = len(folds.tests)
    n_iter = np.zeros((n_folds, grid[0].size * grid[1].size), dtype=np.int32)
    for group, part in zip(folds.groups, parts):
        n_iter[group.members] = part.n_iter
    return FoldModels(
        joined(folds.groups, n_folds, [part.coef for part in parts]),
        joined(folds.groups, n_folds, [part.intercept for part in parts]),
        n_iter,
        all(part.converged for part in parts),
        parts[-1].solver,
    )


def _fit_group(
    estimator: Any,
    dataset: LabelledDataset,
    group: Group,
    counts: Any,
    grid: tuple[np.ndarray, np.ndarray],
    listener: Callable[[Fitting], Listener | None],
) -> FoldModels:
    """Fit the models of the folds whose models have the same classes."""
    xp, (l1_ratios, Cs) = dataset.features.xp, grid
    order = np.argsort(Cs, kind="stable")  # weaker and weaker penalties: a path
    by_C, n_folds = np.argsort(order), group.members.size
    spec, n_columns = dataset.among(group.kept), dataset.n_columns
    n_labels = spec.data.targets.n_models  # 1 except for one-vs-rest models
    spec = spec.resampled(counts, Cs.shape[0])
    strengths = np.repeat(Cs[order], n_folds * n_labels)
    strengths = dataset.features.place(strengths, spec.data.wide)
    coefs: list[Array] = []
    intercepts: list[Array] = []
    n_iters, converged, solver = [], True, ""
    for l1_ratio in l1_ratios:
        many = Fitting(
            estimator,
            dataset,
            spec,
            strengths,
            l1_ratio=float(l1_ratio),
            n_steps=Cs.shape[0],
        )
        solution = many.run(listener(many))
        many.warn_unless_converged(solution)
        found = many.problem.coefficients_by_model(solution.parameters, n_columns)
        rest = found["_intercept_rest"]
        exact = xp.astype(found["intercept_"], rest.dtype) + rest
        for values, by_fold in zip((found["coef_"], exact), (coefs, intercepts)):
            values = xp.reshape(values, (Cs.size, n_folds, *values.shape[1:]))
            by_fold.append(xp.moveaxis(arrays.rows(values, by_C), 1, 0))
        n_iter = solution.n_iter.reshape(Cs.size, n_folds, n_labels).max(axis=2)
        n_iters.append(n_iter[by_C].T)
        converged &= bool(solution.converged.all())
        solver = many.solver_name
    return FoldModels(
        xp.concat(coefs, axis=1),
        xp.concat(intercepts, axis=1),
        np.concatenate(n_iters, axis=1),
        converged,
        solver,
    )


# -- scores ----------------------------------------------------------------------------

# X for a scorer, the weights of its rows and the models to score.
Held = tuple[Any, np.ndarray | None, Sequence["ScoredModel"]]


def held_out_likelihood(
    dataset: LabelledDataset, tests: list[np.ndarray], coef: Array, intercept: Array
) -> np.ndarray:
    """Return the mean log-likelihood of the rows that folds left out.

    It is scikit-learn's ``'neg_log_loss'``, computed from logits, for all models in one
    pass.

    Parameters
    ----------
    dataset : LabelledDataset
    tests : list of ndarrays
        Row numbers that each fold left out.
    coef : array of shape (n_folds, n_models, n_outputs, n_features)
    intercept : array of shape (n_folds, n_models, n_outputs)
        In the widest dtype.

    Returns
    -------
    ndarray of shape (n_folds, n_models)
    """
    rows = dataset.rows
    loss = loss_of(dataset.totals.shape[0])
    counts = rows.place_rows(small_counts(tests, rows.n_samples), on_device=False)
    total, weight = rows.map_reduce(
        _held_out_loss,
        loss,
        dataset.class_weights.one_vs_rest,
        coef,
        intercept,
        width=4 * coef.shape[1] * coef.shape[2],
        per_row=counts,
    )
    return -arrays.to_host(total / weight[:, None])


@arrays.quiet()
def _held_out_loss(
    block: Block,
    loss: Loss,
    one_vs_rest: bool,
    coef: Array,
    intercept: Array,
    counts: np.ndarray,
) -> tuple[Array, Array]:
    """Return the weighted sums of the losses, (n_folds, n_models), and the weights.

    No probability is below eps, as in scikit-learn's ``log_loss``.
    """
    xp, dtype = block.xp, block.matrix.dtype
    info = xp.finfo(dtype)
    most, largest = -math.log(float(info.eps)), float(info.max)
    numbers, sums = np.arange(counts.shape[0]), []
    for fold in range(coef.shape[0]):
        ids = np.repeat(numbers, counts[:, fold])
        ids = arrays.move(ids, xp=xp, device=arrays.device_of(block.weights))
        eta = _logits_of_models(block, ids, coef[fold, ...], intercept[fold, ...])
        if one_vs_rest:  # its probabilities are divided by their sum
            eta = log_sigmoid(eta)
        labels = xp.take(xp.astype(block.labels, dtype), ids, axis=0)
        # A class without weight has an infinite intercept.
        eta = arrays.within(eta, -largest, largest, xp=xp)
        value, _ = loss.value_and_gradient(eta, labels, xp=xp)
        value = xp.astype(arrays.within(value, None, most, xp=xp), block.weights.dtype)
        weights = xp.take(block.weights, ids, axis=0)
        sums.append((xp.sum(weights * value, axis=0), xp.sum(weights)))
    total, weight = (xp.stack(list(part)) for part in zip(*sums))
    return total, weight


def held_out_scores(
    scorer: Callable[..., float],
    dataset: LabelledDataset,
    y: np.ndarray,
    metadata: dict[str, Any],
    tests: list[np.ndarray],
    coef: Array,
    intercept: Array,
) -> np.ndarray:
    """Return the scores of the rows that folds left out, by a scorer of scikit-learn.

    For chunks of Dask, the logits move to this process, fold by fold. The scorer gets
    row numbers as X, and models that hold the logits of these rows.

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
    in_memory, scores = dataset.rows.in_memory, []
    of_fold = _in_memory if in_memory else _in_chunks
    if "sample_weight" in metadata:
        weights = None
        if in_memory:
            weights = place_weights(metadata["sample_weight"], dataset.features)
        metadata = metadata | {"sample_weight": weights}
    for i, test in enumerate(tests):
        test = test if in_memory else np.sort(test)
        X, weights, models = of_fold(dataset, test, coef[i, ...], intercept[i, ...])
        given = metadata_of(test, metadata, y.shape[0])
        if weights is not None and "sample_weight" in given:
            given["sample_weight"] = weights
        scores.append([float(scorer(m, X, y[test], **given)) for m in models])
    return np.asarray(scores)


def _in_memory(
    dataset: LabelledDataset, test: np.ndarray, coef: Array, intercept: Array
) -> Held:
    features, xp = dataset.features, dataset.features.xp
    X, ids = features.X, features.place(test, None)
    X = X.take_rows(ids) if is_matrix(X) else arrays.take_rows(X, ids, xp=xp)
    classes, models = arrays.to_host(dataset.classes), []
    offset = dataset.rows.offset
    if offset is not None:
        offset = one_or_more(xp.take(offset, ids, axis=0), xp=xp)
    for i in range(coef.shape[0]):
        model = LinearClassifier()
        model.coef_, model.intercept_ = coef[i, ...], intercept[i, ...]
        model._one_vs_rest = dataset.class_weights.one_vs_rest
        models.append(ScoredModel.of(model, classes, offset))
    return X, None, models


def _in_chunks(
    dataset: LabelledDataset, test: np.ndarray, coef: Array, intercept: Array
) -> Held:
    rows, one_vs_rest = dataset.rows, dataset.class_weights.one_vs_rest
    is_test = np.isin(np.arange(rows.n_samples), test)
    found = rows.map_reduce(
        _logits_and_weights,
        coef,
        intercept,
        combine=operator.add,
        per_row=rows.place_rows(is_test),
    )
    logits, weights = np.concatenate(found[::2]), np.concatenate(found[1::2])
    classes = arrays.to_host(dataset.classes)
    models = [
        ScoredModel(logits[:, i, :], classes, one_vs_rest) for i in range(coef.shape[0])
    ]
    return test[:, None], weights, models


def score_chunks(
    model: LinearClassifier,
    scorer: Callable[..., float],
    X: Any,
    y: Any,
    offset: Any,
    metadata: dict[str, Any],
) -> float:
    """Score a fitted model on rows of Dask with a scorer of scikit-learn's.

    Logits, labels and weights move to this process.
    """
    given = {"logits": model.decision_function(X, offset), "y": y, **metadata}
    lazy = {name: parts_of(v) for name, v in given.items() if arrays.is_dask(v)}
    found = iter(fetch([part for parts in lazy.values() for part in parts])[0])
    for name, parts in lazy.items():
        pieces = itertools.islice(found, len(parts))
        given[name] = np.concatenate([with_plain_integers(on_host(p)) for p in pieces])
    logits, y = given.pop("logits"), on_host(given.pop("y"))
    known = ScoredModel(
        logits, arrays.to_host(model.classes_), model._has_model_for_each_class
    )
    return float(scorer(known, np.arange(logits.shape[0])[:, None], y, **given))


def _logits_and_weights(
    block: Block, coef: Array, intercept: Array, is_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, (n_rows, n_models, n_outputs), and weights, on the host."""
    xp, device = block.xp, block.matrix.device
    test = arrays.move(np.nonzero(is_test)[0], xp=xp, device=device)
    eta = _logits_of_models(block, test, coef, intercept)
    weights = xp.take(block.weights[:, 0], test)
    return arrays.to_host(eta), arrays.to_host(weights)


def _logits_of_models(block: Block, ids: Array, coef: Array, intercept: Array) -> Array:
    """Return the logits of some rows for each model: (n_rows, n_models, n_outputs)."""
    xp, shape = block.xp, coef.shape
    columns = xp.reshape(coef, (-1, shape[2]))
    eta = logits(block.matrix.take_rows(ids), columns, xp.reshape(intercept, (-1,)))
    eta = xp.reshape(eta, (-1, *shape[:2]))
    if block.offset is None:
        return eta
    return eta + xp.take(block.offset, ids, axis=0)[:, None, :]


def metadata_of(
    rows: np.ndarray, metadata: dict[str, Any], n_samples: int
) -> dict[str, Any]:
    """Return the metadata of some rows; values without rows stay unchanged."""
    given = {name: on_host(values) for name, values in metadata.items()}
    for name, values in given.items():
        if np.shape(values)[:1] == (n_samples,):
            given[name] = np.asarray(values)[rows]
    return given


def on_host(values: Any) -> Any:
    """Convert arrays to NumPy; return other values unchanged."""
    return arrays.to_host(values) if arrays.is_array(values) else values


def knowing_classes(
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
    made: Any = scorer
    return make_scorer(
        metric,
        greater_is_better=made._sign > 0,
        response_method=made._response_method,
        **{**known, **made._kwargs},
    )


def best_models(scores: np.ndarray, *, by_fold: bool) -> np.ndarray:
    """Return the index of the model with the highest mean score, or one per fold.

    Parameters
    ----------
    scores : ndarray of shape (n_folds, n_models)
        NaN for a model without a score, which does not count.
    by_fold : bool

    Returns
    -------
    ndarray of int, (n_folds,)
        Without ``by_fold``, all are equal.

    Raises
    ------
    ValueError
        If no model has a score, or if a fold has no score.
    """
    known = ~np.isnan(scores)
    if not (known.any(axis=1).all() if by_fold else known.any()):
        raise ValueError(
            "The scores of all models are NaN, so none is the best: let scoring give "
            "numbers, or use folds on which it can."
        )
    if by_fold:
        return np.nanargmax(scores, axis=1)
    total, n_known = np.nansum(scores, axis=0), known.sum(axis=0)
    mean = np.where(n_known > 0, total / np.maximum(n_known, 1), -np.inf)
    return np.full(scores.shape[0], np.argmax(mean))


class ScoredModel(LinearClassifier):
    """A fitted model for the scorers of scikit-learn, with NumPy results.

    Their metrics take NumPy arrays, unless scikit-learn's ``array_api_dispatch`` is
    set: the results then stay in the library of X.

    Parameters
    ----------
    logits : array or callable
        Logits of the rows to score, or a function from X to them.
    classes : ndarray of shape (n_classes,)
    one_vs_rest : bool
    """

    def __init__(self, logits: Any, classes: np.ndarray, one_vs_rest: bool) -> None:
        self.logits, self.classes, self.one_vs_rest = logits, classes, one_vs_rest
        self.classes_, self._one_vs_rest = classes, one_vs_rest

    @classmethod
    def of(
        cls, model: LinearClassifier, classes: np.ndarray, offset: Any = None
    ) -> ScoredModel:
        """Return a fitted model with its coefficients, for scorers that read them."""
        logits = partial(model.decision_function, offset=offset)
        scored = cls(logits, classes, model._has_model_for_each_class)
        scored.coef_, scored.intercept_ = model.coef_, model.intercept_
        return scored

    def fit(self, X: Array, y: Array) -> ScoredModel:
        """Do nothing: the model is fitted."""
        return self

    def _of_rows(
        self, answer: Callable[..., Array], X: Array, offset: Array | None = None
    ) -> Array:
        """Return a result from the logits."""
        found = self.logits(X) if callable(self.logits) else self.logits
        if not get_config()["array_api_dispatch"]:
            found = np.array(arrays.to_host(found))  # the metric may overwrite it
        columns = found[:, None] if found.ndim == 1 else found
        return answer(columns, xp=arrays.namespace(columns))
