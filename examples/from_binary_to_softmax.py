"""From two classes to many, and from a line to curves: four exercises, solved.

    python examples/from_binary_to_softmax.py
    python examples/from_binary_to_softmax.py --backend torch

The fourth tutorial shows batch gradient descent with its loss curve, the L2 penalty,
and agreement with scikit-learn. Its exercises are one-vs-rest, softmax, the threshold
with the best F1, and features that make the boundary a curve.
"""

from __future__ import annotations

import warnings

import numpy as np
from backends import to_numpy
from common import COLOURS, SHADES, Tutorial, heading, plt, scatter
from sklearn.datasets import load_iris, make_classification, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

import xlr
from xlr.plotting import LossCurveDisplay, ThresholdDisplay

tutorial = Tutorial.start(__file__, __doc__)
place = tutorial.backend.place

points, labels = make_classification(
    n_samples=300,
    n_features=2,
    n_redundant=0,
    n_informative=2,
    random_state=42,
    n_clusters_per_class=1,
)
X, y = place(points), place(labels)


def parameters_as_text(model):
    """Return the coefficients and the intercept of a model as text."""
    coef = ", ".join(f"{w:.8f}" for w in to_numpy(model.coef_)[0])
    return f"w = [{coef}], b = {float(to_numpy(model.intercept_)[0]):.8f}"


def draw_probability(ax, model, data, classes, names):
    """Draw contours of the probability of class 1, the boundary, and the points."""
    contours = DecisionBoundaryDisplay.from_estimator(
        model,
        data,
        response_method="predict_proba",
        plot_method="contourf",
        levels=np.linspace(0, 1, 11),
        cmap=SHADES,
        alpha=0.7,
        ax=ax,
    )
    ax.contour(
        contours.xx0, contours.xx1, contours.response, levels=[0.5], colors="black"
    )
    scatter(ax, data, classes, names, s=14, edgecolors="black", linewidths=0.3)
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    ax.grid(visible=False)
    return contours.surface_


# -- the sigmoid and the data ----------------------------------------------------------

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
z = np.linspace(-8, 8, 401)
ax.plot(z, xlr.sigmoid(z), color=COLOURS[0])
ax.set(xlabel="logit z", ylabel="probability", title="From any number to a probability")
tutorial.save(figure, "sigmoid")

figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
scatter(ax, points, labels, ["class 0", "class 1"], s=18)
ax.set(xlabel="$x_1$", ylabel="$x_2$", title="300 points of two classes")
ax.legend()
tutorial.save(figure, "data")

# -- batch gradient descent ------------------------------------------------------------

heading("500 epochs of gradient descent, learning rate 0.1")
schedule = {"solver": "gradient-descent", "learning_rate": 0.1, "max_iter": 500}
plain = xlr.LogisticRegression(C=np.inf, **schedule)
# The published F adds (lam / 2n) |w|^2 to the mean loss; xlr adds |w|^2 / (2 C n).
lam = 0.01
ridge = xlr.LogisticRegression(C=1 / lam, **schedule)
with warnings.catch_warnings():
    # The published 500 epochs end before the optimum.
    warnings.simplefilter("ignore", ConvergenceWarning)
    plain.fit(X, y)
    ridge.fit(X, y)
for name, model in (("no penalty", plain), ("L2, lam=0.01", ridge)):
    accuracy = model.score(X, labels)
    print(f"  {name:<14}{parameters_as_text(model)}, accuracy {accuracy:.4f}")

optimum = xlr.LogisticRegression(C=1e10).fit(X, y)
sklearn = SklearnLogisticRegression(C=1e10).fit(points, labels)
heading("At the optimum, C=1e10")
for name, model, data in (("xlr", optimum, X), ("scikit-learn", sklearn, points)):
    accuracy = model.score(data, labels)
    print(f"  {name:<14}{parameters_as_text(model)}, accuracy {accuracy:.4f}")
print("  scikit-learn's lbfgs stops at a gradient below 1e-4, xlr at one below 1e-6.")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
LossCurveDisplay.from_estimator(plain, name="gradient descent", ax=ax)
LossCurveDisplay.from_estimator(ridge, name="with L2, lam=0.01", ax=ax, ls="--")
lowest = optimum.history_["objective"][-1]
ax.axhline(lowest, color="black", ls=":", label="lowest")
ax.set(xlabel="epoch", ylabel="loss (nats)", title="The loss of each epoch")
ax.legend()
tutorial.save(figure, "loss_curve")

