"""What ``prepare`` says: how far it is, and what the data turned out to be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .lines import WIDTH, Line, render

EVERY = 0.2  # seconds between two looks at a terminal, or two lines of JSON
SELDOM = 60.0  # seconds between two lines of a batch job's log
BAR = 12  # columns: with a stage of hours, the line has 79
FILES = 6  # files that are named

Say = Callable[[str], None]


@dataclass
class Progress:
    """Tells ``say`` of each stage: on a terminal one line that is written over, with ``as_json`` a line of JSON each.

    Elsewhere now and then, and where a stage ends, so that the log of a batch job stays short.
    """

    say: Say
    as_json: bool = False
    terminal: bool = False
    width: int = WIDTH
    _stage: str = ""
    _begun: float = 0.0
    _told: float = 0.0
    _open: bool = False
    _clock: Callable[[], float] = field(default=time.monotonic)

    def __call__(self, stage: str, done: int, total: int, tokens: int) -> None:
        """``done`` of ``total`` parts of ``stage``, and its tokens so far; the clock of a stage starts at its first call."""
        now, often = self._clock(), self.as_json or self.terminal
        if stage != self._stage:
            self._stage, self._begun = stage, now
            self._told = now - EVERY if often else now
        if not total or (done < total and now - self._told < (EVERY if often else SELDOM)):
            return
        self._told = now
        self._tell(stage, done, total, tokens, now - self._begun)

    def _tell(self, stage: str, done: int, total: int, tokens: int, seconds: float) -> None:
        if self.as_json:
            self.say(json.dumps(progress_event(stage, done, total, tokens, seconds)) + "\n")
            return
        line = progress_line(stage, done, total, tokens, seconds)
        if self.terminal:
            most = self.width - 1  # a full line would go on to the next
            self._open = done < total
            line = f"\r{line[:most]:<{most}}"
        self.say(line if self._open else line + "\n")

    def close(self) -> None:
        """End the line, so that what is said next begins a new one."""
        if self._open:
            self.say("\n")
        self._open = False


def progress_event(stage: str, done: int, total: int, tokens: int, seconds: float) -> dict[str, Any]:
    """What a machine is told: ``seconds`` since the stage began, ``left`` until its end as far as can be told."""
    left = round(seconds * (total - done) / done, 3) if done else None
    return {
        "stage": stage,
        "done": done,
        "total": total,
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "left": left,
    }


def progress_line(stage: str, done: int, total: int, tokens: int, seconds: float) -> str:
    """One line: what, how far, how fast, how long still.

    >>> progress_line("tokenise", 16, 64, 20_000_000, 4.0)
    'tokenise     25% [###         ] 20M tokens, 5M a second, 12 s left'
    >>> progress_line("tokenise", 64, 64, 14_500_000_000, 4000)
    'tokenise    100% [############] 14.5B tokens, 3.62M a second, 67 min'
    """
    share = done / max(1, total)
    rate = f" {short(tokens)} tokens, {short(tokens / max(seconds, 1e-3))} a second," if tokens else ""
    left = f" {in_words(seconds * (1 - share) / share)} left" if 0 < share < 1 else ""
    took = f" {in_words(seconds)}" if share >= 1 else ""
    return f"{stage:<11} {share:>4.0%} [{'#' * int(BAR * share):<{BAR}}]{rate}{left}{took}"


def short(number: float) -> str:
    """A large number in three digits.

    >>> short(950), short(20_000_000), short(3_630_000), short(14_490_000_000)
    ('950', '20M', '3.63M', '14.5B')
    """
    for unit, sign in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit * 0.9995:
            return f"{float(f'{number / unit:.3g}'):g}{sign}"
    return f"{number:.0f}"


def in_words(seconds: float) -> str:
    """A time as people say it.

    >>> in_words(0.44), in_words(12), in_words(200), in_words(9000)
    ('0.4 s', '12 s', '3 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def text(manifest: Mapping[str, Any], folder: str) -> str:
    """A manifest in a dozen lines."""
    rows = [*_counts(manifest), *_splits(manifest)]
    width = max(len(name) for name, _ in rows)
    lines = [Line(f"{name:<{width}}  {value}", hang=width + 2) for name, value in rows]
    notes = [Line(f"note: {note}", hang=len("note: ")) for note in manifest.get("notes", ())]
    done = "counted; its manifest is" if manifest.get("how") == "manifest-only" else "prepared"
    return render([Line(f"{done} in {folder}"), *lines, *notes])


def share_text(told: Mapping[str, Any]) -> str:
    """What one share of a job made, and what is left, in a line."""
    from ..prepare._shares import ranges

    share = f"shard {told['shard']}/{told['of']}"
    if told["merged"]:
        return f"{share}: nothing to do, all shards are made and being merged, or merged\n"
    made = ", ".join(number(told[name], name[:-1]) for name in ("parts", "documents", "tokens"))
    left = (
        f"shards still to be made: {ranges(told['left'])}"
        if told["left"]
        else "all are made: now the same with --merge"
    )
    return render([Line(f"{share}: {made}; {left}", hang=2)])


def number(count: int, what: str) -> str:
    """A count of things.

    >>> number(1, "part"), number(1200, "token")
    ('1 part', '1,200 tokens')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _counts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if "documents" in told:
        read = told.get("read", {}).get("read", told["documents"])
        held = f"{told['documents']:,} of {max(read, told['documents']):,} read"
        rows.append(("documents", "; ".join([held, *_left_out(told)])))
    rows.append(("tokens", f"{told['tokens']:,} ({told.get('tokenizer', 'tokenizer unknown')})"))
    if told.get("unique_tokens") is not None:
        rows.append(("unique", f"{told['unique_tokens']:,} of {told['train_tokens']:,} train tokens"))
    if said := _copies(told):
        rows.append(("copies", said))
    if told.get("bytes_per_token"):
        rows.append(("bytes per token", f"{told['bytes_per_token']:.3f}"))
    names = ("unigram", "bigram")
    rows += [(f"{name} entropy", said) for name in names if (said := _entropy(told, f"{name}_entropy"))]
    if said := _filters(told.get("filters", {})):
        rows.append(("filters", said))
    if "one_pass" in told:
        rows.append(("one pass", told["one_pass"].removeprefix("one pass = ")))
    return rows


def _left_out(told: Mapping[str, Any]) -> list[str]:
    """Why documents that were read are not in the data: all of them, by reason.

    >>> _left_out({"documents": 5, "read": {"read": 12, "unmet": 3, "kept": 7}})
    ['3 left out by --where', '2 beyond the limit', '2 copies']
    """
    if "kept" not in (read := told.get("read", {})):
        return []
    filters = told.get("filters", {})
    removed = sum(n for name, n in filters.get("would_remove", {}).items() if name in filters["active"])
    unmet, kept = read.get("unmet", 0), read["kept"]
    counts = {
        "left out by --where": unmet,
        "filtered": removed,
        "beyond the limit": read["read"] - unmet - removed - kept,
        "copies": kept - told["documents"],
    }
    return [f"{count:,} {what}" for what, count in counts.items() if count > 0]


def _copies(told: Mapping[str, Any]) -> str:
    """How many documents are copies, and told by what.

    >>> _copies({"exact_duplicate_share": 0.02, "near_duplicate_share": 0.1, "duplicates": {"policy": "drop"}})
    '2.00% of documents the same words, 10.00% near (dropped)'
    >>> _copies({"identical_share": 0.01, "duplicates": {"policy": "keep"}})
    '1.00% of documents identical (kept); near: not looked for'
    """
    policy = "dropped" if told.get("duplicates", {}).get("policy") == "drop" else "kept"
    if "identical_share" in told:
        return f"{told['identical_share']:.2%} of documents identical ({policy}); near: not looked for"
    if "exact_duplicate_share" not in told:
        return ""
    exact, near = told["exact_duplicate_share"], told["near_duplicate_share"]
    return f"{exact:.2%} of documents the same words, {near:.2%} near ({policy})"


def _entropy(told: Mapping[str, Any], key: str) -> str:
    """An entropy in as many digits as are known.

    >>> _entropy({"unigram_entropy": 6.6912}, "unigram_entropy")
    '6.691 nats per token'
    >>> of_pairs = {"value": 5.437, "low": 3.94, "high": 5.53}
    >>> _entropy({"bigram_entropy": 5.437, "estimates": {"bigram_entropy": of_pairs}}, "bigram_entropy")
    '3.94 to 5.53 nats per token (5.44 on held-out text)'
    """
    nats, between = told.get(key), told.get("estimates", {}).get(key)
    if nats is None:
        return ""
    if between is None:
        return f"{nats:.3f} nats per token"
    return f"{between['low']:.2f} to {between['high']:.2f} nats per token ({nats:.2f} on held-out text)"


def _filters(told: Mapping[str, Any]) -> str:
    """What filters removed, and what those that were not asked for would have removed.

    >>> _filters({"active": ["too-short"], "would_remove": {"too-short": 20, "non-text": 3}})
    'removed 20 too-short; would remove 3 non-text'
    """
    found: dict[str, list[str]] = {}
    for reason, count in told.get("would_remove", {}).items():
        does = "removed" if reason in told.get("active", ()) else "would remove"
        found.setdefault(does, []).append(f"{count:,} {reason}")
    return "; ".join(f"{does} {', '.join(counts)}" for does, counts in sorted(found.items()))


def _splits(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, split in told["splits"].items():
        files = [file["path"] for file in split.get("files", ())]
        named = ", ".join(files[:FILES]) + (f" and {len(files) - FILES} more" if len(files) > FILES else "")
        rows.append((name, f"{split['tokens']:,} tokens" + (f" in {named}" if named else "")))
    return rows
