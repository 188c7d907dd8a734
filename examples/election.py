"""Clinton or Dole? A table with numbers and categories, in a pipeline.

    python examples/election.py

statsmodels ships data of the American National Election Study of 1996, with 944 voters.
Its columns are party (seven steps from strong Democrat to strong Republican), education
and income in brackets, age, and days per week of television news. A pipeline encodes
the categories, scales the numbers, and passes a sparse matrix to xlr. A picture shows
each coefficient.
"""

from __future__ import annotations

import textwrap

import numpy as np
import statsmodels.datasets
from common import COLOURS, Tutorial, heading, plt
from sklearn.compose import make_column_transformer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import xlr

tutorial = Tutorial.start(__file__, __doc__, host_only=True)

# -- the table -------------------------------------------------------------------------

PARTIES = [
    "strong Democrat",
    "weak Democrat",
    "leans to Democrats",
    "independent",
    "leans to Republicans",
    "weak Republican",
    "strong Republican",
]
EDUCATION = [
    "grades 1-8",
    "some high school",
    "high school",
    "some college",
    "two years of college",
    "bachelor",
    "master or doctor",
]
table = statsmodels.datasets.anes96.load_pandas().data
table["party"] = [PARTIES[int(code)] for code in table["PID"]]
table["education"] = [EDUCATION[int(code) - 1] for code in table["educ"]]
categories, numbers = ["party", "education"], ["age", "income", "TVnews"]
X, y = table[categories + numbers], np.where(table["vote"] == 1, "Dole", "Clinton")
print(X.head(3).to_string())
print(f"{len(X)} voters, {np.mean(y == 'Dole'):.0%} of them for Dole")

# -- without an encoder, and with one --------------------------------------------------

heading("Without an encoder")
try:
    xlr.LogisticRegression().fit(X, y)
except ValueError as error:
    print(textwrap.fill(str(error), 88, initial_indent="  ", subsequent_indent="  "))

heading("In a pipeline")
encode = make_column_transformer(
    (OneHotEncoder(), categories),
    (StandardScaler(), numbers),
    sparse_threshold=1.0,
    verbose_feature_names_out=False,
)
model = make_pipeline(encode, xlr.LogisticRegressionCV(Cs=np.logspace(-2, 2, 9)))
model.fit(X, y)
print(f"  C={model[-1].C_:g}, chosen by cross-validation")
fixed = make_pipeline(encode, xlr.LogisticRegression(C=model[-1].C_))
scores = cross_val_score(fixed, X, y, cv=10)
print(f"  mean accuracy of 10 folds {scores.mean():.3f}")
voter = X.iloc[[0]].assign(party="independent")
probability = model.predict_proba(voter)[0, list(model.classes_).index("Dole")]
print(f"  the first voter, if independent: Dole with probability {probability:.0%}")

# -- the coefficient of each category --------------------------------------------------

coef = model[-1].coef_[0] * (1 if model.classes_[1] == "Dole" else -1)
names = [name.removeprefix("party_") for name in encode.get_feature_names_out()]
names = [name.removeprefix("education_") for name in names]
order = np.argsort(coef)
figure, ax = plt.subplots(figsize=(7, 5.4), layout="constrained")
colours = np.where(coef[order] > 0, COLOURS[1], COLOURS[0])
ax.barh(np.asarray(names)[order], coef[order], color=colours)
ax.axvline(0, color="black", lw=0.8)
ax.set(xlabel="coefficient: for Clinton to the left, for Dole to the right")
ax.set_title("Who voted for whom, 1996")
ax.grid(axis="y", visible=False)
ax.set_axisbelow(True)
tutorial.save(figure, "coefficients")

tutorial.finish()
