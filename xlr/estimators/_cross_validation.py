"""Cross-validation: the rows of each fold, and the models of all folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators._fit import Fitting, Listener
from xlr.estimators.dataset import LabelledDataset, ModelSpec
from xlr.text import quoted, warn


class Group(NamedTuple):
    """Ways to count the rows that leave the same classes with weight.

    Attributes
    ----------
    members : ndarray of int
        The numbers of these ways.
    kept : ndarray of int
        The classes with weight, as codes of the spec.
    """

    members: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Folds:
    """Folds of a splitter, and those that can be trained on.

    Attributes
    ----------
    tests : list of ndarrays
        The numbers of the rows that each fold is tested on.
    usable : ndarray of int
        The folds with rows of positive weight to train on.
    groups : list of Group
        Of the usable folds, by their numbers.
    counts : list of arrays of shape (n_samples, n_members), or of PerRow
        How often the folds of each group train on each row.
    """

    tests: list[np.ndarray]
    usable: np.ndarray
    groups: list[Group]
    counts: list[Any]


def small_counts(numbers: list[np.ndarray], n_samples: int) -> np.ndarray:
    """Count each row in lists of numbers: (n_samples, n_lists), a byte if it fits."""
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
    """Group ways to count the rows by the classes that they leave with weight.

    Parameters
    ----------
    weighs : ndarray of bool, (n_counts, n_classes)
    usable : ndarray of int
        Numbers of the ways to group.
    """
    patterns, group_of = np.unique(weighs[usable], axis=0, return_inverse=True)
    return [
        Group(usable[group_of.reshape(-1) == i], np.nonzero(pattern)[0])
        for i, pattern in enumerate(patterns)
    ]


def joined(groups: list[Group], n_counts: int, parts: list[Array]) -> Array:
    """Return the arrays of all groups as one, in the order of the ways to count.

    The rows of ways that are in no group are NaN.
    """
    xp, members = (
        arrays.namespace(parts[0]),
        np.concatenate([g.members for g in groups]),
    )
    order = np.full(n_counts, members.size)
    order[members] = np.arange(members.size)
    nan = xp.full_like(parts[0][:1, ...], xp.nan)
    return arrays.rows(xp.concat([*parts, nan]), order)


def read_folds(
    splitter: Any, y: np.ndarray, dataset: LabelledDataset, metadata: dict[str, Any]
) -> Folds:
    """Ask a splitter for its folds, and look at the classes in them.

    Parameters
    ----------
    splitter : splitter of scikit-learn's
    y : ndarray of shape (n_samples,)
        Labels, on the host.
    dataset : LabelledDataset
    metadata : dict
        What the splitter requests, such as ``groups``.

    Raises
    ------
    ValueError
        If there are no folds, or no pairs, if they name rows that are not there or test
        on none, or if none has two classes to train on where there are two.

    Warns
    -----
    UserWarning
        If folds have no weight to train on, or none in some class.
    """
    n_samples = y.shape[0]
    # A splitter counts the rows of X; its values stay where they are.
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
        One share of L1 after the other.
    intercept : array of shape (n_folds, n_l1_ratios * n_Cs, n_columns)
        In the widest dtype.
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
        """Return the mean over some folds of the coefficients of one model of each.

        The format is that of :meth:`Problem.coefficients`. The mean of a class is over
        the folds whose models know it.
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
        # Where no fold knows it, all of them have the same infinity.
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
    """Fit the models of all folds and penalties, those of a share of L1 together.

    Parameters
    ----------
    estimator : LogisticRegressionCV
    dataset : LabelledDataset
    folds : Folds
    grid : tuple of two ndarrays
        Shares of L1 and values of C.
    listener : callable
        Takes a fitting; returns what to call after its iterations.

    Warns
    -----
    ConvergenceWarning
        If some did not converge.
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
