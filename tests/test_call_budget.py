"""Number and depth of the calls inside xlr in a small fit."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import xlr

PACKAGE = str(Path(xlr.__file__).parent)

MAX_CALLS = 330  # the goal is 300

# Frames of Python 3.11 that later versions inline.
COMPREHENSIONS = "<listcomp>", "<dictcomp>", "<setcomp>"

MAX_DEPTH = 12


class CallCounter:
    """Counter of calls of xlr's functions, for ``sys.setprofile``."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.depth = self.deepest = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(PACKAGE):
            return
        if code.co_name in COMPREHENSIONS:
            return
        if event == "return":
            self.depth -= 1
            return
        self.calls[f"{Path(code.co_filename).name}: {code.co_name}"] += 1
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)


def test_small_fit_makes_few_calls_at_a_small_depth(capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 10))
    y = (X[:, 0] + rng.logistic(size=500) > 0).astype(int)
    xlr.LogisticRegression().fit(X, y)  # the first fit imports and caches
    counter = CallCounter()
    before = sys.getprofile()
    sys.setprofile(counter)
    try:
        xlr.LogisticRegression().fit(X, y)
    finally:
        sys.setprofile(before)
    total, deepest = counter.calls.total(), counter.deepest
    with capsys.disabled():
        print(f"\n{total} calls of {len(counter.calls)} functions, {deepest} deep")
    assert total <= MAX_CALLS, counter.calls.most_common(20)
    assert deepest <= MAX_DEPTH
