"""Predictions of a linear classifier whose logits may have an offset."""

from __future__ import annotations

from xlr.arrays import Array
from xlr.estimators.chunk_by_chunk import chunk_by_chunk, mean_over_chunks
from xlr.estimators.linear_classifier import LinearClassifier
from xlr.inputs.features import read_features
from xlr.inputs.offset import read_offset

__all__ = ["OffsetClassifier"]


class OffsetClassifier(LinearClassifier):
    """A linear classifier with something added to its logits row by row."""

    @chunk_by_chunk
    def decision_function(self, X: Array, offset: Array | None = None) -> Array:
        """Logits: x.w + b, and the offset.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device: the coefficients move to it. For arrays and
            tables of Dask the answer is of Dask, chunk by chunk.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            One column a class, or, for two classes, the logit of ``classes_[1]``;
            in the library, dtype and device of X.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X has other features than the fit, or anything is not finite.
        """
        logits = super().decision_function(X)
        if offset is None:
            return logits
        features = read_features(self, X, reset=False)
        n_columns = 1 if logits.ndim == 1 else logits.shape[1]
        added = read_offset(offset, n_columns, features)
        return logits + (added[:, 0] if logits.ndim == 1 else added)

    @chunk_by_chunk
    def predict_proba(self, X: Array, offset: Array | None = None) -> Array:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device, or of Dask: then so is the answer.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

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
        return self._probabilities(self.decision_function(X, offset))

    @chunk_by_chunk
    def predict_log_proba(self, X: Array, offset: Array | None = None) -> Array:
        """Logarithms of the probabilities, accurate where those round to 0 or 1.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device, or of Dask: then so is the answer.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

        Returns
        -------
        array of shape (n_samples, n_classes)

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`decision_function`.
        """
        return self._log_probabilities(self.decision_function(X, offset))

    @chunk_by_chunk
    def predict(self, X: Array, offset: Array | None = None) -> Array:
        """The most probable class of each row.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Of any library and device, or of Dask: then so is the answer.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

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
        return self._labels(self.decision_function(X, offset))

    @mean_over_chunks
    def score(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        offset: Array | None = None,
    ) -> float:
        """Accuracy: the weighted share of rows whose class is predicted.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,)
            True labels, on the host or any device.
        sample_weight : array of shape (n_samples,), default=None
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

        Returns
        -------
        float

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`decision_function`, or if lengths differ.
        """
        return self._accuracy(self.decision_function(X, offset), y, sample_weight)
