"""Formulas as in R: design matrices from tables."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Callable
from threading import Lock
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from xlr.data import CategoricalMatrix, SplitMatrix
from xlr.inputs.categories import table_levels
from xlr.inputs.tables import accept, is_table, native
from xlr.text import listed, printable, quoted

# Share of non-zero entries up to which adjacent terms of numbers are a sparse matrix.
MAX_SPARSE_DENSITY = 0.25

# Threads share warning filters, which turn unknown levels into errors.
WARNINGS_LOCK = Lock()


# The containers of set_output cannot hold the design.
class FormulaTransformer(  # type: ignore[call-arg]
    TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Transformer of a table to the design matrix of an R formula.

    formulaic reads the formula: sums and interactions of columns, ``C(x)`` for
    categories, splines such as ``bs(x, 4)``, and Python functions. Run only formulas
    that you trust. There is no ``set_output``: the design is a
    :class:`xlr.SplitMatrix`, which no container of scikit-learn can hold.

    Parameters
    ----------
    formula : str
        The right-hand side, with or without ``~``. The model adds the intercept.

    Attributes
    ----------
    columns : list of str
        Names of the columns of the design.
    has_intercept_ : bool
        False for a formula with ``0 +`` or ``- 1``.
    n_features_in_ : int
        Number of columns of the table.

    Raises
    ------
    ImportError
        If formulaic is not installed.

    See Also
    --------
    logit : Fits a formula in one call.

    Examples
    --------
    >>> import pandas as pd
    >>> import xlr
    >>> table = pd.DataFrame({"age": [20, 30, 40], "race": ["a", "b", "a"]})
    >>> design = xlr.FormulaTransformer("age * C(race)").fit(table)
    >>> design.get_feature_names_out()
    array(['age', 'C(race)[T.b]', 'age:C(race)[T.b]'], dtype=object)
    """

    def __init__(self, formula: str) -> None:
        self.formula = formula

    def fit(self, X: Any, y: Any = None) -> FormulaTransformer:
        """Find the category levels and spline knots of the formula in a table.

        Parameters
        ----------
        X : table of pandas, polars, PyArrow or narwhals
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If X is not a table, lacks a column or has missing values in one, or if the
            formula cannot be read.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit to a table and return its design: see ``fit`` and ``transform``."""
        formula = parse_formula(self.formula)
        if hasattr(formula, "lhs"):
            raise ValueError(
                f"formula={quoted(self.formula)} has a left-hand side. Leave it "
                "out, or call xlr.logit."
            )
        names = names_in(self.formula)
        matrix = _model_matrix(formula, X, names)
        spec = matrix.model_spec
        indices = spec.term_indices.items()
        terms = {i: str(term) for term, own in indices if term.degree for i in own}
        if not terms:
            raise ValueError(
                f"The right-hand side {quoted(self.formula)} has no columns of X. For "
                "the model of the intercept alone, see llnull, llr and llr_pvalue of "
                "the results of a larger model."
            )
        self._spec, self._names = spec, names
        self.columns = [spec.column_names[i] for i in terms]
        self.terms = list(terms.values())  # an Encoder has them too
        self.n_features = len(terms)
        self.has_intercept_ = len(terms) < len(spec.column_names)
        self.n_features_in_ = len(_column_names(X))
        return self._split(matrix)

    def transform(self, X: Any) -> Any:
        """Return the design matrix of a table.

        Parameters
        ----------
        X : table of pandas, polars, PyArrow or narwhals
            Table with the columns that the formula names.

        Returns
        -------
        SplitMatrix of shape (n_samples, n_columns)
            Codes for the terms of categories and their interactions. Other terms are
            sparse if most entries are zero.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        TypeError, ValueError
            As in :meth:`fit`, or if a category has a level unknown to the fit.
        """
        check_is_fitted(self, "columns")
        return self._split(_model_matrix(self._spec, X, self._names))

    def _split(self, matrix: Any) -> SplitMatrix:
        """Return formulaic's matrix in parts: codes, sparse and dense columns."""
        design = matrix.tocsc().astype(np.float64)
        terms = [
            (_category_codes(design[:, columns]), columns)
            for term, columns in self._spec.term_indices.items()
            if columns and term.degree
        ]
        parts = []
        # Adjacent terms of one kind form one matrix.
        for is_coded, group in itertools.groupby(terms, lambda t: t[0] is not None):
            codes, columns = zip(*group)
            if is_coded:
                levels = list(map(len, columns))
                parts.append(CategoricalMatrix(np.stack(codes, axis=1), levels))
            else:
                numbers = design[:, list(itertools.chain(*columns))]
                is_dense = numbers.nnz > MAX_SPARSE_DENSITY * math.prod(numbers.shape)
                parts.append(numbers.toarray() if is_dense else numbers.tocsr())
        return SplitMatrix(parts, names=self.columns)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of the design.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str, (n_columns,)
        """
        check_is_fitted(self, "columns")
        return np.asarray(self.columns, dtype=object)

    # -- methods of an encoder, for models of a formula --------------------------------

    @property
    def references(self) -> dict[str, str]:
        """Return the names of the levels that treatment contrasts compare with."""
        bases = {}
        for factor, state in self._spec.factor_contrasts.items():
            base = getattr(state.contrasts, "base", None)
            bases[str(factor)] = base if base in state.levels else state.levels[0]
        compared = [name.partition("[T.")[0] for name in self.columns if "[T." in name]
        factors = [factor for factor in dict.fromkeys(compared) if factor in bases]
        return {factor: f"{factor}[{bases[factor]}]" for factor in factors}

    def encode(self, X: Any, read_numbers: Callable[[Any], Any]) -> SplitMatrix:
        """Return the design matrix of a table, as :class:`SplitMatrix`."""
        return self.transform(X)


def parse_formula(formula: str) -> Any:
    """Return formulaic's parsed formula; raise ValueError if it cannot be read."""
    try:
        from formulaic import Formula
        from formulaic.errors import FormulaicError
    except ImportError as error:
        raise ImportError("Formulas need formulaic: pip install formulaic.") from error
    try:
        parsed = Formula(formula)
    except FormulaicError as error:
        raise ValueError(
            f"formula={quoted(formula)} cannot be read: {_sentence(error)}"
        ) from error
    if not all(hasattr(term, "factors") for term in getattr(parsed, "rhs", parsed)):
        raise ValueError(
            f"formula={quoted(formula)} cannot be read: '|' separates several "
            "designs. Join columns by '+'."
        )
    return parsed


