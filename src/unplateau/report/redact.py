"""Secrets that a config or a log may hold are never shown again, in no form of output."""

from __future__ import annotations

import re
from typing import Any

from ..facts import VOCABULARY

HIDDEN = "[hidden]"
NAME = re.compile(r"key|token|secret|password|passwd|credential", re.IGNORECASE)
# What sets a secret: `api_key = 'x'`, `"hf_token": "x"`, `--password x`. In prose "tokens: 12" and "per token:
# high" are none, so a bare key or token before a colon counts only at the start of a line or in quotes.
_NAME = r"(?:key|token|secret|password|passwd|credential)"
_SETS = (
    rf"(?:{_NAME}[\"']? {{0,4}}=|[_-]{_NAME}[\"']? {{0,4}}:|{_NAME}[\"'] {{0,4}}:"
    rf"|^[ \t]{{0,40}}{_NAME} {{0,4}}:|(?:secret|password|passwd|credential) {{0,4}}:|--[a-z_-]{{0,40}}{_NAME}(?= ))"
)
_NOT = r"(?![\d.,]{1,40}(?:[\s,;}]|$))(?![\"']?(?:none|null|true|false)\b)"
SETTING = re.compile(rf"({_SETS} {{0,4}}){_NOT}([\"']?)[^\s\"',;}}]{{1,400}}", re.IGNORECASE | re.MULTILINE)
# tokens by the prefixes that their issuers document: Hugging Face, OpenAI, GitHub, AWS, Slack
ISSUED = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,200}|sk-[A-Za-z0-9_-]{16,200}|gh[pousr]_[A-Za-z0-9]{16,200}"
    r"|AKIA[A-Z0-9]{12,60}|xox[abpr]-[A-Za-z0-9-]{10,200})"
)


def redacted(text: str) -> str:
    """``text`` without what looks like a secret.

    >>> redacted("wandb_api_key = 'abc123'; eos_token = 2; batch_size = 4")
    "wandb_api_key = '[hidden]'; eos_token = 2; batch_size = 4"
    >>> redacted("token: abc"), redacted("an evaluation is 3,276,800 tokens: expected 0.02 nats per token: low")
    ('token: [hidden]', 'an evaluation is 3,276,800 tokens: expected 0.02 nats per token: low')
    >>> redacted("pushed with hf_abcdefghijklmnopqrst")
    'pushed with [hidden]'
    """
    return ISSUED.sub(HIDDEN, SETTING.sub(rf"\1\2{HIDDEN}", text))


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
