"""Which series a trainer's own name for a column, key or tag means. Strict: a doubtful name means none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from ..errors import UnreadableError, printable

LONGEST = 200  # characters of a name that are looked at
LISTED, COMPARED = 20, 500  # names that an error lists, and that are compared for it
WORD = re.compile(r"[a-z0-9]{1,200}")

VAL = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev"})
TRAIN = frozenset({"train", "training", "tr"})
#: words that leave a loss what it is; any other word beside "loss" (scale, aux, best, box) makes it another thing
PLAIN = frozenset(
    {"loss", "nll", "xent", "ce", "cross", "entropy", "batch", "avg", "average", "mean", "running", "lm"}
    | {"total", "step", "iter", "reduced", "raw", "global", "clm", "mlm", "current", "cur"}
)
OTHERS = {
    "lr": {"lr", "learning rate", "learning_rate", "learning-rate", "learningrate", "lr group0", "lr pg0"},
    "grad_norm": {"gnorm", "grad norm", "gradnorm", "gradient norm", "global grad norm", "total grad norm"}
    | {"l2 norm grad global", "global gradient norm", "grad norms total", "gradients norm"},
    "epoch": {"epoch", "epochs", "ep"},
    "tokens": {"tokens", "tokens seen", "total tokens", "consumed tokens", "num tokens", "token count"}
    | {"tokens processed", "seen tokens", "num input tokens seen", "ntokens"},
    "mfu": {"mfu"},
}
BY_NAME = {" ".join(WORD.findall(n)): series for series, names in OTHERS.items() for n in names}


@lru_cache(maxsize=8192)
def plain(name: str) -> str:
    """Lower case, anything but letters and digits as one space.

    >>> plain("Train/Learning_Rate ")
    'train learning rate'
    """
    return " ".join(WORD.findall(name[:LONGEST].lower()))


@lru_cache(maxsize=4096)
def series_of(name: str) -> str | None:
    """The series that ``name`` means, or None where it means another thing or nobody can tell.

    >>> [series_of(n) for n in ("Loss/train", "eval/loss", "val nll", "train/learning_rate", "gnorm")]
    ['batch_loss', 'val_loss', 'val_loss', 'lr', 'grad_norm']
    >>> [series_of(n) for n in ("loss_scale", "best val loss", "train/box_loss", "the loss is", "test_loss")]
    [None, None, None, None, None]
    """
    words = plain(name).split()
    if is_loss(words):
        return "val_loss" if VAL & set(words) else "batch_loss"
    while words and words[0] in TRAIN | {"optim", "optimizer", "trainer", "metrics"}:
        words = words[1:]
    return BY_NAME.get(" ".join(words))


def is_loss(words: list[str]) -> bool:
    """True when the words of a name speak of the loss that is optimised, of one split or of none named."""
    held = set(words)
    if not ("loss" in held or "nll" in held or "xent" in held or {"cross", "entropy"} <= held):
        return False
    allowed = PLAIN | VAL | {"epoch"} if held & VAL else PLAIN | TRAIN
    return held <= allowed and len(words) <= 6


def absent(series: str, wanted: str, names: Iterable[str]) -> UnreadableError:
    """The error for a ``--map`` of a name that the log doesn't hold; the nearest that it holds come first.

    >>> print(absent("val_loss", "eval/nl", ["step", "eval/nll"]))
    --map val_loss=eval/nl: no such column; there are: eval/nll, step
    """
    from difflib import SequenceMatcher

    found = [name[:LONGEST] for name in islice(dict.fromkeys(names), COMPARED)]
    found.sort(key=lambda name: -SequenceMatcher(None, wanted.lower()[:LONGEST], name.lower()).ratio())
    listed = printable(", ".join(found[:LISTED]), 400) or "none with a name"
    return UnreadableError(f"--map {series}={printable(wanted)}: no such column; there are: {listed}")
