"""Linear models: logits of rows, and what follows from them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import DenseMatrix, Matrix, refuse_non_finite
from xlr.estimators.chunk_by_chunk import chunk_by_chunk, mean_over_chunks
from xlr.estimators.conversion import sklearn_model
from xlr.functions import log_sigmoid, log_softmax, sigmoid_terms, softmax
from xlr.inputs.categories import Encoder
from xlr.inputs.features import Features, read_features
from xlr.inputs.kinds import accept
from xlr.inputs.labels import with_plain_integers
from xlr.inputs.offset import check_offset_columns, read_offset
from xlr.precision import full_precision
from xlr.text import warn

__all__ = [
    "LinearClassifier",
    "LinearModel",
    "class_codes",
    "labels_of",
    "log_probabilities",
    "logits",
    "one_or_more",
    "probabilities",
    "score",
]


@arrays.quiet()
def logits(matrix: Matrix, coef: Array, intercept: Array) -> Array:
    """Return X W' + b, computed in the widest dtype and rounded to that of the matrix.

    In float32 alone the products with a column a million deviations from zero would be
    off by as much as the logits are. The caller passes blocks of rows where X is large.

    Parameters
    ----------
    matrix : Matrix of shape (n_samples, n_features)
    coef : array of shape (n_columns, n_features)
    intercept : array of shape (n_columns,)
        In the widest dtype, with what ``intercept_`` is rounded by.

    Returns
    -------
    array of shape (n_samples, n_columns)
    """
    if matrix.dtype == intercept.dtype:
        return matrix.matvec(coef, intercept)
    found = matrix.astype(intercept.dtype).matvec(coef, intercept)
    return matrix.xp.astype(found, matrix.dtype)


def one_or_more(logits: Array, *, xp: Namespace) -> Array:
    """Return logits (n_rows, n_columns), as a vector if there is one column."""
    return logits[:, 0] if logits.shape[1] == 1 else logits


def probabilities(logits: Array, one_vs_rest: bool = False, *, xp: Namespace) -> Array:
    """Return the probabilities of the classes, (n_rows, n_classes).

    With ``one_vs_rest``, of binary models: their probabilities by their sum.
    """
    if logits.shape[1] > 1:
        # Without the digits of the shift that :func:`softmax` saves: the products
        # have rounded the logits by as much.
        z = log_sigmoid(logits) if one_vs_rest else logits
        if arrays.has_gradient(z):  # torch needs the numbers as they are
            return softmax(z)
        z -= xp.max(z, axis=1, keepdims=True)
        share = xp.exp(z)
        share /= xp.sum(share, axis=1, keepdims=True)
        return share
    terms = sigmoid_terms(logits[:, 0], xp=xp)
    return xp.stack([terms.fall, terms.rise], axis=1) * terms.share[:, None]


def log_probabilities(
    logits: Array, one_vs_rest: bool = False, *, xp: Namespace
) -> Array:
    """Return the logarithms of :func:`probabilities`."""
    if logits.shape[1] > 1:
        z = log_sigmoid(logits) if one_vs_rest else logits
        if arrays.has_gradient(z):
            return log_softmax(z)
        z -= xp.max(z, axis=1, keepdims=True)
        # One term of the sum is exactly 1: log1p keeps the digits of the others.
        others, is_less = xp.exp(z), xp.astype(z < 0, z.dtype)
        others *= is_less
        n_ties = z.shape[1] - 1 - xp.sum(is_less, axis=1, keepdims=True)
        z -= xp.log1p(xp.sum(others, axis=1, keepdims=True) + n_ties)
        return z
    return log_sigmoid(xp.concat([-logits, logits], axis=1))


def class_codes(logits: Array, *, xp: Namespace) -> Array:
    """Return the numbers of the most probable classes: (n_rows,)."""
    if logits.shape[1] == 1:
        logits = xp.concat([xp.zeros_like(logits), logits], axis=1)
    return xp.argmax(logits, axis=1)


def labels_of(codes: Array, classes: Array) -> Array:
    """Return the labels of codes where these are, or NumPy's if no other holds them."""
    host = arrays.to_host(classes)
    if host.dtype.kind in "biuf":
        xp, device = arrays.namespace(codes), arrays.device_of(codes)
        with arrays.quiet():
            moved = arrays.move(classes, xp=xp, device=device)
        # 10^12 does not fit the int32 of JAX, nor 2^63 the int64 of torch.
        if arrays.is_traced(moved) or np.array_equal(
            arrays.to_host(moved).astype(host.dtype), host
        ):
            if (read := arrays.in_place(codes)) is not codes:
                return arrays.move(host[read], xp=xp, device=device, dtype=moved.dtype)
            return xp.take(moved, codes)
    return host[arrays.to_host(codes)]


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
        xp, (n_rows, n_features) = features.xp, features.X.shape
        matrix: Matrix
        if type(features.X) is np.ndarray:  # a row is predicted in 30 calls, not in 34
            entries, matrix = features.X, DenseMatrix(features.X, xp=xp)
        else:
            entries, matrix = features.stored, features.matrix
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
        width = BLOCK_ARRAYS * coef.shape[0]
        if isinstance(matrix, DenseMatrix) and entries.dtype != wide:
            width += n_features  # rows that are converted
        step = max(1, arrays.block_bytes(entries) // (8 * width))
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
        if features.given is not None:
            return features.returned(answers=answers)["answers"]
        return answers

    def _snapshot(self) -> Self:
        """Return the model as it is now, whatever a fit in another thread makes of it.

        Fits replace all attributes at once (:func:`set_fitted`).
        """
        model = type(self).__new__(type(self))
        model.__dict__ = self.__dict__
        return model

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

    @property
    def coef_names_(self) -> list[str]:
        """Names of the columns of ``coef_``."""
        check_is_fitted(self, "coef_")
        encoder: Encoder | None = getattr(self, "_encoder", None)
        if encoder is not None:
            return encoder.columns
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = [f"x{j}" for j in range(self.coef_.shape[1])]
        return list(map(str, names))

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
        """Return a fitted copy whose arrays are NumPy's.

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
            If the fit had an offset, which scikit-learn's estimators do not add, or
            encoded categorical columns, which they take as numbers.
        """
        fitted = self.to_numpy()
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
        return sklearn_model(fitted)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class LinearClassifier(ClassifierMixin, LinearModel):
    """Predict one of ``classes_`` for each row."""

    @chunk_by_chunk
    def decision_function(self, X: Array, offset: Array | None = None) -> Array:
        """Return the logits x.w + b, and the offset.

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
        """Return the probabilities of the classes.

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
        """Return log-probabilities, accurate where probabilities round to 0 or 1.

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
        """Return the most probable class of each row.

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
    """Return the accuracy: the weighted share of rows whose class is predicted.

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
    if sample_weight is None and arrays.is_array(y) and arrays.in_place(y) is y:
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
    """Return whether these are whole numbers of one library, on one device."""
    xp = arrays.namespace(found)
    return (
        tuple(y.shape) == tuple(found.shape)
        and arrays.namespace(y) is xp
        and arrays.device_of(y) == arrays.device_of(found)
        and y.dtype == found.dtype
        and xp.isdtype(y.dtype, ("bool", "integral"))
    )
