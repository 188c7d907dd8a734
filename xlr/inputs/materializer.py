"""Columns of a design from a pandas table; needs formulaic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from formulaic.materializers import PandasMaterializer
from formulaic.parser.types import Factor
from formulaic.utils.null_handling import find_nulls
from interface_meta import override
from pandas.api.types import is_bool_dtype, is_numeric_dtype, is_string_dtype

from xlr.text import listed, quoted


class TableMaterializer(PandasMaterializer):
    """formulaic's reader of pandas tables, with booleans as categories, as in R."""

    REGISTER_NAME = "xlr"
    REGISTER_INPUTS = ()

    @override
    def _is_categorical(self, values: Any) -> bool:
        is_known = super()._is_categorical(values)
        return is_known or is_bool_dtype(values) or is_string_dtype(values)

    @override
    def _check_for_nulls(
        self, name: str, values: Any, na_action: Any, drop_rows: set[int]
    ) -> None:
        if isinstance(values, np.ndarray) and values.ndim == 1:  # perhaps of strings
            values = pd.Series(np.asarray(values))
        if n_missing := len(find_nulls(values)):
            raise ValueError(
                f"{quoted(name)} is missing or not a number in {n_missing} of "
                f"{self.nrows} rows: drop those rows, or impute the values."
            )

    @override
    def _encode_evaled_factor(
        self, factor: Any, spec: Any, drop_rows: Any, reduced_rank: bool = False
    ) -> Any:
        values, name = factor.values.__wrapped__, quoted(factor.expr)
        is_number = factor.metadata.kind is Factor.Kind.NUMERICAL
        if is_number and not is_numeric_dtype(getattr(values, "dtype", float)):
            raise ValueError(
                f"{name} has the type {values.dtype}: convert it to numbers, dates for "
                "example to days since a date."
            )
        encoded = super()._encode_evaled_factor(factor, spec, drop_rows, reduced_rank)
        levels = spec.encoder_state[factor.expr][1].get("categories")
        # For formulaic 0 equals False, and for pandas it does not.
        if levels is not None:
            found = pd.Index(pd.unique(pd.Series(values)))
            unknown = found[pd.Index(levels).get_indexer(found) < 0].tolist()
            if unknown:
                raise ValueError(
                    f"{name} holds {listed(unknown)}, and its levels are "
                    f"{listed(levels)}: convert them to the same type."
                )
        return encoded
