"""Cross-validation: the rows of each fold, and the models of all folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators._fit import Fitting
from xlr.estimators.callbacks import Listener
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
    try:
        splits = list(splitter.split(np.zeros((n_samples, 1)), y, **metadata))
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
    _warn_of_left_out(folds)
    return folds, tests


def _warn_of_left_out(folds: Resamples) -> None:
    has_class, sentences = folds.has_class, []
    has_rows = has_class.any(axis=1)
    of_the_folds = f"Of the {has_rows.size} folds, those with the numbers"
    if not has_rows.all():
        sentences.append(
            f"{of_the_folds} {np.nonzero(~has_rows)[0].tolist()} have no rows of "
            "positive weight to train on; their scores are NaN and do not count."
        )
    for label, own in zip(folds.dataset.kept_classes, has_class.T):
        without = np.nonzero(~own & has_rows)[0]
        if without.size:
            sentences.append(
                f"{of_the_folds} {without.tolist()} train on no row of the class "
                f"{quoted(label)} that has weight: their models leave it out, with a "
                "probability of 0."
            )
    if sentences:
        advice = "Use a splitter that stratifies, or fewer folds."
        warn(" ".join([*sentences, advice]))


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
    def mean_of(self, folds: np.ndarray, models: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean coefficients of one model of each of some folds, on the host.

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
            "_intercept_rest": rest,
        }


def fit_folds(
    estimator: Any,
    folds: Resamples,
    grid: tuple[np.ndarray, np.ndarray],
    listener: Callable[[Fitting], Listener | None],
) -> FoldModels:
    """Fit the models of all folds and penalties.

    The models of the folds with the same classes are fitted together, for each share of
    L1.

    Parameters
    ----------
    estimator : LogisticRegressionCV
    folds : Resamples
    grid : tuple of two ndarrays
        Shares of L1 and values of C.
    listener : callable
        Takes a fitting; returns a function to call after its iterations.

    Warns
    -----
    ConvergenceWarning
        If some models did not converge.
    """
    dataset, (l1_ratios, Cs) = folds.dataset, grid
    features, n_columns = dataset.features, dataset.n_columns
    order = np.argsort(Cs, kind="stable")  # weaker and weaker penalties: a path
    by_C = np.argsort(order)
    n_iter = np.zeros((len(folds.has_class), l1_ratios.size, Cs.size), dtype=np.int32)
    coefs, intercepts, converged, solver = [], [], True, ""
    for members, spec in folds.specs(Cs.size):
        n_labels = spec.data.targets.n_models // (members.size * Cs.size)
        C = np.repeat(Cs[order], members.size * n_labels)
        C = features.place(C, spec.data.accumulation_dtype)
        by_ratio: list[tuple[Array, Array]] = []
        for i, l1_ratio in enumerate(l1_ratios):
            many = Fitting(estimator, dataset, spec, C=C, l1_ratio=float(l1_ratio))
            solution = many.run(listener(many), n_steps=Cs.size)
            many.warn_unless_converged(solution)
            converged &= bool(solution.converged.all())
            solver = many.solver_name
            by_label = solution.n_iter.reshape(Cs.size, members.size, n_labels)
            n_iter[members, i] = by_label.max(axis=2)[by_C].T
            found = many.problem.coefficients_by_model(solution.parameters, n_columns)
            by_ratio.append(_by_fold(found, members.size, by_C))
        coef, intercept = (
            features.xp.concat(list(part), axis=1) for part in zip(*by_ratio)
        )
        coefs.append(coef)
        intercepts.append(intercept)
    return FoldModels(
        folds.joined(coefs),
        folds.joined(intercepts),
        n_iter.reshape(n_iter.shape[0], -1),
        converged,
        solver,
    )


def _by_fold(
    found: dict[str, Array], n_folds: int, by_C: np.ndarray
) -> tuple[Array, Array]:
    """Return coefficients and exact intercepts of models: (n_folds, n_Cs, ...)."""
    xp, rest = arrays.namespace(found["coef_"]), found["_intercept_rest"]
    intercept = xp.astype(found["intercept_"], rest.dtype) + rest
    coef, intercept = (
        xp.moveaxis(
            arrays.rows(xp.reshape(x, (by_C.size, n_folds, *x.shape[1:])), by_C), 1, 0
        )
        for x in (found["coef_"], intercept)
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
            "The scores of all models are NaN, so none is the best: let scoring give "
            "numbers, or use folds on which it can."
        )
    if by_fold:
        return np.nanargmax(scores, axis=1)
    total, n_known = np.nansum(scores, axis=0), known.sum(axis=0)
    mean = np.where(n_known > 0, total / np.maximum(n_known, 1), -np.inf)
    return np.full(scores.shape[0], np.argmax(mean))
