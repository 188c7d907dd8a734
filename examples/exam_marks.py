"""Who is admitted? The sigmoid, its loss, and a line between two exam marks.

    python examples/exam_marks.py
    python examples/exam_marks.py --backend torch

The second tutorial draws the sigmoid and the cross-entropy. It fits a model with one
feature (hours studied by twelve students), then one with two (the marks of 100
applicants). Its loss in gradient descent agrees with the published one to thirteen
digits.
"""

from __future__ import annotations

import warnings

import numpy as np
from backends import to_numpy
from common import COLOURS, Tutorial, heading, plt, scatter
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import confusion_matrix

import xlr
from xlr.datasets import load_exam_marks, load_study_hours
from xlr.plotting import LossCurveDisplay

tutorial = Tutorial.start(__file__, __doc__)
on_backend = {"xp": tutorial.backend.xp, "device": tutorial.backend.device}

# -- the sigmoid and the loss ----------------------------------------------------------

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
z = np.linspace(-8, 8, 401)
ax.plot(z, xlr.sigmoid(z), color=COLOURS[0])
ax.axhline(0.5, color="0.5", lw=1, ls=":")
ax.axvline(0, color="0.5", lw=1, ls=":")
ax.set(
    xlabel="logit z",
    ylabel="probability",
    title=r"The sigmoid: $\sigma(z) = 1 / (1 + e^{-z})$",
)
tutorial.save(figure, "sigmoid")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for label, style in ((1, "-"), (0, "--")):
    # The loss of one row: minus the logarithm of the probability of its label.
    loss = [xlr.binary_cross_entropy(z[i : i + 1], [label]) for i in range(len(z))]
    name = rf"$y = {label}$: $-\log {'p' if label else '(1 - p)'}$"
    ax.plot(xlr.sigmoid(z), loss, style, color=COLOURS[label], label=name)
ax.set(
    xlabel="predicted probability p of class 1",
    ylabel="loss (nats)",
    title="Cross-entropy: confident errors cost most",
    ylim=(0, 6),
)
ax.legend()
tutorial.save(figure, "losses")

# -- one feature: hours ----------------------------------------------------------------

heading("Hours studied, and who passed")
X, y = load_study_hours(return_X_y=True, **on_backend)
hours = xlr.LogisticRegression(C=np.inf).fit(X, y)
coef, intercept = to_numpy(hours.coef_)[0, 0], to_numpy(hours.intercept_)[0]
print(f"  log-odds of passing = {intercept:.4f} + {coef:.4f} x hours")
print(f"  each further hour multiplies the odds by {np.exp(coef):.3f}")
even = -intercept / coef
print(f"  even odds at {even:.3f} hours; accuracy {hours.score(X, y):.4f}")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
grid = np.linspace(0, 7, 200)[:, None]
ax.plot(grid, hours.predict_proba(grid)[:, 1], color="black", label="P(passed)")
x, passed = to_numpy(X)[:, 0], to_numpy(y)
for label, name in enumerate(["failed", "passed"]):
    ax.scatter(
        x[passed == label],
        passed[passed == label],
        c=COLOURS[label],
        marker="o^"[label],
        label=name,
        zorder=3,
    )
ax.axvline(even, color="0.5", lw=1, ls=":", label="even odds")
ax.set(xlabel="hours studied", ylabel="probability of passing", title="Twelve students")
ax.legend(loc="center right")
tutorial.save(figure, "hours")

# -- two features: marks ---------------------------------------------------------------

heading("Marks in two exams, and who was admitted")
marks = load_exam_marks()
mean, std = marks.data.mean(axis=0), marks.data.std(axis=0, ddof=1)
X = tutorial.backend.place((marks.data - mean) / std)
y = tutorial.backend.place(marks.target)
n = len(marks.target)

# The published run uses a learning rate of 0.01/3 for the sum of the losses. F in xlr
# is their mean, so the same learning rate is n times larger. The start is random.
start = [0.06879018957747185, 0.060750489548129484, 0.081224887916095]
descent = xlr.LogisticRegression(
    C=np.inf,
    solver="gradient-descent",
    learning_rate=n * 0.01 / 3,
    max_iter=5000,
    tol=1e-12,
)
with warnings.catch_warnings():
    # The steps end slightly before the optimum on purpose.
    warnings.simplefilter("ignore", ConvergenceWarning)
    descent.fit(X, y, intercept_init=start[:1], coef_init=start[1:])
losses = descent.history_["objective"]
for step in (0, 1, 1001, 2001, 3001, 4001, 5000):
    print(f"  step {step:>5,}: loss {losses[step]:.16f}")
newton = xlr.LogisticRegression(C=np.inf).fit(X, y)
optimum = newton.history_["objective"][-1]
print(f"  {newton.solver_}, {newton.n_iter_[0]} iterations: loss {optimum:.16f}")

tn, fp, fn, tp = confusion_matrix(marks.target, to_numpy(descent.predict(X))).ravel()
print(f"  true positives {tp}, true negatives {tn}, ", end="")
print(f"false positives {fp}, false negatives {fn}")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
LossCurveDisplay.from_estimator(descent, ax=ax)
LossCurveDisplay.from_estimator(newton, ax=ax, marker="o")
ax.set(title="The same loss by two methods", xscale="log", ylabel="loss (nats)")
tutorial.save(figure, "loss_curves")

figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
scatter(ax, marks.data, marks.target, list(marks.target_names))
# Even odds where b + w1 z1 + w2 z2 = 0, for standardised marks z.
(w1, w2), b = to_numpy(descent.coef_)[0], to_numpy(descent.intercept_)[0]
exam_1 = np.asarray([30.0, 100.0])
exam_2 = mean[1] - std[1] * (b + w1 * (exam_1 - mean[0]) / std[0]) / w2
ax.plot(exam_1, exam_2, color="black", label="decision line")
ax.set(
    xlabel="marks in exam 1",
    ylabel="marks in exam 2",
    title="100 applicants",
    xlim=(28, 102),
    ylim=(28, 102),
)
ax.legend(loc="lower left")
tutorial.save(figure, "marks")

# -- comparison with the published figures ---------------------------------------------

published = {
    1: 0.6091560801945126,
    1001: 0.2037432848849053,
    2001: 0.20350230881468107,
    3001: 0.20349779972872906,
    4001: 0.2034977037166,
}
for step, loss in published.items():
    tutorial.compare(f"loss at step {step:,}", loss, losses[step], 1e-13)
ours = [to_numpy(descent.intercept_)[0], *to_numpy(descent.coef_)[0]]
tutorial.compare("beta", [1.71840913, 4.01281584, 3.74381917], ours, 1e-8)
tutorial.compare("TP, TN, FP, FN", [55, 34, 6, 5], [tp, tn, fp, fn], 0)
tutorial.compare("accuracy", 0.89, descent.score(X, y), 1e-12)
tutorial.finish()
