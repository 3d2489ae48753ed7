"""Which weights of a checkpoint never moved, told from a few numbers of each: no torch, nothing is loaded whole.

A tensor *moved* where its numbers can't be those that it began with, is *taught* where Adam has kept squares of its
gradients, and is *still* where those are all 0; where a norm's gains are all 1 (or less, and all
alike, by weight decay), a bias or a matrix all 0, as they began; or where its numbers are what was drawn for it: independent, of one normal distribution no wider than
GPT-2's. Weight decay shrinks all of them alike and leaves that as it is. What learns does not stay so: an update is the
same for all that a neuron reads, so rows and columns come to differ, and the largest singular value leaves the bulk.

Sources: GPT-2's initialisation (standard deviation .02; .02 / sqrt(2 n_layer) where a branch ends), as in karpathy/nanoGPT;
Marchenko and Pastur 1967 and Johnstone 2001 (the largest singular value of such a matrix: (sqrt(r-1) + sqrt(c))^2 for its
square, and its scatter); Martin and Mahoney 2021, JMLR 22(165) (trained layers leave that law, random ones keep it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from .config._dialect import told
from .errors import printable
from .run import Fact
from .tensors import DAMAGE, KINDS, MATRIX, Saved, Stored, saved_at, step_of

ROWS, COLUMNS = 64, 256  # of a matrix that are read: 16,384 numbers know their standard deviation to .6 %
LEAST = 512  # numbers of a matrix; fewer tell nothing
VECTOR = 8_192  # numbers of a vector, at most: gains and biases are read whole
BYTES = (
    16 << 20
)  # of one checkpoint, at most, the largest tensors first: 256 matrices; GPT-2 with 148 tensors takes .1 s
NORMAL = 4.5  # of its errors by which a drawn matrix may stray: of 10,000 drawn at random 5 strayed farther
GONE = 9.0  # errors beyond which a matrix has surely left what was drawn; twice the above
WIDEST = 0.02  # GPT-2's initial standard deviation; those of branches' ends are smaller
TW_MEAN, TW_SD = -1.21, 1.27  # of the Tracy-Widom law of order 1, by which a largest singular value scatters
NOT_JUDGED = re.compile(r"expert|lora_|rotary|inv_freq", re.IGNORECASE)  # what may rest, or is no weight
GAIN = re.compile(r"(?:^|[._])(?:ln_?\w{0,8}|\w{0,40}norm\w{0,8})\.(?:weight|gain|scale)$", re.IGNORECASE)
BIAS = re.compile(r"(?:^|[._])bias$")
KEYS = re.compile(
    r"(?:^|[._])(?:k|key|keys|k_proj|wk)[._]"
)  # the bias of keys changes no attention: no gradient
EXACT = ("F32", "F64")  # in 16 bits a gain near 1 may be rounded to it
INPUT = re.compile(r"(?:^|[._])(?:wte|embed|embed_tokens|tok_embeddings|word_embeddings)\.weight$")
POSITIONS = re.compile(r"(?:^|[._])(?:wpe|positions|embed_positions|position_embeddings)\.weight$")
OUTPUT = re.compile(r"(?:^|[._])(?:lm_head|output|head)\.weight$")

F64 = NDArray[np.float64]
State = Literal["still", "moved", "taught", "unclear"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A tensor, and why it is what it is."""

    name: str
    parameters: int
    state: State
    why: str = ""


def weights_of(path: Path) -> dict[str, Fact]:
    """The facts of the weights at ``path``; none where no checkpoint lies there that can be read.

    ``weights_still``: rows of name, parameters and why (gradient, gains, bias, zero, drawn); the other names are in ``facts``.
    """
    saved = saved_at(path)
    try:
        judged = [] if saved is None else list(judge(saved))
    except DAMAGE:  # rewritten while it was read
        return {}
    if saved is None or not judged:
        return {}
    facts = {
        "weights_still": [[printable(j.name), j.parameters, j.why] for j in judged if j.state == "still"],
        "weights_moved": sum(j.state in ("moved", "taught") for j in judged),
        "weights_unclear": sum(j.parameters for j in judged if j.state == "unclear"),
        "weights_counted": sum(j.parameters for j in judged),
        "weights_step": saved.step,
        "optimizer_steps": saved.counted,
        "optimizer_saved": saved.moments is not None,
    }
    name = path.name if path.suffix else f"checkpoint {path.name}"
    return {key: told(key, value, printable(name)) for key, value in facts.items() if value is not None}


