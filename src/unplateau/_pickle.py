"""A pickle as plain data: its opcodes are interpreted, no class is looked up and no code is run.

What a pickle would import or call becomes an ``Opaque`` that remembers its name and arguments.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from .errors import UnreadableError, why

MOST = 1_000_000  # opcodes; a checkpoint of a thousand tensors needs some fifty thousand
MARK = object()


@dataclass(slots=True, eq=False, repr=False)
class Opaque:
    """A class, a call or a tensor that was not built."""

    name: str
    args: Any = ()
    items: dict[Any, Any] = field(default_factory=dict)  # set on it as on a dict
    state: Any = None  # what its __setstate__ would have got

    def plain(self) -> Any:
        """The only argument where it is a word, as an Enum's value is; else None."""
        one = isinstance(self.args, tuple) and len(self.args) == 1 and isinstance(self.args[0], str)
        return self.args[0] if one else None


def inert(data: bytes) -> Any:
    """The object in ``data``, of dicts, lists, tuples, numbers, strings and ``Opaque``.

    Raises ``UnreadableError`` where it is no pickle.

    >>> import pickle
    >>> inert(pickle.dumps({"iter_num": 5, "fn": print}))["fn"].name
    'builtins print'
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in islice(pickletools.genops(data), MOST):
            if opcode.name == "STOP":
                return stack[-1]
            _step(opcode.name, argument, stack, memo)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UnreadableError(f"a damaged pickle: {why(error)}") from None
    raise UnreadableError("a pickle without an end, or with too many parts to be a checkpoint's header")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name in VALUES:
        stack.append(argument)
    elif name in {"PUT", "BINPUT", "LONG_BINPUT"}:
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in {"GET", "BINGET", "LONG_BINGET"}:
        stack.append(memo[int(argument)])
    elif name == "GLOBAL":
        stack.append(Opaque(str(argument)))
    elif name in ACTIONS:
        ACTIONS[name](stack)
    elif name not in {"PROTO", "FRAME"}:
        raise ValueError(f"opcode {name} has no place in a checkpoint")


def _since_mark(stack: list[Any]) -> list[Any]:
    items = []
    while (item := stack.pop()) is not MARK:
        items.append(item)
    return items[::-1]


def _take(stack: list[Any], count: int) -> list[Any]:
    return [stack.pop() for _ in range(count)][::-1]


def _set(target: Any, flat: list[Any]) -> None:
    store = target.items if isinstance(target, Opaque) else target
    for key, value in zip(flat[::2], flat[1::2], strict=False):
        if isinstance(store, dict) and isinstance(key, str | int):
            store[key] = value


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)


def _call(stack: list[Any]) -> None:
    target, args = _take(stack, 2)
    stack.append(Opaque(target.name if isinstance(target, Opaque) else "", args))


def _call_with_keywords(stack: list[Any]) -> None:
    stack.pop()
    _call(stack)


def _call_marked(stack: list[Any]) -> None:
    items = _since_mark(stack)
    stack.append(Opaque(items[0].name if items and isinstance(items[0], Opaque) else "", tuple(items[1:])))


def _build(stack: list[Any]) -> None:
    state = stack.pop()
    if isinstance(stack[-1], Opaque):
        stack[-1].state = state


def _global(stack: list[Any]) -> None:
    module, name = _take(stack, 2)
    stack.append(Opaque(f"{module} {name}"))


def _dict(items: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _set(made, items)
    return made


def _items(stack: list[Any]) -> None:
    items = _since_mark(stack)
    _set(stack[-1], items)


def _item(stack: list[Any]) -> None:
    items = _take(stack, 2)
    _set(stack[-1], items)


def _appends(stack: list[Any]) -> None:
    items = _since_mark(stack)
    _extend(stack[-1], items)


def _append(stack: list[Any]) -> None:
    items = _take(stack, 1)
    _extend(stack[-1], items)


CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": MARK, "EMPTY_TUPLE": ()}
VALUES = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
ACTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "EMPTY_DICT": lambda stack: stack.append({}),
    "EMPTY_LIST": lambda stack: stack.append([]),
    "EMPTY_SET": lambda stack: stack.append(Opaque("set")),
    "ADDITEMS": _since_mark,
    "FROZENSET": lambda stack: stack.append(Opaque("frozenset", tuple(_since_mark(stack)))),
    "POP": lambda stack: stack.pop(),
    "POP_MARK": _since_mark,
    "DUP": lambda stack: stack.append(stack[-1]),
    "TUPLE": lambda stack: stack.append(tuple(_since_mark(stack))),
    "TUPLE1": lambda stack: stack.append(tuple(_take(stack, 1))),
    "TUPLE2": lambda stack: stack.append(tuple(_take(stack, 2))),
    "TUPLE3": lambda stack: stack.append(tuple(_take(stack, 3))),
    "LIST": lambda stack: stack.append(_since_mark(stack)),
    "DICT": lambda stack: stack.append(_dict(_since_mark(stack))),
    "SETITEM": _item,
    "SETITEMS": _items,
    "APPEND": _append,
    "APPENDS": _appends,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_keywords,
    "OBJ": _call_marked,
    "BUILD": _build,
    "STACK_GLOBAL": _global,
    "BINPERSID": lambda stack: stack.append(Opaque("storage", (stack.pop(),))),
}
