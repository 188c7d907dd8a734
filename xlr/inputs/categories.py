"""Categorical columns of tables as codes, and the other columns as numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np

from xlr import arrays
from xlr.data import CategoricalMatrix, SplitMatrix
from xlr.inputs.tables import columns_hold, is_missing, is_table, native
from xlr.text import listed, printable, quoted

# A column with more levels, each with a coefficient, is probably an identifier.
MAX_LEVELS = 10**6

# Values of a column, None for missing ones; and its levels in the order of a
# categorical column, None for other columns.
Levels = tuple[list[Any], list[Any] | None]


@dataclass(frozen=True)
class Encoder:
    """Columns of a table, and the levels of its categorical columns.

    Attributes
    ----------
    numeric : list of str
        Names of the columns of numbers, in the order of the table.
    levels : dict of lists
        Levels of each categorical column, in the order of their coefficients. The
        first is the reference if it has no coefficient.
    n_dropped : dict of int
        Number of first levels of each categorical column without a coefficient: 0 or 1.
    handle_unknown, handle_missing : str
        As in :class:`LogisticRegression`.
    """

    numeric: list[str]
    levels: dict[str, list[Any]]
    n_dropped: dict[str, int]
    handle_unknown: str
    handle_missing: str

    @property
    def n_features(self) -> int:
        """Number of columns of the table."""
        return len(self.numeric) + len(self.levels)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of X: numeric ones, then one for each level."""
        names = list(self.numeric)
        for column in self.levels:
            names += self._names(column)[self.n_dropped[column] :]
        return names

    @property
    def terms(self) -> list[str]:
        """Column of the table of each column of X."""
        terms = list(self.numeric)
        for column, levels in self.levels.items():
            terms += [column] * (len(levels) - self.n_dropped[column])
        return terms

    @property
    def references(self) -> dict[str, str]:
        """Names of the levels without a coefficient, by categorical column."""
        dropped = [column for column, n in self.n_dropped.items() if n]
        return {column: self._names(column)[0] for column in dropped}

    def _names(self, column: str) -> list[str]:
        """Return the names of all levels of a column."""
        levels, missing = self.levels[column], "missing"
        while missing in levels:  # a level of that name
            missing = f"({missing})"
        shown = (missing if level is None else level for level in levels)
        return [f"{column}[{level}]" for level in shown]

    def encode(self, X: Any, read_numbers: Callable[[Any], Any]) -> Any:
        """Return a native table as a matrix.

        Parameters
        ----------
        X : table
            Table with the columns of the fit.
        read_numbers : callable
            Returns a native table of the numeric columns as an array.

        Raises
        ------
        ValueError
            If a categorical column has missing values or unknown levels where the
            options make them errors.
        """
        frame = nw.from_native(X, eager_only=True)
        names = *self.numeric, *self.levels
        if absent := [name for name in names if name not in frame.columns]:
            raise ValueError(f"X lacks the columns {listed(absent)} of the fit.")
        codes = np.stack([self._codes(frame[name], name) for name in self.levels]).T
        n_levels = [len(self.levels[name]) - n for name, n in self.n_dropped.items()]
        if not self.numeric:
            return SplitMatrix([CategoricalMatrix(codes, n_levels)])
        numbers = read_numbers(frame.select(self.numeric).to_native())
        codes = arrays.move_like(codes, arrays.entries(numbers))
        return SplitMatrix([numbers, CategoricalMatrix(codes, n_levels)])

    def _codes(self, column: nw.Series[Any], name: str) -> np.ndarray:
        """Return the code of each row: the position among levels with coefficients.

        It is -1 for the reference and for unknown levels.
        """
        with _named(name):
            value_indices, values = _factorized(column)
        if None in values and self.handle_missing == "error":
            raise ValueError(
                f"{columns_hold([name])} missing values. Drop those rows, impute them "
                "(sklearn.impute.SimpleImputer), or fit with handle_missing='level' to "
                "give them a level of their own. If only new rows have missing values, "
                "fit with handle_unknown='ignore' too."
            )
        position = {level: k for k, level in enumerate(self.levels[name])}
        unseen = [value for value in values if value not in position]
        if unseen and self.handle_unknown == "error":
            raise ValueError(
                f"Column {quoted(name)} of X has levels that the fit did not see: "
                f"{listed(unseen, _shown)}. Pass known levels, or fit with "
                "handle_unknown='ignore' to give such rows no level."
            )
        new = [position.get(value, -1) - self.n_dropped[name] for value in values]
        narrow = np.min_scalar_type(-len(position) - 1)
        return np.take(np.maximum(np.asarray(new, dtype=narrow), -1), value_indices)


