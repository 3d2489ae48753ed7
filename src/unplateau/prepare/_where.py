"""``--where "score >= 3 and language == 'en'"``: a condition on a document's metadata, parsed and never executed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError, printable

LONGEST = 1000  # characters of a condition; nobody types more
COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
GRAMMAR = "comparisons (== != < <= > >= in) of columns with numbers and strings, joined by and, or, not"

Test = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Where:
    """A condition, and the columns that it needs."""

    text: str
    columns: tuple[str, ...]
    test: Test
    compared: tuple[tuple[str, Any], ...] = ()  # columns, and constants that each is compared with
    flags: tuple[str, ...] = ()  # columns that stand alone

    def __call__(self, meta: Mapping[str, Any]) -> bool:
        """True where the condition holds; a value that is missing or can't be compared does not meet it."""
        try:
            return bool(self.test(meta))
        except TypeError:
            return False


def where(text: str) -> Where:
    """Read a condition.

    >>> good = where("score >= 3 and language in ('en', 'de')")
    >>> good.columns
    ('language', 'score')
    >>> good({"score": 3.4, "language": "en"}), good({"score": None, "language": "en"})
    (True, False)

    Raises ``UsageError`` for anything but comparisons of columns with constants.
    """
    if len(text) > LONGEST:
        raise UsageError(f"--where is longer than {LONGEST} characters; expected {GRAMMAR}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        test = _test(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"--where {printable(text)!r} is no condition: {getattr(error, 'msg', error)}; expected {GRAMMAR}"
        ) from None
    names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
    if not names:
        raise UsageError(f"--where {printable(text)!r} names no column; expected {GRAMMAR}")
    pairs = [pair for node in ast.walk(tree) if isinstance(node, ast.Compare) for pair in _compared(node)]
    return Where(text, tuple(names), test, tuple(pairs), tuple(_alone(tree)))


def _alone(node: ast.expr) -> Iterator[str]:
    """The columns that are no side of a comparison."""
    if isinstance(node, ast.Name):
        yield node.id
    for below in getattr(node, "values", ()) or [getattr(node, "operand", None)]:
        if below is not None:
            yield from _alone(below)


def _compared(node: ast.Compare) -> Iterator[tuple[str, Any]]:
    """The columns of a comparison with each of its constants; of a tuple, with each of its elements."""
    sides = (node.left, *node.comparators)
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    constants = [ast.literal_eval(side) for side in sides if not isinstance(side, ast.Name)]
    for constant in constants:
        for value in constant if isinstance(constant, list | tuple | set) else [constant]:
            yield from ((name, value) for name in names)


def _test(node: ast.expr) -> Test:
    if isinstance(node, ast.BoolOp):
        tests = [_test(value) for value in node.values]
        both = all if isinstance(node.op, ast.And) else any
        return lambda meta: both(t(meta) for t in tests)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _test(node.operand)
        return lambda meta: not inner(meta)
    if isinstance(node, ast.Compare):
        return _comparison(node)
    return _value(node)


def _comparison(node: ast.Compare) -> Test:
    """``a < b <= c`` is true where each neighbouring pair is; a missing value makes it false."""
    values = [_value(v) for v in (node.left, *node.comparators)]
    compare = [COMPARE.get(type(op)) for op in node.ops]
    if None in compare:
        raise ValueError("is and is not are not known")

    def test(meta: Mapping[str, Any]) -> bool:
        found = [v(meta) for v in values]
        if any(v is None for v in found):
            return False
        return all(c(a, b) for c, a, b in zip(compare, found, found[1:], strict=False) if c)

    return test


def _value(node: ast.expr) -> Test:
    if isinstance(node, ast.Name):
        name = node.id
        return lambda meta: meta.get(name)
    try:
        constant = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise ValueError(f"{type(node).__name__} is not known") from None
    return lambda _: constant
