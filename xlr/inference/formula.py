"""Formulas as in R: designs from tables, and models with inference in one call."""

from __future__ import annotations

import ast
import itertools
import math
import re
import warnings
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.dask_graph import fetch
from xlr.data import CategoricalMatrix, SplitMatrix
from xlr.estimators import LogisticRegression
from xlr.inference.fitted_data import first_class
from xlr.inference.infer import infer
from xlr.inference.results import InferenceResults
from xlr.inputs.categories import table_levels
from xlr.inputs.dask_input import map_partitions, map_partitions_to_array
from xlr.inputs.tables import as_real, is_table, native
from xlr.text import listed, printable, quoted

# Share of non-zero entries up to which adjacent terms of numbers are a sparse matrix.
MAX_SPARSE_DENSITY = 0.25

# Functions whose value in a row depends on that row only, besides NumPy's ufuncs.
ROWWISE = re.compile(r"C|I|np\.(where|clip)|contr\.\w+|Treatment|Sum|Helmert|Diff|Poly")

# Dask's threads share warning filters, which turn unknown levels into errors.
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
        X : table of pandas, polars, PyArrow, narwhals or Dask
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
        formula = _parse_formula(self.formula)
        if hasattr(formula, "lhs"):
            raise ValueError(
                f"formula={quoted(self.formula)} has a left-hand side. Leave it "
                "out, or call xlr.logit."
            )
        matrix = _fitted_matrix(formula, X)
        spec = matrix.model_spec
        indices = spec.term_indices.items()
        terms = {i: str(term) for term, own in indices if term.degree for i in own}
        if not terms:
            raise ValueError(
                f"The right-hand side {quoted(self.formula)} has no columns of X. For "
                "the model of the intercept alone, see llnull, llr and llr_pvalue of "
                "the results of a larger model."
            )
        self._spec, self.columns = spec, [spec.column_names[i] for i in terms]
        self.terms = list(terms.values())  # an Encoder has them too
        self.n_features = len(terms)
        self.has_intercept_ = len(terms) < len(spec.column_names)
        self.n_features_in_ = len(_column_names(X))
        return self.transform(X) if arrays.is_dask(X) else self._split(matrix)

    def transform(self, X: Any) -> Any:
        """Return the design matrix of a table.

        Parameters
        ----------
        X : table
            Table with the columns that the formula names.

        Returns
        -------
        SplitMatrix of shape (n_samples, n_columns)
            Codes for the terms of categories and their interactions. Other terms are
            sparse if most entries are zero. A table of Dask gives a dense Dask array.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        TypeError, ValueError
            As in :meth:`fit`, or if a category has a level unknown to the fit.
        """
        check_is_fitted(self, "columns")
        if arrays.is_dask(X):
            _refuse_whole_columns(self._spec.formula)
            return map_partitions_to_array(self._dense, X, len(self.columns))
        return self._split(_model_matrix(self._spec, X))

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

    def _dense(self, part: Any) -> np.ndarray:
        """Return the design of a partition of a table, which may be empty."""
        if not len(part):
            return np.empty((0, len(self.columns)))
        return self.transform(part).to_dense()

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

    @property
    def variables(self) -> list[str]:
        """Return the names of the table's columns that the formula reads."""
        return sorted(map(str, self._spec.required_variables))

    def encode(self, X: Any, read_numbers: Callable[[Any], Any]) -> SplitMatrix:
        """Return the design matrix of a table, as :class:`SplitMatrix`."""
        return self.transform(X)


