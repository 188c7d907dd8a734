"""Sphinx configuration of the site: ``nox -s docs`` builds it into ``build/site``.

The source folder is the root of the repository, so that links between README, the
guides and the tables work here as they do on disk.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

import xlr

ROOT = Path(__file__).parents[2]

project = "xlr"
author = "the authors of xlr"
version = release = xlr.__version__
root_doc = "README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "examples/guides/*.md",
    "examples/benchmarks/results/*.md",
    "examples/site/*.md",
    "examples/output/api/*.rst",
    "examples/output/gallery/*.md",
]
exclude_patterns = [".*", "build", "dist", "tests", "xlr", "**/__pycache__"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page may start below the first level
autosummary_generate = True
templates_path = [str(Path(__file__).parent / "templates")]
numpydoc_show_class_members = False
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_member_order = "alphabetical"

html_math_renderer = "mathml"  # needs no script and no network
html_theme = "pydata_sphinx_theme"
html_title = "xlr"
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"README": []}
html_copy_source = False

# README has no table of contents of its own: GitHub would show its source.
CONTENTS = """
```{toctree}
:hidden:

Guides <examples/site/guides>
API <examples/site/api>
Gallery <examples/site/gallery>
Changes <CHANGELOG>
Contributing <CONTRIBUTING>
```
"""

# Scripts of the gallery, in the order to read them in.
GALLERY = [
    "two_gaussians",
    "exam_marks",
    "breast_cancer",
    "from_binary_to_softmax",
    "docstrings",
    "election",
]


def add_contents(app, docname: str, source: list[str]) -> None:
    """Append the site's table of contents to README."""
    if docname == "README":
        source[0] += CONTENTS


def skip_inherited(app, what, name, member, skip, options) -> bool | None:
    """Skip methods that another package defines, such as ``get_params``."""
    module = getattr(member, "__module__", None)
    return True if module and not module.startswith("xlr") else None


def write_math(translator, node) -> None:
    translator.body.append(convert(node.astext()))
    raise SkipNode


def write_displayed_math(translator, node) -> None:
    math = convert(node.astext(), display="block")
    style = "overflow-x: auto; padding-bottom: 1em"  # a phone is narrower
    translator.body.append(f'<div style="{style}">{math}</div>')
    raise SkipNode


def write_gallery(app) -> None:
    """Run each script and write a page with its output, its pictures and its code.

    ``XLR_DOCS_GALLERY=0`` shows the code alone: the scripts take a minute or two.
    """
    runs = os.environ.get("XLR_DOCS_GALLERY") != "0"
    pages = ROOT / "examples" / "output" / "gallery"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    for name in GALLERY:
        script = ROOT / "examples" / f"{name}.py"
        docstring = ast.get_docstring(ast.parse(script.read_text("utf-8")))
        title = docstring.splitlines()[0].rstrip(".")
        shown = run_script(script, pages / name) if runs else ""
        code = f"```{{literalinclude}} ../../{name}.py\n:language: python\n```\n"
        page = f"# {title}\n\n{shown}## Code\n\n{code}"
        (pages / f"{name}.md").write_text(page, encoding="utf-8")


def run_script(script: Path, folder: Path) -> str:
    """Return the pictures and the output of a script, in Markdown."""
    command = [sys.executable, script, "--out", folder]
    env = {"PYTHONPATH": str(ROOT), **os.environ}
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=env)
    output = ran.stdout.decode().partition("\nPictures:")[0].split("\n", 1)[1]
    files = sorted(folder.glob("*.png"), key=os.path.getmtime)
    pictures = "\n\n".join(f"![{p.stem}]({folder.name}/{p.name})" for p in files)
    return f"{pictures}\n\n## Output\n\n```text\n{output}```\n\n"


def copy_home(app, exception: Exception | None) -> None:
    """Make README the page that a browser opens first."""
    if exception is None:
        shutil.copy(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app) -> None:
    app.add_html_math_renderer(
        "mathml", (write_math, None), (write_displayed_math, None)
    )
    app.connect("builder-inited", write_gallery, priority=100)
    app.connect("source-read", add_contents)
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("build-finished", copy_home)
