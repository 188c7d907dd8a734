"""Layer 2: kinds of X, targets, and the passes over the rows."""

from xlr.dask_graph import Delayed, call, fetch, literal, parts_of, tree
from xlr.data.blocks import add, even_size, map_reduce
from xlr.data.categorical_matrix import CategoricalMatrix
from xlr.data.chunks import ChunkedRows, Chunks, PerRow
from xlr.data.matrix import DenseMatrix, Matrix, Scaler, StandardizedMatrix
from xlr.data.sparse_matrix import SparseMatrix, canonical
from xlr.data.split_matrix import SplitMatrix, as_matrix, of_chunk
from xlr.data.statistics import (
    ColumnStatistics,
    column_statistics,
    has_outliers,
    refuse_non_finite,
    without_outliers,
)
from xlr.data.targets import Targets
from xlr.data.training_data import Block, TrainingData

__all__ = [
    "Block",
    "CategoricalMatrix",
    "ChunkedRows",
    "Chunks",
    "ColumnStatistics",
    "Delayed",
    "DenseMatrix",
    "Matrix",
    "PerRow",
    "Scaler",
    "SparseMatrix",
    "SplitMatrix",
    "StandardizedMatrix",
    "Targets",
    "TrainingData",
    "add",
    "as_matrix",
    "call",
    "canonical",
    "column_statistics",
    "even_size",
    "fetch",
    "has_outliers",
    "literal",
    "map_reduce",
    "of_chunk",
    "parts_of",
    "refuse_non_finite",
    "tree",
    "without_outliers",
]