def logit(
    formula: str,
    data: Any,
    weights: Any = None,
    offset: Any = None,
    cov_type: Any = "nonrobust",
    groups: Any = None,
    *,
    keep_data: bool = False,
) -> InferenceResults:
    """Fit a logistic regression to a table; compute standard errors and tests.

    The fit has no penalty, as in R's ``glm`` and statsmodels' ``logit``.

    Parameters
    ----------
    formula : str
        As in R: ``"low ~ age + C(race)"``. The left-hand side names a column of labels.
    data : table of pandas, polars, PyArrow, narwhals or Dask
        Each pass over a table of Dask evaluates the formula again. With splines,
        ``poly``, ``center`` and ``scale``, the columns that the formula names are
        loaded into memory once. Other functions must be element-wise, as ``np.log`` is.
    weights, offset, groups : str or array of shape (n_samples,), default=None
        Names of columns of the table, or their values; see :func:`infer`. The offset
        belongs to the log-odds that ``params`` describe, as in R.
    cov_type : str, default='nonrobust'
        As in :func:`infer`.
    keep_data : bool, default=False
        As in :func:`infer`.

    Returns
    -------
    InferenceResults
        Results whose methods take tables like ``data`` as X.

    Raises
    ------
    ImportError
        If formulaic is not installed.
    TypeError, ValueError
        If the table lacks a column or has missing values in one, or the formula cannot
        be read.

    Warns
    -----
    ConvergenceWarning
        If the fit did not converge, or there is no finite estimate.

    Examples
    --------
    >>> import pandas as pd
    >>> import xlr
    >>> table = pd.DataFrame(
    ...     {"passed": [0, 0, 1, 0, 1, 1], "hours": [1, 2, 2, 3, 3, 4]}
    ... )
    >>> xlr.logit("passed ~ hours", table).params.round(3)
    array([-3.466,  1.386])
    """
    parsed = _parse_formula(formula)
    if not hasattr(parsed, "lhs"):
        raise ValueError(
            f"formula={quoted(formula)} has no left-hand side. Write 'label ~ columns'."
        )
    label, _, columns = formula.partition("~")
    design = FormulaTransformer(columns.strip())
    X = design.fit_transform(data)
    y = _read_column(data, label.strip().strip("`"), "The left-hand side")
    rows = {"weights": weights, "offset": offset, "groups": groups}
    weights, offset, groups = (
        _read_column(data, values, name) if isinstance(values, str) else values
        for name, values in rows.items()
    )
    model = LogisticRegression(C=np.inf, fit_intercept=design.has_intercept_)
    model.fit(X, y, sample_weight=weights, offset=offset)
    classes = arrays.to_host(model.classes_).tolist()
    # The fit adds the offset to the log-odds of the second class.
    if offset is not None and first_class(y, classes) == classes[1] and not classes[2:]:
        offset = 0.0 - (offset if arrays.is_dask(offset) else as_real(offset, "offset"))
        model.fit(X, y, sample_weight=weights, offset=offset)
    model._encoder = design  # the results then read tables
    options = {"cov_type": cov_type, "groups": groups, "keep_data": keep_data}
    X = data if arrays.is_dask(data) else X
    return infer(model, X, y, weights, offset=offset, **options)


def _parse_formula(formula: str) -> Any:
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


def _fitted_matrix(formula: Any, X: Any) -> Any:
    """Return formulaic's matrix, whose spec has the levels and knots of all rows.

    For a table of Dask only the spec is of use: the matrix may be that of one row.
    """
    if not arrays.is_dask(X):
        return _model_matrix(formula, X)
    from formulaic import ModelSpec

    # 1. Functions that learn from all rows, such as splines, need all rows.
    if _refuse_whole_columns(formula):
        names = _names(formula)
        named = [name for name in X.columns if str(name) in names]
        return _model_matrix(formula, fetch([X[named]])[0][0])
    # 2. Levels in each partition, and a row, without contrasts, which need all levels.
    state_of = partial(_partition_state, formula)
    partitions = list(filter(None, map_partitions(state_of, X)))
    if not partitions:
        raise ValueError("All partitions of the table are empty.")
    by_partition, rows = zip(*partitions)
    # The row has all levels of the dtype, in their order. Step 3 applies the levels of
    # the formula.
    row = _model_matrix(formula, rows[0], keep_unused=True, C=_levels_only)
    states = row.model_spec.encoder_state
    for factor, (_, state) in states.items():
        if "categories" in state:
            used = set().union(*(p[factor][1]["categories"] for p in by_partition))
            levels = [level for level in state["categories"] if level in used]
            state["categories"] = levels if len(levels) == len(used) else sorted(used)
    # 3. The columns of the design, from the row.
    return _model_matrix(ModelSpec(formula, encoder_state=states), rows[0])


