"""Running the python blocks of a Markdown page and comparing what they print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import why_not

ROOT = Path(__file__).parents[1]
# A python block and, if one follows at once, the text block with its output.
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]?\d+)?")


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str | None]]:
    """Each python block of a page and the output it shows, or None."""
    return [found.groups() for found in BLOCK.finditer(read(page))]


def run_block(code: str, expected: str | None, names: dict[str, Any]) -> None:
    """Run a block among ``names`` and compare what it prints; skip if it cannot run.

    Words are compared exactly, numbers with a decimal point to four digits.
    """
    _skip_without_modules(code)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<block>", "exec", dont_inherit=True), names)
    if expected is None:
        return
    texts = printed.getvalue(), expected
    words, wanted_words = (NUMBER.sub("#", text).split() for text in texts)
    assert words == wanted_words
    numbers, wanted = ([float(n) for n in NUMBER.findall(text)] for text in texts)
    np.testing.assert_allclose(numbers, wanted, rtol=1e-4, atol=0)


def _skip_without_modules(code: str) -> None:
    for module in re.findall(r"^(?:import|from) ([\w.]+)", code, re.MULTILINE):
        pytest.importorskip(module)
    if "import cupy" in code and (reason := why_not("cupy")):
        pytest.skip(reason)


def assert_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", read(page)):
        assert (ROOT / target).exists(), target
