"""The summary of a fit, and the notes below it."""

from __future__ import annotations

from typing import Any

from xlr.inference.covariance import Estimates
from xlr.inference.fitted_data import FittedData
from xlr.inference.table import Summary, Table

__all__ = ["notes_on", "summarise"]

ROBUST = {
    "HC0": "heteroscedasticity-robust (White's sandwich)",
    "HC1": "heteroscedasticity-robust, times n / (n - k)",
    "cluster": "robust to correlation within clusters, with Stata's correction",
}


def notes_on(data: FittedData, estimates: Estimates, cov_type: str) -> list[str]:
    """Return the sentences that a reader of the numbers needs."""
    notes = []
    if estimates.aliased:
        notes.append(
            f"Columns that are sums of others are left out: {estimates.aliased}."
        )
    if data.is_penalised:
        notes.append(
            "The fit is penalised: standard errors are those of the penalised "
            "estimates about their own mean, (I + P)^-1 M (I + P)^-1. They leave out "
            "the bias of the penalty, so that intervals need not cover the truth at "
            "their level; AIC and BIC count effective degrees of freedom."
        )
    if not data.free.all():
        notes.append(
            "Coefficients held at zero by the L1 penalty, or at a bound, have no "
            "standard error, and the others' are as if those were known."
        )
    if data.is_firth:
        notes.append(
            "Log-likelihoods have Firth's penalty. Prefer profile_conf_int() to the "
            "intervals here where the likelihood is skew."
        )
    if getattr(data.model, "class_weight", None) is not None:
        notes.append(
            "With class_weight the likelihood is a weighted one, not that of the data."
        )
    if cov_type in ROBUST:
        notes.append(f"Standard errors are {ROBUST[cov_type]}.")
    if not data.model.converged_:
        notes.append("The fit did not converge: see the warning of fit.")
    return notes


def summarise(results: Any, table: Table) -> Summary:
    """Put the facts of a fit above the table of its coefficients."""
    fit = results.fit

    def count(value: float) -> str:
        return f"{value:.0f}" if abs(value - round(value)) < 1e-6 else f"{value:.2f}"

    no_test = "NA (penalised)" if fit.is_penalised else None
    facts = {
        "Model": fit.model,
        "Classes": ", ".join(fit.classes),
        "Solver": fit.solver,
        "Converged": str(results.converged),
        "Covariance": results.cov_type,
        "No. observations": count(results.nobs),
        "Df model": count(results.df_model),
        "Df residuals": count(results.df_resid),
        "Log-likelihood": f"{results.llf:.5g}",
        "Null log-likelihood": f"{results.llnull:.5g}",
        "LR statistic": f"{results.llr:.5g}",
        "LR P-value": no_test or f"{results.llr_pvalue:.4g}",
        "McFadden R-squared": f"{results.prsquared:.4f}",
        "Effective df": count(results.effective_df),
        "AIC": f"{results.aic:.6g}",
        "BIC": f"{results.bic:.6g}",
    }
    title = "Logistic regression"
    if fit.is_firth:
        title = "Logistic regression with Firth's penalty"
    elif len(fit.classes) > 2:
        title = f"Multinomial logistic regression, against {fit.classes[0]}"
    return Summary(title, facts, table, results.notes)
