"""Formulas against statsmodels, and against R's published figures."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import xlr

pd = on_demand("pandas")
pl = on_demand("polars")
pytest.importorskip("formulaic")


def births(n: int = 300, seed: int = 0):
    """Return a table of simulated births; ``low`` marks a low birth weight."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": rng.normal(25, 5, size=n),
            "race": rng.choice(["black", "other", "white"], size=n),
            "clinic": rng.integers(8, size=n),
            "weight": rng.uniform(0.5, 2, size=n),
            "added": rng.normal(size=n),
        }
    )
    logit = (table.age - 25) / 10 + (table.race == "black") + rng.logistic(size=n)
    return table.assign(low=(logit > 0).astype(int))


FORMULAS = [
    "low ~ age + C(race)",
    "low ~ age * C(race)",
    "low ~ 0 + age + C(race)",
    "low ~ age + I(age ** 2)",
    "low ~ np.log(age) + clinic",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_logit_agrees_with_statsmodels(formula):
    smf = pytest.importorskip("statsmodels.formula.api")
    table = births()
    theirs = smf.logit(formula, table).fit(disp=0, tol=1e-12, maxiter=100)
    results = xlr.logit(formula, table)
    # Sort both, because patsy puts categories first.
    order = np.argsort(theirs.params.to_numpy())
    own_order = np.argsort(results.params)
    np.testing.assert_allclose(
        results.params[own_order], theirs.params.to_numpy()[order], rtol=1e-6, atol=1e-8
    )
    np.testing.assert_allclose(
        results.bse[own_order], theirs.bse.to_numpy()[order], rtol=1e-6
    )
    assert results.llf == pytest.approx(theirs.llf, rel=1e-10)
    new = births(20, seed=1)
    expected = theirs.predict(new).to_numpy()
    np.testing.assert_allclose(results.predict(new), expected, atol=1e-7)


def test_logit_takes_weights_offsets_and_groups_by_column_name():
    sm = pytest.importorskip("statsmodels.api")
    smf = pytest.importorskip("statsmodels.formula.api")
    table = births()
    theirs = smf.glm(
        "low ~ age + C(race)",
        table,
        family=sm.families.Binomial(),
        offset=table.added,
        freq_weights=table.weight,
    ).fit(tol=1e-12)
    results = xlr.logit("low ~ age + C(race)", table, "weight", "added")
    order = [0, 3, 1, 2]
    np.testing.assert_allclose(results.params, theirs.params.iloc[order], atol=1e-7)
    np.testing.assert_allclose(results.bse, theirs.bse.iloc[order], atol=1e-7)
    clustered = xlr.logit(
        "low ~ age", pl.from_pandas(table), cov_type="cluster", groups="clinic"
    )
    plain = smf.logit("low ~ age", table).fit(disp=0)
    expected = plain.model.fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": table.clinic}
    )
    np.testing.assert_allclose(clustered.bse, expected.bse, rtol=1e-2)


def test_logit_names_coefficients_as_the_formula_does():
    results = xlr.logit("low ~ age + C(race)", births())
    assert results.names == ["intercept", "age", "C(race)[T.other]", "C(race)[T.white]"]
    assert "C(race)[T.other]" in str(results.summary())


def test_interactions_of_a_column_far_from_zero_are_not_collinear():
    smf = pytest.importorskip("statsmodels.formula.api")
    table = births().assign(pressure=lambda t: 101325 + 10 * t.added)
    results = xlr.logit("low ~ pressure * race", table)
    # Pressure and its two interactions do not depend on the zero of the scale.
    theirs = smf.logit("low ~ added * race", table).fit(disp=0, tol=1e-12)
    is_slope = theirs.params.index.str.contains("added")
    own = np.asarray(["pressure" in name for name in results.names])
    np.testing.assert_allclose(10 * results.params[own], theirs.params[is_slope], 1e-6)
    np.testing.assert_allclose(10 * results.bse[own], theirs.bse[is_slope], 1e-6)


