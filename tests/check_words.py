"""Check the words of docstrings, comments, names of tests and pages.

    python tests/check_words.py

It prints each docstring that begins with a pronoun, and each word of a private dialect
with the field's word for it. It exits with 1 if there is one.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("xlr", "tests", "examples")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")

# A docstring is understood alone, without the one above it.
PRONOUNS = {"What", "That", "Those", "Of", "It", "Its", "They", "Their", "Whose"}
PRONOUNS |= {"This", "These", "How", "Which"}

# Words without another use here, and the field's words for them. The list omits words
# that are also plain English or names of the API: rows, look, moments, units.
WORDS = {
    r"anew": "again",
    r"beside": "in addition to, next to",
    r"but for": "except for",
    r"crew": "thread pool",
    r"for ever": "without bound",
    r"gives? way|gave way": "becomes inactive",
    r"houses?": "package",
    r"in play": "in the working set",
    r"kinks?": "non-smooth penalty",
    r"learnt": "learned, fitted",
    r"no less than": "at least",
    r"of which|of whom|of whose": "a sentence of its own",
    r"programmes?": "program",
    r"rough": "low precision",
    r"shift directions?": "null space of the softmax",
    r"tells? apart|told apart": "separate",
    r"unfold": "from standardized",
}
PATTERN = re.compile(
    "|".join(rf"(?P<w{i}>\b(?:{word})\b)" for i, word in enumerate(WORDS)),
    re.IGNORECASE,
)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring."""
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def texts_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of comments, strings and names of tests."""
    kinds = {tokenize.COMMENT, tokenize.STRING}
    kinds.add(getattr(tokenize, "FSTRING_MIDDLE", None))  # from Python 3.12 on
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            yield token.start[0], token.string
        elif token.type == tokenize.NAME and token.string.startswith("test_"):
            yield token.start[0], token.string.replace("_", " ")


def offences(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and a message for each offence in a file."""
    source = path.read_text(encoding="utf-8")
    texts = enumerate(source.splitlines(), 1)
    if path.suffix == ".py":
        for line, text in docstrings(ast.parse(source)):
            if (first := re.match(r"\w*", text)[0]) in PRONOUNS:
                yield line, f"A docstring begins with {first!r}; name its object."
        texts = texts_of(source)
    for start, text in texts:
        for match in PATTERN.finditer(text):
            line = start + text[: match.start()].count("\n")
            word = list(WORDS.values())[int(match.lastgroup[1:])]
            yield line, f"{match[0]!r}; the field says: {word}."


def main() -> int:
    """Print the offences in all files, and return 1 if there are some."""
    folders = (path for name in FOLDERS for path in (ROOT / name).rglob("*"))
    paths = [path for path in folders if path.suffix in (".py", ".md")]
    paths += [ROOT / page for page in PAGES]
    n_found = 0
    for path in sorted(paths):
        if {"output", "results"} & set(path.parts) or path == Path(__file__):
            continue
        for line, message in offences(path):
            n_found += 1
            print(f"{path.relative_to(ROOT)}:{line}: {message}")
    return int(n_found > 0)


if __name__ == "__main__":
    sys.exit(main())
