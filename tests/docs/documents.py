"""Functions that run the Python blocks of Markdown pages and check their links."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
GUIDES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "examples" / "guides").glob("*.md")
)
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *GUIDES]

# A Python block and, if it follows directly, the text block with its output.
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
IMPORT = re.compile(r"^(?:import|from) ([\w.]+)", re.MULTILINE)
NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]?\d+)?")


def read(page: str) -> str:
    """Return the text of a page, given by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str | None]]:
    """Return each Python block of a page and the output it shows, or None."""
    return [match.groups() for match in BLOCK.finditer(read(page))]


def is_runnable(code: str) -> bool:
    """Return whether all modules that a block imports are installed."""
    try:
        return all(importlib.util.find_spec(name) for name in IMPORT.findall(code))
    except ModuleNotFoundError:  # the parent of a submodule is missing
        return False


def run_block(code: str, expected: str | None, names: dict[str, Any]) -> None:
    """Run a block in the namespace ``names`` and compare what it prints.

    Words are compared exactly, numbers with a decimal point to four digits.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<block>", "exec", dont_inherit=True), names)
    if expected is None:
        return
    texts = printed.getvalue(), expected
    words, expected_words = (NUMBER.sub("#", text).split() for text in texts)
    assert words == expected_words
    numbers, expected_numbers = (
        [float(number) for number in NUMBER.findall(text)] for text in texts
    )
    np.testing.assert_allclose(numbers, expected_numbers, rtol=1e-4, atol=0)


def anchors(page: str) -> set[str]:
    """Return the anchors that a Markdown page gives its headings."""
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in kept}


def broken_links(page: str) -> list[str]:
    """Return the links of a page to files or headings that do not exist."""
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        exists = target.exists()
        if exists and anchor:
            exists = anchor in anchors(str(target.resolve().relative_to(ROOT)))
        if not exists:
            broken.append(link)
    return broken
