"""Two clouds of points: 300,000 steps of gradient ascent, or a dozen Newton steps.

    python examples/two_gaussians.py                  # 10,000 steps
    python examples/two_gaussians.py --full           # all 300,000: a minute on NumPy
    python examples/two_gaussians.py --backend torch

The first tutorial draws points from two Gaussians and maximises the log-likelihood by
gradient ascent, towards scikit-learn's optimum. Newton's method finds the optimum in
milliseconds.
"""

from __future__ import annotations

import warnings

import numpy as np
from backends import to_numpy
from common import COLOURS, WRONG, Tutorial, heading, plt, scatter, timed
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

import xlr
from xlr.plotting import LossCurveDisplay

tutorial = Tutorial.start(
    __file__, __doc__, full="all 300,000 steps, as published, instead of 10,000"
)

# -- the data --------------------------------------------------------------------------

np.random.seed(12)  # the published run drew from this generator
N = 5000
covariance = [[1, 0.75], [0.75, 1]]
clouds = [
    np.random.multivariate_normal(mean, covariance, N) for mean in ([0, 0], [1, 4])
]
# Rounded to float32, as published, and then converted to float64.
points = np.vstack(clouds).astype(np.float32).astype(np.float64)
labels = np.repeat([0, 1], N)
X, y = tutorial.backend.place(points), tutorial.backend.place(labels)

# -- gradient ascent, step by step -----------------------------------------------------

# The published run maximises the log-likelihood, a sum over 2N points, with a learning
# rate of 5e-5. F in xlr is minus its mean, so the same rate is 2N times larger.
learning_rate = 5e-5 * 2 * N
steps = 300_000 if tutorial.full else 10_000

heading(f"Gradient ascent, {steps:,} steps of 5e-5")
ascent = xlr.LogisticRegression(
    C=np.inf,  # no penalty
    solver="gradient-descent",
    learning_rate=learning_rate,
    max_iter=steps // 10,
    tol=1e-12,  # never reached: all steps run
    warm_start=True,  # each fit continues where the last one ended
)
print(f"  {'steps':>8}{'log-likelihood':>18}{'intercept':>12}{'coefficients':>22}")
seconds = 0.0
log_likelihoods = []
for part in range(1, 11):
    with warnings.catch_warnings():
        # The steps end before the optimum on purpose.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, elapsed = timed(lambda: ascent.fit(X, y))
    seconds += elapsed
    # The history of each fit starts with the end of the last one.
    log_likelihoods.append(-2 * N * ascent.history_["objective"][1:])
    coef = np.array2string(to_numpy(ascent.coef_)[0], precision=6)
    print(
        f"  {part * ascent.max_iter:>8,}{log_likelihoods[-1][-1]:>18.6f}"
        f"{to_numpy(ascent.intercept_)[0]:>12.6f}{coef:>22}",
        flush=True,
    )
print(f"  {seconds:.1f} s")

# -- the optimum -----------------------------------------------------------------------

heading("At the optimum")
newton = xlr.LogisticRegression(C=np.inf)
newton.fit(X, y)  # the first fit loads and compiles code; the second is timed
_, newton_seconds = timed(lambda: newton.fit(X, y))
liblinear = SklearnLogisticRegression(C=1e15, solver="liblinear")
_, liblinear_seconds = timed(lambda: liblinear.fit(points, labels))
rows = [
    (f"xlr gradient descent, {steps:,} steps", ascent, seconds),
    (f"xlr {newton.solver_}", newton, newton_seconds),
    ("scikit-learn liblinear", liblinear, liblinear_seconds),
]
print(f"  {'':<38}{'intercept':>12}{'coefficients':>26}{'accuracy':>10}{'seconds':>9}")
for name, model, elapsed in rows:
    fitted = points if model is liblinear else X
    coef = np.array2string(to_numpy(model.coef_)[0], precision=6)
    print(
        f"  {name:<38}{to_numpy(model.intercept_)[0]:>12.6f}{coef:>26}"
        f"{model.score(fitted, labels):>10.4f}{elapsed:>9.4f}"
    )
print(
    "  liblinear penalises the intercept slightly and stops early: it ends 0.1 from\n"
    "  the optimum, which the 300,000 steps reach to four digits."
)

# -- pictures --------------------------------------------------------------------------

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
scatter(ax, points, labels, ["class 0", "class 1"], s=6, alpha=0.5, linewidths=0)
ax.set(xlabel="$x_1$", ylabel="$x_2$", title="5,000 points from each Gaussian")
ax.legend(markerscale=3)
tutorial.save(figure, "data")

right = to_numpy(newton.predict(X)) == labels
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
style = {"s": 6, "linewidths": 0}
ax.scatter(*points[right].T, c="0.7", label=f"correct ({right.sum():,})", **style)
ax.scatter(*points[~right].T, c=WRONG, label=f"wrong ({(~right).sum():,})", **style)
(w1, w2), b = to_numpy(newton.coef_)[0], to_numpy(newton.intercept_)[0]
ends = np.asarray(ax.get_xlim())
ax.plot(ends, -(b + w1 * ends) / w2, color="black", lw=1, label="decision line")
ax.set(xlabel="$x_1$", ylabel="$x_2$", title="Correct and wrong predictions", xlim=ends)
ax.legend(markerscale=3)
tutorial.save(figure, "right_and_wrong")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
log_likelihoods = np.concatenate(log_likelihoods)
taken = np.arange(1, steps + 1)
ax.plot(taken, log_likelihoods, color=COLOURS[0], label="gradient ascent")
best = -2 * N * newton.history_["objective"][-1]
ax.axhline(best, color="black", ls=":", label=f"maximum, {best:.2f}")
ax.set(xlabel="step", ylabel="log-likelihood", xscale="log", title="Gradient ascent")
ax.legend()
tutorial.save(figure, "log_likelihood")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
LossCurveDisplay.from_estimator(newton, metric="optimality", ax=ax, marker="o")
ax.set_title("Newton's method")
tutorial.save(figure, "newton")

# -- comparison with the published figures ---------------------------------------------

published = [-14.09225541, -5.05899648, 8.28955762]
if tutorial.full:
    ours = [to_numpy(ascent.intercept_)[0], *to_numpy(ascent.coef_)[0]]
    tutorial.compare("gradient ascent", published, ours, 1e-7)
else:
    print(
        "\nThis short run made 10,000 of the 300,000 steps. --full makes them all, and"
        "\ncompares the result with the published one to seven digits."
    )
ours = [to_numpy(newton.intercept_)[0], *to_numpy(newton.coef_)[0]]
tutorial.compare("maximum", published, ours, 1e-4)
ours = [liblinear.intercept_[0], *liblinear.coef_[0]]
tutorial.compare("liblinear", [-13.99400797, -5.02712572, 8.23286799], ours, 1e-5)
tutorial.compare("accuracy", 0.9948, newton.score(X, labels), 1e-12)
tutorial.compare("accuracy, liblinear", 0.9948, liblinear.score(points, labels), 1e-12)
tutorial.finish()
