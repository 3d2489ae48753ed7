"""Small runs for the probes that look: texts, healthy runs of several kinds, and one cause planted into others.

The texts need no network: the speeches that come with the package, and the source of Python's standard library. Tokens
are characters. Held out are blocks from all over a text: ``val``, and ``fresh`` drawn alike; ``seen`` is as much of train.
"""

from __future__ import annotations

import json
import pickle
import sysconfig
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from unplateau.probes import one_batch

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
BLOCK = 2_000  # characters
HELD = 0.05  # of a text, for val; as much for fresh
LONGEST = 1_500_000  # characters read of one text
SLICE = 12_000  # tokens of a val that is one piece
SEED = 20_261
TOKENS = 640  # of a step, in all runs
OTHER = {"sotu": "code", "code": "sotu"}


@dataclass(frozen=True)
class Data:
    """``train``: tokens kept, 0 is all; ``copies``: share of train that is one block again and again; ``val``: fair, slice,
    other (the other text), mixed (a fifth of it is), or noise (one token in ten is random)."""

    text: str = "sotu"
    train: int = 0
    copies: float = 0.0
    val: str = "fair"

    @property
    def name(self) -> str:
        return f"{self.text}_{sha256(json.dumps(asdict(self)).encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Case:
    """One run. ``fault``: what is broken in the trainer while it runs (``plant``); empty for none."""

    name: str
    cause: str = ""
    data: Data = field(default_factory=Data)
    words: tuple[str, ...] = ()
    fault: str = ""
    block: int = 32
    steps: int = 600


NANOGPT = ("--preset=nanogpt", "--sampling=nanogpt", "--bias=False")
WORDS = (
    *("--n_layer=2", "--n_head=4", "--n_embd=48", "--peak_lr=2e-3", "--floor_lr=1e-4", "--beta2=0.99"),
    *("--warmup_steps=100", "--gradient_accumulation_steps=1", "--eval_interval=0", "--eval_iters=20"),
    *("--log_interval=10", "--log_style=none", "--device=cpu", "--dtype=float32", "--compile=off"),
    *("--attention=explicit", "--matmul=highest"),
)


def words_of(case: Case, data: Path, out: Path) -> list[str]:
    """The command line of a case's run."""
    shape = (f"--block_size={case.block}", f"--batch_size={TOKENS // case.block}")
    steps = (f"--max_steps={case.steps}", f"--decay_end={case.steps}")
    own = any(word.startswith("--preset=modern") for word in case.words)
    first = () if own else NANOGPT
    return [f"--dataset={data}", f"--out_dir={out}", *first, *WORDS, *shape, *steps, *case.words]


ONE = one_batch.WORDS_OF  # of the probe's own arm


