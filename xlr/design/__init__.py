"""Floor 2: what X can be, and how its rows are cut and run."""

from xlr.design.blocks import row_blocks, sum_over_blocks
from xlr.design.dense import DenseBlock, DenseDesign
from xlr.design.standardisation import (
    Standardisation,
    refuse_non_finite,
    standardise,
)

__all__ = [
    "DenseBlock",
    "DenseDesign",
    "Standardisation",
    "refuse_non_finite",
    "row_blocks",
    "standardise",
    "sum_over_blocks",
]
