"""A small fit makes few calls inside this library, at a small depth."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import xlr

PACKAGE = str(Path(xlr.__file__).parent)

# The goal is 300 calls, at most 12 deep. An early version made 1,124 calls, 22 deep.
MOST_CALLS = 400
MOST_FRAMES = 12


class Watch:
    """Counter of calls of this library's functions, for ``sys.setprofile``."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.depth = self.deepest = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(PACKAGE):
            return
        if event == "return":
            self.depth -= 1
            return
        self.calls[f"{Path(code.co_filename).name}: {code.co_name}"] += 1
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)


def test_small_fit_makes_few_calls(capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 10))
    y = (X[:, 0] + rng.logistic(size=500) > 0).astype(int)
    xlr.LogisticRegression().fit(X, y)  # the first fit imports and caches
    watch = Watch()
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        xlr.LogisticRegression().fit(X, y)
    finally:
        sys.setprofile(before)
    total = watch.calls.total()
    with capsys.disabled():
        print(f"\n{total} calls of {len(watch.calls)} functions, {watch.deepest} deep")
    assert total <= MOST_CALLS, watch.calls.most_common(20)
    assert watch.deepest <= MOST_FRAMES