@pytest.mark.parametrize(
    "term", ["age * C(race)", "bs(age, 4)", "I(age - age.mean())", "poly(age, 2)"]
)
def test_logit_on_dask_is_the_fit_in_memory(term):
    dataframe = pytest.importorskip("dask.dataframe")
    table = births().sort_values("race", ignore_index=True)  # partitions lack levels
    lazy = dataframe.from_pandas(table, npartitions=4)
    formula, columns = f"low ~ {term}", {"weights": "weight", "offset": "added"}
    expected = xlr.logit(formula, table, **columns)
    found = xlr.logit(formula, lazy, **columns)
    assert found.names == expected.names
    assert found.notes == expected.notes
    np.testing.assert_array_equal(found.params, expected.params)
    np.testing.assert_array_equal(found.bse, expected.bse)
    values = {name: lazy[column] for name, column in columns.items()}
    np.testing.assert_array_equal(
        xlr.logit(formula, lazy, **values).params, expected.params
    )
    with pytest.raises(TypeError, match=r"Pass X\.compute\(\)"):
        found.predict(lazy, offset=lazy.added)


def test_logit_on_dask_loads_only_named_columns():
    dataframe = pytest.importorskip("dask.dataframe")
    lazy = dataframe.from_pandas(births(), npartitions=2)

    def fail(part):
        raise AssertionError("read")

    unread = lazy.age.map_partitions(fail, meta=("unread", float))
    xlr.logit("low ~ age", lazy.assign(unread=unread))


def test_logit_on_dask_refuses_wrong_tables():
    dataframe = pytest.importorskip("dask.dataframe")
    lazy = dataframe.from_pandas(births(), npartitions=2)
    with pytest.raises(ValueError, match="names 'lo', and the table has the columns"):
        xlr.logit("lo ~ age", lazy)
    with pytest.raises(ValueError, match="'age' is missing or not a number in"):
        xlr.logit("low ~ age", lazy.assign(age=lazy.age.where(lazy.age > 20)))
    with pytest.raises(ValueError, match="The table has no rows"):
        xlr.logit("low ~ age", lazy[lazy.age > 1000])
    with pytest.raises(TypeError, match="compute"):
        xlr.FormulaTransformer("age").fit(lazy)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_logit_omits_unused_levels_of_a_category(library):
    table = births()
    levels = ["white", "unused", "other", "black"]  # in another order than sorted
    table["race"] = pd.Categorical(table.race, categories=levels)
    data = table.sort_values("race", ignore_index=True)
    if library == "polars":
        data = pl.from_pandas(data.astype({"race": str}))
        data = data.with_columns(pl.col("race").cast(pl.Enum(levels)))
    results = xlr.logit("low ~ C(race) + race:age", data)
    assert results.names[1:3] == ["C(race)[T.other]", "C(race)[T.black]"]
    assert len(results.names) == 6
    assert np.isfinite(results.bse).all()
    assert np.isfinite(results.predict(table)).all()
    with pytest.raises(ValueError, match="unused"):
        results.predict(table.assign(race="unused"))


@pytest.mark.parametrize(
    "formula", ["low ~ age:heavy", "low ~ 0 + heavy", "low ~ C(heavy)"]
)
@pytest.mark.parametrize("dtype", ["bool", "boolean", "bool[pyarrow]", "polars"])
def test_logit_takes_truth_values_as_categories(formula, dtype):
    smf = pytest.importorskip("statsmodels.formula.api")
    pytest.importorskip("pyarrow")
    table = births()
    table["heavy"] = table.weight > 1
    theirs = smf.logit(formula, table).fit(disp=0, tol=1e-12)
    as_polars = dtype == "polars"
    data = pl.from_pandas(table) if as_polars else table.astype({"heavy": dtype})
    results = xlr.logit(formula, data)
    assert [name.capitalize() for name in results.names] == [
        name.capitalize() for name in theirs.params.index
    ]
    np.testing.assert_allclose(results.params, theirs.params, rtol=1e-6)


def test_logit_takes_comparisons_as_categories():
    results = xlr.logit("low ~ 0 + I(age > 25)", births())
    assert results.names == ["I(age > 25)[False]", "I(age > 25)[True]"]


def test_results_of_a_formula_take_tables_of_any_library():
    pyarrow = pytest.importorskip("pyarrow")
    table = births()
    arrow = pyarrow.Table.from_pandas(table)
    tables = [table, pl.from_pandas(table), arrow, arrow.to_batches()[0]]
    found = [
        xlr.logit("low ~ age * race", fitted).predict(new)
        for fitted in tables
        for new in tables
    ]
    np.testing.assert_allclose(found, np.tile(found[0], (16, 1)), rtol=1e-12)


