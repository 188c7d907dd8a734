"""Validation of X: arrays of any library, sparse matrices, tables and lists.

Each error says what was given, what was expected and what to do. No check changes the
estimator.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from xlr import arrays
from xlr.arrays import Array, Device, Namespace
from xlr.data import Chunks, DenseMatrix, Matrix, as_matrix, canonical
from xlr.inputs.categories import Encoder, fit_encoder
from xlr.inputs.dask_input import (
    chunks_of,
    coded_chunks,
    find_levels_in_chunks,
    stand_in,
)
from xlr.inputs.kinds import accept
from xlr.inputs.strings import explain_strings
from xlr.inputs.tables import explain_columns, is_table, refuse_columns, to_matrix
from xlr.text import printable, quoted

# Type characters of NumPy arrays that are taken as they are: float64 and float32, and
# booleans and integers of one or two bytes, which are converted block by block.
PLAIN = "df?bBhH"

# How scikit-learn reads X: numbers of any kind, NaN and infinity included.
ANY_NUMBERS = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": False,
}


@dataclass(frozen=True)
class Features:
    """Validated X, with its namespace and device.

    Attributes
    ----------
    X : array, sparse CSR array, Matrix or Chunks of shape (n_samples, n_features)
        float32, float64 or half precision; a sparse matrix is in canonical form.
    xp, device
        Namespace and device of X.
    names : ndarray of str or None
        Column names of a table.
    encoder : Encoder, default=None
        Of a table with categorical columns: X then has a column for each level.
    given : tuple of namespace and device, or None
        Those of results, where NumPy reads X in place; None for those of X.
    """

    X: Array
    xp: Namespace
    device: Device
    names: np.ndarray | None
    encoder: Encoder | None = None
    given: tuple[Namespace, Device] | None = None

    @property
    def column_names(self) -> list[str]:
        """Names of the columns: x0, x1, ... if X is no table."""
        if self.encoder is not None:
            return self.encoder.columns
        if self.names is None:
            return [f"x{j}" for j in range(self.X.shape[1])]
        return [str(name) for name in self.names]

    @property
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes of an estimator that tell of the columns."""
        attributes: dict[str, Any] = {"n_features_in_": self.X.shape[1]}
        if self.names is not None:
            attributes["feature_names_in_"] = self.names
        if self.encoder is not None:
            attributes["n_features_in_"] = self.encoder.n_features
            attributes["_encoder"] = self.encoder
        return attributes

    @property
    def dtype(self) -> Any:
        """Dtype of the computations: that of X, or float32 for half precision."""
        return self.X.dtype if isinstance(self.X, Chunks) else self.matrix.dtype

    @property
    def in_chunks(self) -> bool:
        """True for rows of Dask."""
        return isinstance(self.X, Chunks)

    @property
    def stored(self) -> Any:
        """The array that holds the numbers of X in memory; else its chunks."""
        return self.X if isinstance(self.X, Chunks) else self.matrix.stored

    @property
    def wide(self) -> Any:
        """Widest floating-point dtype of the device of X."""
        return arrays.widest_float(xp=self.xp, device=self.device)

    def like(self, X: Array) -> Features:
        """Return other rows of the same columns."""
        return replace(self, X=X)

    @cached_property
    def matrix(self) -> Matrix:
        """X in memory as a matrix."""
        if isinstance(self.X, np.ndarray):
            return DenseMatrix(self.X, xp=self.xp)
        return as_matrix(self.X)

    def place(self, values: Any, dtype: Any) -> Array:
        """Move an array of any library to the namespace and device of X."""
        return arrays.move(values, xp=self.xp, device=self.device, dtype=dtype)

    def returned(self, **results: Array) -> dict[str, Array]:
        """Return results as arrays of the library that X came in."""
        if self.given is None:
            return results
        xp, device = self.given
        return {k: arrays.move(v, xp=xp, device=device) for k, v in results.items()}


