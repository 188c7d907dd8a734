"""Categorical columns of tables against scikit-learn's one-hot encoder."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from optional import on_demand
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import xlr

pd = on_demand("pandas")
pl = on_demand("polars")
RACES = ["white", "black", "other"]

# Admissions to Berkeley in 1973, R's data set UCBAdmissions.
DEPARTMENTS = "ABCDEF"
ADMITTED = {"Male": [512, 353, 120, 138, 53, 22], "Female": [89, 17, 202, 131, 94, 24]}
REJECTED = {
    "Male": [313, 207, 205, 279, 138, 351],
    "Female": [19, 8, 391, 244, 299, 317],
}


def patients(n: int = 200, seed: int = 0) -> tuple[dict, np.ndarray]:
    """Return numeric and categorical columns of simulated patients, and y."""
    rng = np.random.default_rng(seed)
    columns = {
        "age": rng.normal(50, 10, size=n),
        "race": rng.choice(RACES, size=n),
        "smokes": rng.random(n) < 0.4,
        "town": rng.choice(["B", "A", "C"], size=n),
        "visits": rng.integers(5, size=n),
    }
    logit = columns["age"] / 20 + (columns["race"] == "black") + rng.logistic(size=n)
    return columns, (logit > 3).astype(int)


def in_pandas(columns):
    table = pd.DataFrame(columns)
    return table.assign(race=pd.Categorical(table.race, categories=RACES))


def in_polars(columns):
    return pl.DataFrame(columns).with_columns(pl.col("race").cast(pl.Enum(RACES)))


def in_pyarrow(columns):
    return pytest.importorskip("pyarrow").table(columns)


def in_dask():
    """Return X and y of Dask, and the same table in memory."""
    dataframe = pytest.importorskip("dask.dataframe")
    columns, y = patients()
    table = in_pandas(columns)
    lazy = dataframe.from_pandas(table.assign(y=y), npartitions=3)
    return lazy.drop(columns="y"), lazy.y, table, y


TABLES = {"pandas": in_pandas, "polars": in_polars, "pyarrow": in_pyarrow}
ESTIMATORS = {
    "ridge": xlr.LogisticRegression(),
    "lasso": xlr.LogisticRegression(l1_ratio=1.0, C=0.1),
    "bounded": xlr.LogisticRegression(lower=-0.1),
    "cross-validated": xlr.LogisticRegressionCV(Cs=4),
    "scored": xlr.LogisticRegressionCV(Cs=4, scoring="accuracy"),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("library", TABLES)
def test_categories_give_the_model_of_one_hot_columns(library, kind):
    columns, y = patients()
    table = TABLES[library](columns)
    model = clone(ESTIMATORS[kind]).set_params(categorical="auto").fit(table, y)
    encoder = make_column_transformer(
        (OneHotEncoder(), ["race", "smokes", "town"]), remainder="passthrough"
    )
    frame = in_pandas(columns)
    theirs = make_pipeline(encoder, clone(ESTIMATORS[kind])).fit(frame, y)
    expected = theirs.predict_proba(frame)
    np.testing.assert_allclose(model.predict_proba(table), expected, atol=1e-8)
    assert model.score(table, y) == pytest.approx(theirs.score(frame, y))


def test_levels_have_the_order_of_the_dtype_or_are_sorted():
    columns, y = patients()
    model = xlr.LogisticRegression(categorical="auto").fit(in_polars(columns), y)
    assert model.coef_names_ == [
        "age",
        "visits",
        "race[white]",
        "race[black]",
        "race[other]",
        "smokes[False]",
        "smokes[True]",
        "town[A]",
        "town[B]",
        "town[C]",
    ]
    assert model.n_features_in_ == 5
    assert list(model.feature_names_in_) == list(columns)
    named = xlr.LogisticRegression(categorical=["visits"], drop="first")
    named.fit(in_pandas(columns)[["age", "visits"]], y)
    assert named.coef_names_ == ["age", *(f"visits[{k}]" for k in range(1, 5))]


def test_dictionaries_of_pyarrow_are_the_categories_of_pandas():
    pyarrow = pytest.importorskip("pyarrow")
    columns, y = patients()
    visits = pd.Categorical(columns["visits"])
    races = pd.Categorical([None, *columns["race"][1:]], categories=RACES)
    table = pd.DataFrame(columns | {"visits": visits, "race": races})
    options = {"categorical": "auto", "drop": "first", "handle_missing": "level"}
    expected = xlr.LogisticRegression(**options).fit(table, y)
    halves = table[:100], table[100:].astype({"race": str}).astype({"race": "category"})
    for frames in ([table], halves):
        parts = [pyarrow.Table.from_pandas(part) for part in frames]
        arrow = pyarrow.concat_tables(parts)
        model = xlr.LogisticRegression(**options).fit(arrow, y)
        assert model.coef_names_ == expected.coef_names_
        np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-8)
        proba = expected.predict_proba(table)
        np.testing.assert_allclose(expected.predict_proba(arrow), proba, atol=1e-12)


def test_levels_of_a_polars_categorical_are_sorted():
    columns, y = patients()
    race = pl.Series("race", columns["race"], dtype=pl.Categorical)
    options = {"categorical": "auto", "C": np.inf}
    table = pl.DataFrame({"race": race, "age": columns["age"]})
    for rows in (slice(None), slice(None, None, -1)):
        model = xlr.LogisticRegression(**options).fit(table[rows], y[rows])
        assert model.coef_names_ == ["age", "race[other]", "race[white]"]


def admissions():
    rows = [
        (gender, department, admitted, counts[gender][k])
        for admitted, counts in ((1, ADMITTED), (0, REJECTED))
        for gender in ("Male", "Female")
        for k, department in enumerate(DEPARTMENTS)
    ]
    table = pd.DataFrame(rows, columns=["gender", "dept", "admitted", "n"])
    levels = pd.CategoricalDtype(["Male", "Female"], ordered=True)
    return table.astype({"gender": levels})


def test_unpenalised_categories_have_the_contrasts_of_r():
    """R: glm(Admit == "Admitted" ~ Gender + Dept, binomial, weights = Freq)."""
    table = admissions()
    X = table[["gender", "dept"]]
    model = xlr.LogisticRegression(C=np.inf, categorical="auto", tol=1e-8)
    model.fit(X, table.admitted, sample_weight=table.n)
    results = xlr.infer(model, X, table.admitted, sample_weight=table.n)
    assert model.coef_names_ == ["gender[Female]", *(f"dept[{d}]" for d in "BCDEF")]
    np.testing.assert_allclose(model.intercept_, 0.58205, atol=5e-6)
    expected = [0.09987, -0.04340, -1.26260, -1.29461, -1.73931, -3.30648]
    np.testing.assert_allclose(model.coef_[0], expected, atol=5e-6)
    errors = [0.06899, 0.08085, 0.10984, 0.10663, 0.10582, 0.12611, 0.16998]
    np.testing.assert_allclose(np.sort(results.bse), np.sort(errors), atol=5e-6)
    assert "dept[F]" in str(results.summary())
    assert results.odds_ratios().index == model.coef_names_
    for text in (str(results.odds_ratios()), results.odds_ratios().as_latex()):
        _, _, after = text.partition("gender[Female]")
        reference, _, levels = after.partition("dept[B]")
        assert reference.split("dept[A]")[1].strip(" &\\\n") == "reference"
        assert "dept[F]" in levels


def test_without_an_intercept_the_first_column_keeps_its_levels():
    smf = pytest.importorskip("statsmodels.formula.api")
    glm = pytest.importorskip("statsmodels.api").GLM
    table = admissions()
    X = table[["gender", "dept"]]
    model = xlr.LogisticRegression(
        C=np.inf, categorical="auto", fit_intercept=False, tol=1e-9
    )
    model.fit(X, table.admitted, sample_weight=table.n)
    names = ["gender[Male]", "gender[Female]", *(f"dept[{d}]" for d in "BCDEF")]
    assert model.coef_names_ == names
    design = smf.logit("admitted ~ 0 + gender + dept", table)
    family = pytest.importorskip("statsmodels.api").families.Binomial()
    fit = glm(design.endog, design.exog, family, freq_weights=table.n).fit(tol=1e-12)
    np.testing.assert_allclose(model.coef_[0], fit.params, rtol=1e-6)
    results = xlr.infer(model, X, table.admitted, sample_weight=table.n)
    np.testing.assert_allclose(results.bse, fit.bse, rtol=1e-6)
    assert "Reference levels: dept[A]." in results.notes


@pytest.mark.parametrize("C", [np.inf, 1.0])
def test_firth_drops_the_first_level_of_categories(C):
    table = admissions()
    X = table[["gender", "dept"]]
    model = xlr.FirthLogisticRegression(C=C, categorical="auto")
    model.fit(X, table.admitted, sample_weight=table.n)
    dense = np.stack([X.gender == "Female", *(X.dept == d for d in "BCDEF")], axis=1)
    theirs = xlr.FirthLogisticRegression(C=C).fit(
        dense.astype(float), table.admitted, sample_weight=table.n
    )
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-8)


@pytest.mark.parametrize("library", TABLES)
def test_unknown_levels_are_errors_or_ignored(library):
    columns, y = patients()
    new = columns | {"town": np.where(columns["town"] == "A", "Z", columns["town"])}
    model = xlr.LogisticRegression(categorical="auto").fit(TABLES[library](columns), y)
    with pytest.raises(ValueError, match=r"Column 'town' of X has levels .*: 'Z'"):
        model.predict(TABLES[library](new))
    model.set_params(handle_unknown="ignore")
    model.fit(TABLES[library](columns), y)
    found = model.decision_function(TABLES[library](new))
    level = model.coef_[0, model.coef_names_.index("town[A]")]
    known = model.decision_function(TABLES[library](columns))
    np.testing.assert_allclose(
        known - found, level * (columns["town"] == "A"), atol=1e-12
    )


@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_unused_levels_of_a_dtype_are_not_unknown(library, categorical):
    """The error names only levels with rows, whatever levels the dtype has."""
    columns, y = patients()
    names = [*RACES, *(f"level {k}" for k in range(300))]
    new = {name: values.copy() for name, values in columns.items()}
    new["race"] = new["race"].astype(object)
    new["race"][[3, 7]] = "level 200", None

    def table(columns):
        if library == "polars":
            kind = pl.Categorical if categorical else pl.Enum(names)
            race = pl.Series("race", list(columns["race"]), dtype=kind)
            return pl.DataFrame(columns | {"race": race})
        race = pd.Categorical(columns["race"], categories=names)
        frame = pd.DataFrame(columns | {"race": race})
        return frame if categorical else frame.astype({"race": object})

    model = xlr.LogisticRegression(categorical="auto", handle_missing="level")
    model.fit(table(columns), y)
    assert model.predict(table(columns)).shape == (200,)
    with pytest.raises(ValueError, match="did not see: 'level 200', missing values"):
        model.predict(table(new))
    model.set_params(handle_unknown="ignore").fit(table(columns), y)
    change = model.decision_function(table(columns)) - model.decision_function(
        table(new)
    )
    levels = [model.coef_names_.index(f"race[{columns['race'][k]}]") for k in (3, 7)]
    np.testing.assert_allclose(change[[3, 7]], model.coef_[0, levels], atol=1e-12)
    assert np.count_nonzero(change) == 2


@pytest.mark.parametrize("library", TABLES)
def test_missing_values_are_errors_or_a_level(library):
    columns, y = patients()
    town = [None if k % 7 == 0 else name for k, name in enumerate(columns["town"])]
    table = TABLES[library](columns | {"town": town})
    model = xlr.LogisticRegression(categorical="auto")
    with pytest.raises(ValueError, match="Column 'town' of X holds missing values"):
        model.fit(table, y)
    model.set_params(handle_missing="level").fit(table, y)
    assert model.coef_names_[-1] == "town[missing]"
    named = TABLES[library](columns | {"town": [name or "~" for name in town]})
    other = xlr.LogisticRegression(categorical="auto").fit(named, y)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-8)


def test_missing_values_and_a_level_called_missing_have_different_names():
    table = pd.DataFrame({"town": ["missing", None, "b"] * 20})
    model = xlr.LogisticRegression(categorical="auto", handle_missing="level")
    model.fit(table, np.arange(60) % 2)
    assert model.coef_names_ == ["town[b]", "town[missing]", "town[(missing)]"]


def test_pickled_model_encodes_categories():
    columns, y = patients()
    table = in_pandas(columns)
    model = xlr.LogisticRegression(categorical="auto").fit(table, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(table), model.predict(table))
    with pytest.warns(UserWarning, match="column for each of coef_names_"):
        model.to_sklearn()


def test_refit_to_numbers_forgets_the_categories():
    columns, y = patients()
    model = xlr.LogisticRegression(categorical="auto").fit(in_pandas(columns), y)
    numbers = in_pandas(columns)[["age", "visits"]]
    assert model.fit(numbers, y).coef_names_ == ["age", "visits"]
    assert model.predict(numbers).shape == (200,)


def test_category_with_a_single_level_is_refused_if_drop_leaves_no_column():
    columns, y = patients()
    table = in_pandas(columns)[["town"]].assign(town="A")
    model = xlr.LogisticRegression(C=np.inf, categorical="auto")
    with pytest.raises(ValueError, match="Column 'town' of X holds one level only"):
        model.fit(table, y)
    assert model.set_params(drop=None).fit(table, y).coef_[0, 0] == 0


@pytest.mark.parametrize("kind", ["LogisticRegression", "LogisticRegressionCV"])
def test_category_with_a_single_level_may_be_dropped(kind):
    columns, y = patients()
    numbers = in_pandas(columns)[["age"]]
    estimator = getattr(xlr, kind)(categorical="auto", drop="first")
    model = clone(estimator).fit(numbers.assign(town="A"), y)
    expected = estimator.fit(numbers, y).predict_proba(numbers)
    found = model.predict_proba(numbers.assign(town="A"))
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_unknown_missing_values_are_ignored_as_their_error_advises():
    columns, y = patients()
    table = in_pandas(columns)
    model = xlr.LogisticRegression(categorical="auto").fit(table, y)
    with pytest.raises(ValueError, match="fit with handle_unknown='ignore' too"):
        model.predict(table.assign(town=None))
    model.set_params(handle_missing="level", handle_unknown="ignore").fit(table, y)
    assert model.predict(table.assign(town=None)).shape == y.shape


WRONG_CATEGORIES = {
    "an absent column": (["zip"], {}, "categorical names 'zip'"),
    "levels of two types": (["town"], {"town": [1, "A"] * 100}, "mix types"),
    "lists": (["town"], {"town": [[1]] * 200}, "'town' of X mix types or do not"),
    "no values": (["town"], {"town": [None] * 200}, "holds missing values"),
    "not a list": ("town", {}, "'auto' or a list of column names; got 'town'"),
}


def test_table_with_categories_needs_string_column_names():
    columns, y = patients()
    table = in_pandas(columns)[["age", "town"]]
    model = xlr.LogisticRegression(categorical=["town"]).fit(table, y)
    numbered = table.set_axis([0, 1], axis=1)
    with pytest.raises(ValueError, match="names that are strings"):
        xlr.LogisticRegression(categorical="auto").fit(numbered, y)
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match="X lacks the columns 'age', 'town' of the fit"),
    ):
        model.predict(numbered)


@pytest.mark.parametrize("case", WRONG_CATEGORIES)
def test_wrong_categories_are_refused_with_a_clear_error(case):
    categorical, changed, sentence = WRONG_CATEGORIES[case]
    columns, y = patients()
    model = xlr.LogisticRegression(categorical=categorical, handle_missing="level")
    table = in_pandas(columns)[["age", "town"]]
    for name, values in changed.items():
        table[name] = pd.Series(values, dtype=object)
    if case == "no values":
        model.set_params(handle_missing="error")
    tables = [table]
    if case != "levels of two types":  # a polars column has a single type
        tables.append(pl.from_dict(table.to_dict("list")))
    for each in tables:
        with pytest.raises(ValueError, match=sentence):
            model.fit(each, y)
        assert not hasattr(model, "coef_")


def test_missing_numbers_are_a_level_of_a_category():
    columns, y = patients()
    visits = np.where(columns["visits"] == 4, np.nan, columns["visits"])
    for library in TABLES.values():
        model = xlr.LogisticRegression(
            categorical=["race", "visits"], handle_missing="level"
        )
        table = library({"race": columns["race"], "visits": visits})
        model.fit(table, y)
        assert model.coef_names_[-1] == "visits[missing]"


def test_category_with_a_million_levels_is_refused():
    table = pd.DataFrame({"number": np.arange(10**6 + 1)})
    y = np.arange(10**6 + 1) % 2
    model = xlr.LogisticRegression(categorical=["number"])
    with pytest.raises(ValueError, match=r"1000001 levels, .* Is it an identifier"):
        model.fit(table, y)
    assert not hasattr(model, "coef_")


def test_model_of_categories_refuses_arrays():
    columns, y = patients()
    model = xlr.LogisticRegression(categorical="auto").fit(in_pandas(columns), y)
    with pytest.raises(ValueError, match="Pass a table with the columns of the fit"):
        model.predict(np.zeros((2, 5)))


@pytest.mark.parametrize("kind", ["ridge", "lasso", "scored"])
def test_categories_of_dask_give_the_model_of_a_table_in_memory(kind):
    X, y, table, labels = in_dask()
    model = clone(ESTIMATORS[kind]).set_params(categorical="auto", tol=1e-9)
    expected = clone(model).fit(table, labels)
    model.fit(X, y)
    assert model.coef_names_ == expected.coef_names_
    found, known = model.predict_proba(X).compute(), expected.predict_proba(table)
    np.testing.assert_allclose(found, known, atol=1e-6)
    score = expected.score(table, labels)
    assert model.score(X, y) == pytest.approx(score, rel=1e-12)


def test_cross_validation_and_inference_take_categories_of_dask():
    X, y, table, labels = in_dask()
    search = xlr.LogisticRegressionCV(
        Cs=[0.1, 1.0], cv=3, categorical="auto", scoring="roc_auc", tol=1e-9
    )
    expected = clone(search).fit(table, labels)
    search.fit(X, y)
    np.testing.assert_allclose(search.scores_, expected.scores_, atol=1e-7)
    score = search.score(X, y)
    assert score == pytest.approx(expected.score(table, labels))
    model = xlr.LogisticRegression(C=np.inf, categorical="auto", tol=1e-10)
    theirs = xlr.infer(model.fit(table, labels), table, labels, keep_data=True)
    ours = xlr.infer(model.fit(X, y), X, y, keep_data=True)
    assert ours.notes == theirs.notes
    assert "race[white], smokes[False], town[A]" in ours.notes[0]
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-7)
    margins, expected = (
        each.get_margeff().columns["std err"] for each in (ours, theirs)
    )
    np.testing.assert_allclose(margins, expected, rtol=1e-7)


def test_levels_that_are_equal_in_python_are_one_level():
    values = np.asarray([1, 2, 1.0, 2.0, True, 2] * 20, dtype=object)
    table = pd.DataFrame({"town": values, "x": np.arange(120.0)})
    model = xlr.LogisticRegression(categorical=["town"])
    y = np.arange(120) % 5 < 2
    found = model.fit(table, y).coef_
    plain = table.astype({"town": int})
    np.testing.assert_array_equal(clone(model).fit(plain, y).coef_, found)


@pytest.mark.parametrize("options", [{}, {"C": np.inf}, {"drop": "first"}])
def test_only_column_without_values_is_refused_as_missing(options):
    table = pd.DataFrame({"town": [None] * 200})
    model = xlr.LogisticRegression(categorical=["town"], **options)
    with pytest.raises(ValueError, match="holds missing values"):
        model.fit(table, [0, 1] * 100)


def test_unknown_levels_of_dask_are_errors():
    X, y, *_ = in_dask()
    model = xlr.LogisticRegression(categorical="auto").fit(X, y)
    with pytest.raises(ValueError, match=r"Column 'town' of X has levels .*: 'D'"):
        model.predict(X.assign(town="D")).compute()
    with pytest.raises(ValueError, match="Pass a table with the columns"):
        model.predict(X[["age", "visits"]].to_dask_array(lengths=True))


@pytest.mark.parametrize("handle_missing", ["error", "level"])
def test_missing_values_of_dask_are_errors_or_a_level(handle_missing):
    X, y, table, labels = in_dask()
    town = table.town.where(table.age > 45)
    model = xlr.LogisticRegression(categorical="auto", handle_missing=handle_missing)
    X = X.assign(town=X.town.where(X.age > 45))
    if handle_missing == "error":
        with pytest.raises(ValueError, match="Column 'town' of X holds missing"):
            model.fit(X, y)
        return
    expected = clone(model).fit(table.assign(town=town), labels)
    assert model.fit(X, y).coef_names_ == expected.coef_names_
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-5)


def test_paths_and_multi_label_models_take_categories():
    columns, y = patients()
    table = in_pandas(columns)
    dense = pd.get_dummies(table[["race", "smokes", "town"]].astype(str))
    # get_dummies sorts the levels; the first level of the table is white.
    dense = dense[["race_black", "race_other", "smokes_True", "town_B", "town_C"]]
    dense = np.column_stack([table[["age", "visits"]], dense]).astype(float)
    path = xlr.logistic_path(
        table, y, categorical="auto", drop="first", n_Cs=4, tol=1e-10
    )
    expected = xlr.logistic_path(dense, y, n_Cs=4, tol=1e-10)
    np.testing.assert_allclose(path.coefs, expected.coefs, atol=1e-6)
    assert path.feature_names.tolist()[2:4] == ["race[black]", "race[other]"]
    labels = np.stack([y, np.roll(y, 1)], axis=1)
    model = xlr.MultiLabelLogisticRegression(
        categorical="auto", drop="first", tol=1e-10
    ).fit(table, labels)
    expected = xlr.MultiLabelLogisticRegression(tol=1e-10).fit(dense, labels)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    np.testing.assert_array_equal(model.predict(table), expected.predict(dense))
