"""Linear models: logits, probabilities and labels of rows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from xlr import arrays, numpy_namespace
from xlr.arrays import Array, Namespace
from xlr.data import DenseMatrix, Matrix, padded_size, refuse_non_finite
from xlr.functions import log_sigmoid, log_softmax, sigmoid_pair, softmax
from xlr.inputs.features import Features, read_features
from xlr.inputs.labels import on_host, refuse_soft_labels
from xlr.inputs.prediction import chunk_by_chunk, sum_rows
from xlr.inputs.tables import check_n_rows
from xlr.inputs.weights import (
    check_offset_columns,
    class_totals,
    place_weights,
    read_offset,
)
from xlr.precision import full_precision
from xlr.sklearn_models import sklearn_model
from xlr.text import warn


@arrays.quiet()
def linear_predictor(matrix: Matrix, coef: Array, intercept: Array) -> Array:
    """Return X W' + b in the dtype of the matrix, computed in the accumulation dtype.

    For a column a million deviations from zero, errors of float32 products are as large
    as the logits. Callers pass blocks of a large X.

    Parameters
    ----------
    matrix : Matrix of shape (n_samples, n_features)
    coef : array of shape (n_columns, n_features)
    intercept : array of shape (n_columns,)
        Intercepts in the accumulation dtype, with the digits that ``intercept_`` lacks.

    Returns
    -------
    array of shape (n_samples, n_columns)
    """
    if matrix.dtype == intercept.dtype:
        return matrix.matvec(coef, intercept)
    eta = matrix.astype(intercept.dtype).matvec(coef, intercept)
    return matrix.xp.astype(eta, matrix.dtype)


def one_or_more(logits: Array, *, xp: Namespace) -> Array:
    """Return logits (n_rows, n_columns), as a vector if there is one column."""
    return logits[:, 0] if logits.shape[1] == 1 else logits


def probabilities(logits: Array, one_vs_rest: bool = False, *, xp: Namespace) -> Array:
    """Return the probabilities of the classes, (n_rows, n_classes).

    With ``one_vs_rest``, the probabilities of the binary models are divided by their
    sum.
    """
    if logits.shape[1] > 1:
        # A plain softmax is enough: the rounding of X W' exceeds the errors that
        # xlr.softmax avoids.
        z = log_sigmoid(logits) if one_vs_rest else logits
        if arrays.has_gradient(z):  # torch cannot record the changes in place
            return softmax(z)
        z -= xp.max(z, axis=1, keepdims=True)
        share = xp.exp(z)
        share /= xp.sum(share, axis=1, keepdims=True)
        return share
    second, first = sigmoid_pair(logits[:, 0], xp=xp)
    return xp.stack([first, second], axis=1)


def log_probabilities(
    logits: Array, one_vs_rest: bool = False, *, xp: Namespace
) -> Array:
    """Return the logarithms of :func:`probabilities`."""
    if logits.shape[1] > 1:
        z = log_sigmoid(logits) if one_vs_rest else logits
        if arrays.has_gradient(z):
            return log_softmax(z)
        z -= xp.max(z, axis=1, keepdims=True)
        # One term of the sum is exactly 1, so log1p keeps the digits of the others.
        others, is_less = xp.exp(z), xp.astype(z < 0, z.dtype)
        others *= is_less
        n_ties = z.shape[1] - 1 - xp.sum(is_less, axis=1, keepdims=True)
        z -= xp.log1p(xp.sum(others, axis=1, keepdims=True) + n_ties)
        return z
    return log_sigmoid(xp.concat([-logits, logits], axis=1))


def class_codes(logits: Array, *, xp: Namespace) -> Array:
    """Return the codes of the most probable classes: (n_rows,)."""
    if logits.shape[1] == 1:
        return xp.astype(logits[:, 0] > 0, xp.int32)
    return xp.argmax(logits, axis=1)


def labels_of(codes: Array, classes: Array) -> Array:
    """Return labels in the library of the codes, or NumPy's if it cannot hold them."""
    host = arrays.to_host(classes)
    if host.dtype.kind in "biuf":
        xp, device = arrays.namespace(codes), arrays.device_of(codes)
        with arrays.quiet():
            moved = arrays.move(classes, xp=xp, device=device)
        # 10^12 does not fit the int32 of JAX, nor 2^63 the int64 of torch.
        if arrays.is_traced(moved) or np.array_equal(
            arrays.to_host(moved).astype(host.dtype), host
        ):
            if (read := arrays.numpy_view(codes, differentiable=True)) is not codes:
                return arrays.move(host[read], xp=xp, device=device, dtype=moved.dtype)
            return xp.take(moved, codes)
    return host[arrays.to_host(codes)]