def read_features(
    estimator: Any, X: Any, *, reset: bool, chunked: bool = False
) -> Features:
    """Validate X; with ``reset=False`` compare its features with those of the fit.

    scikit-learn's ``validate_data`` reads lists, tables, NumPy arrays and matrices of
    scipy.sparse. An array of another library stays where it is. With ``chunked``,
    arrays and tables of Dask become :class:`Chunks`.

    Raises
    ------
    TypeError, ValueError
        If X is not a non-empty matrix of real numbers, or has other features than
        the fit. NaN and infinity are found later, by the first pass over the rows.
    """
    if chunked and arrays.is_dask(X):
        few = stand_in(X)
        look = partial(find_levels_in_chunks, X)
        if (encoder := _encoder_for(estimator, few, look, reset=reset)) is not None:
            return _read_coded_chunks(estimator, X, few, encoder, reset=reset)
        like = read_features(estimator, few, reset=reset)
        # Chunks are converted as they are read.
        rows = like.xp.astype(like.X, like.dtype, copy=False)
        if like.given is not None:
            X = X.map_blocks(arrays.in_place, dtype=like.X.dtype, meta=like.X)
        return like.like(chunks_of(X, rows, xp=like.xp))
    if type(X) is np.ndarray and X.dtype.char in PLAIN and X.ndim == 2 and X.size > 0:
        # scikit-learn's validation takes longer than the prediction of a row.
        known = getattr(estimator, "n_features_in_", None)
        is_named = hasattr(estimator, "feature_names_in_")
        if reset or (X.shape[1] == known and not is_named):
            return Features(X, np, "cpu", None)
    if is_matrix(X):
        _check_width(estimator, X.shape[1], reset)
        names = getattr(X, "names", None)
        names = None if names is None else np.asarray(names, dtype=object)
        encoder = None if reset else getattr(estimator, "_encoder", None)
        return Features(X, X.xp, X.device, names, encoder)
    X, names = accept("X", X), None
    encoder = _encoder_for(estimator, X, reset=reset)
    if encoder is not None:
        if isinstance(encoder, Encoder):
            names = _names(estimator, X, reset=reset)
        matrix = encoder.encode(X, partial(_numbers, estimator))
        return Features(matrix, matrix.xp, matrix.device, names, encoder)
    if isinstance(X, np.ndarray) or not arrays.is_array(X):
        X, names = _read_on_host(estimator, X, reset=reset)
        if isinstance(entries := arrays.entries(X), np.ndarray):
            xp, device = arrays.namespace(entries), arrays.device_of(entries)
            return Features(X, xp, device, names)
    with arrays.current_device(X):
        return _read_on_device(estimator, X, names, reset=reset)


def _read_coded_chunks(
    estimator: Any, X: Any, few: Any, encoder: Encoder, *, reset: bool
) -> Features:
    """Return the chunks of a Dask table with categorical columns.

    ``few`` are rows such as its own, in memory.
    """
    if not isinstance(encoder, Encoder):
        raise TypeError(
            "A formula reads tables in memory, and X is of Dask. Predict with "
            "X.map_partitions, or compute the columns that the formula names."
        )
    dtype = np.dtype(np.float64)
    if encoder.numeric:
        dtype = _numbers(estimator, encoder.numbers(few)).dtype
    names = _names(estimator, few, reset=reset)
    chunks = coded_chunks(X, encoder, str(dtype))
    chunks.n_passes += reset  # which found the levels
    return Features(chunks, chunks.xp, chunks.device, names, encoder)


def _read_on_device(
    estimator: Any, X: Any, names: np.ndarray | None, *, reset: bool
) -> Features:
    """Validate an array of another library than NumPy, on its device.

    NumPy reads what JAX holds in host memory, and in a fit what torch holds there.
    """
    if arrays.is_sparse(X):
        X = X.tocsr()
    entries = arrays.entries(X)
    xp, device = arrays.namespace(entries), arrays.device_of(entries)
    given, shape = None, tuple(X.shape)
    if len(shape) != 2:
        raise ValueError(
            f"Expected 2D array, got an X of shape {shape} instead. Reshape your data: "
            "X.reshape(-1, 1) for a single feature, X.reshape(1, -1) for a single row."
        )
    for size, unit in zip(shape, ("sample", "feature")):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {unit}(s) (shape={shape}) while a minimum of 1 is "
                f"required by {type(estimator).__name__}."
            )
    if xp.isdtype(X.dtype, "complex floating"):
        raise ValueError(f"Complex data not supported: X has dtype {X.dtype}.")
    _check_width(estimator, shape[1], reset)
    dtype = arrays.floating_dtype(entries, xp=xp)
    if arrays.is_sparse(X):
        return Features(canonical(X.astype(dtype)), xp, device, names)
    if reset:  # predictions are differentiable
        X = arrays.without_gradient(X)
    if (read := arrays.in_place(X, differentiable=not reset)) is not X:
        X, given, xp, device = read, (xp, device), np, "cpu"
        dtype = arrays.floating_dtype(X, xp=xp)
    if not arrays.is_half(X):  # its blocks are converted, one at a time
        X = xp.astype(X, dtype, copy=False)
    return Features(X, xp, device, names, given=given)


