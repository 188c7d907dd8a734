"""Arrays and lists with columns of strings: refused by the positions of those."""

from __future__ import annotations

from typing import Any

import numpy as np


def explain_strings(X: Any, error: Exception) -> None:
    """Raise ValueError for the columns of an array or list that hold no numbers.

    Returns where there are none, or X is no array or list with columns.
    """
    if not isinstance(X, np.ndarray | list | tuple):
        return
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS":
        return
    try:
        entries = np.asarray(X, dtype=object)
    except ValueError:  # rows of unlike lengths
        return
    if entries.ndim != 2:
        return
    wrong = [j for j in range(entries.shape[1]) if _first_string(entries[:, j])]
    if not wrong:
        return
    which = f"Columns {', '.join(map(str, wrong[:5]))}"
    if len(wrong) == 1:
        which = f"Column {wrong[0]}"
    elif len(wrong) > 5:
        which += f" and {len(wrong) - 5} more"
    raise ValueError(
        f"{which} of X {'holds' if len(wrong) == 1 else 'hold'} no numbers: could not "
        f"convert string to float: {_first_string(entries[:, wrong[0]])}. Encode them, "
        "for instance with sklearn.compose.make_column_transformer((OneHotEncoder(), "
        f"{wrong[:3]}), remainder='passthrough') in a pipeline."
    ) from error


def _first_string(column: np.ndarray) -> str | None:
    """Return the first entry that is a string and no number, as it is written."""
    for entry in column:
        if isinstance(entry, str | bytes):
            try:
                float(entry)
            except ValueError:
                text = repr(entry[:40])
                return text if len(entry) <= 40 else f"{text}..."
    return None
