"""Floor 2: what X can be, and how its rows are cut and run."""

from xlr.design.blocks import (
    add,
    cut,
    reduce_over_blocks,
    row_blocks,
    sum_over_blocks,
)
from xlr.design.chunked import ChunkedDesign, ChunkedOffset
from xlr.design.chunks import Chunks
from xlr.design.dense import DenseBlock, DenseDesign
from xlr.design.design import Block, Design
from xlr.design.graph import (
    Delayed,
    call,
    fetch,
    literal,
    over_chunks,
    parts_of,
    tree,
)
from xlr.design.moments import (
    Moments,
    find_moments,
    merge_moments,
    refuse_non_finite,
)
from xlr.design.sparse import SparseBlock, SparseDesign, row_costs
from xlr.design.sparse_standardisation import standardise_sparse
from xlr.design.standardisation import Standardisation, standardise

__all__ = [
    "Block",
    "ChunkedDesign",
    "ChunkedOffset",
    "Chunks",
    "Delayed",
    "DenseBlock",
    "DenseDesign",
    "Design",
    "Moments",
    "SparseBlock",
    "SparseDesign",
    "Standardisation",
    "add",
    "call",
    "cut",
    "fetch",
    "find_moments",
    "literal",
    "merge_moments",
    "over_chunks",
    "parts_of",
    "reduce_over_blocks",
    "refuse_non_finite",
    "row_blocks",
    "row_costs",
    "standardise",
    "standardise_sparse",
    "sum_over_blocks",
    "tree",
]