def is_matrix(X: Any) -> bool:
    """Return whether X is a :class:`~xlr.data.Matrix`, of this library or of a user."""
    return hasattr(type(X), "transpose_matvec")


def _encoder_for(
    estimator: Any, X: Any, look: Any = None, *, reset: bool
) -> Encoder | None:
    """Return the encoder of a table with categorical columns, in a fit a new one.

    ``look`` finds the levels in the chunks of a table; X holds a few of its rows.
    """
    if reset:
        wanted = getattr(estimator, "categorical", None) is not None
        return fit_encoder(estimator, X, look) if wanted and is_table(X) else None
    encoder: Encoder | None = getattr(estimator, "_encoder", None)
    if encoder is not None and not is_table(X):
        raise ValueError(
            f"{type(estimator).__name__} was fitted to a table with categorical "
            f"columns, and X is a {type(X).__name__}. Pass a table with the columns "
            f"{', '.join(map(quoted, encoder.variables))}."
        )
    return encoder


def _check_width(estimator: Any, width: int, reset: bool) -> None:
    """Raise ValueError if X has other features than the fit."""
    n_features = getattr(estimator, "n_features_in_", width)
    if (encoder := getattr(estimator, "_encoder", None)) is not None:
        n_features = len(encoder.columns)
    if not reset and width != n_features:
        raise ValueError(
            f"X has {width} features, but {type(estimator).__name__} is expecting "
            f"{n_features} features as input."
        )


def _read_on_host(
    estimator: Any, X: Any, *, reset: bool
) -> tuple[Any, np.ndarray | None]:
    """Return the matrix that scikit-learn makes of X, and the names of its columns."""
    if not isinstance(X, np.ndarray) and is_table(X):
        return _numbers(estimator, X), _names(estimator, X, reset=reset)
    # Names and number of the features are stored on a copy, so that nothing changes
    # should a later check fail.
    reader = copy.copy(estimator)
    try:
        matrix = X if issparse(X) else np.asarray(X)
        if matrix.dtype.kind in "mM":
            raise ValueError(
                f"X holds dates or times: its dtype is {matrix.dtype}. Turn them into "
                "numbers first, such as days since a date or the month."
            )
        matrix = validate_data(reader, matrix, reset=reset, **ANY_NUMBERS)
    except OverflowError as error:
        raise ValueError(f"X holds numbers beyond float64: {error}.") from error
    except (TypeError, ValueError) as error:
        explain_strings(X, error)
        raise
    return _in_parts(matrix), getattr(reader, "feature_names_in_", None)


def _names(estimator: Any, X: Any, *, reset: bool) -> np.ndarray | None:
    """Return the names of the columns of a table, compared with those of the fit."""
    reader = copy.copy(estimator)
    try:
        validate_data(reader, X, reset=reset, skip_check_array=True)
    except ValueError as error:  # it lists names, one a line
        lines = str(error).split("\n")
        raise ValueError("\n".join(map(printable, lines))) from error
    return getattr(reader, "feature_names_in_", None)


def _numbers(estimator: Any, X: Any) -> Any:
    """Return a table as a matrix of numbers: CuPy's, not checked yet, for cuDF."""
    refuse_columns(X)
    try:
        matrix = to_matrix(X)
        if arrays.is_array(matrix):
            return matrix
        return _in_parts(
            check_array(matrix, input_name="X", estimator=estimator, **ANY_NUMBERS)
        )
    except OverflowError as error:
        raise ValueError(f"X holds numbers beyond float64: {error}.") from error
    except (TypeError, ValueError) as error:
        explain_columns(X, error)


def _in_parts(matrix: Any) -> Any:
    """Return a sparse matrix in canonical form; a dense one as it is."""
    if not issparse(matrix):
        return matrix
    # From its parts: then SciPy takes int32 for the indices, if they fit, which are
    # half as many bytes to read in each pass as int64, and any integers for them.
    parts = (matrix.data, matrix.indices, matrix.indptr)
    return canonical(csr_array(parts, shape=matrix.shape))
