"""Score tests of features that a model leaves out."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, Self

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.data import Block, DenseMatrix, Matrix, PerRow, call
from xlr.estimators import LogisticRegression
from xlr.inference.fitted_data import FittedData
from xlr.inference.fitted_results import ChiSquaredTest, FittedResults
from xlr.inputs.dask_input import split_like
from xlr.inputs.features import read_features
from xlr.inputs.parameters import check_option
from xlr.losses import Loss
from xlr.objective import passes

# Share of a feature's information, given the features of the model, below which it is a
# sum of them up to rounding errors.
LEAST_SHARE = 1e-9

CANDIDATE_ROWS = 256  # minimum rows of a block: sums have a column per candidate


class CandidateRows:
    """Rows of a matrix that a pass reads together with the rows of X."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix

    def __getitem__(self, key: tuple[slice, Any]) -> Self:
        return type(self)(self.matrix.take_rows(key[0]))


class ScoreTests(FittedResults):
    """Score tests of features that a model leaves out."""

    def score_test(
        self,
        exog_extra: Array,
        hypothesis: Literal["joint", "separate"] = "joint",
        cov_type: Literal["nonrobust", "HC0"] = "nonrobust",
    ) -> ChiSquaredTest:
        r"""Test features that the model leaves out, without fitting them.

        One pass reads each feature once, so that thousands can be screened.

        With the rows z of the model and c of the candidates, the residuals r and the
        curvature H of the loss in the logits, the score of a candidate is
        :math:`U = \sum_i r_i c_i`, and its variance about the estimates of the model

        .. math::
            V = \sum_i H_i\, \tilde c_i \tilde c_i^T, \qquad \tilde c = c - A z, \quad
            A = \Big(\sum_i H_i\, c_i z_i^T\Big) \Big(\sum_i H_i\, z_i z_i^T\Big)^{-1}

        or, for the robust test, with :math:`r_i r_i^T` instead of the first H. The
        statistic is :math:`U^T V^{-1} U`. With more than two classes, every class
        except the first has scores.

        Parameters
        ----------
        exog_extra : array, table or sparse matrix of shape (n_samples, m)
            The features, in memory or, for an X of Dask, in the same chunks.
        hypothesis : {'joint', 'separate'}, default='joint'
            Whether to test all features jointly, or each by itself.
        cov_type : {'nonrobust', 'HC0'}, default='nonrobust'
            Variance of the scores: the information, or the scores of the rows.

        Returns
        -------
        ChiSquaredTest
            ``statistic``, ``df`` and ``pvalue``, arrays of shape (m,) for
            ``'separate'``; NaN for a feature that is a sum of features in the model.

        Raises
        ------
        TypeError, ValueError
            If the fit is penalised, the results do not hold the rows, the features are
            invalid, or they are collinear and tested jointly.

        References
        ----------
        Rao (1948), *Large sample tests of statistical hypotheses concerning several
        parameters*; Boos (1992), *On generalized score tests*, The American
        Statistician 46.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> import xlr
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = xlr.LogisticRegression(C=float("inf")).fit(X[:, :1], y)
        >>> results = xlr.infer(model, X[:, :1], y, keep_data=True)
        >>> results.score_test(X[:, 1:4], "separate").statistic.round(1)
        array([38.3, 65.3,  5.3])
        """
        check_option("hypothesis", hypothesis, ("joint", "separate"))
        check_option("cov_type", cov_type, ("nonrobust", "HC0"))
        if self.is_penalised or self.is_firth:
            raise ValueError(
                "A score test starts from the maximum of the likelihood, and this fit "
                "is penalised. Fit with C=inf."
            )
        if self.is_separated:
            raise ValueError(
                "A score test needs finite estimates, and the classes are separated."
            )
        joint, robust = hypothesis == "joint", cov_type == "HC0"
        with self._rows("score_test") as data:
            rows, m = _read(data, exog_extra)
            outputs, size = data.objective.n_outputs, data.objective.column_size
            products, squares, *outer = data.sum_rows(
                _score_sums,
                data.objective.place(data.dataset.class_weights.factors),
                joint,
                robust,
                width=max(m, outputs * (size + m * joint)),
                least=CANDIDATE_ROWS,
                per_row=rows,
            )
        if not np.isfinite(products).all():
            raise ValueError("exog_extra contains NaN or infinity.")
        # 1. Sums over the rows for each weighting w and test: r c', c z' and c c'.
        equations = outputs - (outputs > 1)
        score, products = products[:equations], products[equations:]
        products = products.reshape(1 + robust, equations, outputs, -1, m)
        squares = squares.reshape(1 + robust, equations, equations, 1, m)
        order, n_tests, df = "weozm->wmeoz", m, equations
        if joint:
            squares = products[:, :, outputs - equations :, size:]
            order, n_tests, df = "weozm->wemoz", 1, equations * m
            score = score.reshape(df, 1)
        cross, own = (
            np.einsum(order, part).reshape(1 + robust, n_tests, df, -1)
            for part in (products[:, :, :, :size], squares)
        )
        # 2. The variance of the scores, given the estimates of the model.
        A = cross[0] @ self._estimates.inverse
        moved = A @ np.swapaxes(cross[-1], 1, 2)
        variance = own[-1] - moved
        if robust:
            variance = variance - np.swapaxes(moved, 1, 2)
            variance = variance + A @ outer[0] @ np.swapaxes(A, 1, 2)
        # 3. The statistics.
        whole, left = (np.diagonal(part, 0, 1, 2) for part in (own[-1], variance))
        is_sum = np.any(left <= LEAST_SHARE * whole, axis=1)
        variance[is_sum] = np.nan
        if not joint:
            return ChiSquaredTest.of_form(score.T, variance)
        test = ChiSquaredTest.of_form(score[:, 0], variance[0])
        if np.isnan(test.statistic):
            raise ValueError(
                "Features of exog_extra are collinear with each other or with those in "
                "the model. Leave them out, or pass hypothesis='separate'."
            )
        return test


