"""Columns of a design from a pandas table; needs formulaic."""

from __future__ import annotations

from typing import Any

from formulaic.materializers import PandasMaterializer
from formulaic.utils.null_handling import find_nulls
from interface_meta import override
from pandas.api.types import is_bool_dtype, is_string_dtype

from xlr.text import quoted


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
        if n_missing := len(find_nulls(values)):
            raise ValueError(
                f"{quoted(name)} is missing or not a number in {n_missing} of "
                f"{self.nrows} rows: drop those rows, or impute the values."
            )
