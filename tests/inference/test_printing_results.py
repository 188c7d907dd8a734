"""Results at a prompt, in a terminal and in a notebook."""

from __future__ import annotations

import csv
import html
import io
import re

import numpy as np
import pytest
from optional import on_demand
from sklearn import linear_model
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from studies import anes96, spector

import xlr

pd = on_demand("pandas")

X, Y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2


def results_of(features=X, y=Y, **options):
    model = xlr.LogisticRegression(C=np.inf).fit(features, y)
    return xlr.infer(model, features, y, keep_data=True, **options)


@pytest.mark.parametrize("study", [spector, anes96])
def test_repr_of_a_table_is_its_text(study):
    results = results_of(*study())
    for table in (
        results.summary(),
        results.coefficients(),
        results.odds_ratios(),
        results.get_margeff(),
        results.profile_conf_int(["x0"]),
    ):
        assert repr(table) == str(table)
        assert "=====" in repr(table)


def test_repr_of_a_large_object_is_short():
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(5000, 20)), rng.integers(0, 2, 5000)
    results = results_of(features, y)
    result = xlr.bootstrap(
        xlr.LogisticRegression(), features, y, n_resamples=10, random_state=0
    )
    cases = [
        (results, "5000 observations, 21 parameters"),
        (results.get_influence(), "5000 rows"),
        (xlr.logistic_path(features, y), "100 models of 20 features"),
        (result, "10 resamples"),
    ]
    for shown, words in cases:
        assert words in repr(shown)
        assert len(repr(shown)) < 250
        assert len(repr(shown).splitlines()) <= 3


HOSTILE_NAMES = [
    "\x1b[31mred",
    "<script>alert(1)</script>",
    "line\nfeed \u202eback \x07",
]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_names_are_escaped_in_text_and_html(n_classes):
    """Columns, classes and notes are escaped; pandas keeps the original names."""
    names = [*HOSTILE_NAMES, "\x1b[0msum"]
    features = pd.DataFrame(np.column_stack([X, X[:, 0] + X[:, 1]]), columns=names)
    labels = np.asarray(HOSTILE_NAMES)[np.arange(60) % n_classes]
    results = results_of(features, labels)
    note = " ".join(str(results.summary()).split())
    assert "Collinear columns are left out: \\x1b[0msum." in note
    for table in (results.summary(), results.coefficients(), results.odds_ratios()):
        text, markup = str(table), table._repr_html_()
        for shown in (text, markup):
            assert all(c.isprintable() for line in shown.split("\n") for c in line)
        assert "\\x1b[31mred" in text
        assert r"line\nfeed \u202eback \x07" in text
        assert len({len(line) for line in re.findall("^=+$", text, re.MULTILINE)}) == 1
        assert "<script>" not in markup
        assert html.escape(HOSTILE_NAMES[1]) in markup
    index = results.coefficients().to_frame().index
    assert set(names) < set(index.get_level_values(-1))


def test_infer_refuses_foreign_models_with_advice():
    search = GridSearchCV(xlr.LogisticRegression(), {"C": [1]}).fit(X, Y)
    cases = [
        (linear_model.LogisticRegression(), "got LogisticRegression of sklearn. Fit"),
        (make_pipeline(StandardScaler()), r"got Pipeline.*xlr.infer\(pipeline\[-1\]"),
        (search, "got GridSearchCV.*best_estimator_"),
        (xlr.MultiLabelLogisticRegression(), "got MultiLabelLogisticRegression of xlr"),
        (None, "got NoneType"),
    ]
    for model, message in cases:
        with pytest.raises(TypeError, match=message):
            xlr.infer(model, X, Y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_csv_tables_keep_names_and_digits(n_classes):
    names = [*HOSTILE_NAMES[:2], 'with, "quotes"']
    labels = np.asarray(["a", "b", "c"])[np.arange(60) % n_classes]
    table = results_of(pd.DataFrame(X, columns=names), labels).summary()
    head, *rows = csv.reader(io.StringIO(table.as_csv()))
    frame, n_keys = table.to_frame(), 1 + (n_classes > 2)
    assert head[n_keys:] == list(frame.columns)
    assert [row[n_keys - 1] for row in rows[:4]] == ["intercept", *names]
    numbers = [[float(cell) for cell in row[n_keys:]] for row in rows]
    np.testing.assert_array_equal(numbers, frame)
    if n_classes > 2:
        assert [row[0] for row in rows] == ["b"] * 4 + ["c"] * 4


def test_long_lists_of_classes_keep_the_header_in_columns():
    labels = np.asarray([f"a long class name {k}" for k in range(4)])[np.arange(60) % 4]
    lines = str(results_of(X, labels).summary()).splitlines()
    header = next(line for line in lines if line.startswith("Classes"))
    assert re.fullmatch(r"Classes +\S.*\.\.\..*name 3  Null log-likelihood .*", header)
    assert len({len(line) for line in lines[2:10]}) == 1


def test_latex_rows_that_begin_with_a_bracket_or_star_are_no_arguments():
    table = results_of(pd.DataFrame(X, columns=["[0, 1)", "*age", "z"])).coefficients()
    lines = table.as_latex().splitlines()
    assert r" & P\textgreater{}\textbar{}z\textbar{} & " in lines[4]
    assert [line.partition(" & ")[0] for line in lines[7:9]] == ["{}[0, 1)", "{}*age"]


def test_latex_tables_escape_special_characters():
    names = ["50% of $x_1$", r"a\b", "{&}#~^<>"]
    table = results_of(pd.DataFrame(X, columns=names)).summary()
    lines = table.as_latex().splitlines()
    assert lines[0] == r"\begin{table}"
    assert lines[2] == r"\begin{tabular}{lrrrrrr}"
    assert lines[7].startswith(r"50\% of \$x\_1\$ & ")
    assert lines[8].startswith(r"a\textbackslash{}b & ")
    escaped = r"\{\&\}\#\textasciitilde{}\textasciicircum{}\textless{}\textgreater{} & "
    assert lines[9].startswith(escaped)
    assert all(line.endswith(r" \\") for line in lines[4:10] if line != r"\hline")
    assert lines[4].count("&") == lines[9].count(" & ") == 6
