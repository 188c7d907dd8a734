"""Classify text with a sparse matrix: which library is a docstring from?

    python examples/docstrings.py

The texts are on every machine that can run this script: about 2,400 docstrings of
NumPy, SciPy and scikit-learn, depending on the versions. The matrix has one column per
word. The names of the libraries are removed, so that the other words have to separate
them. The script shows which words do so, and how few are enough.
"""

from __future__ import annotations

import importlib
import inspect
import re

import numpy as np
from common import COLOURS, Tutorial, heading, plt, timed
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

import xlr

tutorial = Tutorial.start(__file__, __doc__, host_only=True)

# -- the corpus ------------------------------------------------------------------------

MODULES = {
    "numpy": "fft linalg ma polynomial random strings",
    "scipy": (
        "cluster constants differentiate fft integrate interpolate linalg ndimage "
        "optimize signal sparse spatial special stats"
    ),
    "sklearn": (
        "calibration cluster covariance datasets decomposition ensemble "
        "feature_extraction feature_selection gaussian_process impute inspection "
        "linear_model manifold metrics mixture model_selection naive_bayes neighbors "
        "neural_network pipeline preprocessing svm tree utils"
    ),
}
NAMES = re.compile(r"numpy|\bnp\b|scipy|scikit|sklearn|\bsp\b", re.IGNORECASE)


def docstrings(library: str) -> set[str]:
    """Return the docstrings of the public functions and classes of a library."""
    texts = set()
    names = [library, *(f"{library}.{part}" for part in MODULES[library].split())]
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError:  # this version of the library lacks the module
            continue
        values = vars(module)
        for public in values.get("__all__", list(values)):
            value = values.get(public)
            origin = getattr(value, "__module__", None) or library
            if callable(value) and origin.startswith(library):
                texts.add(NAMES.sub(" ", inspect.getdoc(value) or ""))
    return {text for text in texts if len(text) > 200}


corpus = {library: sorted(docstrings(library)) for library in MODULES}
texts = [text for library in corpus for text in corpus[library]]
labels = np.repeat(list(corpus), [len(entries) for entries in corpus.values()])
for library, entries in corpus.items():
    print(f"  {library:<8} {len(entries):>5} docstrings")
train, test, y, y_test = train_test_split(
    texts, labels, test_size=0.3, random_state=0, stratify=labels
)

# -- two fits to the same words --------------------------------------------------------

heading("Which words separate the libraries")
words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"[A-Za-z_]{2,}", min_df=2)
X, X_test = words.fit_transform(train), words.transform(test)
print(f"{X.shape[0]} texts, {X.shape[1]} words, {X.nnz / X.shape[0]:.0f} per text")
model = xlr.LogisticRegression(C=10)
sklearn = SklearnLogisticRegression(C=10)
for name, fitted in {"xlr": model, "scikit-learn": sklearn}.items():
    fitted.fit(X, y)
    _, seconds = timed(lambda fitted=fitted: fitted.fit(X, y))
    score = fitted.score(X_test, y_test)
    print(f"  {name:<12} {1e3 * seconds:>7.0f} ms, test accuracy {score:.3f}")

pipeline = make_pipeline(words, model)
sentence = "Return a sorted copy of an array."
print(f"  {sentence!r}: {pipeline.predict([sentence])[0]}")

vocabulary = words.get_feature_names_out()
figure, axes = plt.subplots(1, 3, figsize=(10, 4.6), layout="constrained")
for ax, library, coef in zip(axes, model.classes_, model.coef_):
    strongest = np.argsort(coef)[-15:]
    ax.barh(vocabulary[strongest], coef[strongest], color=COLOURS[0])
    ax.set(title=library, xlabel="coefficient")
    ax.grid(axis="y", visible=False)
    ax.set_axisbelow(True)
figure.suptitle("The words with the largest coefficients")
tutorial.save(figure, "words")

# -- how few words are enough ----------------------------------------------------------

heading("How few words are enough")
path = xlr.logistic_path(X, y, n_Cs=25)
scores, n_words = [], []
for coef, intercept in zip(path.coefs, path.intercepts):
    logits = X_test @ coef.T + intercept
    scores.append(np.mean(path.classes[logits.argmax(axis=1)] == y_test))
    n_words.append(np.any(coef != 0, axis=0).sum())
for i in range(0, len(scores), 4):
    print(f"  C={path.Cs[i]:<9.3g} {n_words[i]:>5} words, ", end="")
    print(f"test accuracy {scores[i]:.3f}")
print(f"  {path.seconds.sum():.1f} s for {len(scores)} models")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(n_words, scores, "o-", color=COLOURS[0], label="L1, along the path")
l2_score = model.score(X_test, y_test)
ax.axhline(l2_score, color=COLOURS[1], ls="--", label=f"L2, all {X.shape[1]} words")
ax.set(xlabel="words with a non-zero coefficient", ylabel="test accuracy")
ax.set_title("A few words suffice for most of the accuracy")
ax.legend()
tutorial.save(figure, "path")
tutorial.finish()