# Number of arrays of the size of the logits that share the cache of a device.
BLOCK_ARRAYS = 4


class LinearModel(BaseEstimator):
    """A model with ``coef_`` and ``intercept_``.

    Predictors take arrays of any library and device. They move the coefficients there,
    and return results there.
    """

    coef_: Array
    intercept_: Array
    classes_: Array
    _one_vs_rest: bool
    _has_offset: bool = False
    _warned_of_offset: bool = False
    _chunk_names: list[str] | None = None  # for errors of a copy that predicts chunks

    def _map_logits(
        self, function: Callable[..., Array], X: Array, offset: Array | None = None
    ) -> Array:
        """Apply ``function(logits, xp=xp)`` to the logits of X, block by block.

        The logits have shape (n_rows, n_columns), one column for each row of ``coef_``.
        """
        if not hasattr(self, "coef_"):
            check_is_fitted(self, "coef_")
        if offset is None and self._has_offset:
            self._warn_of_missing_offset()
        features = read_features(self, X, reset=False, may_repeat=True)
        is_on_host = offset is not None and features.xp is numpy_namespace
        if is_on_host and arrays.is_traced(offset):
            # NumPy computes no derivatives: the result has the library of the offset.
            xp, device = features.given or (arrays.namespace(offset), None)
            rows = arrays.move(features.matrix.to_dense(), xp=xp, device=device)
            features = Features(rows, features.names, features.encoder)
        xp, (n_rows, n_features) = features.xp, features.X.shape
        matrix, entries = features.matrix, features.stored
        accumulation_dtype = features.accumulation_dtype
        coef = features.place(self.coef_, accumulation_dtype)
        intercept = self._exact_intercept(features, accumulation_dtype)
        if offset is not None:
            offset = read_offset(offset, features, differentiable=True)
            check_offset_columns(offset, coef.shape[0])
        width = BLOCK_ARRAYS * coef.shape[0]
        if isinstance(matrix, DenseMatrix) and entries.dtype != accumulation_dtype:
            width += n_features  # rows that are converted
        arrays.keep_block_memory()
        step, n = max(1, arrays.block_bytes(entries) // (8 * width)), n_rows
        compiles = xp is not numpy_namespace and arrays.compiles(xp)
        if compiles and n <= step and not arrays.is_traced(entries):
            # With copies of the last row, several numbers of rows share programs.
            step = n = padded_size(n_rows)
            row_ids = xp.arange(n, device=features.device)
            row_ids = arrays.clip(row_ids, None, n_rows - 1, xp=xp)
            matrix = matrix.take_rows(row_ids)
            offset = None if offset is None else xp.take(offset, row_ids, axis=0)
        sums = []

        def block_result(first: int) -> Array:
            rows = slice(first, min(first + step, n))
            part = matrix if step >= n else matrix.take_rows(rows)
            eta = linear_predictor(part, coef, intercept)
            sums.append(xp.sum(eta[:, 0]))
            if offset is not None:
                eta += offset[rows, :]
            return function(eta, xp=xp)

        with full_precision(entries), arrays.quiet():
            results = arrays.concat_blocks(map(block_result, range(0, n, step)), n)
            # An entry of X that is not finite makes all logits of its row not finite.
            # The logits of a class without weight, whose intercept is infinite, become
            # NaN.
            totals = xp.stack(sums)
            finite = xp.all(xp.isfinite(totals) | (totals == intercept[0]))
            if not arrays.is_traced(finite) and not arrays.to_host(finite):
                names = self._chunk_names or features.column_names
                refuse_non_finite(matrix, names)
        if n > n_rows:
            results = results[:n_rows, ...]
        return features.returned(results=results)["results"]

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes to pickle, with arrays that can be pickled."""
        state = super().__getstate__().items()
        return {k: arrays.picklable(v) if arrays.is_foreign(v) else v for k, v in state}

    @property
    def _is_one_vs_rest(self) -> bool:
        """Return whether each class has its own binary model."""
        # from_sklearn sets no _one_vs_rest.
        is_ovr = getattr(self, "multi_class", "multinomial") == "ovr"
        return bool(getattr(self, "_one_vs_rest", is_ovr and self.coef_.shape[0] > 1))

    def _warn_of_missing_offset(self) -> None:
        """Warn once if the fit had an offset, which this prediction lacks."""
        if self._has_offset and not self._warned_of_offset:
            self._warned_of_offset = True
            warn(
                f"{type(self).__name__} was fitted with an offset, and predicts here "
                "without one: the logits lack it. Pass offset=..., or "
                "offset=numpy.zeros(n_samples) to predict without an offset."
            )

    def _exact_intercept(self, features: Features, dtype: Any) -> Array:
        """Return the intercepts in a dtype, with the digits ``intercept_`` lacks."""
        xp = features.xp
        given = xp.reshape(features.place(self.intercept_, None), (-1,))
        intercept = xp.astype(given, dtype, copy=False)
        rounding = getattr(self, "_intercept_rounding", None)
        if rounding is None or given.dtype == dtype or rounding.shape != given.shape:
            return intercept
        # An intercept set by hand has no further digits.
        exact = intercept + features.place(rounding, dtype)
        return xp.where(xp.astype(exact, given.dtype) == given, exact, intercept)

    @property
    def coef_names_(self) -> list[str]:
        """Return the names of the columns of ``coef_``."""
        check_is_fitted(self, "coef_")
        names = getattr(self, "feature_names_in_", None)
        rows = np.empty((0, self.coef_.shape[1]))
        return Features(rows, names, getattr(self, "_encoder", None)).column_names

    def sparsify(self) -> Self:
        """Convert ``coef_`` to a sparse matrix, which stores no zeros.

        Predictors accept the sparse matrix. ``fit`` replaces it by a dense array.

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
            dtype = self.intercept_.dtype
            self.coef_ = arrays.move_like(self.coef_, self.intercept_, dtype)
        return self

    def to_numpy(self) -> Self:
        """Return a fitted copy whose attributes and parameters are NumPy arrays.

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
            if isinstance(value, np.ndarray) or arrays.is_foreign(value):
                setattr(converted, name, np.array(arrays.to_host(value)))
        return converted

    def to_sklearn(self) -> Any:
        """Return a fitted estimator of scikit-learn that predicts the same.

        Tools for scikit-learn's classes, such as ONNX converters, accept the result. In
        a pipeline, replace the step by it.

        Returns
        -------
        LogisticRegression or OneVsRestClassifier
            scikit-learn's estimator, with NumPy attributes and float64 coefficients.
            ``multi_class='ovr'`` with more than two classes, and several labels, give a
            OneVsRestClassifier. After a cross-validation it has the chosen penalty. A
            refit of it has no ``penalty_factor`` and no bounds.

        Raises
        ------
        NotFittedError
            Before ``fit``.

        Warns
        -----
        UserWarning
            If the fit had an offset or encoded categorical columns, which estimators of
            scikit-learn do not know.
        """
        if self._has_offset:
            warn(
                f"{type(self).__name__} was fitted with an offset, which estimators of "
                "scikit-learn do not add: their logits lack it."
            )
        if hasattr(self, "_encoder"):
            warn(
                f"{type(self).__name__} encodes the categorical columns of tables, and "
                "the estimator of scikit-learn does not: pass it a column for each of "
                "coef_names_."
            )
        return sklearn_model(self.to_numpy())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class LinearClassifier(ClassifierMixin, LinearModel):
    """Predict one of ``classes_`` for each row."""

    @chunk_by_chunk
    def decision_function(self, X: Array, offset: Array | None = None) -> Array:
        """Return the logits x.w + b, plus the offset if given.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Rows of any library and device. For Dask arrays and tables, the result is a
            lazy Dask array with the same chunks.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            One column for each class; for two classes, the logit of ``classes_[1]``.
            The array has the library, dtype and device of X.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X has other features than the fit, or if X or the offset is not finite.
        """
        return self._map_logits(one_or_more, X, offset)

    @chunk_by_chunk
    def predict_proba(self, X: Array, offset: Array | None = None) -> Array:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Rows of any library and device. The result is lazy if X belongs to Dask.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

        Returns
        -------
        array of shape (n_samples, n_classes)
            Columns in the order of ``classes_``; each row sums to one. The array has
            the library, dtype and device of X.

        Raises
        ------
        NotFittedError, ValueError
            As in :meth:`decision_function`.
        """
        function = partial(probabilities, one_vs_rest=self._is_one_vs_rest)
        return self._map_logits(function, X, offset)

    @chunk_by_chunk
    def predict_log_proba(self, X: Array, offset: Array | None = None) -> Array:
        """Return log-probabilities, accurate where probabilities round to 0 or 1.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Rows of any library and device. The result is lazy if X belongs to Dask.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

        Returns
        -------
        array of shape (n_samples, n_classes)

        Raises
        ------
        NotFittedError, ValueError
            As in :meth:`decision_function`.
        """
        function = partial(log_probabilities, one_vs_rest=self._is_one_vs_rest)
        return self._map_logits(function, X, offset)

    @chunk_by_chunk
    def predict(self, X: Array, offset: Array | None = None) -> Array:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Rows of any library and device. The result is lazy if X belongs to Dask.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as in ``fit``.

        Returns
        -------
        array of shape (n_samples,)
            Labels, in the library and device of X; as a NumPy array if the library
            cannot hold them (strings, large integers).

        Raises
        ------
        NotFittedError, ValueError
            As in :meth:`decision_function`.
        """
        return labels_of(self._map_logits(class_codes, X, offset), self.classes_)

    def score(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        offset: Array | None = None,
    ) -> float:
        """Return the accuracy: the weighted share of rows with the right class.

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
            As in :meth:`decision_function`, or if lengths differ.
        """
        refuse_soft_labels(y)
        given = {"y": y, "sample_weight": sample_weight, "offset": offset}
        right, total = sum_rows(_right_weight, self, X, given)
        if not total > 0:
            raise ValueError(
                "There is nothing to score: X has no rows, or their weights are zero."
            )
        return float(right / total)


def _right_weight(
    model: LinearClassifier, X: Array, y: Any, sample_weight: Any, offset: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of the rows whose label is predicted, and of all rows."""
    from sklearn.metrics import accuracy_score

    if (n_rows := np.shape(X)[0]) == 0:  # an empty chunk
        return np.zeros(()), np.zeros(())
    weights = place_weights(sample_weight, Features(np.empty((n_rows, 0))))
    (total,) = class_totals(weights)
    if total == 0:
        return np.zeros(()), np.zeros(())
    # A subclass may override predict(X).
    predicted = model.predict(X) if offset is None else model.predict(X, offset)
    given = on_host({"y_true": y, "y_pred": predicted})
    check_n_rows("y", np.shape(given["y_true"]), n_rows)
    right = accuracy_score(**given, sample_weight=weights, normalize=False)
    return np.asarray(float(right)), np.asarray(total)
