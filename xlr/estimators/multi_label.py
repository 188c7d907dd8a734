"""Many binary labels of the same rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from sklearn.base import ClassifierMixin

from xlr import arrays
from xlr.arrays import Array, Namespace
from xlr.data import Targets, TrainingData
from xlr.estimators._fit import (
    CallbackSupportMixin,
    FitCallbacks,
    Fitting,
    begin_fit,
    set_fitted,
    with_callbacks,
)
from xlr.estimators.base import LinearModel
from xlr.functions import log_sigmoid, sigmoid
from xlr.inputs.dataset import (
    ALWAYS,
    NEVER,
    UNKNOWN,
    Dataset,
    ModelSpec,
    statistics_of,
)
from xlr.inputs.features import Features
from xlr.inputs.labels import read_entries, read_indicators
from xlr.inputs.prediction import chunk_by_chunk
from xlr.inputs.weights import balanced_factors, class_factors, read_sample_weight
from xlr.losses import LogisticLoss, Loss, SoftmaxLoss
from xlr.text import warn
from xlr.threads import thread_pool


@dataclass(kw_only=True, eq=False, repr=False)
class MultiLabelLogisticRegression(CallbackSupportMixin, ClassifierMixin, LinearModel):
    r"""A logistic regression for each of many labels, all fitted together.

    The model of each label minimises the objective of :class:`LogisticRegression` over
    the rows where the label is known, as a separate fit would. The labels share X, and
    in a pass over X, each further label takes a fraction of the time of the first. A
    label that has converged has no further cost.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, above 0; ``inf`` for none.
    fit_intercept : bool, default=True
        Whether the models have intercepts.
    class_weight : dict or 'balanced', default=None
        Weights of 0 and 1. ``'balanced'`` gives both the same total weight for each
        label.
    solver, tol, max_iter, random_state, n_jobs, verbose
        As in :class:`LogisticRegression`.
    categorical, drop, handle_unknown, handle_missing
        As in :class:`LogisticRegression`.

    Attributes
    ----------
    coef_ : array of shape (n_labels, n_features)
        Coefficients; zeros for a label with only one value.
    intercept_ : array of shape (n_labels,)
        Intercepts; plus or minus infinity, the limit of the fits, for a label with only
        one value, and NaN for a label without entries.
    classes_ : array of shape (n_labels,)
        The numbers of the labels.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, if X was a table whose column names are all strings.
    n_iter_ : ndarray of shape (n_labels,)
        Number of iterations of each model.
    converged_ : ndarray of shape (n_labels,)
        Whether each model converged, as ``tol`` of :class:`LogisticRegression` says.
    optimality_, duality_gap_ : ndarray of shape (n_labels,)
        As in :class:`LogisticRegression`; zero for a label with only one value.
    solver_ : str
        The solver that ran.

    See Also
    --------
    sklearn.multiclass.OneVsRestClassifier : Fits such labels one by one.

    Examples
    --------
    >>> import numpy as np
    >>> from xlr import MultiLabelLogisticRegression
    >>> X = np.asarray([[0.0], [1.0], [2.0], [3.0]])
    >>> Y = np.asarray([[0, 1], [0, 1], [1, np.nan], [1, 0]])
    >>> model = MultiLabelLogisticRegression().fit(X, Y)
    >>> model.predict(X)
    array([[0, 1],
           [0, 1],
           [1, 1],
           [1, 0]])
    """

    C: float = 1.0
    fit_intercept: bool = True
    class_weight: dict[int, float] | Literal["balanced"] | None = None
    solver: str = "auto"
    tol: float = 1e-6
    max_iter: int = 1000
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0
    categorical: Literal["auto"] | list[str] | None = None
    drop: Literal["auto", "first"] | None = "auto"
    handle_unknown: Literal["error", "ignore"] = "error"
    handle_missing: Literal["error", "level"] = "error"

    @with_callbacks
    def fit(
        self, X: Array, y: Array, sample_weight: Array | None = None
    ) -> MultiLabelLogisticRegression:
        """Fit a model for each label.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples, n_labels)
            Labels 0 or 1, and NaN for missing entries, on the host or a device.
        sample_weight : array of shape (n_samples,), default=None
            Weights, zero or positive; None for equal weights.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are invalid, or if no label has entries. The
            estimator does not change.

        Warns
        -----
        ConvergenceWarning
            If the models of labels did not converge.
        UserWarning
            If labels have only one value, or no entries.
        """
        features = begin_fit(self, X, y, sample_weight, chunked=False)
        with thread_pool(features.stored, self.n_jobs) as pool:
            weights = read_sample_weight(sample_weight, features)
            targets = read_indicators(y, weights, features)
            mean_weight = float(arrays.to_host(features.xp.mean(weights)))
            labelled_data = TrainingData(features.matrix, targets, pool=pool)
            spec = self._spec(labelled_data, mean_weight)
            statistics = statistics_of(features, spec)
            has_intercept = bool(self.fit_intercept)
            dataset = Dataset(features, spec, mean_weight, has_intercept, statistics)
            dataset.warn_of_far_columns()
            labels = features.xp.arange(targets.n_models, device=features.device)
            common = features.attributes | features.returned(classes_=labels)
            callbacks = FitCallbacks(self, X, y, sample_weight=sample_weight)
            fitting = Fitting(self, dataset)
            on_iteration = callbacks.listener(fitting.prediction_attributes, common)
            _, fitted = fitting.finish(fitting.run(on_iteration), common)
            callbacks.end(fitted)
            set_fitted(self, fitted)
        return self

    def _spec(self, labelled_data: TrainingData, mean_weight: float) -> ModelSpec:
        """Return a binary model for each label that has both values.

        ``labelled_data`` has all labels and unscaled weights, of mean ``mean_weight``.
        """
        # 1. Zeros and ones are summed apart: a difference from the total would give a
        # label without zeros a rounding error for their weight.
        totals = arrays.to_host(labelled_data.class_weights(2)).astype(np.float64)
        factors = np.ones(2)
        if isinstance(self.class_weight, dict):
            factors = class_factors(self.class_weight, np.arange(2), factors)
        totals = totals * factors
        has_weight = totals > 0
        if not has_weight.any():
            raise ValueError(
                "No label in y has an entry in the rows of positive weight: "
                "there is nothing to fit."
            )
        _warn_of_constant_labels(has_weight.sum(axis=1))
        # 2. For each row of coef_, the index of its fit.
        fit_index: Any = np.where(has_weight[:, 0], NEVER, UNKNOWN)
        fit_index[has_weight[:, 1]] = ALWAYS
        fitted = np.nonzero(has_weight.all(axis=1))[0]
        fit_index[fitted] = np.arange(fitted.size)
        # 3. Weights of mean 1, times the weights of zeros and ones.
        loss: Loss = LogisticLoss()
        targets = labelled_data.targets
        targets = replace(targets, weights=targets.weights / mean_weight)
        if not fitted.size:  # fit nothing, with a model of one class
            weights = targets.weights
            loss, targets = SoftmaxLoss(1), Targets(1, 0 * weights, weights)
        else:
            targets = targets.select(fitted)
            if self.class_weight == "balanced":
                factors = balanced_factors(totals[fitted])
            if self.class_weight is not None:
                factors = np.broadcast_to(factors, (fitted.size, 2))
                factors = arrays.move_like(factors, targets.weights)
                targets = replace(targets, class_factors=factors)
        targets = targets.astype(labelled_data.dtype, xp=labelled_data.xp)
        data = TrainingData(labelled_data.matrix, targets, pool=labelled_data.pool)
        return ModelSpec(loss, data, None if has_weight.all() else fit_index, True)

    # -- predictions -------------------------------------------------------------------

    @chunk_by_chunk
    def decision_function(self, X: Array) -> Array:
        """Return the logits x.w + b.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Rows of any library and device. The result is lazy if X belongs to Dask.

        Returns
        -------
        array of shape (n_samples, n_labels)
            In the library, dtype and device of X.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X has other features than the fit, or is not finite.
        """
        return self._map_logits(lambda logits, xp: logits, X)

    @chunk_by_chunk
    def predict_proba(self, X: Array) -> Array:
        """Return the probability of 1 for each label.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_labels)

        Raises
        ------
        NotFittedError, ValueError
            As in :meth:`decision_function`.
        """
        return self._map_logits(lambda logits, xp: sigmoid(logits), X)

    @chunk_by_chunk
    def predict_log_proba(self, X: Array) -> Array:
        """Return the logarithm of the probability of 1 for each label.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_labels)

        Raises
        ------
        NotFittedError, ValueError
            As in :meth:`decision_function`.
        """
        return self._map_logits(lambda logits, xp: log_sigmoid(logits), X)

    @chunk_by_chunk
    def predict(self, X: Array) -> Array:
        """Return 1 for each label that is more probable than not, else 0.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_labels)
            Integers.

        Raises
        ------
        NotFittedError, ValueError
            As in :meth:`decision_function`.
        """
        return self._map_logits(_labels, X)

    def score(self, X: Array, y: Array, sample_weight: Array | None = None) -> float:
        """Return the share of rows whose known labels are all predicted correctly.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples, n_labels)
            0 or 1; NaN where an entry is missing, on the host or any device. Missing
            entries and rows without entries do not count.
        sample_weight : array of shape (n_samples,), default=None

        Returns
        -------
        float

        Raises
        ------
        NotFittedError, ValueError
            As in :meth:`decision_function`, or if y or the weights are invalid.
        """
        predicted = arrays.to_host(self.predict(X))
        positive, known = map(arrays.to_host, read_entries(y, predicted.shape[0]))
        if known.shape != predicted.shape:
            raise ValueError(
                f"y has {known.shape[1]} labels, but the model was fitted with "
                f"{predicted.shape[1]}."
            )
        weights = read_sample_weight(sample_weight, Features(predicted))
        weights = weights * known.any(axis=1)
        if not weights.any():
            raise ValueError("y has no known labels in the rows of positive weight.")
        right = ((predicted == 1) == positive) | ~known
        return float(np.average(right.all(axis=1), weights=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        return tags


def _labels(logits: Array, *, xp: Namespace) -> Array:
    info, device = xp.__array_namespace_info__(), arrays.device_of(logits)
    integer = info.default_dtypes(device=device)["integral"]
    return xp.astype(logits > 0, integer)


def _warn_of_constant_labels(n_values: np.ndarray) -> None:
    """Warn about labels with one value, or none."""
    sentences = [
        f"Label columns {np.nonzero(n_values == n)[0].tolist()} {said}."
        for n, said in (
            (1, "hold a single value, which is always predicted"),
            (0, "have no entries; their probabilities will be NaN"),
        )
        if (n_values == n).any()
    ]
    if sentences:
        warn(" ".join(sentences))
