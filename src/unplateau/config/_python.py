"""Settings of a Python file, read by its syntax tree: literals, arithmetic on numbers, earlier names.

Nothing is run. A statement that is anything else is skipped, its line named, and the names that it
would have set count as unknown.
"""

from __future__ import annotations

import ast
import io
import operator
import tokenize
import warnings
from collections.abc import Callable
from typing import Any

from ..errors import UnreadableError
from ._dialect import CLAIM, Setting, Settings, claims_of_comment, kept

EXPONENT = 64  # largest power that is computed; no setting needs more
STATEMENTS = 10_000  # of a file; nanoGPT's own train.py has some hundred
DIGITS = 256  # bits; a whole number that needs more is no setting

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


class NotLiteralError(Exception):
    """An expression that only running it could tell."""


def parse_python(text: str, name: str) -> Settings:
    r"""The settings of a configuration file in Python.

    >>> seen = parse_python("batch = 4 * 8  # ~125M parameters\nlr = 1e-3 / batch\nn = len('abc')", "config.py")
    >>> {s.key: s.value for s in seen.found.values()}, seen.skipped, seen.unknown
    ({'batch': 32, 'lr': 3.125e-05}, ['config.py:3'], {'n'})
    """
    settings = Settings({}, name, [], set(), _claims(text, name))
    values: dict[str, Any] = {}
    statements = tree_of(text, name).body
    if len(statements) > STATEMENTS:
        raise UnreadableError(f"{name} has {len(statements):,} statements, too many for a config")
    for node in statements:
        assigned = _assignment(node)
        if assigned is None:
            _skip(node, settings, values)
            continue
        key, expression = assigned
        try:
            values[key] = evaluate(expression, values)
        except (NotLiteralError, ArithmeticError, ValueError, TypeError, RecursionError):
            _skip(node, settings, values)
            continue
        settings.unknown.discard(key)
        if kept(key, values[key]):
            settings.found[key] = Setting(key, values[key], f"{name}:{node.lineno}")
    return settings


def tree_of(text: str, name: str) -> ast.Module:
    """The syntax tree; raises ``UnreadableError`` where the text is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in strings: not ours to mend
            return ast.parse(text)
    except SyntaxError as error:
        where = f" at line {error.lineno}" if error.lineno else ""
        raise UnreadableError(
            f"{name} is not a Python config{where}; expected lines like `batch_size = 12`"
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise UnreadableError(f"{name} is not a Python config that can be parsed") from None


def _assignment(node: ast.stmt) -> tuple[str, ast.expr] | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return node.target.id, node.value
    return None


def _skip(node: ast.stmt, settings: Settings, values: dict[str, Any]) -> None:
    if isinstance(node, ast.Import | ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ):
        return  # sets nothing
    settings.skipped.append(f"{settings.name}:{node.lineno}")
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store | ast.Del):
            settings.unknown.add(part.id)
            settings.found.pop(part.id, None)
            values.pop(part.id, None)


def evaluate(node: ast.expr, values: dict[str, Any]) -> Any:
    """A literal, or arithmetic on numbers; raises ``NotLiteralError`` for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
        return node.value
    if isinstance(node, ast.Name) and node.id in values:
        return values[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [evaluate(part, values) for part in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd | ast.Not):
        return _unary(node.op, evaluate(node.operand, values))
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return _binary(node.op, evaluate(node.left, values), evaluate(node.right, values))
    raise NotLiteralError


def _unary(op: ast.unaryop, value: Any) -> Any:
    if isinstance(op, ast.Not) and isinstance(value, bool):
        return not value
    if isinstance(op, ast.Not) or not isinstance(value, int | float):
        raise NotLiteralError
    return -value if isinstance(op, ast.USub) else +value


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        raise NotLiteralError
    if isinstance(op, ast.Pow) and abs(right) > EXPONENT:
        raise NotLiteralError
    if any(isinstance(side, int) and side.bit_length() > DIGITS for side in (left, right)):
        raise NotLiteralError
    value = ARITHMETIC[type(op)](left, right)
    if isinstance(value, complex):
        raise NotLiteralError
    return value


def _claims(text: str, name: str) -> list[list[str]]:
    claims: list[list[str]] = []
    if "#" not in text or not CLAIM.search(text):
        return claims  # tokenising costs more than parsing
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                claims += claims_of_comment(token.string, f"{name}:{token.start[0]}")
    except (tokenize.TokenError, SyntaxError):
        pass  # the syntax tree will say what is wrong
    return claims
