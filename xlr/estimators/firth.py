"""Logistic regression with Firth's penalty, whose estimates are always finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators._fit import (
    begin_fit,
    printing_listener,
    set_fitted,
    warn_of_unconverged,
)
from xlr.estimators.base import LinearClassifier
from xlr.inputs.dataset import LabelledDataset, read_dataset
from xlr.inputs.features import Features
from xlr.inputs.problem import Problem, Regularisation
from xlr.objective import find_aliased, jeffreys_term
from xlr.solvers import SOLVERS, minimise
from xlr.text import listed, printable, warn
from xlr.threads import thread_pool

# L-BFGS approximates the curvature of Firth's penalty. Newton's method, with the
# Hessian of the likelihood alone, takes hundreds of steps if the penalty has as much
# curvature.
SOLVER = "lbfgs"


@dataclass(kw_only=True, eq=False, repr=False)
class FirthLogisticRegression(LinearClassifier):
    r"""Logistic regression, binary and multinomial, with Firth's bias reduction.

    Maximises the likelihood L times the root of the determinant of the information
    I (Jeffreys' prior),

    .. math:: \log L(w, b) + \tfrac12 \log\det I(w, b)

    The estimates are finite under separation, where those of maximum likelihood are
    not, and have less bias in small samples. They do not depend on the units of the
    features, nor on the reference class.

    Parameters
    ----------
    C : float, default=inf
        Inverse strength of an additional L2 penalty, as for
        :class:`xlr.LogisticRegression`; infinite for none. With an L2 penalty the
        estimates depend on the units of the features.
    fit_intercept : bool, default=True
        Whether the model has an intercept.
    tol : float, default=1e-6
        Bound on ``optimality_`` at convergence. Within it, the fit continues while the
        next step would lower the objective by more than 1e-5 tol of it.
    max_iter : int, default=100
        Maximum number of iterations, of two or three passes over the rows each.
    n_jobs : int or None, default=None
        Threads for passes over arrays in host memory. None for as many as BLAS may use;
        -1 for all processors.
    verbose : int, default=0
        Above 0, print a line for each iteration.
    categorical, drop, handle_unknown, handle_missing
        As in :class:`LogisticRegression`; ``drop='auto'`` drops first levels, as it
        does there with ``C=inf``.

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
        Coefficients, in the library, dtype and device of X. Those of more than two
        classes sum to zero.
    intercept_ : array of shape (1,) or (n_classes,)
        Intercept, likewise; zero without ``fit_intercept``.
    classes_ : array of shape (n_classes,)
        The labels, sorted, in the library of y.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, if X was a table whose column names are all strings.
    n_iter_ : ndarray of shape (1,)
        Number of iterations.
    converged_ : bool
        Whether the fit converged, as ``tol`` says.
    solver_ : str
        The solver that ran.
    optimality_ : float
        Max-norm of the gradient, in standardised units, of the objective: minus the
        logarithm above, divided by the sum of the weights.

    See Also
    --------
    xlr.infer : Standard errors, tests and profile intervals.

    References
    ----------
    Firth (1993), *Bias reduction of maximum likelihood estimates*, Biometrika 80,
    27-38; Heinze and Schemper (2002), *A solution to the problem of separation in
    logistic regression*, Statistics in Medicine 21, 2409-2419; Kosmidis and Firth
    (2011), *Multinomial logit bias reduction via the Poisson log-linear model*,
    Biometrika 98, 755-759.

    Examples
    --------
    The feature separates the classes, and maximum likelihood has no finite estimate:

    >>> import numpy as np
    >>> from xlr import FirthLogisticRegression
    >>> X = np.asarray([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0]])
    >>> y = np.asarray([0, 0, 0, 1, 1, 1])
    >>> FirthLogisticRegression().fit(X, y).coef_.round(3)
    array([[3.892]])

    With one feature of two values, the penalty adds a half to each cell of the table:

    >>> round(float(2 * np.log(3.5 / 0.5)), 3)
    3.892
    """

    C: float = float("inf")
    fit_intercept: bool = True
    tol: float = 1e-6
    max_iter: int = 100
    n_jobs: int | None = None
    verbose: int = 0
    categorical: Literal["auto"] | list[str] | None = None
    drop: Literal["auto", "first"] | None = "auto"
    handle_unknown: Literal["error", "ignore"] = "error"
    handle_missing: Literal["error", "level"] = "error"
    _needs_reference = True  # the penalty is undefined for collinear columns

    def fit(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        offset: Array | None = None,
    ) -> FirthLogisticRegression:
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,)
            Labels: integers, booleans or strings.
        sample_weight : array of shape (n_samples,), default=None
            Number of times that each row counts. Multiplying all weights by a constant
            changes the model, since the penalty is not multiplied.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits of each row.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are invalid, or if columns are linear
            combinations of others. The estimator does not change.

        Warns
        -----
        ConvergenceWarning
            If the fit did not converge, with the cause and what to do.
        UserWarning
            If a class has no weight, or if columns hold outliers, with which the
            penalised likelihood may have several maxima.
        """
        features = begin_fit(self, X, y, sample_weight, offset, chunked=False)
        with thread_pool(features.stored, self.n_jobs) as pool:
            dataset = read_dataset(self, features, y, sample_weight, offset, pool)
            dataset.warn_of_far_columns()
            absent = arrays.to_host(dataset.classes)[dataset.totals == 0].tolist()
            if absent:
                warn(
                    f"No row of the class{'es' * (len(absent) > 1)} {listed(absent)} "
                    "has weight: the penalty alone determines the probability."
                )
            on_iteration = printing_listener(SOLVER) if self.verbose else None
            problem = firth_problem(dataset, float(self.C))
            _refuse_collinear(problem, features)
            solution = minimise(
                SOLVERS[SOLVER](),
                problem.objective,
                problem.objective.null_parameters(),
                tol=float(self.tol),
                max_iter=int(self.max_iter),
                on_iteration=on_iteration,
            )
            fitted = {
                **dataset.attributes,
                **features.returned(**problem.coefficients(solution.parameters)),
                "solver_": SOLVER,
                "n_iter_": solution.n_iter,
                "converged_": bool(solution.converged[0]),
                "optimality_": float(solution.records[-1].optimality.max()),
            }
            warn_of_unconverged(solution, self, dataset)
            if advice := dataset.advice_on_outliers():
                warn(
                    "The penalised likelihood may have several maxima, and this fit "
                    f"may have reached a lower one.{advice}"
                )
            set_fitted(self, fitted)
        return self


