"""Worked examples of CONTRIBUTING.md, and its table of layers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import blocks, read, run_block
from test_architecture import LAYERS, MODULES, PACKAGE

pytest.importorskip("array_api_strict")


@pytest.mark.filterwarnings("ignore:Liblinear failed to converge")
def test_examples_of_contributing_print_what_it_shows() -> None:
    names: dict[str, object] = {}
    for code, expected in blocks("CONTRIBUTING.md"):
        run_block(code, expected, names)


def test_table_of_layers_lists_the_modules_and_their_layers() -> None:
    rows = re.findall(r"^\| (-?\d) \| (.*?) \|", read("CONTRIBUTING.md"), re.MULTILINE)
    layers = {
        Path(module).stem: int(layer)
        for layer, cell in rows
        for module in re.findall(r"`(.*?)`", cell)
    }
    modules = {path.relative_to(PACKAGE).parts[0] for path in MODULES}
    assert layers.keys() == {module.removesuffix(".py") for module in modules}
    assert layers == LAYERS
