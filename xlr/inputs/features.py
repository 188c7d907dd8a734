"""Validation of X: arrays of any library, sparse matrices, tables and lists.

Each error says what was given, what was expected and what to do. No check changes the
estimator.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from xlr import arrays, numpy_namespace
from xlr.arrays import Array, Device, Namespace
from xlr.data import ChunkedMatrix, DenseMatrix, as_matrix, canonical, is_matrix
from xlr.inputs.categories import Encoder, fit_encoder
from xlr.inputs.dask_input import chunks_of, example_rows, map_partitions
from xlr.inputs.tables import accept, check_2d, is_table, raise_with_columns, to_matrix
from xlr.text import printable, term_of

# Type characters of NumPy arrays that need no conversion: float64 and float32; and
# booleans and integers of one or two bytes, which passes convert block by block.
PLAIN_TYPES = "df?bBhH"


class Features:
    """Validated X, as a matrix.

    Parameters
    ----------
    X : array, sparse CSR array, Matrix or ChunkedMatrix, (n_samples, n_features)
        Floats, or booleans and integers of one or two bytes; a sparse matrix of a fit
        is in canonical form.
    names : ndarray of str or None
        Column names of a table.
    encoder : Encoder or FormulaTransformer, default=None
        Encoder of the categorical columns of a table, or transformer of a formula. X
        then holds the encoded columns.
    given : tuple of namespace and device, or None
        Namespace and device of results, where NumPy reads X of another library in
        place; None where they are ``xp`` and ``device``.

    Attributes
    ----------
    matrix : Matrix or ChunkedMatrix
    xp, device
        Namespace and device of X.
    dtype : dtype
        Dtype of the computations: float32 or float64; the widest for integers.
    accumulation_dtype : dtype
        Widest floating-point dtype of the device of X.
    stored : array
        The numbers of X, or those of a row of its chunks.
    """

    def __init__(
        self,
        X: Any,
        names: np.ndarray | None = None,
        encoder: Encoder | None = None,
        given: tuple[Namespace, Device] | None = None,
    ) -> None:
        self.X, self.names, self.encoder, self.given = X, names, encoder, given
        matrix: Any = X
        if isinstance(X, np.ndarray):  # fewer calls for a single row
            matrix = DenseMatrix(X, xp=numpy_namespace, device="cpu")
        elif not isinstance(X, ChunkedMatrix):
            matrix = as_matrix(X)
        self.matrix, self.stored, self.dtype = matrix, matrix.stored, matrix.dtype
        self.xp, self.device = matrix.xp, matrix.device
        self.accumulation_dtype = arrays.widest_float(xp=self.xp, device=self.device)

    @property
    def column_names(self) -> list[str]:
        """Names of the columns of X: given ones, or x0, x1, ..."""
        if self.encoder is not None:
            return self.encoder.columns
        if self.names is None:
            return [f"x{j}" for j in range(self.X.shape[1])]
        return [str(name) for name in self.names]

    @property
    def terms(self) -> list[str]:
        """Terms of the columns of X: the column of a level, else the name."""
        if self.encoder is not None:
            return self.encoder.terms
        names = self.column_names
        return list(map(term_of, names)) if is_matrix(self.X) else names

    @property
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes of an estimator that describe the columns."""
        attributes: dict[str, Any] = {"n_features_in_": self.X.shape[1]}
        if self.names is not None:
            attributes["feature_names_in_"] = self.names
        if self.encoder is not None:
            attributes["n_features_in_"] = self.encoder.n_features
            attributes["_encoder"] = self.encoder
        return attributes

    def place(self, values: Any, dtype: Any) -> Array:
        """Move an array of any library to the namespace and device of X."""
        return arrays.move(values, xp=self.xp, device=self.device, dtype=dtype)

    def returned(self, **results: Array) -> dict[str, Array]:
        """Return results as arrays of the library of the given X."""
        if self.given is None:
            return results
        xp, device = self.given
        return {k: arrays.move(v, xp=xp, device=device) for k, v in results.items()}


def read_features(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    chunked: bool = False,
    may_repeat: bool = False,
) -> Features:
    """Validate X; with ``reset=False`` compare its features with the fit.

    scikit-learn validates lists, tables, NumPy arrays and matrices of scipy.sparse. An
    array of another library stays on its device. With ``chunked``, arrays and tables
    of Dask become :class:`ChunkedMatrix`. With ``may_repeat``, a sparse matrix may
    store an entry several times: products add them up, and a search for them takes as
    long as a product.

    Raises
    ------
    TypeError, ValueError
        If X is not a non-empty matrix of real numbers, or has other features than the
        fit. The first pass over the rows finds NaN and infinity.
    """
    if chunked and arrays.is_dask(X):
        return _read_chunks(estimator, X, reset=reset)
    # scikit-learn's validation takes longer than the prediction of a row.
    if type(X) is np.ndarray and X.dtype.char in PLAIN_TYPES and X.ndim == 2 and X.size:
        if reset:
            # A copy costs less than strided products in every pass.
            return Features(X if X.itemsize in X.strides else np.ascontiguousarray(X))
        is_named = hasattr(estimator, "feature_names_in_")
        if not is_named and X.shape[1] == np.shape(estimator.coef_)[1]:
            return Features(X)
    if is_matrix(X):
        _check_width(estimator, X.shape[1], reset)
        names = getattr(X, "names", None)
        names = None if names is None else np.asarray(names, dtype=object)
        encoder = None if reset else getattr(estimator, "_encoder", None)
        return Features(X, names, encoder)
    X, names = accept("X", X), None
    encoder = fit_encoder(estimator, X) if reset else _known_encoder(estimator, X)
    if encoder is not None:
        if isinstance(encoder, Encoder):
            names = _names(estimator, X, reset=reset)
        matrix = encoder.encode(X, partial(_numbers, estimator))
        return Features(matrix, names, encoder)
    if isinstance(X, np.ndarray) or not arrays.is_foreign(X):
        given, X = X, _numbers(estimator, X)
        X = canonical(X) if issparse(X) and not may_repeat else X
        names = _names(estimator, given if is_table(given) else X, reset=reset)
        if isinstance(arrays.entries(X), np.ndarray):
            return Features(X, names)
    with arrays.current_device(X):
        return _read_on_device(estimator, X, names, reset, may_repeat)


