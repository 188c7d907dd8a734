"""Displays of coefficient paths."""

import numpy as np
import pytest
from optional import on_demand
from problems import load

import xlr
from xlr.plotting import CoefficientPathDisplay

pd = on_demand("pandas")


def test_path_display_draws_and_labels_the_coefficients():
    X, y = load("breast_cancer", True)
    table = pd.DataFrame(X, columns=[f"x{j}" for j in range(30)])
    path = xlr.logistic_path(table, y, n_Cs=8)
    display = CoefficientPathDisplay.from_path(path)
    present = np.nonzero((path.coefs[:, 0, :] != 0).any(axis=0))[0]
    assert len(display.lines_) == len(present)
    drawn = {line.get_label(): line.get_ydata() for line in display.lines_}
    # The labels name the coefficients that leave zero first.
    entry = (path.coefs[:, 0, :] != 0).argmax(axis=0)
    labelled = [name for name in drawn if name.startswith("x")]
    assert len(labelled) == 8
    for name in labelled:
        np.testing.assert_array_equal(drawn[name], path.coefs[:, 0, int(name[1:])])
    others = [j for j in present if f"x{j}" not in labelled]
    assert max(entry[int(name[1:])] for name in labelled) <= min(
        entry[j] for j in others
    )
    (above,) = display.ax_.child_axes
    assert above.get_xticklabels()[0].get_text() == "0"
    assert above.get_xticklabels()[-1].get_text() == str(path.df[-1])


def test_path_display_draws_one_class():
    X, y = load("wine", True)
    path = xlr.logistic_path(X, y, n_Cs=5)
    display = CoefficientPathDisplay.from_path(path, column=2)
    np.testing.assert_array_equal(display.coefs, path.coefs[:, 2, :])
    assert display.df[-1] == np.count_nonzero(path.coefs[-1, 2])
    assert display.plot(n_labels=0) is display
    for column in (3, "virginica"):
        with pytest.raises(ValueError, match="index of a class, from 0 to 2; got"):
            CoefficientPathDisplay.from_path(path, column=column)


def test_path_display_draws_a_category_as_one_term():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"age": rng.normal(size=200), "race": rng.choice(list("abc"), 200)}
    )
    y = (table.age + 3.0 * (table.race == "b") + rng.logistic(size=200) > 1).astype(int)
    path = xlr.logistic_path(table, y, categorical="auto", drop="first", n_Cs=5)
    display = CoefficientPathDisplay.from_path(path)
    lines = {line.get_label(): line for line in display.lines_}
    b, c, age = (lines[name] for name in ("race[b]", "race[c]", "age"))
    assert b.get_color() == c.get_color() != age.get_color()
    assert b.get_linestyle() != c.get_linestyle()
    assert path.references == ["race[a]"]
    legend = display.plot(n_labels=2).ax_.get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["age", "race[a]: reference", "race[b]", "race[c]"]
    assert len(display.lines_) == 3


def test_reference_belongs_to_the_longest_term_of_its_name():
    rng = np.random.default_rng(0)
    pay, group = rng.normal(size=200), rng.integers(2, size=200)
    table = pd.DataFrame({"pay": pay, "pay[gross]": np.asarray(["low", "top"])[group]})
    y = (pay + group + rng.logistic(size=200) > 0.5).astype(int)
    path = xlr.logistic_path(table, y, n_Cs=5, categorical="auto", drop="first")
    legend = CoefficientPathDisplay.from_path(path).ax_.get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    assert (
        names.index("pay[gross][top]") == names.index("pay[gross][low]: reference") + 1
    )
