"""Logistic regression whose penalty is chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from sklearn import get_config
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted

from xlr import arrays
from xlr.arrays import Array
from xlr.estimators._cross_validation import (
    ScoredModel,
    best_models,
    count_rows,
    fit_resamples,
    held_out_likelihood,
    held_out_scores,
    mean_over_folds,
    read_folds,
    with_class_labels,
)
from xlr.estimators._fit import (
    CallbackSupportMixin,
    FitCallbacks,
    Fitting,
    begin_fit,
    set_fitted,
    with_callbacks,
)
from xlr.estimators.base import LinearClassifier
from xlr.inputs.dataset import LabelledDataset, read_dataset
from xlr.inputs.labels import on_host, refuse_soft_labels
from xlr.inputs.prediction import rows_of_scorer
from xlr.inputs.weights import finite_intercepts
from xlr.sklearn_models import from_sklearn
from xlr.text import listed, warn
from xlr.threads import thread_pool


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegressionCV(CallbackSupportMixin, LinearClassifier):
    r"""Logistic regression with the penalty chosen by cross-validation.

    The models of all folds and all C are fitted together: they share X, and in a pass
    over X, each further model takes a fraction of the time of the first. With many
    rows, each model starts at the minimiser on all rows for its C. With few rows, the
    models of each C start at the solutions for the previous C. The C with the highest
    mean score on the held-out rows is chosen, and its model is fitted to all rows.

    Parameters and attributes follow scikit-learn's ``LogisticRegressionCV`` with
    ``use_legacy_attributes=False``. For the same splitter, the folds, the scores and
    the chosen C are the same.

    Parameters
    ----------
    Cs : int or list of floats, default=10
        Inverse strengths of the penalty, each above 0 (``inf`` for none). A whole
        number takes that many values from 1e-4 to 1e4, evenly on a logarithmic scale.
    l1_ratios : list of floats, default=(0.0,)
        Shares of the L1 penalty, from 0 (all L2) to 1, each combined with each C.
    penalty_factor, lower, upper
        As in :class:`LogisticRegression`.
    fit_intercept : bool, default=True
        Whether the model has intercepts.
    cv : int, splitter or iterable, default=None
        Number of stratified folds (None for 5), a splitter of scikit-learn's, or
        pairs of row numbers to train and to test on. A splitter that needs groups gets
        them from ``fit``, by metadata routing.
    scoring : str or callable, default=None
        A scorer of scikit-learn's, by name or as ``scorer(estimator, X, y)``. None for
        the mean log-likelihood, ``'neg_log_loss'``, computed on the device of X. Other
        scorers receive an estimator that returns NumPy arrays, y as a NumPy array, and
        X: on its device in ``fit``, as given in ``score``. For Dask, X is the row
        numbers.
    solver, tol, max_iter
        As in :class:`LogisticRegression`.
    class_weight : dict or 'balanced', default=None
        As in :class:`LogisticRegression`; balanced over all rows.
    multi_class : {'multinomial', 'ovr'}, default='multinomial'
        As in :class:`LogisticRegression`. The models of all classes have the same C;
        scikit-learn's ``OneVsRestClassifier`` of this estimator chooses one for each.
    refit : bool, default=True
        Whether the chosen model is fitted to all rows. False takes the mean, over the
        folds, of the coefficients at the C that is best for the fold.
    random_state, n_jobs, verbose, categorical, drop, handle_unknown, handle_missing
        As in :class:`LogisticRegression`. The splitter draws the folds.

    Attributes
    ----------
    C_ : float
        The chosen C; with ``refit=False``, the mean of the choices of the folds.
    l1_ratio_ : float
        The chosen share of the L1 penalty.
    Cs_ : ndarray of shape (n_Cs,)
    l1_ratios_ : ndarray of shape (n_l1_ratios,)
    scores_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs)
        Score of each model on the held-out rows of its fold.
    coefs_paths_ : array of shape (n_folds, n_l1_ratios, n_Cs, n_columns, n_dof)
        Coefficients and, with ``fit_intercept``, intercept of each model, in the
        library, dtype and device of X. Two classes have one column, more classes one
        each.
    n_iter_ : ndarray of shape (n_folds, n_l1_ratios, n_Cs)
    coef_, intercept_, classes_, n_features_in_, feature_names_in_
        As in :class:`LogisticRegression`.
    solver_ : str
        The solver that ran last.
    converged_ : bool
        Whether all fits converged.
    duality_gap_ : ndarray of shape (1,) or (n_classes,)
        As in :class:`LogisticRegression`, of the fit to all rows; NaN with
        ``refit=False``.
    n_passes_ : int or None
        As in :class:`LogisticRegression`, of all fits and scores together.

    See Also
    --------
    sklearn.linear_model.LogisticRegressionCV : Estimator with the same objective.
    xlr.plotting.CVScoresDisplay : Draws the scores.

    References
    ----------
    Hastie, Tibshirani and Friedman (2009), *The Elements of Statistical Learning*,
    section 7.10.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from xlr import LogisticRegressionCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> model = LogisticRegressionCV(Cs=[0.01, 1, 100]).fit(X, y)
    >>> model.C_
    1.0
    >>> model.scores_.mean(axis=0).round(2)
    array([[-0.18, -0.08, -0.23]])
    """

    Cs: int | Any = 10
    l1_ratios: Any = (0.0,)
    penalty_factor: Any = None
    lower: Any = None
    upper: Any = None
    fit_intercept: bool = True
    cv: Any = None
    scoring: str | Callable[..., float] | None = None
    solver: str = "auto"
    tol: float = 1e-6
    max_iter: int = 1000
    class_weight: dict[Any, float] | Literal["balanced"] | None = None
    multi_class: Literal["multinomial", "ovr"] = "multinomial"
    refit: bool = True
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0
    categorical: Literal["auto"] | list[str] | None = None
    drop: Literal["auto", "first"] | None = "auto"
    handle_unknown: Literal["error", "ignore"] = "error"
    handle_missing: Literal["error", "level"] = "error"

    @with_callbacks
    def fit(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        offset: Array | None = None,
        **params: Any,
    ) -> LogisticRegressionCV:
        """Fit all models, choose one, and fit it to all rows.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,)
            Labels: integers, booleans or strings, on the host or a device.
        sample_weight : array of shape (n_samples,), default=None
            Weights, zero or positive, in the fits and the scores. With metadata
            routing, the scorer gets them if it requests them.
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits of each row, in the fits and in the scores.
        **params
            Metadata for the splitter (``groups``) and the scorer; only with
            ``sklearn.set_config(enable_metadata_routing=True)``.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are invalid, or if no fold has two classes to
            train on. The estimator does not change.

        Warns
        -----
        ConvergenceWarning
            If a fit did not converge.
        UserWarning
            If classes have no weight, in all rows or in the training rows of a fold.
            The fits leave them out, with a probability of 0. Folds that train or, with
            the default scoring, test on rows without weight have a score of NaN.
        """
        features = begin_fit(self, X, y, sample_weight, offset)
        to_splitter, to_scorer = self._routed("fit", sample_weight, params)
        metadata = {"sample_weight": sample_weight, "offset": offset, **params}
        with thread_pool(features.stored, self.n_jobs) as pool:
            dataset = read_dataset(self, features, y, sample_weight, offset, pool)
            dataset.warn_of_data()
            host_y = dataset.labels()
            splitter = check_cv(self.cv, host_y, classifier=True)
            trains, tests = read_folds(splitter, host_y, to_splitter)
            callbacks = FitCallbacks(self, X, y, **metadata)
            fitted = self._fit(dataset, trains, tests, host_y, to_scorer, callbacks)
            callbacks.end(fitted)
            set_fitted(self, fitted)
        return self

    def _fit(
        self,
        dataset: LabelledDataset,
        trains: list[np.ndarray],
        tests: list[np.ndarray],
        y: np.ndarray,
        metadata: dict[str, Any],
        callbacks: FitCallbacks,
    ) -> dict[str, Any]:
        """Return all fitted attributes."""
        features, common = dataset.features, dataset.attributes
        Cs = np.logspace(-4, 4, self.Cs) if np.ndim(self.Cs) == 0 else self.Cs
        Cs = np.asarray(Cs, dtype=np.float64)
        l1_ratios = np.asarray(self.l1_ratios, dtype=np.float64)
        # 1. All models, and then their scores.
        counts = count_rows(trains, y.shape[0])
        models = fit_resamples(self, dataset, counts, (l1_ratios, Cs), "fold")
        usable, by_fold = models.usable, (len(trains), l1_ratios.size * Cs.size)
        coef, intercept = (
            v.reshape(*by_fold, *v.shape[3:])[usable]
            for v in (models.coef, models.intercept)
        )
        held_out = (
            [tests[i] for i in usable],
            features.place(coef, features.dtype),
            features.place(intercept, features.accumulation_dtype),
        )
        scores = np.full(by_fold, np.nan)
        if self.scoring is None or self.scoring == "neg_log_loss":
            scores[usable] = held_out_likelihood(dataset, *held_out)
            unknown = usable[np.isnan(scores[usable]).any(axis=1)].tolist()
            if unknown:
                warn(
                    f"Folds {listed(unknown)} (of {len(trains)}) test on rows without "
                    "weight: their scores are NaN. Use other folds, or drop such rows."
                )
        else:
            scorer = with_class_labels(self._scorer(), arrays.to_host(dataset.classes))
            scores[usable] = held_out_scores(scorer, dataset, y, metadata, *held_out)
        # 2. The best model, refitted or as a mean over the folds.
        best = best_models(scores[usable], by_fold=not self.refit)
        C = float(Cs[best % Cs.size].mean())
        l1_ratio = float(l1_ratios[best // Cs.size].mean())
        index = np.arange(usable.size), best
        mean = mean_over_folds(coef[index], intercept[index], features)
        converged = bool(models.converged[usable].all())
        if self.refit:
            # The mean of the folds is a start that saves passes over chunks.
            finite = finite_intercepts(mean["intercept_"])
            dtype = features.accumulation_dtype
            start = features.place(mean["coef_"], dtype), features.place(finite, dtype)
            one = Fitting(self, dataset, C=C, l1_ratio=l1_ratio, start=start)
            on_iteration = callbacks.listener(one.prediction_attributes, common)
            _, chosen = one.finish(one.run(on_iteration), common)
            converged = converged and bool(chosen["converged_"].all())
            del chosen["optimality_"]
        else:
            chosen = {
                **common,
                **features.returned(**mean),
                "solver_": models.solver,
                "duality_gap_": np.asarray([np.nan]),
            }
        paths = models.coef
        if self.fit_intercept:
            paths = np.concatenate([paths, models.intercept[..., None]], axis=-1)
        paths = features.place(paths, features.dtype)
        return {
            **chosen,
            **features.returned(coefs_paths_=paths),
            "C_": C,
            "l1_ratio_": l1_ratio,
            "Cs_": Cs,
            "l1_ratios_": l1_ratios,
            "scores_": scores.reshape(models.n_iter.shape),
            "n_iter_": models.n_iter,
            "converged_": converged,
            "n_passes_": dataset.n_passes,
        }

    def _scorer(self) -> Callable[..., float]:
        """Return the scorer that ``scoring`` names; the default takes the weights."""
        if self.scoring is not None:
            return get_scorer(self.scoring)
        scorer: Any = get_scorer("neg_log_loss")
        if get_config()["enable_metadata_routing"]:
            scorer.set_score_request(sample_weight=True)
        return scorer

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the metadata that the fits, the splitter and the scorer request.

        Returns
        -------
        MetadataRouter
        """
        splits = MethodMapping().add(caller="fit", callee="split")
        scores = MethodMapping().add(caller="fit", callee="score")
        scores.add(caller="score", callee="score")
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(splitter=self.cv, method_mapping=splits)
        return router.add(scorer=self._scorer(), method_mapping=scores)

    def _routed(
        self, method: str, sample_weight: Any, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the metadata for the splitter and for the scorer."""
        _raise_for_params(params, self, method)
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        if not get_config()["enable_metadata_routing"]:
            return {}, params
        routed = process_routing(self, method, **params)
        return on_host(routed.splitter.get("split", {})), dict(routed.scorer.score)

    def score(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        offset: Array | None = None,
        **params: Any,
    ) -> float:
        """Return the score that ``scoring`` names.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,)
            True labels, on the host or any device.
        sample_weight : array of shape (n_samples,), default=None
        offset : array of shape (n_samples,) or (n_samples, n_classes), default=None
        **params
            Metadata for the scorer; only with metadata routing.

        Returns
        -------
        float

        Raises
        ------
        NotFittedError, ValueError
            Before ``fit``, or if X has other features.
        """
        check_is_fitted(self, "coef_")
        refuse_soft_labels(y)
        _, metadata = self._routed("score", sample_weight, params)
        scorer = with_class_labels(self._scorer(), arrays.to_host(self.classes_))
        logits = self.decision_function(X, offset)
        given = on_host({"y_true": y, "logits": logits, **metadata})
        logits = given.pop("logits")
        rows = rows_of_scorer(X, len(logits))
        model = ScoredModel(self, rows, logits)
        return float(scorer(model, rows, given.pop("y_true"), **given))

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Convert an estimator of scikit-learn, with its coefficients if it is fitted.

        Parameters
        ----------
        estimator : sklearn.linear_model.LogisticRegressionCV
            As in :meth:`LogisticRegression.from_sklearn`. A ``scoring`` of None
            becomes ``'accuracy'``, its meaning there.

        Returns
        -------
        LogisticRegressionCV

        Raises
        ------
        TypeError
            If the estimator has another type.
        """
        return from_sklearn(cls, estimator, cross_validated=True)
