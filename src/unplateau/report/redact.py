"""Secrets that a config or a log may hold are never shown again, in no form of output."""

from __future__ import annotations

import re
from typing import Any

from ..facts import VOCABULARY
from ..secrets import HIDDEN, redacted

__all__ = ["redacted", "shown_value"]

NAME = re.compile(r"key|token|secret|password|passwd|credential", re.IGNORECASE)


def shown_value(name: str, value: Any) -> Any:
    """The value of a fact as it may be shown.

    >>> shown_value("hub_token", "s3cret"), shown_value("tokens_seen", 7)
    ('[hidden]', 7)
    """
    if isinstance(value, str):
        return HIDDEN if NAME.search(name) and name not in VOCABULARY else redacted(value)
    if isinstance(value, dict):
        return {str(k): shown_value(str(k), v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown_value(name, v) for v in value]
    return value