def _refuse_collinear(problem: Problem, features: Features) -> None:
    """Raise ValueError for columns that are linear combinations of others."""
    objective = problem.objective
    _, _, information = objective.information(objective.zeros())
    gram = arrays.to_host(information)[0].astype(np.float64)
    if not np.isfinite(gram).all():
        raise ValueError(
            "The information matrix overflows. Clip or correct the outliers of X."
        )
    outputs, size = objective.n_outputs, objective.output_size
    gram = np.einsum("kikj->ij", gram.reshape(outputs, size, outputs, size))
    # The intercept comes first, to be kept.
    order = np.roll(np.arange(size), int(objective.fit_intercept))
    aliased = find_aliased(gram[np.ix_(order, order)], problem.information_rounding)
    if aliased.dropped.size:
        names = [*features.column_names, "the intercept"]
        dropped = listed([names[j] for j in order[aliased.dropped]], printable)
        raise ValueError(
            "Firth's penalty is undefined, because the information matrix is singular: "
            "these columns are collinear with others (a constant column with the "
            f"intercept): {dropped}. Leave them out, or give each class more weight."
        )


def firth_problem(dataset: LabelledDataset, C: float) -> Problem:
    """Return the problem with Firth's penalty, and an L2 penalty of strength 1 / C.

    Classes without weight have finite estimates, so no class is left out.
    """
    return Problem(
        dataset,
        dataset.spec_of(kept=np.arange(dataset.totals.shape[0])),
        C=C,
        regularisation=Regularisation(),
        standardized=True,
        term=jeffreys_term,
    )
