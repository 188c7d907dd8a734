"""Modules with one small change each, for :mod:`mutate`.

A mutant has one operator, comparison or number changed, a sign or negation dropped, a
condition reversed, or a step removed. Code outside functions stays as it is: its
constants determine the speed of a fit, not its result. So do annotations, defaults,
``copy=False``, and errors with their messages.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["ROOT", "Mutant", "mutants_of"]

ROOT = Path(__file__).parent.parent

SWAPPED_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SWAPPED_NAMES = {
    "min": "max",
    "minimum": "maximum",
    "argmin": "argmax",
    "any": "all",
    "zeros": "ones",
    "zeros_like": "ones_like",
    "fmin": "fmax",
    "exp": "expm1",
    "log1p": "log",
    "cumsum": "cumprod",
}
SWAPPED_NAMES |= {other: name for name, other in SWAPPED_NAMES.items()}
SKIPPED = (ast.Raise, ast.Assert, ast.JoinedStr, ast.arguments)


def changes(node: Any) -> Iterator[Callable[[], None]]:
    """Yield functions that change a node in place, one for each of its mutants."""

    def put(**fields: Any) -> Callable[[], None]:
        return lambda: [setattr(node, *item) for item in fields.items()] and None

    match node:
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp():
            if type(node.op) in SWAPPED_OPERATORS:
                yield put(op=SWAPPED_OPERATORS[type(node.op)]())
        case ast.Compare():
            yield put(ops=[SWAPPED_OPERATORS[type(op)]() for op in node.ops])
        case ast.UnaryOp():  # +x is x, so a plus sign drops a minus sign
            yield (
                put(op=ast.UAdd())
                if not isinstance(node.op, ast.Not)
                else put(operand=ast.UnaryOp(ast.Not(), node.operand))
            )
        case ast.Constant(value=bool(value)):
            yield put(value=not value)
        case ast.Constant(value=int(value)):
            yield put(value=value + 1)
        case ast.Constant(value=float(value)):
            yield put(value=2 * value or 1.0)
        case ast.Attribute(attr=name) if name in SWAPPED_NAMES:
            yield put(attr=SWAPPED_NAMES[name])
        case ast.Call(func=ast.Name(id=name)) if name in SWAPPED_NAMES:
            yield put(func=ast.Name(SWAPPED_NAMES[name], ast.Load()))
        case ast.Call(func=ast.Attribute(attr="where"), args=[condition, yes, no]):
            yield put(args=[condition, no, yes])
        case ast.If() | ast.While() | ast.IfExp():
            yield put(test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Assign(targets=[ast.Name(id=name)]):
            inside = ast.walk(node.value)
            if any(isinstance(n, ast.Name) and n.id == name for n in inside):
                yield put(value=ast.Name(name, ast.Load()))
        case ast.Expr(value=ast.Call()):
            yield put(value=ast.Constant(None))


class Site(NamedTuple):
    """A node that may change, its function, and the lines of its statement."""

    node: Any
    function: str
    lines: range


def mutation_sites(tree: ast.Module) -> Iterator[Site]:
    """Yield the nodes of all functions of a module."""

    def within(node: Any, name: str, lines: range | None) -> Iterator[Site]:
        if isinstance(node, SKIPPED) or getattr(node, "arg", None) == "copy":
            return
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            name = f"{name}.{node.name}".lstrip(".")
            if isinstance(node, ast.FunctionDef):
                lines = range(0)
            for statement in node.body:
                yield from within(statement, name, lines)
            return
        if lines is not None:
            if isinstance(node, ast.stmt):
                end = node.end_lineno + 1
                if isinstance(node, ast.If | ast.For | ast.While | ast.With):
                    end = max(node.lineno + 1, node.body[0].lineno)
                lines = range(node.lineno, end)
            yield Site(node, name, lines)
        for field, value in ast.iter_fields(node):
            if field != "annotation":
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from within(child, name, lines)

    yield from within(tree, "", None)


class Mutant(NamedTuple):
    """One change of a module."""

    path: str
    function: str
    lines: range  # of the statement
    before: str  # first line of the node's code
    after: str
    node: int  # number of the node in the module
    change: int  # number of the change among those of the node
    count: int  # number among the mutants of its function with the same text

    @property
    def name(self) -> str:
        """Return the name without the lines, which move."""
        number = f"  ({self.count})" if self.count > 1 else ""
        return f"{self.path} {self.function}: {self.before}  ->  {self.after}{number}"

    def tree(self) -> ast.Module:
        """Return the module with the change."""
        tree = ast.parse((ROOT / self.path).read_text())
        site = list(mutation_sites(tree))[self.node]
        list(changes(site.node))[self.change]()
        return ast.fix_missing_locations(tree)


def mutants_of(path: Path) -> list[Mutant]:
    """Return all mutants of a module."""
    mutants = []
    counts: Counter[tuple[str, str, str]] = Counter()
    tree = ast.parse(path.read_text())
    module = str(path.relative_to(ROOT))
    for number, (node, function, lines) in enumerate(mutation_sites(tree)):
        for change, make in enumerate(changes(node)):
            before, fields = _first_line(node), dict(vars(node))
            make()
            after = _first_line(node)
            vars(node).update(fields)
            counts[function, before, after] += 1
            count = counts[function, before, after]
            mutants.append(
                Mutant(module, function, lines, before, after, number, change, count)
            )
    return mutants


def _first_line(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]
