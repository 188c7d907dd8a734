"""Logistic regression as an estimator."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators._fit import Fitting, begin_fit, set_fitted
from xlr.estimators.base import LinearClassifier, score
from xlr.estimators.callbacks import CallbackSupportMixin, FitCallbacks, with_callbacks
from xlr.estimators.conversion import from_sklearn
from xlr.estimators.dataset import LabelledDataset, loss_of, read_dataset, spread
from xlr.inputs.offset import read_start
from xlr.solvers import Status
from xlr.threads import workers

__all__ = ["LogisticRegression"]


class LogisticRegression(CallbackSupportMixin, LinearClassifier):
    r"""Logistic regression, binary and multinomial, on any array library.

    Minimises, over coefficients w and intercepts b,

    .. math::
        F(w, b) = \frac{1}{S} \sum_i s_i\, \ell(x_i \cdot w + b,\; y_i)
                  + \frac{1}{C S} \sum_j f_j \Bigl[ \alpha |w_j|
                  + \frac{1 - \alpha}{2} w_j^2 \Bigr], \qquad S = \sum_i s_i

    with the cross-entropy :math:`\ell` of a sigmoid (two classes) or a softmax (more;
    or a sigmoid for each class, see ``multi_class``), the weights :math:`s_i` of the
    samples times those of their classes, :math:`\alpha` the ``l1_ratio`` and
    :math:`f_j` the ``penalty_factor``, for coefficients between ``lower`` and
    ``upper``. The minimiser is that of scikit-learn's ``LogisticRegression`` with the
    same ``C`` and ``l1_ratio``; intercepts are not penalised.

    X may be an array of any library that follows the Array API standard (NumPy,
    CuPy, torch, JAX), on any device, a sparse matrix, or anything scikit-learn reads
    (lists, tables). The fit runs where X is; a sparse X is never made dense.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, above 0; ``inf`` for none.
    l1_ratio : float, default=0.0
        Share of the L1 penalty, from 0 (all L2) to 1: with some, coefficients that
        are exactly zero.
    penalty_factor : float or array of shape (n_features,), default=None
        By how much more the coefficients of a feature are penalised: 0 leaves them
        free, ``inf`` removes the feature. None for 1.
    lower, upper : float or array of shape (n_features,), default=None
        Least and largest coefficients, in the units of X; None for no bound. With
        more than two classes, the same for all of them.
    fit_intercept : bool, default=True
        Whether the model has intercepts.
    class_weight : dict or 'balanced', default=None
        Weights of the classes, by label; classes that are not named weigh 1.
        ``'balanced'`` gives all classes the same total weight.
    multi_class : {'multinomial', 'ovr'}, default='multinomial'
        How more than two classes are modelled: by one softmax, or by one model for
        each class against the rest. Those are fitted together, and probabilities are
        theirs divided by their sum, as ``sklearn.multiclass.OneVsRestClassifier``
        has them; ``class_weight='balanced'`` then balances each class with its rest.
    solver : str, default='auto'
        - ``'newton-cholesky'``: Newton's method with the whole Hessian, held while it
          serves. The most robust; time n p^2 and memory p^2 (p parameters).
        - ``'newton-cg'``: Newton's method by products with the Hessian, for many
          features or classes; with any penalty and bounds.
        - ``'lbfgs'``: quasi-Newton, from the part of the Hessian that belongs to each
          class alone; for many classes.
        - ``'gradient-descent'``: the textbook algorithm, with a fixed
          ``learning_rate``, in the units of X.
        - ``'proximal-newton'``: Newton's method with an L1 penalty and bounds.
        - ``'active-set'``: the same on a working set of features, for many features of
          which few have a coefficient; by products where those are thousands.
        - ``'auto'``: one of these, by estimated time; see ``solver_``.
        - ``'liblinear'``, ``'sag'``, ``'saga'``: scikit-learn's names, for ``'auto'``.

        ``'newton-cholesky'``, ``'lbfgs'`` and ``'gradient-descent'`` need
        ``l1_ratio=0``, no bounds and no infinite ``penalty_factor``. All but gradient
        descent standardise the columns internally, so that units and offsets of the
        features do not matter.
    tol : float, default=1e-6
        Bound on ``optimality_`` at which the fit has converged. A fit within it goes
        on while another step would lower F by more than tol / 100,000 of F. One that
        ends for another reason has converged too if ``duality_gap_`` is within tol of
        F.
    max_iter : int, default=1000
        Most iterations. One is a pass over the rows (newton-cholesky: and now and
        then a Hessian; newton-cg: and products with it), whether its step is kept or
        refused. 0 leaves the coefficients at the start.
    warm_start : bool, default=False
        Whether ``fit`` starts from the coefficients of the last fit.
    learning_rate : float, default=None
        Step of ``'gradient-descent'`` on the gradient of F. None takes 1 / L,
        with L a bound on the curvature of F, so that F never rises.
    random_state : int, RandomState or None, default=None
        Draws the random rows that solvers begin on where there are many. The
        same rows each time for the same number, and for None; which they are changes
        the time and the last digits, not the model.
    n_jobs : int or None, default=None
        Threads for passes over arrays of NumPy, torch and JAX in host memory. None for
        as many as BLAS may use (``OMP_NUM_THREADS``, threadpoolctl, joblib's workers);
        -1 for all processors.
    verbose : int, default=0
        Above 0, print a line for each iteration.
    categorical : 'auto', list of str or None, default=None
        Columns of a table that hold categories. Each level has a coefficient, and no
        one-hot column is formed. ``'auto'`` takes columns of strings, categories,
        enumerations and booleans. None takes numbers only.
    drop : 'auto', 'first' or None, default='auto'
        Whether the first level of each categorical column is the reference, without a
        coefficient. ``'auto'`` drops it where nothing is penalised (``C=inf``). Levels
        are in the order of the table's categories, else sorted.
    handle_unknown : {'error', 'ignore'}, default='error'
        What a level that the fit had not means in a prediction. ``'ignore'`` adds
        nothing to the logits.
    handle_missing : {'error', 'level'}, default='error'
        What a missing value of a categorical column means. ``'level'`` makes it a level
        of its own, the last.

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
        Coefficients, in the library, dtype and device of X; one row if there are
        two classes.
    intercept_ : array of shape (1,) or (n_classes,)
        Intercepts, likewise; zeros without ``fit_intercept``.
    classes_ : array of shape (n_classes,)
        The labels, sorted, in the library of y.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, if X was a table whose column names are all strings.
    coef_names_ : list of str
        Names of the columns of ``coef_``: those of the features, with categorical ones
        after the others, as in ``'race[black]'``.
    n_iter_ : ndarray of shape (1,) or (n_classes,)
        Iterations until the model, or with ``'ovr'`` that of each class, was done.
    solver_ : str
        The solver that ran.
    converged_ : bool
        Whether ``optimality_``, or ``duality_gap_`` as a share of F, came down to
        ``tol``.
    optimality_ : float
        Max-norm of the gradient of F in standardised units: with m and d the
        weighted mean and standard deviation of feature j (0 and the root mean
        square without intercept), the largest of
        :math:`|\partial_{w_j} F - m_j \partial_b F| / d_j` and
        :math:`|\partial_b F|`. With an L1 penalty or bounds, of the least subgradient:
        the slope to the side on which F falls.
    duality_gap_ : ndarray of shape (1,) or (n_classes,)
        F here is above its minimum by no more than this: for every model, by a
        feasible point of the dual problem. It is of no use (no less than F) where a
        coefficient is neither penalised nor bounded on both sides.
    n_passes_ : int or None
        How often all of X was read, where it is of Dask; else None.
    history_ : dict of ndarrays of shape (n_records,) or (n_records, n_classes)
        ``objective``, ``optimality``, ``step`` (largest change of a parameter, in
        the units of the solver; 0 where a step was refused) and ``seconds``
        since the start, for the start and each iteration; with ``'ovr'``, all but
        the seconds have a column a class. The start is that on all the rows: what a
        sample of them was used for before is not listed.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : Takes the same parameters.

    References
    ----------
    Hastie, Tibshirani and Friedman (2009), *The Elements of Statistical
    Learning*, section 4.4.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from xlr import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> round(model.score(X, y), 4)
    0.9578
    >>> model.solver_, model.converged_
    ('newton-cholesky', True)
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        penalty_factor: Any = None,
        lower: Any = None,
        upper: Any = None,
        fit_intercept: bool = True,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        multi_class: Literal["multinomial", "ovr"] = "multinomial",
        solver: str = "auto",
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
        learning_rate: float | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        categorical: Literal["auto"] | list[str] | None = None,
        drop: Literal["auto", "first"] | None = "auto",
        handle_unknown: Literal["error", "ignore"] = "error",
        handle_missing: Literal["error", "level"] = "error",
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.penalty_factor = penalty_factor
        self.lower = lower
        self.upper = upper
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.multi_class = multi_class
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.categorical = categorical
        self.drop = drop
        self.handle_unknown = handle_unknown
        self.handle_missing = handle_missing

    # -- fit -------------------------------------------------------------------------

    @with_callbacks
    def fit(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        coef_init: Array | None = None,
        intercept_init: Array | None = None,
        offset: Array | None = None,
    ) -> LogisticRegression:
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Features. float32 and float64 are computed in as they are, float16 and
            bfloat16 of other libraries than NumPy in float32, without a copy of X;
            other real dtypes are converted. Arrays and tables of Dask stay in their
            chunks, on the scheduler that is current; they are read ``n_passes_`` times,
            so that ``persist()`` is worth its memory where they are computed.
        y : array of shape (n_samples,)
            Labels: integers, booleans or strings, on the host or a device; or class
            probabilities or counts, from :func:`xlr.soft_labels`.
        sample_weight : array of shape (n_samples,), default=None
            Weights, zero or positive; None weighs all samples alike.
        coef_init : array of shape (n_features,) or like ``coef_``, default=None
            Coefficients to start from; None starts from zeros, or from the last
            fit with ``warm_start``. A start with an F above ``log(n_classes)`` and
            above that at zeros gives way to zeros, but for gradient descent.
        intercept_init : array of shape (1,) or (n_classes,), default=None
            Intercepts to start from.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits of each row, as a feature with a coefficient of one
            would be; a column a class with more than two. Not with ``'ovr'``.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are not as described; the estimator is then
            as it was before.
        MemoryError
            If there is no room for the Hessian of the ``solver``, or, on a device, for
            the fit.
        FloatingPointError
            If the objective overflows: ``learning_rate`` is too large, or the
            start too far out.

        Warns
        -----
        ConvergenceWarning
            If ``tol`` was not reached, with what to do.
        """
        given = X, y, sample_weight, coef_init, intercept_init, offset
        features = begin_fit(self, *given)
        metadata = {"sample_weight": sample_weight, "offset": offset}
        data = {"X": X, "y": y, "metadata": metadata}
        # Before anything that BLAS would start its threads for: they spin for a while.
        with workers(features.stored, self.n_jobs) as pool:
            dataset = read_dataset(
                self,
                features,
                y,
                sample_weight,
                offset,
                pool,
                takes_soft_labels=True,
            )
            dataset.warn()
            fitting = Fitting(
                self,
                dataset,
                dataset.spec,
                float(self.C),
                l1_ratio=float(self.l1_ratio),
                start=self._read_start(coef_init, intercept_init, dataset),
            )
            one_vs_rest = dataset.class_weights.one_vs_rest
            common = {
                **features.attributes,
                "classes_": dataset.classes,
                "_one_vs_rest": one_vs_rest,
                "_has_offset": offset is not None,
                "_warned_of_offset": False,
            }

            def named(parameters: Array) -> dict[str, Any]:
                """Return the attributes that make an estimator predict."""
                found = fitting.problem.coefficients(parameters)
                return common | features.returned(**found)

            callbacks = FitCallbacks(self, data, self.max_iter)
            gap, solution = fitting.proven(fitting.run(callbacks.listener(named)))
            separations = fitting.separations(solution)
            places = dataset.spec.places if one_vs_rest else None
            seconds, by_model = solution.history()
            history = dict(spread(by_model, places), seconds=seconds)
            if not one_vs_rest:
                for name in by_model:
                    history[name] = history[name][:, 0]
            fitted = {
                **spread({"n_iter_": solution.n_iter, "duality_gap_": gap}, places),
                "solver_": fitting.solver_name,
                "converged_": set(solution.status) == {Status.CONVERGED},
                "optimality_": float(solution.records[-1].optimality.max()),
                "n_passes_": fitting.n_passes,
                "history_": history,
                "_has_optimum": not separations,
                "_column_moments": dataset.column_moments,
                **named(solution.parameters),
            }
            callbacks.end()
            fitting.warn_unless_converged(solution, separations)
            set_fitted(self, fitted)
        return self

    def _read_start(
        self, coef_init: Any, intercept_init: Any, dataset: LabelledDataset
    ) -> tuple[Array, Array] | None:
        """Return coefficients and intercepts to start from, in units of X.

        None is zero.
        """
        if coef_init is None and intercept_init is None and not self.warm_start:
            return None
        features, classes = dataset.features, arrays.to_host(dataset.classes)
        shape = (loss_of(classes.shape[0]).n_outputs, features.X.shape[1])
        if self.warm_start and hasattr(self, "coef_"):
            if coef_init is None and tuple(self.coef_.shape) != shape:
                raise ValueError(
                    "warm_start=True starts at the last fit, with coef_ of shape "
                    f"{tuple(self.coef_.shape)} for the classes "
                    f"{arrays.to_host(self.classes_).tolist()}; now X has {shape[1]} "
                    f"features and y the classes {classes.tolist()}. Call "
                    "set_params(warm_start=False), or pass coef_init."
                )
            if coef_init is None:
                coef_init = features.place(self.coef_, None)
            if intercept_init is None:
                # Infinite for a class that the last fit left out.
                intercept_init = np.nan_to_num(
                    arrays.to_host(self.intercept_), posinf=0.0, neginf=0.0
                )
        if coef_init is None and intercept_init is None:
            return None
        coef = read_start("coef_init", coef_init, shape, features)
        intercept = read_start("intercept_init", intercept_init, shape[:1], features)
        if not self.fit_intercept:
            intercept = features.xp.zeros_like(intercept)
        return coef, intercept

    score = score

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Make an estimator of scikit-learn's, with its coefficients if it is fitted.

        Parameters
        ----------
        estimator : sklearn.linear_model.LogisticRegression
            Of any version from 1.6. Its ``penalty`` becomes ``C`` and ``l1_ratio``. The
            defaults of ``solver``, ``tol`` and ``max_iter`` become those of xlr;
            ``dual`` and ``intercept_scaling`` have no meaning here.

        Returns
        -------
        LogisticRegression

        Raises
        ------
        TypeError
            If it is another estimator.

        Examples
        --------
        >>> from sklearn.linear_model import LogisticRegression
        >>> import xlr
        >>> theirs = LogisticRegression(C=0.1, solver="saga")
        >>> xlr.LogisticRegression.from_sklearn(theirs)
        LogisticRegression(C=0.1, solver='saga')
        """
        return from_sklearn(cls, estimator, searched=False)
