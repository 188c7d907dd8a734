"""Time fits to tables with categories: xlr and other libraries, at the same F.

    python examples/benchmarks/categorical.py         # all cells
    python examples/benchmarks/categorical.py mixed   # one; keep the other results

The table goes to ``categorical.md`` and all numbers to ``categorical.json``.
"""

from __future__ import annotations

import sys

from categorical_cells import CATEGORY_CELLS, EQUAL_F
from comparison import Comparison, main

INTRODUCTION = f"""\
# Tables with categories on the CPU

`python examples/benchmarks/categorical.py` writes this page; `categorical.json` has all
numbers.

xlr runs with its defaults on category codes. The other times are those of the fastest
alternative: xlr on the same one-hot columns in a CSR matrix, scikit-learn's newton-cg
on that matrix, or glum on tabmat's matrices, at C = 1. Each runs at the loosest
tolerance that brings F within a relative {EQUAL_F:.0e} of the lowest known. *Off by* is
the relative distance of F above the lowest known. Times are medians of runs in turns,
or of one run if it takes more than ten seconds. *Ratio* is the other time divided by
xlr's. Times from pandas and polars include the conversion: `categorical="auto"` in xlr,
`tabmat.from_pandas` for glum, and OneHotEncoder in a pipeline for scikit-learn. In the
other rows, the CSR matrix is made before the timing starts.
"""

# Why a goal is missed, by cell.
LIMITS = {
    "one-hot": """\
- **one-hot**: blocks of codes are converted to SciPy's sparse matrices, so a product
  takes as long as with CSR. xlr's default tolerance is also a thousand times tighter.
""",
}

CATEGORIES = Comparison("categorical", INTRODUCTION, CATEGORY_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(CATEGORIES))