def _read_chunks(estimator: Any, X: Any, *, reset: bool) -> Features:
    """Validate an array or table of Dask by rows of the same columns."""
    example = example_rows(X)
    if reset:
        encoder = fit_encoder(estimator, example, partial(map_partitions, X=X))
    else:
        encoder = _known_encoder(estimator, example)
    if encoder is None:
        like = read_features(estimator, example, reset=reset)
        return Features(chunks_of(X, like.matrix), like.names, given=like.given)
    if not isinstance(encoder, Encoder):
        raise TypeError("A formula reads tables in memory. Pass X.compute().")
    names = _names(estimator, example, reset=reset)
    lenient = replace(encoder, handle_unknown="ignore", handle_missing="level")
    row = lenient.encode(example, partial(_numbers, estimator))
    chunks = chunks_of(X, row, encoder)
    chunks.n_passes += reset  # the pass that found the levels
    return Features(chunks, names, encoder)


def _read_on_device(
    estimator: Any, X: Any, names: np.ndarray | None, reset: bool, may_repeat: bool
) -> Features:
    """Validate an array of another library than NumPy, on its device.

    NumPy reads an array of JAX in host memory in place, and in a fit one of torch, too.
    """
    if arrays.is_sparse(X):
        X = X.tocsr()
    entries = arrays.entries(X)
    xp, device = arrays.namespace(entries), arrays.device_of(entries)
    given, shape = None, tuple(X.shape)
    check_2d(shape)
    if 0 in shape:
        raise ValueError(
            f"X has shape {shape}, with 0 sample(s) or 0 feature(s): pass at least one "
            "row and one column."
        )
    if xp.isdtype(X.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported: X has dtype {X.dtype}.")
    _check_width(estimator, shape[1], reset)
    if arrays.is_sparse(X):
        X = X.astype(arrays.floating_dtype(entries, xp=xp))
        return Features(X if may_repeat else canonical(X), names)
    if reset:  # predictions are differentiable
        X = arrays.without_gradient(X)
    if (read := arrays.numpy_view(X, differentiable=not reset)) is not X:
        X, given, xp = read, (xp, device), numpy_namespace
    if not arrays.is_half(X):  # its blocks are converted, one at a time
        X = xp.astype(X, arrays.floating_dtype(X, xp=xp), copy=False)
    return Features(X, names, given=given)


def _known_encoder(estimator: Any, X: Any) -> Encoder | None:
    """Return the encoder of the fit, if it was to a table with categorical columns."""
    encoder: Encoder | None = getattr(estimator, "_encoder", None)
    if encoder is not None and not is_table(X):
        raise ValueError(
            f"X is a {type(X).__name__}, and the fit was to a table with categorical "
            "columns. Pass a table with the columns of the fit."
        )
    return encoder


def _check_width(estimator: Any, width: int, reset: bool) -> None:
    """Raise ValueError unless X has a column for each coefficient of the fit."""
    n_features = width if reset else np.shape(estimator.coef_)[1]
    if width != n_features:
        raise ValueError(
            f"X has {width} features, but {type(estimator).__name__} is expecting "
            f"{n_features} features as input."
        )


def _numbers(estimator: Any, X: Any) -> Any:
    """Return X as a NumPy or sparse CSR matrix of numbers.

    A table of cuDF becomes a matrix of CuPy, which is not checked yet.
    """
    try:
        if is_table(X):
            numbers = to_matrix(X)
            if arrays.is_foreign(numbers):
                return numbers
        else:
            numbers = X if issparse(X) else np.asarray(X)
            if numbers.dtype.kind in "mM":
                raise ValueError("X holds dates or times")
        is_array = isinstance(numbers, np.ndarray) and numbers.ndim == 2
        if is_array and numbers.size and numbers.dtype.kind in "biuf":
            is_plain = numbers.dtype.char in PLAIN_TYPES
            return numbers if is_plain else numbers.astype(np.float64)
        matrix = check_array(
            numbers,
            estimator=estimator,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
        )
    except (TypeError, ValueError) as error:
        raise_with_columns(X, error)
    if not issparse(matrix):
        return matrix
    # SciPy takes int32 indices for these arrays, if they fit: half the bytes of int64.
    stored = (matrix.data, matrix.indices, matrix.indptr)
    return csr_array(stored, shape=matrix.shape)


def _names(estimator: Any, X: Any, *, reset: bool) -> np.ndarray | None:
    """Return the names of the columns of X, after a comparison with the fit.

    scikit-learn stores them on another estimator: a check that fails changes nothing.
    """
    known = getattr(estimator, "feature_names_in_", None)
    if not reset and known is not None and list(getattr(X, "columns", ())) == [*known]:
        return np.asarray(known)
    is_array = isinstance(arrays.entries(X), np.ndarray)
    if not reset and known is None and is_array:
        _check_width(estimator, X.shape[1], reset)
        return None
    reader = BaseEstimator() if reset else copy.copy(estimator)
    try:
        validate_data(reader, X, reset=reset, skip_check_array=True)
    except ValueError as error:  # it lists names, one a line
        lines = str(error).split("\n")
        raise ValueError("\n".join(map(printable, lines))) from error
    return getattr(reader, "feature_names_in_", None)