def test_formulas_keep_the_order_of_dictionaries_and_read_decimals_as_numbers():
    pyarrow = pytest.importorskip("pyarrow")
    table = births()
    table["race"] = pd.Categorical(table.race, sorted(set(table.race), reverse=True))
    expected = xlr.logit("low ~ age + race", table)
    arrow = pyarrow.Table.from_pandas(table)
    ages = arrow["age"].cast(pyarrow.decimal128(38, 10))
    arrow = arrow.set_column(arrow.column_names.index("age"), "age", ages)
    for other in (
        arrow,
        pl.from_pandas(table).with_columns(pl.col("age").cast(pl.Decimal(38, 10))),
    ):
        found = xlr.logit("low ~ age + race", other)
        if isinstance(other, pyarrow.Table):
            assert found.names == expected.names
        np.testing.assert_allclose(found.llf, expected.llf, rtol=1e-6)


def test_logit_takes_strings_as_categories():
    table = births().astype({"race": "string"})
    expected = xlr.logit("low ~ race", births())
    np.testing.assert_array_equal(
        xlr.logit("low ~ race", table).params, expected.params
    )


def test_formula_transformer_is_a_step_of_a_pipeline():
    table = births()
    model = make_pipeline(
        xlr.FormulaTransformer("age + C(race) + bs(age, 4)"), xlr.LogisticRegression()
    )
    model.fit(table, table.low)
    names = model[0].get_feature_names_out()
    assert model[-1].coef_names_ == list(names)
    again = clone(model).fit(table, table.low)
    np.testing.assert_array_equal(again.predict(table), model.predict(table))


def test_fit_to_a_formula_with_many_levels_is_the_dense_fit():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"shop": rng.integers(200, size=4000)}).astype(str)
    y = rng.integers(2, size=4000)
    design = xlr.FormulaTransformer("C(shop)").fit_transform(table)
    dense = design.to_dense()
    assert dense.shape == (4000, 199)
    model = xlr.LogisticRegression(tol=1e-9).fit(design, y)
    expected = xlr.LogisticRegression(tol=1e-9).fit(dense, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)


WRONG_FORMULAS = {
    "low ~ height": "height",
    "age + C(race)": "no left-hand side",
    "low ~ age +* race": r"cannot be read: Operator `\+\*` is incorrectly used\.$",
    "low ~ age | race": "'|' separates several designs",
    "low ~ age[0]": "does not fit the table",
    "low ~ len(age)": "does not fit the table",
    "low ~ 1": "The right-hand side '1' has no columns .* llr_pvalue",
    "birth ~ age": "The left-hand side names 'birth'",
    "1 - low ~ age": "The left-hand side names '1 - low'",
    "low ~ born": "'born' has the type .* convert it to numbers",
    "low ~ C(clinic > 3, levels=[0, 1])": "holds True, False, and its levels are 0, 1",
}


@pytest.mark.parametrize("formula", WRONG_FORMULAS)
def test_logit_refuses_wrong_formulas(formula):
    with pytest.raises(ValueError, match=WRONG_FORMULAS[formula]):
        xlr.logit(formula, births().assign(born=np.datetime64("2000-01-01")))