def _read(data: FittedData, candidates: Any) -> tuple[Any, int]:
    """Return the candidates as rows of a pass, and the number of features.

    Raises
    ------
    TypeError, ValueError
        If the candidates are not a matrix of real numbers with as many rows as X.
    """
    chunks, like = data.objective.data.chunks, data.dataset.features
    if chunks is not None:
        read = partial(_read_rows, like.xp, like.device)
        parts = split_like(chunks.X, candidates, "exog_extra")
        parts = [
            call(read, part, name="candidates") if n_rows else part
            for part, n_rows in zip(parts, chunks.X.row_counts)
        ]
        return PerRow(parts, None), int(candidates.shape[1])
    if arrays.is_dask(candidates):
        raise TypeError(
            "exog_extra is of Dask while X is in memory. Pass exog_extra.compute()."
        )
    rows = _read_rows(like.xp, like.device, candidates)
    n_samples, m = rows.matrix.shape
    if n_samples != data.objective.n_samples:
        raise ValueError(
            f"exog_extra has {n_samples} rows and X {data.objective.n_samples}. Pass "
            "the features of the rows of the fit."
        )
    return rows, m


def _read_rows(xp: Any, device: Any, candidates: Any) -> CandidateRows:
    """Return candidates in the library and on the device of X."""
    features = read_features(LogisticRegression(), candidates, reset=True)
    matrix = features.matrix
    if features.xp is not xp or features.device != device:
        matrix = DenseMatrix(arrays.move(features.X, xp=xp, device=device), xp=xp)
    return CandidateRows(matrix)


def _score_sums(
    block: Block,
    loss: Loss,
    parameters: Array,
    factors: Array,
    joint: bool,
    robust: bool,
    candidates: CandidateRows,
) -> tuple[Array, ...]:
    """Return the products of the candidates with r and z, with themselves, and z z'.

    The weights are the curvature and, if ``robust``, the scores in a second set. r has
    a column for each equation. z has all features of the model, and of the candidates
    if ``joint``. The shapes are (n_products, m), (n_pairs, m) and, for the scores only,
    (n_parameters, n_parameters).
    """
    xp, wide, outputs = block.xp, block.wide, loss.n_outputs
    C = candidates.matrix.astype(wide)
    block = block._replace(matrix=block.matrix.astype(wide))
    eta = passes.logits(block, loss, parameters)
    _, gradient = loss.value_and_gradient(eta, block.labels, xp=xp)
    values = loss.curvature(eta, block.labels, xp=xp)
    s = xp.astype(block.weights[:, 0], wide)
    r, h = -xp.astype(gradient[:, 0, :], wide), xp.astype(values.values[:, 0, :], wide)
    Z = xp.astype(block.matrix.to_dense(), wide)
    if parameters.shape[1] > outputs * Z.shape[1]:
        Z = xp.concat([Z, xp.ones_like(Z[:, :1])], axis=1)
    first = outputs > 1  # skip the equation of the reference class
    H = h[:, :, None]
    if values.coupled:
        same = xp.eye(outputs, dtype=wide, device=arrays.device_of(h))
        H = H * (same - h[:, None, :])
    weightings, outer = [s[:, None, None] * H], []
    if robust:
        own = xp.take(factors, xp.astype(block.labels[:, 0], xp.int64))
        scores = xp.sqrt(s * own)[:, None] * r
        weightings.append(scores[:, :, None] * scores[:, None, :])
        scores = xp.reshape(scores[:, :, None] * Z[:, None, :], (Z.shape[0], -1))
        outer = [xp.matmul(scores.T, scores)]
    Z_and_C = xp.concat([Z, C.to_dense()], axis=1) if joint else Z
    columns, squares = [s[:, None] * r[:, first:]], []
    for M in weightings:
        rows = M[:, first:, :, None] * Z_and_C[:, None, None, :]
        columns.append(xp.reshape(rows, (rows.shape[0], -1)))
        squares.append(xp.reshape(M[:, first:, first:], (M.shape[0], -1)))
    products = C.transpose_matvec(xp.concat(columns, axis=1))
    return products, C.sandwich_diagonal(xp.concat(squares, axis=1)), *outer
