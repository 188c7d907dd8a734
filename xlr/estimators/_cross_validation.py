"""Cross-validation: the rows of each fold, and the models of all folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators._fit import Fitting
from xlr.estimators.dataset import LabelledDataset
from xlr.estimators.resamples import Resamples
from xlr.text import quoted, warn


def read_folds(
    splitter: Any, y: np.ndarray, dataset: LabelledDataset, metadata: dict[str, Any]
) -> tuple[Resamples, list[np.ndarray]]:
    """Read the folds of a splitter, and the classes in them.

    Parameters
    ----------
    splitter : splitter of scikit-learn's
    y : ndarray of shape (n_samples,)
        Labels, on the host.
    dataset : LabelledDataset
    metadata : dict
        Metadata for the splitter, such as ``groups``.

    Returns
    -------
    resamples : Resamples
        Training rows of the folds.
    tests : list of ndarrays
        Row numbers that each fold is tested on.

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
    folds = Resamples.of(dataset, trains, 1)
    n_known = folds.has_class.sum(axis=1)
    if n_known.max() < min(2, folds.has_class.shape[1]):
        raise ValueError(
            "No fold has samples of two classes to train on. Use fewer folds, or a "
            "splitter that shuffles and stratifies (sklearn.model_selection."
            "StratifiedKFold(shuffle=True))."
        )
    _warn_of_missing_classes(folds)
    return folds, tests


def _warn_of_missing_classes(folds: Resamples) -> None:
    """Warn about folds without weight, or without weight in a class."""
    has_class, sentences = folds.has_class, []
    has_rows = has_class.any(axis=1)
    if not has_rows.all():
        sentences.append(
            f"Folds {np.nonzero(~has_rows)[0].tolist()} (of {has_rows.size}) have no "
            "rows of positive weight to train on; their scores are NaN and do not "
            "count."
        )
    for label, own in zip(folds.dataset.kept_classes, has_class.T):
        without = np.nonzero(~own & has_rows)[0]
        if without.size:
            sentences.append(
                f"Folds {without.tolist()} (of {has_rows.size}) train on no row of the "
                f"class {quoted(label)} that has weight: their models leave it out, "
                "with a probability of 0."
            )
    if sentences:
        advice = "Use a splitter that stratifies, or fewer folds."
        warn(" ".join([*sentences, advice]))


@dataclass(frozen=True)
class FoldModels:
    """Models of the folds, by fold, l1_ratio and C; NaN for unusable folds.

    Attributes
    ----------
    coef : array of shape (n_folds, n_l1_ratios * n_Cs, n_logits, n_features)
        Coefficients, ordered by l1_ratio and then by C.
    intercept : array of shape (n_folds, n_l1_ratios * n_Cs, n_logits)
        Intercepts, in the accumulation dtype.
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
    def mean_over_folds(
        self, folds: np.ndarray, models: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Average the coefficients over folds, one chosen model per fold, on the host.

        The format is that of :meth:`Problem.coefficients`. The mean of a class is over
        the folds whose models have the class.
        """
        coef, intercept = (
            np.stack(
                [arrays.to_host(v[int(i), int(k), ...]) for i, k in zip(folds, models)]
            )
            for v in (self.coef, self.intercept)
        )
        known, dtype = np.isfinite(intercept), coef.dtype
        n_known = known.sum(axis=0)
        divisor = np.maximum(n_known, 1)
        coef = (coef * known[..., None]).sum(axis=0) / divisor[:, None]
        # If no fold has the class, all have the same infinity.
        mean = intercept.sum(axis=0, where=known) / divisor
        intercept = np.where(n_known > 0, mean, intercept[0])
        rounded = intercept.astype(dtype)
        rest = np.where(n_known > 0, intercept - rounded, 0)
        return {
            "coef_": coef.astype(dtype),
            "intercept_": rounded,
            "_intercept_rounding": rest,
        }


def fit_folds(
    estimator: Any,
    folds: Resamples,
    grid: tuple[np.ndarray, np.ndarray],
) -> FoldModels:
    """Fit the models of all folds and penalties.

    The models of the folds with the same classes are fitted together, per l1_ratio.

    Parameters
    ----------
    estimator : LogisticRegressionCV
    folds : Resamples
    grid : tuple of two ndarrays
        Values of l1_ratio and of C.

    Warns
    -----
    ConvergenceWarning
        If some models did not converge.
    """
    dataset, (l1_ratios, Cs) = folds.dataset, grid
    features, n_logits = dataset.features, dataset.n_logits
    order = np.argsort(Cs, kind="stable")  # weaker and weaker penalties: a path
    rank_of_C = np.argsort(order)
    n_iter = np.zeros((len(folds.has_class), l1_ratios.size, Cs.size), dtype=np.int32)
    coefs, intercepts, converged, solver = [], [], True, ""
    for members, spec in folds.specs(Cs.size):
        n_labels = spec.data.targets.n_models // (members.size * Cs.size)
        C = np.repeat(Cs[order], members.size * n_labels)
        C = features.place(C, spec.data.accumulation_dtype)
        by_ratio: list[tuple[Array, Array]] = []
        for i, l1_ratio in enumerate(l1_ratios):
            fitting = Fitting(estimator, dataset, spec, C=C, l1_ratio=float(l1_ratio))
            solution = fitting.run(n_steps=Cs.size)
            fitting.check_convergence(solution)
            converged &= bool(solution.converged.all())
            solver = fitting.solver_name
            by_label = solution.n_iter.reshape(Cs.size, members.size, n_labels)
            n_iter[members, i] = by_label.max(axis=2)[rank_of_C].T
            problem = fitting.problem
            coefficients = problem.coefficients_by_model(solution.parameters, n_logits)
            by_ratio.append(_by_fold(coefficients, members.size, rank_of_C))
        coef, intercept = (
            features.xp.concat(list(part), axis=1) for part in zip(*by_ratio)
        )
        coefs.append(coef)
        intercepts.append(intercept)
    return FoldModels(
        folds.concatenate(coefs),
        folds.concatenate(intercepts),
        n_iter.reshape(n_iter.shape[0], -1),
        converged,
        solver,
    )


def _by_fold(
    coefficients: dict[str, Array], n_folds: int, rank_of_C: np.ndarray
) -> tuple[Array, Array]:
    """Return coefficients and exact intercepts of models: (n_folds, n_Cs, ...)."""
    coef, rest = coefficients["coef_"], coefficients["_intercept_rounding"]
    xp, shape = arrays.namespace(coef), (rank_of_C.size, n_folds)
    intercept = xp.astype(coefficients["intercept_"], rest.dtype) + rest
    coef, intercept = (
        xp.moveaxis(arrays.take(xp.reshape(x, (*shape, *x.shape[1:])), rank_of_C), 1, 0)
        for x in (coef, intercept)
    )
    return coef, intercept


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
            f"All scores{' of a fold' * by_fold} are NaN, so no model is the best. Use "
            "a scoring that returns numbers, or other folds."
        )
    if by_fold:
        return np.nanargmax(scores, axis=1)
    total, n_known = np.nansum(scores, axis=0), known.sum(axis=0)
    mean = np.where(n_known > 0, total / np.maximum(n_known, 1), -np.inf)
    return np.full(scores.shape[0], np.argmax(mean))