@pytest.mark.parametrize("kinds", [(int, bool), (bool, int), (bool, float)])
def test_results_refuse_levels_that_equal_those_of_the_fit_in_another_type(kinds):
    table = births().assign(k=lambda table: table.clinic // 4)
    fitted, others = (table.astype({"k": kind}) for kind in kinds)
    with pytest.raises(
        ValueError, match=r"'C\(k\)' holds .* and its levels are .* convert them"
    ):
        xlr.logit("low ~ C(k)", fitted).predict(others)


def test_logit_keeps_columns_named_as_the_intercept_and_functions_apart():
    table = births().assign(Intercept=lambda t: t.age / 9, scale=1.0, C=2.0)
    for formula in ("Intercept * scale(added)", "0 + Intercept + C(race)"):
        found = xlr.logit(f"low ~ {formula}", table)
        expected = xlr.logit(
            f"low ~ {formula.replace('Intercept', 'I(age / 9)')}", table
        )
        np.testing.assert_allclose(found.params, expected.params)


def test_formulas_take_strings_that_functions_return():
    found = xlr.logit("low ~ C(np.where(age > 25, 'older', 'elder'))", births())
    expected = xlr.logit("low ~ C(np.where(age > 25, 1, 0))", births())
    np.testing.assert_allclose(found.params, expected.params)


def test_logit_refuses_wrong_tables():
    table = births()
    results = xlr.logit("low ~ age + C(race)", table)
    with pytest.raises(ValueError, match="hindu"):
        results.predict(table.assign(race="hindu"))
    missing = "'age' is missing or not a number in 10 of 300 rows: drop"
    with pytest.raises(ValueError, match=missing):
        xlr.logit("low ~ age", table.assign(age=table.age[10:]))
    with pytest.raises(ValueError, match="The table has no rows"):
        xlr.logit("low ~ age", table[:0])
    with pytest.raises(TypeError, match="reads the columns of a table"):
        xlr.FormulaTransformer("age").fit(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="a table with the columns of the fit"):
        results.predict(np.zeros((2, 3)))


def test_logit_ignores_the_containers_of_transformers():
    table = births()
    expected = xlr.logit("low ~ age + C(race)", table)
    with config_context(transform_output="pandas"):
        found = xlr.logit("low ~ age + C(race)", table)
    np.testing.assert_array_equal(found.params, expected.params)


@pytest.mark.parametrize("kind", ["pyarrow", "dask"])
def test_logit_reference_is_the_first_level_in_tables_of_any_library(kind):
    table = births()
    names = table.low.map({0: "usual", 1: "low"})
    table["weight"] = pd.Categorical(names, categories=["usual", "low"])
    expected = xlr.logit("weight ~ age", table)
    if kind == "dask":
        dd = pytest.importorskip("dask.dataframe")
        rows = dd.from_pandas(table, npartitions=2)
    else:
        rows = pytest.importorskip("pyarrow").Table.from_pandas(table)
    found = xlr.logit("weight ~ age", rows)
    assert found.reference == expected.reference == "usual"
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-4)


def test_formula_transformer_keeps_categories_as_codes():
    rng = np.random.default_rng(0)
    levels = {"a": list("pqrs"), "b": list("xyz")}
    table = pd.DataFrame(
        {name: rng.choice(values, 300) for name, values in levels.items()}
    )
    table = table.assign(age=rng.normal(size=300), low=rng.integers(2, size=300))
    formula = "age + C(a) * b + age:b"
    design = xlr.FormulaTransformer(formula).fit(table)
    X = design.transform(table)
    kinds = [type(part).__name__ for part in X.parts]
    assert kinds == ["DenseMatrix", "CategoricalMatrix", "DenseMatrix"]
    assert X.parts[1].n_levels == (3, 2, 6)
    formulaic = pytest.importorskip("formulaic")
    expected = formulaic.Formula(formula).get_model_matrix(table)
    names = design.get_feature_names_out()
    np.testing.assert_array_equal(X.to_dense(), expected[names])
    results = xlr.logit(f"low ~ {formula}", table, keep_data=True)
    assert "Reference levels: C(a)[p], b[x]." in results.notes
    smf = pytest.importorskip("statsmodels.formula.api")
    theirs = smf.logit(f"low ~ {formula}", table).fit(disp=0, tol=1e-12)
    order = ["Intercept", *names]
    np.testing.assert_allclose(results.bse, theirs.bse[order], rtol=1e-6)
    effects = results.get_margeff(dummy=True)
    expected = theirs.get_margeff(dummy=True)
    positions = [expected.results.model.exog_names.index(n) - 1 for n in names]
    found = effects.columns["std err"]
    np.testing.assert_allclose(found, expected.margeff_se[positions], rtol=1e-5)


def test_wald_test_terms_joins_the_levels_of_a_category():
    smf = pytest.importorskip("statsmodels.formula.api")
    table = births()
    results = xlr.logit("low ~ age * C(race)", table)
    found = results.wald_test_terms()
    theirs = smf.logit("low ~ age * C(race)", table).fit(disp=0, tol=1e-12)
    expected = theirs.wald_test_terms(scalar=True).table
    terms = ["intercept", "age", "C(race)", "age:C(race)"]
    assert found.index == terms
    expected = expected.loc[["Intercept", *terms[1:]], "statistic"]
    np.testing.assert_allclose(found.columns["chi2"], expected, rtol=1e-6)


def test_reference_level_of_polars_does_not_depend_on_the_order_of_rows():
    table = pl.from_pandas(births()).with_columns(pl.col("race").cast(pl.Categorical))
    names = [xlr.logit("low ~ race", rows).names for rows in (table, table[::-1])]
    assert names[0] == names[1]
