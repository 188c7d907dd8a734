"""What every linear classifier does once it has coefficients."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.data import refuse_non_finite
from xlr.estimators.chunk_by_chunk import chunk_by_chunk, mean_over_chunks
from xlr.estimators.logits import logits
from xlr.functions import log_sigmoid, log_softmax, sigmoid, softmax
from xlr.inputs.features import read_features
from xlr.inputs.kinds import refuse_kind
from xlr.precision import full_precision

__all__ = ["LinearClassifier"]


class LinearClassifier(ClassifierMixin, BaseEstimator):
    """Predictions from ``coef_``, ``intercept_`` and ``classes_``.

    The coefficients, which are small, move to the data: any predictor takes arrays
    of any library and device, and answers there.
    """

    coef_: Array
    intercept_: Array
    classes_: Array

    @chunk_by_chunk
    def decision_function(self, X: Array) -> Array:
        """Logits: x.w + b.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device: the coefficients move to it. For arrays and
            tables of Dask the answer is of Dask, chunk by chunk.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            One column a class, or, for two classes, the logit of ``classes_[1]``;
            in the library, dtype and device of X, or of the entries of a sparse one.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X has other features than the fit, or is not finite.
        """
        found = self._logits(X)
        return found[:, 0] if found.shape[1] == 1 else found

    def _logits(self, X: Array) -> Array:
        """x.w + b for each row of ``coef_``: (n_samples, n_columns)."""
        check_is_fitted(self, "coef_")
        features = read_features(self, X, reset=False)
        xp, X = features.xp, features.X
        coef = features.place(self.coef_, features.wide)
        intercept = features.place(self.intercept_, features.wide)
        rest = getattr(self, "_intercept_rest", None)
        if rest is not None:
            intercept = intercept + features.place(rest, features.wide)
        with full_precision(arrays.entries(X)):
            found = logits(X, coef, intercept, xp=xp)
        # Look through X only if the logits, which are fewer, are not finite.
        if not arrays.to_host(xp.all(xp.isfinite(found))):
            refuse_non_finite(features.matrix())
        return found

    def _log_scores(self, logits: Array) -> Array:
        """Logarithms of numbers that the probabilities of the classes go with."""
        return logits

    @chunk_by_chunk
    def predict_proba(self, X: Array) -> Array:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device, or of Dask: then so is the answer.

        Returns
        -------
        array of shape (n_samples, n_classes)
            In the order of ``classes_``; each row sums to one. In the library,
            dtype and device of X.

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`decision_function`.
        """
        return self._probabilities(self.decision_function(X))

    def _probabilities(self, logits: Array) -> Array:
        if logits.ndim == 2:
            return softmax(self._log_scores(logits))
        xp = arrays.namespace(logits)
        return xp.stack([sigmoid(-logits), sigmoid(logits)], axis=1)

    @chunk_by_chunk
    def predict_log_proba(self, X: Array) -> Array:
        """Logarithms of the probabilities, accurate where those round to 0 or 1.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device, or of Dask: then so is the answer.

        Returns
        -------
        array of shape (n_samples, n_classes)

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`decision_function`.
        """
        return self._log_probabilities(self.decision_function(X))

    def _log_probabilities(self, logits: Array) -> Array:
        if logits.ndim == 2:
            return log_softmax(self._log_scores(logits))
        xp = arrays.namespace(logits)
        return xp.stack([log_sigmoid(-logits), log_sigmoid(logits)], axis=1)

    @chunk_by_chunk
    def predict(self, X: Array) -> Array:
        """The most probable class of each row.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device, or of Dask: then so is the answer.

        Returns
        -------
        array of shape (n_samples,)
            Labels, in the library and device of X; those that only NumPy can hold
            (strings, integers beyond the library's range) as a NumPy array.

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`decision_function`.
        """
        return self._labels(self.decision_function(X))

    def _labels(self, logits: Array) -> Array:
        codes = _most_probable(logits)
        classes = arrays.to_host(self.classes_)
        if classes.dtype.kind in "biuf":
            xp, device = arrays.namespace(codes), arrays.device_of(codes)
            with arrays.quiet():
                moved = arrays.move(self.classes_, xp=xp, device=device)
            # 10^12 does not fit the int32 of JAX, nor 2^63 the int64 of torch.
            if np.array_equal(arrays.to_host(moved).astype(classes.dtype), classes):
                return xp.take(moved, codes)
        return classes[arrays.to_host(codes)]

    @mean_over_chunks
    def score(self, X: Array, y: Array, sample_weight: Array | None = None) -> float:
        """Accuracy: the weighted share of rows whose class is predicted.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,)
            True labels, on the host or any device.
        sample_weight : array of shape (n_samples,), default=None

        Returns
        -------
        float

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`decision_function`, or if lengths differ.
        """
        return self._accuracy(self.decision_function(X), y, sample_weight)

    def _accuracy(self, logits: Array, y: Array, sample_weight: Array | None) -> float:
        from sklearn.metrics import accuracy_score

        refuse_kind("y", y)
        if sample_weight is None and arrays.is_array(y):
            found = self._labels(logits)
            xp = arrays.namespace(logits)
            # Where the answers are, so that one number crosses to the host.
            if arrays.is_array(found) and _are_alike(y, found):
                wide = arrays.widest_float(xp=xp, device=arrays.device_of(found))
                return float(arrays.to_host(xp.mean(xp.astype(y == found, wide))))
        # Labels are compared on the host, where every kind of them can live.
        y, sample_weight = (
            arrays.to_host(v) if arrays.is_array(v) else v for v in (y, sample_weight)
        )
        if sample_weight is not None and np.min(sample_weight) < 0:
            raise ValueError("sample_weight contains negative values.")
        codes = arrays.to_host(_most_probable(logits))
        predicted = arrays.to_host(self.classes_)[codes]
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _are_alike(y: Array, found: Array) -> bool:
    """Whether these are whole numbers of one library, on one device."""
    xp = arrays.namespace(found)
    return (
        tuple(y.shape) == tuple(found.shape)
        and arrays.namespace(y) is xp
        and arrays.device_of(y) == arrays.device_of(found)
        and y.dtype == found.dtype
        and xp.isdtype(y.dtype, ("bool", "integral"))
    )


def _most_probable(logits: Array) -> Array:
    """Position in ``classes_`` of the most probable class of each row."""
    xp = arrays.namespace(logits)
    if logits.ndim == 1:
        logits = xp.stack([xp.zeros_like(logits), logits], axis=1)
    return xp.argmax(logits, axis=1)