def _cases() -> list[Case]:
    found = []
    for text in ("sotu", "code"):
        base = Case(f"healthy.{text}", data=Data(text))

        def add(name: str, cause: str, text: str = text, base: Case = base, **over) -> None:
            data = over.pop("data", {})
            found.append(replace(base, name=f"{name}.{text}", cause=cause, data=Data(text, **data), **over))

        for steps in (60, 300, 600, 1500):
            add(f"healthy-{steps}", "", steps=steps)
        add("healthy-block-64", "", block=64)
        add("healthy-wide", "", words=("--n_embd=96",))
        add("healthy-modern", "", words=("--preset=modern", "--peak_lr=0"), block=64)
        add("healthy-low-rate", "", words=("--peak_lr=5e-5", "--floor_lr=5e-6"))
        for train in (4_000, 10_000, 25_000):
            add(f"repetition-{train}", "repetition", data={"train": train})
        for copies in (0.3, 0.8):
            add(f"duplicates-{copies}", "duplicates", data={"copies": copies})
        for val in ("other", "mixed", "slice", "noise"):
            add(f"val-mismatch-{val}", "val-mismatch", data={"val": val})
        add("both", "repetition+val-mismatch", data={"train": 10_000, "val": "mixed"})
        for block in (4, 8, 16):
            add(f"short-context-{block}", "short-context", block=block)
        for which in ("all", "matrices", "embedding", "half"):
            add(f"frozen-{which}", "frozen-parameters", fault=f"frozen-{which}", steps=300)
        for fault in ("own", "two", "previous", "random", "leak"):
            add(f"targets-{fault}", "broken-targets", fault=f"targets-{fault}", steps=300)
        for fault in ("", "frozen-all", "frozen-matrices", "targets-random", "weights-bfloat16"):
            cause = {"": "", "f": "frozen-parameters", "t": "broken-targets", "w": "precision"}[fault[:1]]
            add(f"one-batch-{fault or 'healthy'}", cause, fault=fault, words=ONE, steps=one_batch.STEPS)
        for name, words in (("wide", ("--n_embd=96",)), ("low", ("--peak_lr=3e-4",))):
            add(f"one-batch-{name}", "", words=(*words, *ONE), steps=one_batch.STEPS)
    half = len(found) // 2  # both texts in turn, so that a part of them is of use
    return [case for pair in zip(found[:half], found[half:], strict=True) for case in pair]


# --- texts


@cache
def text_of(name: str) -> np.ndarray:
    """All tokens of a text; characters outside the alphabet become spaces."""
    if name == "sotu":
        from unplateau.prepare.embedded import embedded_text

        whole = "\n".join(text for _, text in embedded_text())
    else:
        paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        whole = "\n".join(path.read_text("utf-8", "replace") for path in paths)
    table = np.full(0x110000, ALPHABET.index(" "), np.uint16)
    table[[ord(c) for c in ALPHABET]] = np.arange(len(ALPHABET))
    return table[np.array([ord(c) for c in whole[:LONGEST]])]


@cache
def splits_of(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blocks of train, of val and of fresh, each (blocks, ``BLOCK``)."""
    tokens = text_of(name)
    rows = tokens[: len(tokens) // BLOCK * BLOCK].reshape(-1, BLOCK)
    draw = np.random.default_rng(SEED).random(len(rows))
    return rows[draw >= 2 * HELD], rows[draw < HELD], rows[(draw >= HELD) & (draw < 2 * HELD)]


def build(data: Data, folder: Path) -> None:
    """Write ``plain`` (train.bin, val.bin, as nanoGPT has them) and ``full`` (seen.bin and fresh.bin as well)."""
    rows, val, fresh = splits_of(data.text)
    rng = np.random.default_rng(SEED + 1)
    if data.train:
        rows = rows[np.sort(rng.permutation(len(rows))[: max(2, data.train // BLOCK)])]
    train = rows.copy()
    train[rng.random(len(train)) < data.copies] = rows[0]
    seen = train[np.sort(rng.permutation(len(train))[: len(fresh)])]
    train, val = train.ravel(), _val(data, val, rows.ravel(), rng)
    if data.val == "slice":
        train = train[:-SLICE]
    for kind, named in (("plain", (train, val)), ("full", (train, val, seen, fresh))):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for split, tokens in zip(("train", "val", "seen", "fresh"), named, strict=False):
            tokens.ravel().tofile(folder / kind / f"{split}.bin")
        (folder / kind / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(ALPHABET)}))


def _val(data: Data, fair: np.ndarray, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    other = splits_of(OTHER[data.text])[1]
    if data.val == "slice":
        return train[-SLICE:]
    if data.val == "other":
        return other.ravel()
    if data.val == "mixed":
        return np.concatenate([fair, other[: len(fair) // 4]]).ravel()
    if data.val == "noise":
        out = fair.ravel()
        strange = rng.integers(0, len(ALPHABET), len(out))
        return np.where(rng.random(len(out)) < 0.1, strange, out).astype(np.uint16)
    return fair.ravel()


CASES = _cases()
