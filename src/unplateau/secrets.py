"""Secrets that a config, a log or a URL may hold are never shown again, in no form of output."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"
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
# what stands before the @ of a URL's host, and its query: signatures of S3, Azure and GCS stand there
USER = re.compile(r"(?<=://)[^/@\s]{1,400}@(?=[^/\s])")
QUERY = re.compile(r"(?<=[?&])([A-Za-z0-9_.-]{1,80})=[^&#\s]{1,4000}")


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


def redacted_url(url: str) -> str:
    """A path or URL without its user, its password, and the values of its query.

    >>> redacted_url("s3://KEY:secret@bucket/fineweb/000.parquet")
    's3://[hidden]@bucket/fineweb/000.parquet'
    >>> redacted_url("https://host/a.parquet?X-Amz-Signature=9f&part=2")
    'https://host/a.parquet?X-Amz-Signature=[hidden]&part=[hidden]'
    >>> redacted_url("data/fineweb/000_00000.parquet")
    'data/fineweb/000_00000.parquet'
    """
    return redacted(QUERY.sub(rf"\1={HIDDEN}", USER.sub(f"{HIDDEN}@", url)))
