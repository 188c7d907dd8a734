"""Cross-validation: the rows of each fold, and the choice of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.inputs.features import Features


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
