"""Fit random problems and report failures: ``nox -s fuzz -- 2000``.

A fit fails if it

- has converged without a warning, with F above the minimum by more than ``LIMIT``,
  relative;
- raises an error other than a ``ValueError`` with a sentence;
- has a duality gap that is smaller, beyond rounding, than its distance to the minimum.
"""

from __future__ import annotations

import argparse
import collections
import os
import sys
import time
import warnings

import numpy as np
from long_double import Reference
from random_fits import RandomFit, draw_fit

import xlr

__all__ = ["failure_of", "main"]

LIMIT = 1e-9  # relative to F; a fit continues while a step would lower F by 1e-11 F
FLOAT32_LIMIT = 1e-6  # relative to F; parameters have 24 bits
# A smaller F counts as this number: F of separable classes approaches zero, where a
# relative distance says little.
NEGLIGIBLE = 1e-4
ROUNDING = 1e-14  # relative to F; of the sums in the duality gap


def failure_of(fit: RandomFit) -> str | None:
    """Return what is wrong with a fit, or None."""
    model = xlr.LogisticRegression(**fit.options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(fit.X, fit.y, fit.sample_weight, offset=fit.offset)
        except ValueError as error:
            sentence = str(error)
            return None if sentence.endswith(".") else f"ValueError: {sentence}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    for warning in caught:
        if not issubclass(warning.category, UserWarning):
            return f"{warning.category.__name__}: {warning.message}"
    reference = Reference(fit)
    w = reference.parameters(model)
    if not np.isfinite(w).all():
        return None if caught else "non-finite coefficients without a warning"
    with np.errstate(all="ignore"):
        value = reference.value(w)
        least = min(value, *map(reference.minimum, (w, np.zeros_like(w))))
        above = float((value - least) / max(value, NEGLIGIBLE))
    described = f"F {float(value):.12g}, lowest {float(least):.12g}: {above:.1e} above"
    is_float32 = "float32" in fit.kind
    if (
        model.converged_
        and not caught
        and above > (FLOAT32_LIMIT if is_float32 else LIMIT)
    ):
        return f"converged without a warning: {described}"
    # In float32, the duality gap belongs to the parameters before rounding.
    gap = float(np.sum(model.duality_gap_))
    if not is_float32 and value - least > gap + ROUNDING * value:
        return f"duality gap {gap:.9g} too small: {described}"
    return None


def main() -> int:
    """Print the failures of many fits, and return 1 if there are some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("number", type=int, nargs="?", default=2000, help="of fits")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first fit")
    arguments = parser.parse_args()
    failures: collections.Counter[str] = collections.Counter()
    for seed in range(arguments.seed, arguments.seed + arguments.number):
        fit, start = draw_fit(seed), time.process_time()
        failure = failure_of(fit)
        if failure is not None:
            failures[fit.kind] += 1
            solver = fit.options["solver"]
            seconds = time.process_time() - start
            print(f"--seed {seed} ({fit.kind}, {solver}, {seconds:.1f} s): {failure}")
            sys.stdout.flush()
    print(
        f"{arguments.number} fits, {sum(failures.values())} failures {dict(failures)}"
    )
    return bool(failures)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
