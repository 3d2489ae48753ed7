"""What nanoGPT prints besides its records: the configuration, sizes, and how it began.

A header after records begins the next run, unless it resumes this one: which, the first record tells.
"""

from __future__ import annotations

import re

from ..run import Fact, Run
from ._records import Recorder
from ._text import DEATH, Book, Place, whole, words

CHARACTERS = 256  # symbols; a vocabulary up to this size with its own meta.pkl is one of characters or bytes
ECHO = 65_536  # bytes of echoed configuration that are kept; nanoGPT's own files have 1 kB

#: a line that only the head of a run has
HEADER = re.compile(
    rb"Overriding config with |Overriding: |(?:total number of )?tokens per iteration|found vocab_size = "
    rb"|defaulting to vocab_size|number of parameters: |num (?:non-)?decayed parameter tensors: |using fused AdamW"
    rb"|Initializing |Resuming training from |No meta\.pkl found|forcing vocab_size="
    rb"|compiling the model|loading weights from pretrained"
)
ALSO = re.compile(rb"\|   ?\s{0,3}\d|\| N/A")  # rows of nvidia-smi
NUMBERS = re.compile(rb"\d[\d,]{0,20}(?:\.\d{1,6})?")
VOCAB = re.compile(rb"found vocab_size = (\d{1,9}) \(inside ([^)]{1,200})\)")
FORCED = re.compile(rb"(vocab_size|block_size|bias)=(\d{1,9}|True|False)")


