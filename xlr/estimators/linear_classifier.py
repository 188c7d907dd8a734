"""Linear classifiers: predictions from logits, and their accuracy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.base import ClassifierMixin

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators.chunk_by_chunk import chunk_by_chunk, mean_over_chunks
from xlr.estimators.linear_model import LinearModel
from xlr.estimators.logits import (
    class_codes,
    labels_of,
    log_probabilities,
    one_or_more,
    probabilities,
)
from xlr.inputs.kinds import accept
from xlr.inputs.labels import with_plain_integers

__all__ = ["LinearClassifier", "score"]


class LinearClassifier(ClassifierMixin, LinearModel):
    """Predict one of ``classes_`` for each row."""

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
            in the library, dtype and device of X, or of the entries of a sparse one.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X has other features than the fit, or anything is not finite.
        """
        return self._of_rows(one_or_more, X, offset)

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
        return self._of_rows(self._given(probabilities), X, offset)

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
        return self._of_rows(self._given(log_probabilities), X, offset)

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
        return labels_of(self._of_rows(class_codes, X, offset), self.classes_)

    def _given(self, answer: Callable[..., Array]) -> Callable[..., Array]:
        """Return the answer for models of each class against the rest, if so."""
        # Coefficients that were set by hand are those of ``multi_class``.
        by_parameter = getattr(self, "multi_class", "multinomial") == "ovr"
        one_vs_rest = getattr(self, "_one_vs_rest", by_parameter)
        return partial(answer, one_vs_rest=one_vs_rest)


@mean_over_chunks
def score(
    self: LinearClassifier,
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
    codes = self._of_rows(class_codes, X, offset)
    return _accuracy(self.classes_, codes, y, sample_weight)


def _accuracy(
    classes: Array, codes: Array, y: Array, sample_weight: Array | None
) -> float:
    from sklearn.metrics import accuracy_score

    y = accept("y", y)
    if sample_weight is None and arrays.is_array(y):
        found, xp = labels_of(codes, classes), arrays.namespace(codes)
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
    predicted = arrays.to_host(classes)[arrays.to_host(codes)]
    y = with_plain_integers(y)
    return float(accuracy_score(y, predicted, sample_weight=sample_weight))


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