def fit_encoder(
    estimator: Any, X: Any, map_partitions: Callable[[Any], Any] | None = None
) -> Encoder | None:
    """Return the encoder of X; None if it is no table or has no categorical column.

    Parameters
    ----------
    estimator : estimator
        May have ``categorical``, ``drop``, ``handle_unknown`` and ``handle_missing``.
    X : array or native table
    map_partitions : callable, default=None
        Returns the results of a function of each partition. None means that X holds all
        rows.

    Raises
    ------
    ValueError
        If ``categorical`` names unknown columns, or the levels of a column are of
        several types or too many.
    """
    if getattr(estimator, "categorical", None) is None or not is_table(X):
        return None
    frame = nw.from_native(X, eager_only=True)
    chosen = _chosen(estimator.categorical, frame)
    if not chosen:
        return None
    if not all(isinstance(name, str) for name in frame.columns):
        raise ValueError(
            "Tables with categorical columns need column names that are strings. "
            "Rename the columns: X.columns = X.columns.astype(str) in pandas."
        )
    with_missing = estimator.handle_missing == "level"
    levels_of_part = partial(find_levels, chosen)
    parts = map_partitions(levels_of_part) if map_partitions else [levels_of_part(X)]
    levels = {
        name: _merged([part[name] for part in parts], name, with_missing)
        for name in chosen
    }
    # Without a penalty, one level is dropped: the columns of all levels sum to one, as
    # the intercept does. Without an intercept, the first column keeps all levels, as in
    # R. Cross-validation has no C.
    free = math.isinf(getattr(estimator, "C", 1.0))
    drops_by_default = getattr(estimator, "_needs_reference", free)
    drops = estimator.drop == "first" or (estimator.drop == "auto" and drops_by_default)
    n_dropped = {name: int(drops and bool(levels[name])) for name in chosen}
    if estimator.drop == "auto" and not estimator.fit_intercept:
        n_dropped[chosen[0]] = 0
    numeric = [name for name in frame.columns if name not in chosen]
    if not numeric and all(
        len(levels[name]) == n == 1 for name, n in n_dropped.items()
    ):
        raise ValueError(
            f"{columns_hold(chosen)} one level only, which is the reference: nothing "
            "is left to fit. Add columns that vary, or pass drop=None."
        )
    return Encoder(
        numeric, levels, n_dropped, estimator.handle_unknown, estimator.handle_missing
    )


def _chosen(categorical: Any, frame: nw.DataFrame[Any]) -> list[str]:
    """Return the names of the categorical columns, in the order of the table."""
    if categorical == "auto":
        kinds = nw.Categorical, nw.Enum, nw.String, nw.Boolean
        return [n for n, dtype in frame.schema.items() if isinstance(dtype, kinds)]
    unknown = [name for name in categorical if name not in frame.columns]
    if unknown:
        raise ValueError(
            f"categorical names {listed(unknown)}, and X has the columns "
            f"{listed(frame.columns)}. Name columns of X."
        )
    return [name for name in frame.columns if name in set(categorical)]


def find_levels(names: list[str], X: Any) -> dict[str, Levels]:
    """Return the levels of some columns of a table."""
    frame = nw.from_native(X, eager_only=True)
    levels = {}
    for name, column in zip(names, frame.select(names).iter_columns()):
        with _named(name):
            values = _decoded(column).unique(maintain_order=True)
            levels[name] = _to_list(values), table_levels(column)
    return levels


def _merged(parts: list[Levels], name: str, with_missing: bool) -> list[Any]:
    """Return the levels in the order of the table, else sorted; a missing one last."""
    values, levels = zip(*parts)
    seen = dict.fromkeys(itertools.chain(*values))
    missing = [None] * (None in seen and with_missing)
    seen.pop(None, None)
    if len(seen) > MAX_LEVELS:
        raise ValueError(
            f"Column {quoted(name)} of X has {len(seen)} levels, more than "
            f"{MAX_LEVELS}. Is it an identifier? Leave it out, or group its levels."
        )
    if None not in levels:
        every = dict.fromkeys(itertools.chain(*levels))
        return [level for level in every if level in seen] + missing
    with _named(name):
        return sorted(seen) + missing


def table_levels(column: Any) -> list[Any] | None:
    """Return the levels of a categorical column in its order.

    Other columns have none. Nor has a Categorical of polars, which orders its levels
    by their first rows.
    """
    if isinstance(column, np.ndarray):  # the look-up of its library takes 0.1 ms
        return None
    series = nw.from_native(column, series_only=True, pass_through=True)
    dtype = getattr(series, "dtype", None)
    if not isinstance(dtype, nw.Categorical | nw.Enum):
        return None
    if dtype == nw.Categorical and series.implementation.is_polars():
        return None
    return series.cat.get_categories().to_list()


def _factorized(column: nw.Series[Any]) -> tuple[np.ndarray, list[Any]]:
    """Return the position of each row's value among the distinct values, and these.

    None stands for missing values.
    """
    stored = column.to_native()
    is_cudf = nw.dependencies.is_cudf_series(stored)
    if hasattr(stored, "factorize") and not is_cudf:  # of pandas or modin
        codes, index = stored.factorize()
        values = index.tolist()
        if (missing := codes < 0).any():
            return np.where(missing, len(values), codes), [*values, None]
        return codes, values
    column = _decoded(column)
    unique = column.unique(maintain_order=True)
    old, new = unique.to_list(), range(len(unique))
    codes = column.replace_strict(old, new, return_dtype=nw.Int32).to_numpy()
    return codes, _to_list(unique)


def _decoded(column: nw.Series[Any]) -> nw.Series[Any]:
    """Return a column with the values that PyArrow's dictionaries encode."""
    return nw.from_native(native(column.to_native()), series_only=True)


def _shown(level: Any) -> str:
    return "missing values" if level is None else quoted(level)


def _to_list(values: nw.Series[Any]) -> list[Any]:
    """Return values as a list, with None for missing ones."""
    known = [None if is_missing(value) else value for value in values.to_list()]
    set(known)  # lists and records do not hash
    return known


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Raise an error that names the column in place of a library's own."""
    try:
        yield
    except Exception as error:
        said = printable(" ".join(str(error).split()), 200)
        raise ValueError(
            f"The levels of column {quoted(name)} of X mix types or do not compare "
            f"({said}). Make them one type, for instance strings."
        ) from error
