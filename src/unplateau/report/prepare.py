"""What ``prepare`` says: how far it is, and what the data turned out to be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .lines import Line, render

EVERY = 0.2  # seconds between two lines of progress
FILES = 6  # files that are named

Say = Callable[[str], None]


@dataclass
class Progress:
    """Tells ``say`` of each stage: on a terminal one line that is written over, with ``as_json`` a line of JSON each.

    Elsewhere only where a stage ends, so that the log of a batch job stays short. A stage begins where the one before
    it was last heard of: most are first heard of when a part is done already.

    >>> ticks = iter([0.0, 4.0, 5.0, 8.0])
    >>> tell = Progress(lambda said: print(said, end=""), _clock=lambda: next(ticks))
    >>> tell("tokenise", 1, 1, 20_000_000)
    tokenise     100% [####################] 20.0M tokens, 5.0M a second, 4.0 s
    >>> tell("count", 1, 2, 9_000_000)
    >>> tell("count", 2, 2, 20_000_000)
    count        100% [####################] 20.0M tokens, 5.0M a second, 4.0 s
    """

    say: Say
    as_json: bool = False
    terminal: bool = False
    _stage: str = ""
    _begun: float = 0.0
    _told: float = 0.0
    _heard: float = 0.0
    _clock: Callable[[], float] = field(default=time.monotonic)

    def __post_init__(self) -> None:
        self._heard = self._clock()

    def __call__(self, stage: str, done: int, total: int, tokens: int) -> None:
        """``done`` of ``total`` parts of ``stage``, and its tokens so far."""
        now = self._clock()
        if stage != self._stage:
            self._stage, self._begun, self._told = stage, self._heard, 0.0
        self._heard = now
        if done < total and (now - self._told < EVERY or not (self.as_json or self.terminal)):
            return
        self._told = now
        seconds = max(1e-9, now - self._begun)
        if self.as_json:
            event = {
                "stage": stage,
                "done": done,
                "total": total,
                "tokens": tokens,
                "seconds": round(seconds, 3),
            }
            self.say(json.dumps(event) + "\n")
        else:
            line = progress_line(stage, done, total, tokens, seconds)
            self.say(f"\r{line:<78}" + ("\n" if done >= total else "") if self.terminal else line + "\n")


def progress_line(stage: str, done: int, total: int, tokens: int, seconds: float) -> str:
    """One line: what, how far, how fast, how long still.

    >>> progress_line("tokenise", 16, 64, 20_000_000, 4.0)
    'tokenise     25% [#####               ] 20.0M tokens, 5.0M a second, 12 s left'
    """
    share = done / max(1, total)
    bar = "#" * round(20 * share)
    rate = f" {tokens / 1e6:.1f}M tokens, {tokens / seconds / 1e6:.1f}M a second," if tokens else ""
    left = f" {seconds * (1 - share) / share:.0f} s left" if 0 < share < 1 else f" {seconds:.1f} s"
    return f"{stage:<12} {share:>3.0%} [{bar:<20}]{rate}{left}"


def text(manifest: Mapping[str, Any], folder: str) -> str:
    """A manifest in a dozen lines."""
    rows = [*_counts(manifest), *_splits(manifest)]
    width = max(len(name) for name, _ in rows)
    lines = [Line(f"{name:<{width}}  {value}", hang=width + 2) for name, value in rows]
    notes = [Line(f"note: {note}", hang=len("note: ")) for note in manifest.get("notes", ())]
    return render([Line(f"prepared in {folder}"), *lines, *notes])


def share_text(told: Mapping[str, Any]) -> str:
    """What one share of a job made, and what is left, in a line."""
    from ..prepare._shares import ranges

    share = f"shard {told['shard']}/{told['of']}"
    if told["merged"]:
        return f"{share}: nothing to do, all shards are made and being merged, or merged\n"
    made = f"{share}: {told['parts']:,} parts, {told['documents']:,} documents, {told['tokens']:,} tokens; "
    if told["left"]:
        return f"{made}still to be made: shards {ranges(told['left'])}\n"
    return f"{made}all shards are made: now the same with --merge\n"


def _counts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if "documents" in told:
        read = told.get("read", {}).get("read", told["documents"])
        rows.append(("documents", f"{told['documents']:,} of {max(read, told['documents']):,} read"))
    rows.append(("tokens", f"{told['tokens']:,} ({told.get('tokenizer', 'tokenizer unknown')})"))
    if told.get("unique_tokens") is not None:
        rows.append(("unique", f"{told['unique_tokens']:,} of {told['train_tokens']:,} train tokens"))
    if "exact_duplicate_share" in told:
        exact, near = told["exact_duplicate_share"], told["near_duplicate_share"]
        policy = "dropped" if told["duplicates"]["policy"] == "drop" else "kept"
        rows.append(("copies", f"{exact:.2%} of documents exact, {near:.2%} near ({policy})"))
    if told.get("bytes_per_token"):
        rows.append(("bytes per token", f"{told['bytes_per_token']:.3f}"))
    entropies = {f"{name} entropy": told.get(f"{name}_entropy") for name in ("unigram", "bigram")}
    rows += [(name, f"{nats:.3f} nats per token") for name, nats in entropies.items() if nats is not None]
    if said := _filters(told.get("filters", {})):
        rows.append(("filters", said))
    if "one_pass" in told:
        rows.append(("one pass", told["one_pass"].removeprefix("one pass = ")))
    return rows


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
