"""Profile likelihood intervals, against logistf and against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from optional import on_demand
from scipy import stats
from scipy.optimize import brentq, minimize
from scipy.special import expit
from studies import anes96, endometrial, sex2, spector

import xlr

sm = on_demand("statsmodels.api")

# R: logistf(HG ~ NV + PI + EH), and sex2 below. Estimates and profile intervals of the
# penalised likelihood, the intercept first, in the digits to which logistf converges.
ENDOMETRIAL = [
    (3.77455951, 1.0825371, 7.20928050),
    (2.92927330, 0.6097244, 7.85463171),
    (-0.03475175, -0.1244587, 0.04045547),
    (-2.60416387, -4.3651832, -1.23272106),
]
SEX2 = [
    (0.12025405, -0.8185591, 1.07315122),
    (-1.10598131, -1.9737884, -0.30742514),
    (-0.06881673, -0.9414363, 0.78920202),
    (2.26887464, 1.2730216, 3.43543273),
    (-2.11140817, -3.2608611, -1.11773495),
    (-0.78831694, -1.6080879, 0.01518468),
    (3.09601166, 0.7745682, 8.03029352),
]


def test_profile_of_endometrial_agrees_with_logistf():
    X, y = endometrial()
    model = xlr.FirthLogisticRegression(tol=1e-10).fit(X, y)
    table = xlr.infer(model, X, y, keep_data=True).profile_conf_int()
    assert table.index == ["intercept", "x0", "x1", "x2"]
    columns = np.stack(list(table.columns.values()), axis=1)
    np.testing.assert_allclose(columns, ENDOMETRIAL, rtol=2e-6)


def test_profile_of_sex2_with_counts_agrees_with_logistf():
    X, y, counts = sex2()
    model = xlr.FirthLogisticRegression(tol=1e-10).fit(X, y, counts)
    results = xlr.infer(model, X, y, counts, keep_data=True)
    table = results.profile_conf_int()
    columns = np.stack(list(table.columns.values()), axis=1)
    np.testing.assert_allclose(columns, SEX2, rtol=5e-6)


def constrained_likelihood(X, y, column, value):
    """Return the highest log-likelihood with one fixed coefficient, by statsmodels."""
    exog = sm.add_constant(X)
    rest = np.delete(exog, column, axis=1)
    model = sm.GLM(y, rest, sm.families.Binomial(), offset=value * exog[:, column])
    return model.fit(tol=1e-13).llf


@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_profile_interval_ends_where_the_deviance_is_the_quantile(alpha):
    X, y = spector()
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    table = results.profile_conf_int(["x2", "intercept"], alpha)
    assert table.index == ["x2", "intercept"]
    drop = stats.chi2.isf(alpha, 1) / 2
    for row, column in enumerate([3, 0]):
        estimate, se = results.params[column], results.bse[column]

        def excess(value, column=column):
            return constrained_likelihood(X, y, column, value) - results.llf + drop

        expected = [
            brentq(excess, estimate + near * se, estimate + far * se, xtol=1e-11)
            for near, far in ((-0.1, -4), (0.1, 4))
        ]
        _, lower, upper = (values[row] for values in table.columns.values())
        np.testing.assert_allclose([lower, upper], expected, rtol=1e-7)


def test_profile_interval_of_many_classes_ends_where_the_deviance_is_the_quantile():
    X, y = anes96()
    X, y = X[:, 1:3], np.digitize(y, [2, 5])
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)
    table = results.profile_conf_int(["x0"])
    frame = table.to_frame()
    assert frame.shape == (2, 3)
    assert results.profile_conf_int([]).to_frame().shape == (0, 3)
    Z = sm.add_constant(X)
    for row, value in enumerate(frame["[0.025"]):

        def loss(free, row=row, value=value):
            """Return the loss with one coefficient fixed."""
            coef = np.insert(free, 3 * row + 1, value).reshape(2, 3)
            eta = np.column_stack([np.zeros(len(y)), Z @ coef.T])
            return np.sum(np.logaddexp.reduce(eta, axis=1) - eta[range(len(y)), y])

        start = np.delete(results.params.T.reshape(-1), 3 * row + 1)
        found = minimize(loss, start, method="BFGS", options={"gtol": 1e-6})
        deviance = 2 * (found.fun + results.llf)
        np.testing.assert_allclose(deviance, stats.chi2.isf(0.05, 1), rtol=1e-6)


@pytest.mark.shared_arithmetic
def test_profile_agrees_on_every_backend(place, dtype):
    X, y = endometrial()
    data, labels = place(X), place(y, "int64")
    tol = 1e-9 if dtype == "float64" else 1e-5
    model = xlr.FirthLogisticRegression(tol=tol).fit(data, labels)
    table = xlr.infer(model, data, labels, keep_data=True).profile_conf_int(["x2"])
    rtol = 5e-6 if dtype == "float64" else 5e-3
    found = [values[0] for values in table.columns.values()]
    np.testing.assert_allclose(found, ENDOMETRIAL[3], rtol=rtol)


# Rows x0, x1, y in which Firth's penalty dominates the likelihood of x0.
FEW_ROWS = np.transpose(
    [
        [0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0],
        [-1.0, -0.1, 1.6, 0.8, 0.6, 0.1, 0.6, 1.7, -1.0, -0.4, 0.5],
        [1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0],
    ]
)


def test_profile_ends_where_firths_penalised_likelihood_falls_by_the_quantile():
    X, y = FEW_ROWS[:, :2], FEW_ROWS[:, 2].astype(int)
    results = xlr.infer(xlr.FirthLogisticRegression(tol=1e-10).fit(X, y), X, y)
    Z = sm.add_constant(X)

    def loss(free, value):
        """Return minus the penalised log-likelihood with a coefficient of x0."""
        eta = Z @ np.insert(free, 1, value)
        information = Z.T @ (Z * (expit(eta) * expit(-eta))[:, None])
        penalty = np.linalg.slogdet(information)[1] / 2
        return np.logaddexp(0, np.where(y, -eta, eta)).sum() - penalty

    for end in results.conf_int()[1]:
        start = np.delete(results.params, 1)
        options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}
        found = minimize(loss, start, end, method="Nelder-Mead", options=options)
        deviance = 2 * (found.fun + results.llf)
        np.testing.assert_allclose(deviance, stats.chi2.isf(0.05, 1), rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_profile_without_intercept_of_similar_columns_agrees_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([5 + 0.01 * rng.normal(size=(200, 2)), rng.normal(size=200)])
    y = rng.choice(3, 200) % 2
    model = xlr.LogisticRegression(C=np.inf, fit_intercept=False).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)

    # The logits are c (x0 - x1) + d x1 + e x2, with c the coefficient of x0.
    def log_likelihood(c):
        options = {"family": sm.families.Binomial(), "offset": c * (X[:, 0] - X[:, 1])}
        return sm.GLM(y, X[:, 1:], **options).fit(tol=1e-13).llf

    best = sm.GLM(y, X, family=sm.families.Binomial()).fit(tol=1e-13)

    def excess(c):
        return 2 * (best.llf - log_likelihood(c)) - stats.chi2.isf(0.05, 1)

    (c, *_), (error, *_) = best.params, best.bse
    expected = brentq(excess, c - 4 * error, c), brentq(excess, c, c + 4 * error)
    _, low, high = results.profile_conf_int("x0").columns.values()
    np.testing.assert_allclose([low[0], high[0]], expected, rtol=1e-6)


def test_summary_of_firth_notes_a_profile_that_does_not_converge():
    """The penalised likelihood has several maxima, between which the profile jumps."""
    X = [[0, 0, 1, 0, 1, 0, 1, 1, 1, 0], [-1, -21, 8, -5, -6, -5, -3, 1, 13, 28]]
    X.append([-23, 9, 8, -3, -2, -3, -4, -13, -8, -10])
    X = np.transpose(X) * [1, 0.1, 0.1]
    y = np.asarray([0, 1, 1, 0, 1, 0, 1, 1, 1, 0])
    model = xlr.FirthLogisticRegression().fit(X, y)
    assert "Profiles did not converge" in " ".join(xlr.infer(model, X, y).notes)
    with pytest.raises(FloatingPointError, match="was not found"):
        xlr.infer(model, X, y, profile=True)


def test_profile_of_a_2x2_table_with_an_empty_cell_agrees_with_its_formula():
    X = np.asarray([[0.0]] * 6 + [[1.0]] * 6)
    y = np.asarray([0, 1, 0, 0, 1, 0] + [1] * 6)
    model = xlr.FirthLogisticRegression(tol=1e-11).fit(X, y)
    results = xlr.infer(model, X, y, keep_data=True)

    def log_likelihood(intercept, slope):
        p, q = expit(intercept), expit(intercept + slope)
        # For this design, det I is the product of two weights.
        prior = np.log(6 * p * (1 - p) * 6 * q * (1 - q)) / 2
        return 2 * np.log(p) + 4 * np.log1p(-p) + 6 * np.log(q) + prior

    def profile(slope):
        found = minimize(lambda b: -log_likelihood(b[0], slope), [-slope / 2])
        return -found.fun

    np.testing.assert_allclose(
        results.llf, log_likelihood(model.intercept_[0], model.coef_[0, 0])
    )
    drop = stats.chi2.isf(0.05, 1) / 2
    table = results.profile_conf_int(["x0"])
    for name in ("[0.025", "0.975]"):
        (end,) = table.columns[name]
        np.testing.assert_allclose(results.llf - profile(end), drop, rtol=1e-6)


def test_profile_refuses_wrong_arguments():
    X, y = spector()
    penalised = xlr.LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="without a penalty"):
        xlr.infer(penalised, X, y, keep_data=True).profile_conf_int()
    results = xlr.infer(
        xlr.LogisticRegression(C=np.inf).fit(X, y), X, y, keep_data=True
    )
    with pytest.raises(ValueError, match="no parameter 'x9'"):
        results.profile_conf_int(["x9"])
    for alpha in (0, 1, -0.1, "a"):
        with pytest.raises(ValueError, match="alpha must be between"):
            results.profile_conf_int(alpha=alpha)


# R: logistf prints the likelihood-ratio statistics and P-values.
ENDOMETRIAL_TESTS = [
    (8.1980136, 4.193628e-03),
    (6.7984572, 9.123668e-03),
    (0.7468285, 3.874822e-01),
    (17.7593175, 2.506867e-05),
]
SEX2_TESTS = [
    (0.06286298, 0.8020268),
    (7.50773092, 0.006143472),
    (0.02467044, 0.8751911),
    (22.93139022, 1.678877e-06),
    (19.10407252, 1.237805e-05),
    (3.69740975, 0.05449701),
    (7.89693139, 0.004951873),
]


@pytest.mark.parametrize("counted", [False, True])
def test_summary_of_firth_agrees_with_logistf(counted):
    X, y, *weights = sex2() if counted else endometrial()
    model = xlr.FirthLogisticRegression(tol=1e-10).fit(X, y, *weights)
    results = xlr.infer(model, X, y, *weights)
    statistic, pvalue = np.transpose(SEX2_TESTS if counted else ENDOMETRIAL_TESTS)
    _, lower, upper = np.transpose(SEX2 if counted else ENDOMETRIAL)
    columns = results.summary().columns
    np.testing.assert_allclose(columns["chi2"], statistic, rtol=1e-5)
    np.testing.assert_allclose(results.pvalues, pvalue, rtol=1e-5)
    np.testing.assert_allclose(
        results.conf_int(), np.stack([lower, upper], 1), rtol=5e-6
    )
    ratios = results.odds_ratios().columns
    np.testing.assert_allclose(ratios["0.975]"], np.exp(upper[1:]), rtol=2e-5)
    assert "profile likelihood" in " ".join(results.notes)
    with pytest.raises(ValueError, match=r"alpha=0\.1 needs the training data"):
        results.conf_int(0.1)


def test_summary_of_firth_without_profile_has_wald_tests():
    X, y = endometrial()
    model = xlr.FirthLogisticRegression(tol=1e-10).fit(X, y)
    results = xlr.infer(model, X, y, profile=False)
    z = results.params / results.bse
    np.testing.assert_allclose(results.pvalues, 2 * stats.norm.sf(abs(z)))
    margin = stats.norm.isf(0.025) * results.bse
    expected = np.stack([results.params - margin, results.params + margin], axis=1)
    np.testing.assert_allclose(results.conf_int(), expected)


@pytest.mark.parametrize("data", [spector, anes96])
def test_profile_tests_are_likelihood_ratio_tests(data):
    """Each test compares with the fit without the feature."""
    X, y = data()
    X = X[:, :3]
    y = np.minimum(y, 1) if data is anes96 else y
    model = xlr.LogisticRegression(C=np.inf, tol=1e-11)
    results = xlr.infer(model.fit(X, y), X, y, profile=True, keep_data=True)
    part = X[:, [0, 2]]
    test = xlr.likelihood_ratio_test(xlr.infer(model.fit(part, y), part, y), results)
    assert results.pvalues[2] == pytest.approx(test.pvalue, rel=1e-6)
    table = results.profile_conf_int(alpha=0.1)
    found = results.conf_int(0.1)
    np.testing.assert_allclose(found, np.stack(list(table.columns.values())[1:], 1))


def test_profile_of_penalised_and_collinear_fits_is_refused():
    X, y = spector()
    cases = [
        (X, xlr.LogisticRegression(), {}, "without a penalty"),
        (
            np.column_stack([X, X[:, 0]]),
            xlr.LogisticRegression(C=np.inf),
            {},
            "collinear",
        ),
        (X, xlr.LogisticRegression(C=np.inf), {"cov_type": "HC0"}, "cov_type='HC0'"),
    ]
    for rows, model, options, message in cases:
        with pytest.raises(ValueError, match=message):
            xlr.infer(model.fit(rows, y), rows, y, profile=True, **options)
