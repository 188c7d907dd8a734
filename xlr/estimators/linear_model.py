"""Linear models: logits of rows from coefficients, and copies in other libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.data import refuse_non_finite
from xlr.estimators.conversion import sklearn_model
from xlr.estimators.logits import logits
from xlr.inputs.features import Features, read_features
from xlr.inputs.offset import check_offset_columns, read_offset
from xlr.precision import full_precision
from xlr.text import warn

__all__ = ["LinearModel"]

# Arrays of the size of a block of logits that share the cache of a device.
BLOCK_ARRAYS = 4


class LinearModel(BaseEstimator):
    """A model with ``coef_`` and ``intercept_``.

    The coefficients, which are small, move to the data: any predictor takes arrays
    of any library and device, and answers there.
    """

    coef_: Array
    intercept_: Array
    classes_: Array
    _has_offset: bool = False
    _warned_of_offset: bool = False

    def _of_rows(
        self, answer: Callable[..., Array], X: Array, offset: Array | None = None
    ) -> Array:
        """Return ``answer(logits)`` for all rows, with temporaries of a block of rows.

        ``answer`` takes logits of shape (n_rows, n_columns), one column for each row
        of ``coef_``, and their namespace.
        """
        if not hasattr(self, "coef_"):
            check_is_fitted(self, "coef_")
        if offset is None and self._has_offset:
            self._warn_of_missing_offset()
        features = read_features(self, X, reset=False)
        xp, matrix, (n_rows, n_features) = (
            features.xp,
            features.matrix,
            features.X.shape,
        )
        wide = arrays.widest_float(xp=xp, device=features.device)
        coef = features.place(self.coef_, wide)
        intercept = self._exact_intercept(features, wide)
        if coef.shape[1] != n_features:  # set by hand, without n_features_in_
            raise ValueError(
                f"X has {n_features} features, but {type(self).__name__} is expecting "
                f"{coef.shape[1]} features as input."
            )
        if offset is not None:
            offset = read_offset(offset, features)
            check_offset_columns(offset, coef.shape[0], n_rows)
        entries = matrix.stored
        step = max(1, arrays.block_bytes(entries) // (BLOCK_ARRAYS * 8 * coef.shape[0]))
        totals = []

        def of_block(first: int) -> Array:
            rows = slice(first, min(first + step, n_rows))
            part = matrix if step >= n_rows else matrix.take_rows(rows)
            found = logits(part, coef, intercept)
            totals.append(xp.sum(found))
            if offset is not None:
                found += offset[rows, :]
            return answer(found, xp=xp)

        with full_precision(entries), arrays.quiet():
            answers = arrays.joined(map(of_block, range(0, n_rows, step)), n_rows)
            # Look through X only if the logits, which are fewer, are not finite.
            finite = xp.all(xp.isfinite(xp.stack(totals)))
            if not arrays.is_traced(finite) and not arrays.to_host(finite):
                refuse_non_finite(matrix, features.column_names)
        return answers

    def _of_numbers(self) -> Self:
        """Return a copy that takes rows without column names or offset as its own."""
        model = copy.copy(self)
        model._has_offset = False
        if hasattr(model, "feature_names_in_"):
            del model.feature_names_in_
        return model

    def _warn_of_missing_offset(self) -> None:
        """Warn once that the fit had an offset and the rows to predict have none."""
        if self._warned_of_offset:
            return
        self._warned_of_offset = True
        warn(
            f"{type(self).__name__} was fitted with an offset, and predicts here "
            "without one: its logits lack what the offset adds. Pass offset=..., or "
            "offset=numpy.zeros(n_samples) if that is what you want."
        )

    def _exact_intercept(self, features: Features, wide: Any) -> Array:
        """Return the intercepts with the digits beyond those of ``intercept_``."""
        xp, given = features.xp, features.place(self.intercept_, None)
        intercept = xp.astype(given, wide, copy=False)
        rest = getattr(self, "_intercept_rest", None)
        if rest is None or given.dtype == wide or rest.shape != intercept.shape:
            return intercept
        # An intercept that was set by hand since the fit is taken as it is.
        exact = intercept + features.place(rest, wide)
        return xp.where(xp.astype(exact, given.dtype) == given, exact, intercept)

    def sparsify(self) -> Self:
        """Convert ``coef_`` to a sparse matrix, to store few of many coefficients.

        Predictors take it; ``fit`` replaces it by a dense one.

        Returns
        -------
        self
            With a ``scipy.sparse.csr_array`` as ``coef_``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "coef_")
        if not issparse(self.coef_):
            self.coef_ = csr_array(arrays.to_host(self.coef_))
        return self

    def densify(self) -> Self:
        """Convert ``coef_`` back to a dense array, in the library of ``intercept_``.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "coef_")
        if issparse(self.coef_):
            like = self.intercept_
            place = {"xp": arrays.namespace(like), "device": arrays.device_of(like)}
            self.coef_ = arrays.move(self.coef_.toarray(), **place, dtype=like.dtype)
        return self

    def to_numpy(self) -> Self:
        """A fitted copy whose arrays are NumPy's.

        Returns
        -------
        fitted estimator

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "coef_")
        converted = copy.copy(self)
        for name, value in vars(self).items():
            is_fitted = name.endswith("_") or name.startswith("_")
            if is_fitted and (isinstance(value, np.ndarray) or arrays.is_array(value)):
                setattr(converted, name, np.array(arrays.to_host(value)))
        return converted

    def to_sklearn(self) -> Any:
        """Return a fitted estimator of scikit-learn's that predicts the same.

        For the tools that are made for it. In a pipeline, put it in the place of the
        step.

        Returns
        -------
        LogisticRegression or OneVsRestClassifier
            scikit-learn's, with NumPy attributes and float64 coefficients; the second
            for ``multi_class='ovr'`` with more than two classes, and for several
            labels. After a cross-validation it has the chosen penalty.

        Raises
        ------
        NotFittedError
            Before ``fit``.

        Warns
        -----
        UserWarning
            If the fit had an offset, which scikit-learn's estimators do not add.
        """
        fitted = self.to_numpy()
        if self._has_offset:
            warn(
                f"{type(self).__name__} was fitted with an offset, which estimators of "
                "scikit-learn do not add: their logits lack it."
            )
        return sklearn_model(fitted)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