figure, ax = plt.subplots(figsize=(6.6, 4.8), layout="constrained")
surface = draw_probability(
    ax, optimum.to_numpy(), points, labels, ["class 0", "class 1"]
)
figure.colorbar(surface, label="probability of class 1")
ax.set_title("Probability, and the boundary at one half")
ax.legend()
tutorial.save(figure, "boundary")

# -- exercises 1 and 2: more than two classes ------------------------------------------

heading("Exercises 1 and 2: three species of iris")
iris = load_iris()
ovr = xlr.LogisticRegression(multi_class="ovr").fit(place(iris.data), iris.target)
softmax = xlr.LogisticRegression().fit(place(iris.data), iris.target)
sklearn_ovr = OneVsRestClassifier(
    SklearnLogisticRegression(solver="newton-cholesky", tol=1e-8)
).fit(iris.data, iris.target)
for name, model in (("one-vs-rest", ovr), ("softmax", softmax)):
    print(f"  {name:<12}accuracy {model.score(place(iris.data), iris.target):.4f}")
proba = to_numpy(ovr.predict_proba(place(iris.data)))
difference = np.abs(proba - sklearn_ovr.predict_proba(iris.data)).max()
print("  one-vs-rest and OneVsRestClassifier: probabilities differ by ", end="")
print(f"{difference:.1e}")
flower = place(iris.data[70:71])
for name, model in (("one-vs-rest", ovr), ("softmax", softmax)):
    proba = to_numpy(model.predict_proba(flower))[0]
    species = ", ".join(f"{n} {p:.3f}" for n, p in zip(iris.target_names, proba))
    print(f"  flower 70 by {name}: {species}")

# -- exercise 3: the threshold ---------------------------------------------------------

heading("Exercise 3: the threshold with the best F1")
figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
display = ThresholdDisplay.from_estimator(optimum, X, labels, ax=ax)
ax.set_title("Precision against recall")
tutorial.save(figure, "threshold")
proba = to_numpy(optimum.predict_proba(X))[:, 1]
print(f"  {'threshold':>10}{'precision':>11}{'recall':>9}{'F1':>9}")
for threshold in (0.5, display.best_threshold):
    predicted = proba >= threshold
    precision = precision_score(labels, predicted)
    recall = recall_score(labels, predicted)
    f1 = f1_score(labels, predicted)
    print(f"  {threshold:>10.4f}{precision:>11.4f}{recall:>9.4f}{f1:>9.4f}")

# -- exercise 4: a curved boundary -----------------------------------------------------

heading("Exercise 4: two moons")
moons, side = make_moons(n_samples=500, noise=0.2, random_state=42)
M, M_test, s, s_test = train_test_split(moons, side, random_state=0)
straight = xlr.LogisticRegression()
cubic = xlr.LogisticRegression()
powers = PolynomialFeatures(degree=3, include_bias=False).fit(M)
straight.fit(place(M), s)
cubic.fit(place(powers.transform(M)), s)
line_score = straight.score(place(M_test), s_test)
cubic_score = cubic.score(place(powers.transform(M_test)), s_test)
print(f"  a line:                 test accuracy {line_score:.4f}")
print(f"  polynomials, degree 3:  test accuracy {cubic_score:.4f}")

figure, axes = plt.subplots(
    1, 2, figsize=(11, 4.4), layout="constrained", sharex=True, sharey=True
)
for ax, model, title in (
    (axes[0], straight.to_numpy(), f"A line: {line_score:.3f}"),
    (
        axes[1],
        make_pipeline(powers, cubic.to_numpy()),
        f"Polynomials of degree 3: {cubic_score:.3f}",
    ),
):
    surface = draw_probability(ax, model, M_test, s_test, ["upper moon", "lower moon"])
    ax.set_title(f"{title} of the test points correct")
axes[1].legend(loc="lower left")
figure.colorbar(surface, ax=axes, label="probability of the lower moon")
tutorial.save(figure, "moons")

# -- comparison with the published figures ---------------------------------------------

published = [1.00110855, 4.18271976, -0.88552683]
ours = [*to_numpy(optimum.coef_)[0], to_numpy(optimum.intercept_)[0]]
theirs = [*sklearn.coef_[0], sklearn.intercept_[0]]
# scikit-learn stopped at the published figures; xlr continues to the optimum.
tutorial.compare("w, b by xlr", published, ours, 1e-3)
tutorial.compare("w, b by scikit-learn", published, theirs, 1e-6)
tutorial.compare("accuracy", 0.93, optimum.score(X, labels), 1e-12)
# multi_class="ovr" fits the same models as OneVsRestClassifier.
tutorial.compare("one-vs-rest, largest difference", 0, difference, 1e-4)
tutorial.compare("moons, cubic beats the line", 1, float(cubic_score > line_score), 0)
tutorial.finish()
