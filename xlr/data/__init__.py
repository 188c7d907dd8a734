"""Layer 2: kinds of X, targets, and the passes over the rows."""

from xlr.data.blocks import padded_size
from xlr.data.categorical_matrix import CategoricalMatrix
from xlr.data.chunks import ChunkedData, ChunkedMatrix, PerRow, matrix_of
from xlr.data.matrix import DenseMatrix, Matrix, Scaler, StandardizedMatrix, is_matrix
from xlr.data.sparse_matrix import SparseMatrix, canonical
from xlr.data.split_matrix import SplitMatrix, as_matrix, concatenated, explicit
from xlr.data.statistics import (
    ColumnStatistics,
    column_statistics,
    refuse_non_finite,
    without_outliers,
)
from xlr.data.targets import Targets
from xlr.data.training_data import Block, TrainingData
