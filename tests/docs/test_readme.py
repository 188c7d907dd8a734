"""README, the guides and other pages: their output, links, figures and commands."""

from __future__ import annotations

import re
import runpy
import sys

import pytest
from conftest import why_not
from documents import (
    GUIDES,
    PAGES,
    ROOT,
    blocks,
    broken_links,
    is_runnable,
    read,
    run_block,
)

import xlr

PAGES_WITH_OUTPUT = ["README.md", *GUIDES]


@pytest.mark.parametrize("page", PAGES_WITH_OUTPUT)
def test_page_prints_what_it_shows(page: str) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    names: dict[str, object] = {}
    with plt.rc_context():
        for code, expected in blocks(page):
            if is_runnable(code) and "import cupy" not in code:
                run_block(code, expected, names)
    plt.close("all")


@pytest.mark.gpu
@pytest.mark.parametrize("page", PAGES_WITH_OUTPUT)
def test_blocks_of_a_page_for_cupy_print_what_it_shows(page: str) -> None:
    if reason := why_not("cupy"):
        pytest.skip(reason)
    for code, expected in blocks(page):
        if "import cupy" in code:
            run_block(code, expected, {})


@pytest.mark.parametrize("page", PAGES)
def test_page_has_no_broken_links(page: str) -> None:
    assert broken_links(page) == []


def test_every_guide_is_linked_from_the_readme() -> None:
    assert [guide for guide in GUIDES if f"]({guide})" not in read("README.md")] == []


def test_api_page_lists_each_public_name_once() -> None:
    listed = re.findall(r"^   (\w+)$", read("examples/site/api.md"), re.MULTILINE)
    others = {"plotting", "datasets", "CalibrationDisplay"}  # modules; scikit-learn's
    public = {*xlr.__all__, *xlr.plotting.__all__, *xlr.datasets.__all__} - others
    assert sorted(listed) == sorted(public)


def test_readme_has_at_most_200_lines() -> None:
    assert len(read("README.md").splitlines()) <= 200


def test_readme_quotes_committed_figures() -> None:
    row = r"^\| .*? \| ([\d.]+) \| ([\d.]+) \((.*?)\) \| ([\d.]+) \|$"
    rows = re.findall(row, read("README.md"), re.MULTILINE)
    assert 6 <= len(rows) <= 8
    results = (ROOT / "examples" / "benchmarks" / "results").glob("*.md")
    lines = [line for page in results for line in page.read_text("utf-8").splitlines()]
    for ours, theirs, peer, ratio in rows:
        cells = {f"| {ours} |", f"| {theirs} |", peer.split()[-1]}
        assert any(all(cell in line for cell in cells) for line in lines), cells
        assert float(ratio) == pytest.approx(float(theirs) / float(ours), rel=0.05)


def test_readme_has_one_test_command() -> None:
    commands = re.findall(r"^python3 -m venv .*-m pytest", read("README.md"), re.M)
    assert len(commands) == 1


def test_quickstart_of_the_readme_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["quickstart.py"])
    runpy.run_path(str(ROOT / "examples" / "quickstart.py"), run_name="__main__")
    output = capsys.readouterr().out
    for word in ("xlr on NumPy", "scikit-learn", "coefficient", "accuracy", "seconds"):
        assert word in output
    assert max(map(len, output.splitlines())) <= 100
    # A row has a name, F, and the distance of F above the lowest.
    distances = re.findall(r"^  \S.*? \d\.\d{12} +(\S+) ", output, re.MULTILINE)
    assert len(distances) >= 4
    assert max(map(float, distances)) < 1e-6
