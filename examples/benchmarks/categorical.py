"""Time fits to tables of categories: xlr and its peers, at the same F.

    python examples/benchmarks/categorical.py         # all cells
    python examples/benchmarks/categorical.py mixed   # one; keep the other results

The table goes to ``categorical.md`` and all numbers to ``categorical.json``.
"""

from __future__ import annotations

import sys

from categorical_cells import CATEGORY_CELLS, EQUAL_F
from comparison import Comparison, main

INTRODUCTION = f"""\
# Tables of categories on the CPU

Written by `python examples/benchmarks/categorical.py`; all numbers are in
`categorical.json`.

xlr with its defaults on codes of categories, against xlr on the same one-hot columns as
a CSR matrix, scikit-learn's newton-cg on them and glum on tabmat's matrices, at C = 1.
Each is at the loosest tolerance with which F comes within {EQUAL_F:.0e}, relative, of
the best known; medians of runs in turns, or one run where it takes more than ten
seconds. Times from tables include the conversion: of xlr by `categorical="auto"`, of
glum by `tabmat.from_pandas`, of scikit-learn by OneHotEncoder in a pipeline. A peer's
CSR matrix is made before the clock starts.
"""

# Why a goal is missed, by cell.
LIMITS = {
    "one-hot": """\
- **one-hot**: blocks of codes are read as SciPy's sparse matrices, so that a product
  takes as long. xlr's default tolerance is a thousandth of the peer's here.
""",
    "pandas": """\
- **pandas**: 2.6 s is 0.8 s more than from codes, for reading the columns.
""",
    "path": """\
- **path**: a pass over codes takes as long as one over the sparse matrix.
""",
}

CATEGORIES = Comparison("categorical", INTRODUCTION, CATEGORY_CELLS, LIMITS)

if __name__ == "__main__":
    sys.exit(main(CATEGORIES))