class Header:
    """Gathers the head of each run and decides which run a record belongs to."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.next: Recorder | None = None  # a head that came after records; the first record decides
        self.echo: list[str] = []
        self.echo_from = ""
        self.echoed = 0  # bytes
        self.file_ends = -1  # where the next line of an echoed file would begin, in the present piece
        self.total = 0
        self.resumed: dict[int, list[int]] = {}

    # --- lines

    def wants(self, match: re.Match[bytes]) -> bool:
        line = match[1]
        return bool(
            match.start() == self.file_ends
            or HEADER.match(line)
            or ALSO.match(line)
            or (len(line) > 5 and DEATH.search(line))
        )

    def line(self, match: re.Match[bytes], place: Place) -> None:
        line = match[1].rstrip(b"\r")
        if not HEADER.match(line):
            if match.start() == self.file_ends:
                self._echo(line, match)
            else:
                self.book.machine(line, place.at(match.start()))
            return
        self.file_ends = -1
        where = place.at(match.start())
        if line.startswith(b"Overriding"):
            self._override(line, match, where)
        else:
            self._flush_echo(fresh=b"tokens per iteration" in line)
            self._state(line, where)

    def _override(self, line: bytes, match: re.Match[bytes], where: str) -> None:
        self.echo_from = self.echo_from or where
        if line.startswith(b"Overriding: "):
            self._keep(line.removeprefix(b"Overriding: ").strip() + b"  ")
        else:
            self.file_ends = match.end()

    def _echo(self, line: bytes, match: re.Match[bytes]) -> None:
        self._keep(line)
        self.file_ends = match.end()

    def _keep(self, line: bytes) -> None:
        self.echoed += len(line)
        if self.echoed < ECHO:
            self.echo.append(line.decode("utf-8", "replace"))

    def _flush_echo(self, *, fresh: bool = False) -> None:
        rec = self._head(fresh=fresh)
        text = "\n".join(self.echo).strip("\n")
        if text:
            before = rec.facts.get("config_echo") or Fact("", "", self.echo_from)
            rec.facts["config_echo"] = Fact(f"{before.value}{text}\n", "", before.source)
        self.echo, self.echo_from, self.echoed = [], "", 0

    def _head(self, *, fresh: bool = False) -> Recorder:
        """The recorder that facts of a head go to."""
        rec = self.next or self.book.now
        again = fresh and "tokens_per_step" in rec.facts  # an attempt that died before its first record
        if (self.next is None and not rec.empty) or (self.next is not None and again):
            self.next = Recorder(self.book.name, self.book.format, self.book.unit)
        elif again:
            self.book.begin()
        if fresh:
            self.total = 0
        return self.next or self.book.now

    def _state(self, line: bytes, where: str) -> None:
        rec = self._head()
        number = NUMBERS.search(line)
        if vocab := VOCAB.match(line):
            rec.fact("vocab_size", int(vocab[1]), "", where)
            if int(vocab[1]) <= CHARACTERS:
                rec.fact("char_level", value=True, source=f"assumed: {where}, at most {CHARACTERS} symbols")
        elif b"tokens per iteration" in line and number and b"." not in number[0]:
            rec.fact("tokens_per_step", whole(number[0]), "tokens", where)
        elif line.startswith(b"defaulting to vocab_size") and (
            n := re.search(rb"(?:to|=) (\d{3,9})\b", line)
        ):
            rec.fact("vocab_size", int(n[1]), "", where)
        elif line.startswith(b"number of parameters: ") and number:
            scale = {b"M": 1e6, b"K": 1e3, b"B": 1e9}.get(
                line[line.find(number[0]) + len(number[0]) :][:1], 1.0
            )
            rec.fact("params_logged", round(float(number[0].replace(b",", b"")) * scale), "", where)
            rec.fact("params_logged_kind", "without positions", "", where)
        elif (
            b"decayed parameter tensors" in line
            and len(found := NUMBERS.findall(line)) == 2
            and b"." not in found[1]
        ):
            self.total += whole(found[1])
            if line.startswith(b"num non-decayed"):  # the second of the two
                rec.fact("params_total", self.total, "", where)
        elif line.startswith(b"using fused AdamW"):
            rec.fact("optimizer", "adamw", "", where)
        elif line.startswith(b"compiling the model"):
            rec.fact("compile", value=True, source=where)
        else:
            self._start(rec, line, where)

    def _start(self, rec: Recorder, line: bytes, where: str) -> None:
        if line.startswith(b"Initializing a new model"):
            rec.fact("init_from", "scratch", "", where)
        elif line.startswith(b"Resuming training from "):
            rec.fact("init_from", "resume", "", where)
        elif line.startswith(b"Initializing from OpenAI GPT-2 weights: "):
            rec.fact("init_from", words(line.partition(b": ")[2]), "", where)
        for forced in FORCED.finditer(line):
            value = forced[2] == b"True" if forced[1] == b"bias" else int(forced[2])
            rec.fact(forced[1].decode(), value, "tokens" if forced[1] == b"block_size" else "", where)

    def piece_ends(self, text: bytes) -> None:
        """An echoed file goes on in the next piece where this one ended in it."""
        self.file_ends = 0 if self.file_ends == len(text) else -1

    # --- runs

    def run_of(self, step: int) -> Recorder:
        """The run that a stretch of records beginning at ``step`` belongs to."""
        self.file_ends = -1
        if self.echo:
            self._flush_echo()
        if self.next is not None:
            self._decide(step)
        return self.book.at(step)

    def _decide(self, step: int) -> None:
        head, self.next = self.next, None
        assert head is not None
        new = step == 0 or (head.facts.get("init_from") or Fact("")).value == "scratch"
        if new:
            self.book.begin().facts.update(head.facts)
            return
        run = self.book.now
        said = head.facts.pop("init_from", None)
        run.facts.pop("init_from", None) if said else None
        if said:
            run.facts["init_from"] = said
            at = [*run.facts.get("resumed_at", Fact([])).value, step]
            run.facts["resumed_at"] = Fact(at, "steps", said.source)
        self._merge(run, head, step)

    def _merge(self, run: Recorder, head: Recorder, step: int) -> None:
        echo, before = head.facts.pop("config_echo", None), run.facts.get("config_echo")
        if echo is not None:
            if before is not None and before.value != echo.value:
                run.warn(
                    f"the configuration echoed at {echo.source} is not that at {before.source}; the later holds"
                )
                past = run.facts.get("config_echo_before", Fact([])).value
                run.facts["config_echo_before"] = Fact([*past, [step, before.value]], "", before.source)
            run.facts["config_echo"] = echo
        for name, fact in head.facts.items():
            run.fact(name, fact.value, fact.unit, fact.source)

    def reached(self, step: int) -> None:
        self.book.last = max(self.book.last, step)

    def finish(self) -> list[Run]:
        if self.echo:
            self._flush_echo()
        return self.book.finish()
