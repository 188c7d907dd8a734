"""Models of resampled rows: training folds and bootstrap resamples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.estimators._fit import Fitting
from xlr.estimators.dataset import LabelledDataset
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
    has_class = arrays.to_host(resampled.class_weights(kept.size)) > 0
    del resampled  # a copy of the counts on the device
    n_classes, min_classes = has_class.sum(axis=1), MIN_CLASSES[kind]
    if n_classes.max() < min(2, max(min_classes, kept.size)):
        raise ValueError(
            f"No {kind} has rows of positive weight in two classes. {ADVICE[kind]}"
        )
    is_usable = n_classes >= min_classes
    _warn_of_missing_classes(has_class, is_usable, dataset.kept_classes, kind)
    # 2. The models of the resamples with the same classes, per l1_ratio.
    usable = np.nonzero(is_usable)[0]
    patterns, pattern_of = np.unique(has_class[usable], axis=0, return_inverse=True)
    order = np.argsort(Cs, kind="stable")  # weaker and weaker penalties: a path
    shape = (is_usable.size, l1_ratios.size, Cs.size)
    n_iter, converged = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=bool)
    coef = np.full((*shape, *dataset.coef_shape), np.nan)
    intercept = np.full((*shape, dataset.n_logits), np.nan)
    for i, pattern in enumerate(patterns):
        members = usable[pattern_of.reshape(-1) == i]
        # With chunks, each new spec stores a copy of the targets on the workers.
        spec = dataset.spec if pattern.all() else dataset.spec_of(kept=kept[pattern])
        spec = spec.resampled(spec.data.place_rows(counts[:, members]), Cs.size)
        by_label = Cs.size, members.size, -1
        C: Any = float(Cs[0])
        if Cs.size > 1:
            C = np.repeat(Cs[order], spec.data.targets.n_models // Cs.size)
            C = features.place(C, features.accumulation_dtype)
        for j, l1_ratio in enumerate(l1_ratios):
            fitting = Fitting(estimator, dataset, spec, C=C, l1_ratio=float(l1_ratio))
            solution = fitting.run(n_steps=Cs.size)
            fitting.check_convergence(solution)
            index = members, j, order[:, None]
            n_iter[index] = solution.n_iter.reshape(by_label).max(axis=2)
            converged[index] = solution.converged.reshape(by_label).all(axis=2)
            fitted = fitting.problem.coefficients(solution.parameters)
            w, b, rest = map(arrays.to_host, fitted.values())
            coef[index] = w.reshape(*by_label[:2], *dataset.coef_shape)
            intercept[index] = (b + rest).reshape(by_label)
    solver = fitting.solver_name
    return ResampledModels(coef, intercept, n_iter, converged, usable, solver)


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
