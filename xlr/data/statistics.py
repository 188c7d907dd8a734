"""Column statistics: weighted mean and standard deviation, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data.matrix import Matrix
from xlr.data.training_data import Block, TrainingData
from xlr.text import listed, printable, quoted

# Number of rows sampled to detect outliers, and their maximum number of entries (8 MB).
SAMPLED_ROWS, MAX_SAMPLED_ENTRIES = 25, 1e6

# Number of entries for the location and spread of columns with outliers (10 ms).
LOCATION_ENTRIES = 10**5

# Ratio of standard deviation to spread of most values above which a column has
# outliers: dividing by the standard deviation would hide the other differences.
MIN_OUTLIER_RATIO = 1e3

# A column with fewer than MIN_GAPS gaps between its values in the sampled rows may be
# mostly zero. It may have outliers if fewer than MAX_RARE_ROWS rows hold most of its
# squares. At most MAX_RARE_COLUMNS such columns are searched.
MIN_GAPS, MAX_RARE_ROWS, MAX_RARE_COLUMNS = 6, 100, 100


class ColumnStatistics(NamedTuple):
    """Weighted mean and standard deviation of columns.

    Attributes
    ----------
    weight : array of shape ()
        Sum of the weights.
    mean : array of shape (n_features,)
    std : array of shape (n_features,)
        Standard deviation; exactly zero for a constant column.
    """

    weight: Array
    mean: Array
    std: Array

    @arrays.quiet()
    def merged(self, other: ColumnStatistics, *, xp: Namespace) -> ColumnStatistics:
        r"""Return the statistics of two sets of rows together.

        With the shares a and b of the weights and the difference d of the means,

        .. math:: s^2 = a s_1^2 + b s_2^2 + a b\, d^2

        References
        ----------
        Chan, Golub and LeVeque (1983), *Algorithms for computing the sample variance*.
        """
        total = self.weight + other.weight
        a, b = self.weight / total, other.weight / total
        d = other.mean - self.mean
        variance = a * self.std**2 + b * other.std**2 + a * b * d**2
        return ColumnStatistics(total, self.mean + b * d, xp.sqrt(variance))


@arrays.quiet()
def column_statistics(
    data: TrainingData, *, names: Callable[[], list[str]] | None = None
) -> ColumnStatistics:
    r"""Return the weighted mean and standard deviation of the columns.

    The usual case takes one pass, for the means of x and x^2. The variance is right to
    ten digits (three without float64) unless a mean exceeds 300 (90) standard
    deviations. Such columns take a second pass, about the row of largest weight. Rows
    of zero weight do not count.

    Parameters
    ----------
    data : TrainingData
        Data with rows in memory.
    names : callable, default=None
        Returns the names of the columns, for errors; None for x0, x1, ...

    Raises
    ------
    ValueError
        If X contains NaN or infinity, or the square of a deviation overflows or
        underflows float64 (beyond about 1e150, or below 1e-150).
    """
    xp = data.xp
    weight, total, squares = data.map_reduce(_sums)
    mean, mean_square = total / weight, squares / weight
    is_zero = (mean == 0) & (mean_square == 0)  # most columns of a sparse matrix
    variance = mean_square - mean * mean
    # NaN compares false, so it counts as inaccurate.
    is_accurate = _keeps_digits(mean, variance, xp=xp) & (variance < xp.inf)
    inaccurate = np.nonzero(~arrays.to_host(is_accurate | is_zero))[0]
    std = xp.sqrt(xp.maximum(variance, xp.zeros_like(variance)))
    statistics = ColumnStatistics(weight, mean, std)
    if not inaccurate.size:
        return statistics
    columns = data.take_columns(arrays.move(inaccurate, xp=xp, device=data.device))
    all_names = names() if names else [f"x{j}" for j in range(data.n_features)]
    shifted = _shifted_statistics(columns, weight, [all_names[j] for j in inaccurate])
    return _replaced(statistics, inaccurate, arrays.to_host(xp.stack(shifted)), xp=xp)


def _replaced(
    statistics: ColumnStatistics, columns: np.ndarray, new: Any, *, xp: Namespace
) -> ColumnStatistics:
    """Return statistics with another mean and standard deviation for some columns."""
    stacked = np.array(arrays.to_host(xp.stack([statistics.mean, statistics.std])))
    stacked[:, columns] = new
    stacked = arrays.move_like(stacked, statistics.mean)
    return statistics._replace(mean=stacked[0, :], std=stacked[1, :])


@arrays.compilable
def _sums(block: Block) -> tuple[Array, Array, Array]:
    """Return the sum of the weights, and the weighted sums of x and x^2."""
    matrix = block.matrix.astype(block.accumulation_dtype)
    weights = block.xp.astype(block.row_weights, block.accumulation_dtype, copy=False)
    total, squares = matrix.transpose_matvec(weights), matrix.sandwich_diagonal(weights)
    return block.xp.sum(weights), total[0, :], squares[0, :]


def _keeps_digits(mean: Array, variance: Array, *, xp: Namespace) -> Array:
    """Return whether the variance E[x^2] - E[x]^2 is right to ten digits.

    Without float64, three digits are enough.
    """
    info = xp.finfo(mean.dtype)
    limit = min(1e5, 1e-3 / float(info.eps))
    smallest = float(info.smallest_normal) / float(info.eps)
    return (mean * mean <= limit * variance) & (variance > smallest)


def _shifted_statistics(
    data: TrainingData, weight: Array, names: list[str]
) -> tuple[Array, Array]:
    """Return mean and standard deviation from sums about the row of largest weight.

    The row has at least 1/n of the weight of n rows, so its squared distance from the
    mean is at most n variances. If the row is an outlier, rounding costs log10(n)
    digits.
    """
    xp = data.xp
    refuse_non_finite(data.matrix, names)
    row = np.argmax(arrays.to_host(data.targets.weights), axis=0)
    shift = data.take_rows(row, data.accumulation_dtype).matrix.to_dense()[0, :]
    first, second, deviation = data.map_reduce(_shifted_means, shift, weight)
    varies = deviation > 0
    variance = xp.where(varies, second - first * first, xp.zeros_like(first))
    smallest = float(xp.finfo(variance.dtype).smallest_normal)
    is_out_of_range = ~(variance < xp.inf) | (varies & ~(variance >= smallest))
    columns = np.nonzero(arrays.to_host(is_out_of_range))[0]
    if columns.size:
        size = float(arrays.to_host(deviation)[columns[0]])
        dtype = str(data.accumulation_dtype).rpartition(".")[2]
        name = printable(names[columns[0]])
        raise ValueError(
            f"Column {name} of X varies by {size:.3g}, whose square is outside the "
            f"range of {dtype}. Rescale the column to numbers of ordinary size."
        )
    return shift + first, xp.sqrt(variance)


def _shifted_means(
    block: Block, shift: Array, weight: Array
) -> tuple[Array, Array, Array]:
    """Return the weighted means of u, u^2 and abs(u), for u = x - shift.

    They are the block's share of the means over all rows, whose sum of weights is
    ``weight``.
    """
    xp = block.xp
    shares = xp.astype(block.row_weights, block.accumulation_dtype, copy=False) / weight
    u = xp.astype(block.matrix.to_dense(), block.accumulation_dtype, copy=False) - shift
    u = xp.where(shares > 0, u, xp.zeros_like(u))
    first, second = xp.sum(shares * u, axis=0), xp.sum(shares * (u * u), axis=0)
    return first, second, xp.sum(shares * xp.abs(u), axis=0)


@arrays.quiet()
def without_outliers(matrix: Matrix, statistics: ColumnStatistics) -> ColumnStatistics:
    """Return robust statistics: columns with outliers have those of most values.

    One huge entry (a typo), or a fill value in many rows, determines the standard
    deviation, and differences between other entries are tiny shares of it. The gaps
    between the sorted values of a sample of rows locate and scale such columns: the
    spread of most values is the median gap times the number of gaps.

    Parameters
    ----------
    matrix : Matrix
    statistics : ColumnStatistics
    """
    xp, (n_samples, n_features) = matrix.xp, matrix.shape
    if n_samples == 1 or SAMPLED_ROWS * n_features > MAX_SAMPLED_ENTRIES:
        return statistics
    # 1. Columns that may have outliers, by a few rows.
    both = arrays.to_host(xp.concat([statistics.mean, statistics.std]))
    mean, std = both.reshape(2, -1)
    _, gap, n_gaps = _gap_statistics(matrix, SAMPLED_ROWS)
    is_outlying = (std > MIN_OUTLIER_RATIO * gap * n_gaps) & (gap > 0)
    if not (is_outlying | (n_gaps < MIN_GAPS)).any():
        return statistics
    # Few rows hold most of the squares of a column that is not of zeros and ones.
    squares = mean * mean + std * std
    is_rare = (n_gaps < MIN_GAPS) & (n_samples * mean * mean < MAX_RARE_ROWS * squares)
    is_rare &= (std > 0) & ~is_outlying & (np.abs(squares - mean) > 1e-6 * squares)
    (rare,) = np.nonzero(is_rare)
    rare = rare[np.argsort(-std[rare])][:MAX_RARE_COLUMNS]
    candidates = np.concatenate([np.nonzero(is_outlying)[0], rare])
    if not candidates.size:
        return statistics
    # 2. Their spread, by more rows.
    columns = arrays.move(candidates, xp=xp, device=matrix.device)
    n_rows = max(SAMPLED_ROWS, LOCATION_ENTRIES // candidates.size)
    values, gap, n_gaps = _gap_statistics(matrix.take_columns(columns), n_rows)
    spread = gap * n_gaps
    is_outlying = (std[candidates] > MIN_OUTLIER_RATIO * spread) & (spread > 0)
    # 3. Their location. The median gap lies between ordinary values, not next to a fill
    # value.
    below = np.where(values[1:] - values[:-1] == gap, values[:-1], -np.inf)
    location = np.where(n_gaps > 1, below.max(axis=0), values[values.shape[0] // 2])
    robust = np.stack([location, spread])[:, is_outlying]
    return _replaced(statistics, candidates[is_outlying], robust, xp=xp)


def _gap_statistics(
    matrix: Matrix, n_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sorted values, median gap and number of gaps of each column, on the host.

    Returns
    -------
    values : ndarray of shape (n_rows, n_features)
        Sorted values of each column.
    median, n_gaps : ndarrays of shape (n_features,)
        Median of the gaps between different values, zero without a gap, and their
        number.
    """
    n = matrix.shape[0]
    n_rows = min(n, n_rows)
    rows = np.arange(n_rows) * (n - 1) // (n_rows - 1)
    rows = arrays.move(rows, xp=matrix.xp, device=matrix.device)
    values = arrays.to_host(matrix.take_rows(rows).to_dense()).astype(np.float64)
    values.sort(axis=0)
    gaps = values[1:] - values[:-1]
    n_gaps = (gaps > 0).sum(axis=0)
    gaps.sort(axis=0)
    middle = np.maximum(n_rows - n_gaps // 2 - 2, 0)
    return values, gaps[middle, np.arange(values.shape[1])], n_gaps


def refuse_non_finite(matrix: Matrix, names: list[str] | None = None) -> None:
    """Raise ValueError if X contains NaN or infinity, with the names of the columns."""
    kinds, masks = set(), []
    for part in getattr(matrix, "parts", (matrix,)):
        xp, values, is_finite = part.xp, part.stored, np.ones(part.shape[1], dtype=bool)
        if arrays.is_floating(values, xp=xp):
            has = xp.stack([xp.any(xp.isnan(values)), xp.any(xp.isinf(values))])
            kinds |= set(np.asarray(["NaN", "infinity"])[arrays.to_host(has)])
            if values.ndim == 2:
                finite = xp.all(xp.isfinite(values), axis=0)
            else:  # a sparse matrix: NaN and infinity times zero are NaN
                place = {"dtype": part.dtype, "device": part.device}
                zeros = xp.zeros((part.shape[0], 1), **place)
                finite = xp.isfinite(part.transpose_matvec(zeros)[0, :])
            is_finite = arrays.to_host(finite)
        masks.append(is_finite)
    if kinds:
        columns = np.nonzero(~np.concatenate(masks))[0].tolist()
        column_names = [quoted(names[j]) if names else f"x{j}" for j in columns]
        subject, verb = ("Column", "is") if len(columns) == 1 else ("Columns", "are")
        raise ValueError(
            f"Input X contains {' and '.join(sorted(kinds))}. {subject} "
            f"{listed(column_names, str)} {verb} not finite; logistic regression needs "
            "finite numbers: drop those rows, or impute them "
            "(sklearn.impute.SimpleImputer)."
        )
