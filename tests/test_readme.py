"""The README's examples print what it says, and its commands are the real ones."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from documents import ROOT, assert_links_lead_somewhere, blocks, read, run_block

BLOCKS = blocks("README.md")


CASES = [
    pytest.param(*block, marks=[pytest.mark.gpu] if "import cupy" in block[0] else [])
    for block in BLOCKS
]


@pytest.mark.parametrize(("code", "expected"), CASES, ids=range(1, len(BLOCKS) + 1))
def test_python_blocks_print_what_is_shown(code: str, expected: str | None) -> None:
    run_block(code, expected, {})


def test_several_blocks_show_their_output() -> None:
    assert sum(expected is not None for _, expected in BLOCKS) >= 4


def test_quickstart_runs() -> None:
    command = [sys.executable, "-W", "error", ROOT / "examples" / "quickstart.py"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for word in ("xlr on NumPy", "scikit-learn", "coefficient", "accuracy", "seconds"):
        assert word in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 100
    # A row is a name, F, and by how much F is above the lowest: all minimise F.
    above = re.findall(r"^  \S.*? \d\.\d{12} +(\S+) ", ran.stdout, re.MULTILINE)
    assert len(above) >= 4
    assert max(map(float, above)) < 1e-6


def test_ci_finds_the_test_command() -> None:
    commands = re.findall(r"^python3 -m venv .*-m pytest", read("README.md"), re.M)
    assert len(commands) == 1


def test_links_lead_somewhere() -> None:
    assert_links_lead_somewhere("README.md")
