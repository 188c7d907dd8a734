"""Random fits of every kind reach their minimum; ``nox -s fuzz`` tries 2,000."""

from __future__ import annotations

import pytest
from fuzz import failure_of
from random_fits import KINDS, draw_fit

FITS_OF_EACH_KIND = 8
NEWTON_CG = "conjugate gradients end early: newton-cg stops with F 2e-9 to 4e-9 high"
KNOWN = {
    43: NEWTON_CG,
    88: NEWTON_CG,
    110: "coefficients rounded to float32 put F 1e-6 high where means are far",
}


def seeds() -> list:
    return [
        pytest.param(seed, marks=pytest.mark.xfail(reason=KNOWN[seed], strict=False))
        if seed in KNOWN
        else seed
        for seed in range(FITS_OF_EACH_KIND * len(KINDS))
    ]


@pytest.mark.parametrize("seed", seeds())
def test_random_fit_is_at_its_minimum_or_warns(seed):
    failure = failure_of(draw_fit(seed))
    assert failure is None, failure
