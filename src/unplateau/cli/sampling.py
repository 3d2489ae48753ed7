"""The verb that writes text from a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UnplateauError, UnreadableError, UsageError
from ._core import DONE, group, say
from .training import dumped, needs_torch

if TYPE_CHECKING:
    from ..train.sample import Trained

Encode = Callable[[str], list[int]]
Decode = Callable[[Sequence[int]], str]


@group.command()
@click.argument("path")
@click.option(
    "--start", default="\n", metavar="TEXT", help="What the text begins with.  [default: a new line]"
)
@click.option(
    "--tokens", type=click.IntRange(1), default=500, show_default=True, metavar="N", help="Of each text."
)
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Texts.")
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    default=0.8,
    show_default=True,
    metavar="T",
    help="0 takes the likeliest token, 1 draws as the model says.",
)
@click.option(
    "--top-k",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    metavar="K",
    help="Draw from the K likeliest; 0 from all.",
)
@click.option("--seed", type=int, default=1337, show_default=True, metavar="N", help="Of the first text.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda or mps.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def sample(path: str, *, start: str, tokens: int, samples: int, as_json: bool, **how: Any) -> int:
    """Write text from a checkpoint.

    PATH is a run's folder, one of its checkpoints/STEP, or nanoGPT's ckpt.pt.
    """
    with needs_torch():
        from ..train.sample import tokens_after, trained
    found = trained(Path(path), how.pop("device"))
    if not start:
        raise UsageError("--start is empty; expected a text that the model goes on from")
    encode, decode = text_of(found)
    first, seed, texts = encode(start), how.pop("seed"), list[str]()
    for number in range(samples):
        drawn = islice(tokens_after(found, first, seed=seed + number, **how), tokens)
        texts.append(decode([*first, *drawn]))
        if not as_json:
            say(f"{texts[-1]}\n" + "---\n" * (number + 1 < samples))
    if as_json:
        say(dumped({"schema": "unplateau.sample/1", "step": found.step, "samples": texts}))
    return DONE


def text_of(found: Trained) -> tuple[Encode, Decode]:
    """To tokens and back, as the run's data were made: by meta.pkl's words, else by the tokenizer of the manifest."""
    from ..train.data import open_corpus

    folder = data_of(found)
    corpus = open_corpus(folder) if folder is not None else None
    if corpus is not None and corpus.words:
        return by_words(corpus.words)
    manifest = manifest_in(found.run) or dict(corpus.manifest or {} if corpus else {})
    name = str(manifest.get("tokenizer") or "gpt2")
    try:
        from ..prepare.tokenizers import SHIPPED, tokenizer_of

        spec = name if name in SHIPPED else str(folder)
        tokenizer = tokenizer_of(spec, alphabet=manifest.get("alphabet"))
    except ModuleNotFoundError as error:
        raise UnplateauError(f"text wants {error.name}: pip install 'unplateau[prepare]'") from None

    def encode(text: str) -> list[int]:
        try:
            ids: list[int] = tokenizer.encode([text])[0][:-1].tolist()
        except UnreadableError:
            known = set(tokenizer.decode(range(tokenizer.vocab_size)))
            raise _unspelt(text, known) from None
        return ids

    return encode, tokenizer.decode


def _unspelt(text: str, known: Container[str]) -> UsageError:
    """That the model never saw a character of ``text``."""
    odd = next((c for c in text if c not in known), text[:1])
    return UsageError(
        f"--start has {odd!r} (U+{ord(odd):04X}), which is not in the alphabet of the run's data: give a --start without it"
    )


def data_of(found: Trained) -> Path | None:
    """The folder of the run's data, where it still lies; of a mixture the first, for all have one tokenizer."""
    from ..train.datasets import found_at, parts

    name = parts(found.settings.dataset)[0][0] if found.settings.dataset else ""
    beside = found.run / "none"  # nanoGPT's data lies beside its out_dir
    path = Path(found_at(name, beside, first="data")) if name else None
    return path if path is not None and path.is_dir() else None


def manifest_in(run: Path) -> dict[str, Any]:
    """The manifest of a run's data, as plain values; empty where there is none."""
    try:
        told = json.loads((run / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def by_words(words: tuple[str, ...]) -> tuple[Encode, Decode]:
    """Each token is a word, as nanoGPT's prepare.py makes them of characters."""
    number = {word: i for i, word in enumerate(words)}

    def encode(text: str) -> list[int]:
        if any(c not in number for c in text):
            raise _unspelt(text, number)
        return [number[c] for c in text]

    return encode, lambda tokens: "".join(words[t] if t < len(words) else "" for t in tokens)