def newest(folder: Path) -> Path | None:
    """The checkpoint of a run in ``folder`` that was written last: nanoGPT's, ours, or Hugging Face's; None where there is none.

    >>> newest(Path("nowhere"))
    """
    try:
        if (folder / "ckpt.pt").is_file():
            return folder / "ckpt.pt"
        own = [p for p in (folder / "checkpoints").glob("*") if (p / "sha256.json").is_file()]
        theirs = [p for p in folder.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
        numbered = [(n, p) for p in (*own, *theirs) if (n := step_of(p.name)) is not None]
        if numbered:
            return max(numbered)[1]
        return folder if (folder / "model.safetensors").is_file() else None
    except OSError:
        return None


def judge(saved: Saved) -> Iterator[Judged]:
    """Each tensor of ``saved`` once, the largest first, until ``BYTES`` are read."""
    once = {(part.path, part.start): part for part in reversed(list(saved.weights.values()))}
    untied = sum(bool(OUTPUT.search(p.name) or INPUT.search(p.name)) for p in once.values()) > 1
    left = BYTES
    for part in sorted(once.values(), key=lambda p: -p.size):
        if NOT_JUDGED.search(part.name) or not 1 <= len(part.shape) <= MATRIX or not part.size or left <= 0:
            continue
        with part.path.open("rb") as file:
            block = _read(file, part)
        left -= block.size * KINDS[part.dtype][0]
        rests = POSITIONS.search(part.name) or (untied and INPUT.search(part.name))
        yield _judged(part, block, saved, rests=bool(rests))


def _judged(part: Stored, block: F64, saved: Saved, *, rests: bool) -> Judged:
    """``rests``: rows of tokens that never come, or of places beyond the window, stand still in a model that learns."""
    state, why = _vector(part, block) if len(part.shape) < MATRIX else _matrix(block)
    moment = (saved.moments or {}).get(part.name) if saved.counted and state != "moved" else None
    if moment is not None:  # Adam knows better than what chance may look like
        state, why = ("taught", "") if np.any(_moments(moment)) else ("still", "gradient")
    if rests and state == "still":
        state, why = "unclear", ""
    return Judged(part.name, part.size, state, why)


def _read(file: BinaryIO, part: Stored) -> F64:
    """A vector, or rows and columns of a matrix (r, c), spread over it."""
    if len(part.shape) < MATRIX:
        return part.numbers(file, 0, VECTOR)
    rows, columns = part.shape
    first = max(0, columns - COLUMNS) // 2
    places = np.unique(np.linspace(0, rows - 1, min(rows, ROWS)).astype(int)).tolist()
    found = [part.numbers(file, row * columns + first, min(columns, COLUMNS)) for row in places]
    return np.array([row for row in found if len(row) == len(found[0])])


def _moments(part: Stored) -> F64:
    """A few of them, and many only where those are all 0."""
    with part.path.open("rb") as file:
        few = part.numbers(file, part.size // 2, COLUMNS)
        return few if np.any(few) else _read(file, part)


def _vector(part: Stored, values: F64) -> tuple[State, str]:
    """Gains and biases begin as exact numbers; of other vectors nothing is known."""
    gain, bias = GAIN.search(part.name), BIAS.search(part.name) and not KEYS.search(part.name)
    if not (gain or bias) or not np.all(np.isfinite(values)):
        return "unclear", ""
    if np.any(values != values[0]) or not (0 < values[0] <= 1 if gain else values[0] == 0):
        return "moved", ""
    return ("still", "gains" if gain else "bias") if part.dtype in EXACT else ("unclear", "")


def _matrix(block: F64) -> tuple[State, str]:
    if block.size < LEAST or min(block.shape) < MATRIX or not np.all(np.isfinite(block)):
        return "unclear", ""
    if not np.any(block):
        return "still", "zero"
    strays = max(abs(one) for one in departures(block))
    sd = float(np.sqrt(np.mean(block**2)))
    if strays > GONE or sd > WIDEST * (1 + GONE / sqrt(2 * block.size)):
        return "moved", ""
    drawn = strays < NORMAL and sd <= WIDEST * (1 + NORMAL / sqrt(2 * block.size))
    return ("still", "drawn") if drawn else ("unclear", "")


def departures(block: F64) -> tuple[float, ...]:
    """How far a matrix lies from independent normal numbers of one variance, in standard errors, by five measures.

    ``block``: (r, c). Its mean, its excess kurtosis (error sqrt(24 / n)), the scatter of the mean squares of its rows and of its columns
    (chi-squared), and its largest singular value (Johnstone 2001, Tracy-Widom).

    >>> drawn = np.random.default_rng(0).normal(0, 0.02, (64, 256))
    >>> max(abs(one) for one in departures(drawn)) < 3
    True
    >>> max(abs(one) for one in departures(drawn + 0.01 * np.sign(drawn[:1]))) > 9
    True
    """
    r, c = block.shape
    z = block / np.sqrt(np.mean(block**2))
    square = z**2
    kurtosis = (float(np.mean(square**2)) - 3) / sqrt(24 / z.size)
    largest = float(np.linalg.eigvalsh(z @ z.T)[-1])
    a, b = sqrt(r - 1), sqrt(c)
    edge = (largest - (a + b) ** 2) / ((a + b) * (1 / a + 1 / b) ** (1 / 3))
    rows, columns = (_scatter(square.mean(axis), n) for axis, n in ((1, c), (0, r)))
    return float(z.mean()) * sqrt(z.size), kurtosis, rows, columns, (edge - TW_MEAN) / TW_SD


def _scatter(means: F64, count: int) -> float:
    """How much more ``means`` of ``count`` squares differ than chance lets them, in errors of chi-squared."""
    freedom = len(means) - 1
    return (float(((means - 1) ** 2).sum()) * count / 2 - freedom) / sqrt(2 * freedom)
