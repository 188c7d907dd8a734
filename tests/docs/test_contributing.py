"""The worked examples of CONTRIBUTING.md run in order and print what it shows."""

from __future__ import annotations

import re

import pytest
from documents import ROOT, blocks, read, run_block

pytest.importorskip("array_api_strict")


@pytest.mark.filterwarnings("ignore:Liblinear failed to converge")
def test_contributing_examples_run() -> None:
    names: dict[str, object] = {}
    for code, expected in blocks("CONTRIBUTING.md"):
        run_block(code, expected, names)


def test_modules_of_the_layers_exist() -> None:
    table = re.findall(r"^\| \d \| (.*?) \|", read("CONTRIBUTING.md"), re.MULTILINE)
    modules = [module for cell in table for module in re.findall(r"`(.*?)`", cell)]
    assert len(modules) >= 8
    for module in modules:
        assert (ROOT / module).exists(), module