def _partition_state(formula: Any, part: Any) -> tuple[dict[Any, Any], Any] | None:
    """Return the levels of a partition and its first row; None if it is empty."""
    if not len(part):
        return None
    matrix = _model_matrix(formula, part, C=_levels_only)
    return matrix.model_spec.encoder_state, part.head(1)


def _levels_only(values: Any, *arguments: Any, **options: Any) -> Any:
    """Return categories with default contrasts, in place of C in a formula."""
    from formulaic.transforms import C

    return C(values)


def _refuse_whole_columns(formula: Any) -> set[str]:
    """Refuse functions of whole columns, which Dask evaluates for each partition.

    Returns
    -------
    set of str
        The functions that keep what they learn from all rows, such as splines.

    Raises
    ------
    ValueError
    """
    from formulaic.transforms import TRANSFORMS

    # Attributes and items count, too: the name of a call of x.mean is x.mean.
    tree = ast.parse(re.sub("`[^`]*`", "_", _code(formula)))
    kinds = ast.Call | ast.Attribute | ast.Subscript
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    names = {ast.unparse(getattr(node, "func", node)) for node in nodes}
    names |= {"@" for node in ast.walk(tree) if isinstance(node, ast.MatMult)}
    stateful = "__is_stateful_transform__"
    learning = {name for name in names if hasattr(TRANSFORMS.get(name), stateful)}
    for name in sorted(names - learning):
        function = getattr(np, name.removeprefix("np."), None)
        # The ufuncs with a signature, such as np.matmul, sum over rows.
        is_ufunc = isinstance(function, np.ufunc) and function.signature is None
        if not (is_ufunc or isinstance(function, float) or ROWWISE.fullmatch(name)):
            raise ValueError(
                f"The formula has {quoted(name)}, which may need all rows, and Dask "
                "evaluates it for each partition. Use center, scale or a spline, add a "
                "column to the table, or pass X.compute()."
            )
    return learning


def _names(spec: Any) -> set[str]:
    """Return the names and strings in a formula, except names of called functions."""
    name = r"`([^`]*)`|\"([^\"]*)\"|'([^']*)'|(?<![\w.])([^\W\d]\w*)\b(?!\s*\()"
    return set(itertools.chain(*re.findall(name, _code(spec))))


def _code(spec: Any) -> str:
    """Return the factors of a formula or a model spec as the items of a tuple."""
    factors = [f for term in getattr(spec, "formula", spec) for f in term.factors]
    return ", ".join(
        f"`{f.expr}`" if f.eval_method.value == "lookup" else f.expr for f in factors
    )


def _model_matrix(
    spec: Any, X: Any, keep_unused: bool = False, **functions: Any
) -> Any:
    """Return the sparse matrix that formulaic makes from a table.

    With ``keep_unused``, it has columns for the unused levels of categories.
    ``functions`` replace functions of the formula.
    """
    import pandas as pd
    from formulaic.errors import DataMismatchWarning

    from xlr.inference.materializer import TableMaterializer

    X = native(X, decode=False)
    if not is_table(X):
        name = type(X).__name__
        raise TypeError(f"A formula reads the columns of a table; got {name}.")
    if not len(X):
        raise ValueError("The table has no rows. Pass at least one.")
    table, names = {}, _names(spec)
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
            if hasattr(values, "cat") and not keep_unused:
                values = values.cat.remove_unused_categories()
            table[column.name] = values
    options = {"output": "sparse", "na_action": "raise", "context": functions}
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
    """
    n_rows, n_levels = columns.shape
    is_indicator = (columns.data == 1).all() and columns.getnnz(axis=1).max() < 2
    if n_levels < 2 or not is_indicator:
        return None
    codes = np.full(n_rows, -1, dtype=np.int32)
    codes[columns.indices] = np.repeat(np.arange(n_levels), columns.getnnz(axis=0))
    return codes


def _read_column(data: Any, name: str, role: str) -> Any:
    """Return a column of a table in its own library."""
    columns = _column_names(data)
    if name not in columns:
        raise ValueError(
            f"{role} names {quoted(name)}, and the table has the columns "
            f"{listed(columns)}."
        )
    return data[name] if arrays.is_dask(data) else native(data, decode=False)[name]


def _column_names(table: Any) -> list[str]:
    table = table if arrays.is_dask(table) else nw.from_native(native(table))
    return list(table.columns)
