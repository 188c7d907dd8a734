"""The estimator of logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from xlr.arrays import Array
from xlr.estimators._fit import (
    CallbackSupportMixin,
    FitCallbacks,
    Fitting,
    begin_fit,
    set_fitted,
    with_callbacks,
)
from xlr.estimators.base import LinearClassifier
from xlr.inputs.dataset import read_dataset
from xlr.inputs.weights import finite_intercepts, read_start
from xlr.sklearn_models import from_sklearn
from xlr.threads import thread_pool


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(CallbackSupportMixin, LinearClassifier):
    r"""Logistic regression, binary and multinomial, on any array library.

    It minimises, over coefficients w and intercepts b,

    .. math::
        F(w, b) = \frac{1}{S} \sum_i s_i\, \ell(x_i \cdot w + b,\; y_i)
                  + \frac{1}{C S} \sum_j f_j \Bigl[ \alpha |w_j|
                  + \frac{1 - \alpha}{2} w_j^2 \Bigr], \qquad S = \sum_i s_i

    with the cross-entropy :math:`\ell` of a sigmoid (two classes) or a softmax (more
    than two; see ``multi_class``). :math:`s_i` is the sample weight times the class
    weight, :math:`\alpha` is ``l1_ratio`` and :math:`f_j` is ``penalty_factor``. The
    coefficients stay between ``lower`` and ``upper``. scikit-learn's
    ``LogisticRegression`` has the same minimiser for the same ``C`` and ``l1_ratio``.
    Intercepts are not penalised.

    X may be an array of any library that follows the Array API standard (NumPy,
    CuPy, torch, JAX), on any device, a sparse matrix, or anything scikit-learn reads
    (lists, tables). The fit runs on the device of X. A sparse X stays sparse.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, above 0; ``inf`` for no penalty.
    l1_ratio : float, default=0.0
        Share of the L1 penalty, from 0 (all L2) to 1 (all L1). The L1 penalty makes
        coefficients exactly zero.
    penalty_factor : float or array of shape (n_features,), default=None
        Factor on the penalty of each feature. 0 leaves its coefficients unpenalised,
        ``inf`` removes the feature. None for 1.
    lower, upper : float or array of shape (n_features,), default=None
        Bounds of the coefficients, in the units of X; None for no bound. All classes
        share them.
    fit_intercept : bool, default=True
        Whether the model has intercepts.
    class_weight : dict or 'balanced', default=None
        Weights of the classes, by label. Classes that are not named have weight 1.
        ``'balanced'`` gives all classes the same total weight.
    multi_class : {'multinomial', 'ovr'}, default='multinomial'
        Model of more than two classes: one softmax, or one binary model for each
        class. The binary models are fitted together, and their probabilities are
        divided by their sum, as in ``sklearn.multiclass.OneVsRestClassifier``.
        ``class_weight='balanced'`` then balances each class with all others.
    solver : str, default='auto'
        - ``'newton-cholesky'``: Newton's method with the full Hessian, which it keeps
          for several steps. The most robust; time n p^2 and memory p^2 (p parameters).
        - ``'newton-cg'``: Newton's method with Hessian-vector products, for many
          features or classes; with any penalty and bounds. The products may read a
          float32 copy of a dense float64 X of up to 2^27 numbers; the gradients read X.
        - ``'lbfgs'``: quasi-Newton method that starts from the diagonal blocks of the
          Hessian; for many classes.
        - ``'gradient-descent'``: the textbook algorithm with a fixed
          ``learning_rate``, on raw columns.
        - ``'proximal-newton'``: Newton's method with an L1 penalty and bounds.
        - ``'active-set'``: the same on a working set of features, for sparse models of
          many features.
        - ``'auto'``: the fastest of these by an estimate; see ``solver_``.
        - ``'liblinear'``, ``'sag'``, ``'saga'``: scikit-learn's names, for ``'auto'``.

        ``'newton-cholesky'``, ``'lbfgs'`` and ``'gradient-descent'`` need
        ``l1_ratio=0``, no bounds and no infinite ``penalty_factor``;
        ``'proximal-newton'`` and ``'active-set'`` need an L1 penalty or bounds. All
        solvers except gradient descent scale the columns internally, which speeds
        convergence. The penalty applies to the coefficients of X as it is.
    tol : float, default=1e-6
        Bound on ``optimality_`` at convergence. Within it, the fit continues while the
        next step would lower F by more than 1e-5 tol F (for float32 data, 5e-7 F). A
        fit that ends for another reason has converged if ``duality_gap_`` is at most
        tol F.
    max_iter : int, default=1000
        Maximum number of iterations, with accepted or rejected steps. Most evaluate F
        once. The first of ``'newton-cholesky'`` may evaluate it twice, and each of
        ``'active-set'`` is a fit to the working set. 0 keeps the coefficients of the
        start.
    warm_start : bool, default=False
        Whether ``fit`` starts from the coefficients of the last fit.
    learning_rate : float, default=None
        Step size of ``'gradient-descent'``. None takes 1 / L, with L a bound on the
        curvature of F, so that F never rises.
    random_state : int, RandomState or None, default=None
        Seed of the random rows that solvers start on if there are many rows. None draws
        the same rows each time. The seed changes the time and the last digits, not the
        model.
    n_jobs : int or None, default=None
        Threads for passes over arrays of NumPy, torch and JAX in host memory. None for
        as many as BLAS may use (``OMP_NUM_THREADS``, threadpoolctl, joblib's workers);
        -1 for all processors.
    verbose : int, default=0
        Above 0, print a line for each iteration; none if memory forces the models into
        groups.
    categorical : 'auto', list of str or None, default=None
        Columns of a table that hold categories. Each level has a coefficient, and no
        one-hot column is formed. ``'auto'`` takes columns of strings, categories,
        enumerations and booleans. None takes numbers only.
    drop : 'auto', 'first' or None, default='auto'
        Whether the first level of each categorical column is the reference, without a
        coefficient. ``'auto'`` drops it if ``C=inf``; in a model without an intercept,
        the first categorical column keeps it. Levels are in the order of the table's
        categories, or else sorted.
    handle_unknown : {'error', 'ignore'}, default='error'
        Treatment of unknown levels in predictions. ``'ignore'`` adds nothing to the
        logits.
    handle_missing : {'error', 'level'}, default='error'
        Treatment of missing categories. ``'level'`` makes them a further level, the
        last, if the fit sees any.

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
        Coefficients, in the library, device and dtype of X (of the fit, for integers
        and half precision); one row for two classes. With categories, n_features is
        the number of ``coef_names_``.
    intercept_ : array of shape (1,) or (n_classes,)
        Intercepts; zeros without ``fit_intercept``.
    classes_ : array of shape (n_classes,)
        The labels, sorted, in the library of y.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, if X was a table whose column names are all strings.
    coef_names_ : list of str
        Names of the columns of ``coef_``. Categorical columns come last, as in
        ``'race[black]'``.
    n_iter_ : ndarray of shape (1,) or (n_classes,)
        Number of iterations; with ``'ovr'``, of each class.
    solver_ : str
        The solver that ran.
    converged_ : bool
        Whether the fit converged, as ``tol`` says.
    optimality_ : float
        Max-norm of the gradient of F in standardized units. With m and d the
        weighted mean and standard deviation of feature j (0 and the root mean
        square without intercept), it is the largest of
        :math:`|\partial_{w_j} F - m_j \partial_b F| / d_j` and
        :math:`|\partial_b F|`. With an L1 penalty or bounds, the minimum-norm
        subgradient replaces the gradient.
    duality_gap_ : ndarray of shape (1,) or (n_classes,)
        Upper bound on F - min F, from a feasible point of the dual problem, for F
        before the coefficients are rounded to the dtype of X. If a coefficient has
        neither a penalty nor two bounds, the bound is at least F, and carries no
        information.
    n_passes_ : int or None
        Number of reads of all chunks of X on Dask; None for other kinds of X.
    history_ : dict of ndarrays of shape (n_records,) or (n_records, n_classes)
        ``objective``, ``optimality``, ``step`` (largest change of a parameter in
        the units of the solver; 0 if the step was rejected) and ``seconds`` since the
        first record, one record for the start and one for each iteration. With
        ``'ovr'``, all except the seconds have a column for each class; if memory forces
        the classes into groups, there is only the last record. Iterations on a sample
        of the rows are not listed.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : Estimator with the same objective.

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

    C: float = 1.0
    l1_ratio: float = 0.0
    penalty_factor: Any = None
    lower: Any = None
    upper: Any = None
    fit_intercept: bool = True
    class_weight: dict[Any, float] | Literal["balanced"] | None = None
    multi_class: Literal["multinomial", "ovr"] = "multinomial"
    solver: str = "auto"
    tol: float = 1e-6
    max_iter: int = 1000
    warm_start: bool = False
    learning_rate: float | None = None
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0
    categorical: Literal["auto"] | list[str] | None = None
    drop: Literal["auto", "first"] | None = "auto"
    handle_unknown: Literal["error", "ignore"] = "error"
    handle_missing: Literal["error", "level"] = "error"

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
            Features. The fit computes in the dtype of a float32 or float64 X. It
            computes in float32 for float16 and bfloat16 of libraries other than NumPy,
            without a copy of X. It converts other real dtypes. Dask arrays and tables
            stay in their chunks, on the current scheduler. The fit reads them
            ``n_passes_`` times: call ``persist()`` if there is memory.
        y : array of shape (n_samples,)
            Labels: integers, booleans or strings, on the host or a device; or class
            probabilities or counts, from :func:`xlr.soft_labels`.
        sample_weight : array of shape (n_samples,), default=None
            Weights, zero or positive; None for equal weights.
        coef_init : array of shape (n_features,) or like ``coef_``, default=None
            Coefficients to start from. None starts from the last fit with
            ``warm_start``, or else from the null model: zeros, and intercepts for the
            shares of the classes (zeros with an offset). Gradient descent starts from
            zeros. The other solvers start from the null model instead if F is lower
            there and F at the start is above ``log(n_classes)``.
        intercept_init : array of shape (1,) or (n_classes,), default=None
            Intercepts to start from.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as a feature with a coefficient of one. One column for
            each class if there are more than two. Not with ``'ovr'``.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are invalid. The estimator does not change.
        MemoryError
            If the Hessian of the ``solver`` does not fit into memory, or the memory of
            a device is full.
        FloatingPointError
            If the objective overflows, because ``learning_rate`` is too large or the
            start is too far from the minimum; or if a coefficient overflows the dtype
            of X.

        Warns
        -----
        ConvergenceWarning
            If the fit did not converge, with the cause and what to do.
        SeparationWarning
            If no finite estimate exists, because features that are not penalised
            separate the classes.
        UserWarning
            If a class has no weight, float32 columns are far from zero, or a parameter
            has no effect.
        """
        features = begin_fit(
            self, X, y, sample_weight, coef_init, intercept_init, offset
        )
        # The threads of BLAS spin for a while once they have started.
        with thread_pool(features.stored, self.n_jobs) as pool:
            dataset = read_dataset(
                self, features, y, sample_weight, offset, pool, takes_soft_labels=True
            )
            dataset.warn_of_data()
            if self.warm_start and hasattr(self, "coef_"):
                if coef_init is None:
                    coef_init = features.place(self.coef_, None)
                if intercept_init is None:
                    intercept_init = finite_intercepts(self.intercept_)
            start = None
            if coef_init is not None or intercept_init is not None:
                shape = dataset.coef_shape
                start = read_start(coef_init, intercept_init, shape, features)
            metadata = {"sample_weight": sample_weight, "offset": offset}
            callbacks = FitCallbacks(self, X, y, **metadata)
            fitting, common = Fitting(self, dataset, start=start), dataset.attributes
            on_iteration = callbacks.listener(fitting.prediction_attributes, common)
            solution, fitted = fitting.finish(fitting.run(on_iteration), common)
            callbacks.end(fitted)
            seconds, history = solution.history()
            if dataset.spec.separate_models:
                history = dataset.spec.by_row(history)
            else:
                history = {name: column[:, 0] for name, column in history.items()}
            fitted |= {
                "converged_": bool(fitted["converged_"].all()),
                "optimality_": float(fitted["optimality_"].max()),
                "n_passes_": dataset.n_passes,
                "history_": history | {"seconds": seconds},
            }
            set_fitted(self, fitted)
        return self

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Convert an estimator of scikit-learn, with its coefficients if it is fitted.

        Parameters
        ----------
        estimator : sklearn.linear_model.LogisticRegression
            From version 1.6 on. Its ``penalty`` becomes ``C`` and ``l1_ratio``. Default
            values of ``solver``, ``tol`` and ``max_iter`` become xlr's defaults.
            ``dual`` and ``intercept_scaling`` are dropped.

        Returns
        -------
        LogisticRegression

        Raises
        ------
        TypeError
            If the estimator has another type.

        Examples
        --------
        >>> from sklearn.linear_model import LogisticRegression
        >>> import xlr
        >>> theirs = LogisticRegression(C=0.1, solver="saga")
        >>> xlr.LogisticRegression.from_sklearn(theirs)
        LogisticRegression(C=0.1, solver='saga')
        """
        return from_sklearn(cls, estimator, cross_validated=False)