def _sentence(error: Exception) -> str:
    """Return the first sentence of formulaic's message.

    It ends with a period, a line, or a brace. An excerpt with colour codes, or advice
    for formulaic's own users, may follow.
    """
    return printable(re.split(r"\n|(?<=[.}]) (?=[A-Z])", str(error))[0], 300)


def names_in(formula: str) -> set[str]:
    """Return the names and strings in a formula, except names of called functions."""
    name = r"`([^`]*)`|\"([^\"]*)\"|'([^']*)'|(?<![\w.])([^\W\d]\w*)\b(?!\s*\()"
    return set(itertools.chain(*re.findall(name, formula)))


def _model_matrix(spec: Any, X: Any, names: set[str]) -> Any:
    """Return the sparse matrix that formulaic makes from columns of a table."""
    import pandas as pd
    from formulaic.errors import DataMismatchWarning

    from xlr.inputs.materializer import TableMaterializer

    X = accept("X", X)
    if not is_table(X):
        name = type(X).__name__
        raise TypeError(f"A formula reads the columns of a table; got {name}.")
    if not len(X):
        raise ValueError("The table has no rows. Pass at least one.")
    table = {}
    for column in nw.from_native(X).iter_columns():
        if str(column.name) in names:
            if column.dtype == nw.Categorical and table_levels(column) is None:
                column = column.cast(nw.String)
            if column.dtype == nw.Decimal:  # objects in NumPy
                column = column.cast(nw.Float64)
            if column.dtype.is_numeric():  # polars needs pyarrow for others
                values = column.to_numpy()
            elif column.implementation.is_pyarrow():  # with the order of its levels
                values = column.to_native().to_pandas()
            else:
                values = column.to_pandas()
            if hasattr(values, "cat"):
                values = values.cat.remove_unused_categories()
            table[column.name] = values
    options = {"output": "sparse", "na_action": "raise", "context": {}}
    with WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("error", DataMismatchWarning)
        # The materializer raises an error instead.
        warnings.filterwarnings("ignore", "Constructing a Categorical")
        try:
            return spec.get_model_matrix(
                pd.DataFrame(table), materializer=TableMaterializer, **options
            )
        except MemoryError:
            raise
        except Exception as error:  # a formula may run any Python
            raise ValueError(
                f"The formula does not fit the table: {_sentence(error)}"
            ) from error


def _category_codes(columns: Any) -> np.ndarray | None:
    """Return codes for the columns of a term, or None if they are not indicators.

    Parameters
    ----------
    columns : sparse CSC array of shape (n_rows, n_levels)
        formulaic stores no zeros and no duplicates.
    """
    n_rows, n_levels = columns.shape
    is_indicator = (columns.data == 1).all() and columns.getnnz(axis=1).max() < 2
    if n_levels < 2 or not is_indicator:
        return None
    codes = np.full(n_rows, -1, dtype=np.int32)
    codes[columns.indices] = np.repeat(np.arange(n_levels), columns.getnnz(axis=0))
    return codes


def read_column(data: Any, name: str, role: str) -> Any:
    """Return a column of a table in its own library."""
    columns = _column_names(data)
    if name not in columns:
        raise ValueError(
            f"{role} names {quoted(name)}, and the table has the columns "
            f"{listed(columns)}."
        )
    return native(data, decode=False)[name]


def _column_names(table: Any) -> list[str]:
    return list(nw.from_native(native(table)).columns)
