"""What a run starts from: nothing, a run that stopped, nanoGPT's ``ckpt.pt``, or GPT-2's weights in a local folder.

Which it is, and the shape that it forces, is told without torch, before anything is built; ``fill`` then loads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..checkpoint import read_checkpoint
from ..config import read_config
from ..errors import UnreadableError, UsageError, printable
from ..run import Fact
from .checkpoints import FOLDER as CHECKPOINTS
from .checkpoints import STATE, WORDS, found_at, last_told, read, set_aside, steps, whole
from .data import Corpus, open_data
from .settings import Resolved, Settings
from .words import called

if TYPE_CHECKING:
    from torch import Tensor

    from .session import Session

CONFIG = "config.json"  # in a run's folder, and in Hugging Face's
CKPT = "ckpt.pt"  # nanoGPT's, in its out_dir
SHAPE = (
    "n_layer",
    "n_head",
    "n_embd",
    "block_size",
    "bias",
    "vocab_size",
)  # what weights force, as in train.py
#: what a checkpoint of our own forces
MODEL = (*SHAPE[:3], "n_kv_head", "mlp_hidden", "architecture", "bias", "tied", "positions", "vocab_size")
LEARNED = "learned"
#: what nanoGPT's model is of, beside SHAPE: its architecture's own
GPT2: Mapping[str, Any] = {
    "architecture": "gpt2",
    "n_kv_head": 0,
    "mlp_hidden": 0,
    "tied": True,
    "positions": "",
}
WIDER = 4  # times n_embd: its hidden layer
FLAG = "--"  # begins an origin: a setting that was given on the command line
CROPPED = (
    "positions.weight"  # its rows are places; a shorter context takes the first ones (train.py does so too)
)


@dataclass(frozen=True, slots=True)
class Start:
    """``own``: ``path`` is a run's folder, or one of its checkpoints; ``nanogpt``: a file; ``gpt2``: a folder."""

    kind: Literal["scratch", "own", "nanogpt", "gpt2"]
    path: Path = Path()


def start_of(settings: Settings) -> Start:
    """What ``init_from`` means. Raises ``UsageError`` or ``UnreadableError`` where it is nothing to start from.

    >>> start_of(Settings()).kind
    'scratch'
    """
    word = settings.init_from
    if word == "scratch":
        return Start("scratch")
    path = Path(settings.out_dir if word == "resume" else word)
    if not path.exists():
        if (path.name in WORDS or path.name.isdigit()) and path.parent.is_dir():
            return Start("own", path)
        raise _missing(word, path)
    if steps(path / CHECKPOINTS) or steps(path) or (path / STATE).is_file():
        return Start("own", path)
    for place in (path, path / CKPT):
        if place.is_file():
            return Start("nanogpt", place)
    if word == "resume" and (path / CONFIG).is_file():
        return _anew(settings)
    if word != "resume" and (path / CONFIG).is_file():
        return Start("gpt2", path)
    raise UnreadableError(
        f"{printable(str(path))} holds nothing to go on from; expected {CHECKPOINTS}/ of a run, nanoGPT's {CKPT}, "
        "or a Hugging Face folder of GPT-2"
    )


def _anew(settings: Settings) -> Start:
    """How a run began that was ended before its first checkpoint: it goes on from there."""
    try:
        word = json.loads((Path(settings.out_dir) / CONFIG).read_bytes())["init_from"]
    except (OSError, ValueError, KeyError, TypeError):
        word = "scratch"
    return start_of(replace(settings, init_from=str(word))) if word != "resume" else Start("scratch")


def _missing(word: str, path: Path) -> UsageError:
    if word == "resume":
        return UsageError(f"there is no run in {printable(str(path))} to resume: give its --out_dir")
    if word.startswith("gpt2"):
        return UsageError(
            f"{printable(word)} is not fetched from a network: give the folder that holds its weights, --init_from=FOLDER"
        )
    return UsageError(
        f"init_from is {printable(word)!r}; expected scratch, resume, or a checkpoint or a folder of weights that is there"
    )


def shaped(resolved: Resolved, start: Start) -> Resolved:
    """``resolved`` with the shape that the weights of ``start`` force; a shorter ``block_size`` stays.

    A file's other shape gives way, as in train.py. Raises ``UsageError`` where the weights are of another one than the
    command line asks for.
    """
    if start.kind == "scratch":
        return resolved
    if start.kind == "own":
        return _as_saved(resolved, *last_told(start.path))
    told = read_checkpoint(start.path) if start.kind == "nanogpt" else _folder(start.path)
    changes = {name: told[name].value for name in SHAPE if name in told}
    s = resolved.settings
    if "block_size" in changes:
        changes["block_size"] = min(s.block_size, changes["block_size"])
    changes |= GPT2
    meant = {"n_kv_head": s.n_head, "mlp_hidden": WIDER * s.n_embd, "positions": LEARNED}  # by name: the same
    changes = {n: v for n, v in changes.items() if getattr(s, n) not in (v, meant.get(n, v))}
    refuse_other_model(resolved, changes)
    return _giving_way(resolved, changes, start.path.name)


def data_for(resolved: Resolved, start: Start) -> list[tuple[Corpus, float]]:
    """The data of ``resolved``, which is ``shaped``.

    Raises what ``open_data`` does, and ``UsageError`` where the weights of ``start`` do not know all tokens of the data.
    """
    return open_data(resolved.settings, weights=start.kind != "scratch")


def _as_saved(resolved: Resolved, place: Path, plain: Mapping[str, Any]) -> Resolved:
    """With the model that a checkpoint of ours holds."""
    was, s = plain.get("settings", {}), resolved.settings
    changes = {name: was[name] for name in MODEL if name in was and was[name] != getattr(s, name)}
    if was.get("block_size", s.block_size) < s.block_size and LEARNED in (s.positions, was.get("positions")):
        changes["block_size"] = was["block_size"]
    refuse_other_model(resolved, changes)
    return _giving_way(resolved, changes, f"{CHECKPOINTS}/{place.name}")


def _giving_way(resolved: Resolved, held: Mapping[str, Any], place: str) -> Resolved:
    """With what the weights are of; a setting of a file that they are not of is told."""
    notes = [
        f"{called(name, resolved.origin[name])} is {printable(str(getattr(resolved.settings, name)))}; "
        f"the checkpoint's model has {printable(str(value))}, and that is taken"
        for name, value in held.items()
        if ":" in resolved.origin.get(name, "")  # a file and its line
    ]
    return replace(
        resolved,
        settings=replace(resolved.settings, **held),
        origin={**resolved.origin, **dict.fromkeys(held, place)},
        notes=(*resolved.notes, *notes),
    )


def refuse_other_model(resolved: Resolved, held: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` for a setting of the command line that weights are not of; ``held`` is what they are of.

    A 0, or an empty word, asks for nothing: it stands for the architecture's own.
    """
    for name, value in held.items():
        flag, given = resolved.origin.get(name, ""), getattr(resolved.settings, name)
        if flag.startswith(FLAG) and (given or given is False):
            own = printable(str(value)) if value or value is False else "its architecture's own"
            raise UsageError(
                f"{flag} is {printable(str(given))}; expected what the checkpoint's model has, {own}: leave it out, "
                "or train a new model in another --out_dir"
            )


def proved(start: Start, say: Callable[[str], None], *, mend: bool = False) -> Start:
    """``start`` with the checkpoint that it means, every byte of it hashed; ``say`` is told of damaged ones.

    ``mend``: those are set aside, in the run's own folder. Raises ``UnreadableError`` where none is whole.
    """
    if start.kind != "own":
        return start
    place = whole(start.path, say)
    if mend:
        set_aside(place.parent, after=int(place.name))
    return replace(start, path=place)


def _folder(path: Path) -> Mapping[str, Fact]:
    return {
        **read_config(path / CONFIG),
        "bias": Fact(True),
    }  # OpenAI's GPT-2 has them, no config says it


def fill(session: Session, start: Start) -> None:
    """Give ``session`` the weights of ``start``; of a checkpoint all it holds, of nanoGPT's Adam's moments and the step."""
    if start.kind == "own":
        from .resume import restore

        restore(session, read(found_at(start.path), proved=False))
    elif start.kind == "gpt2":
        from .huggingface import read_gpt2

        _load(session, read_gpt2(start.path)[1])
    elif start.kind == "nanogpt":
        from .nanogpt_ckpt import read_ckpt, set_moments

        ckpt = read_ckpt(start.path, going_on=not session.settings.eval_only)
        whole = _load(session, ckpt.weights)
        if whole and session.settings.optimizer == "adamw":
            set_moments(session.model, session.optimizer, ckpt.moments)
        session.step, session.best = ckpt.step, ckpt.best_val_loss


def _load(session: Session, weights: Mapping[str, Tensor]) -> bool:
    """Copy weights into the model; False where positions were cut, and Adam's moments no longer fit."""
    from .distributed import as_held

    rows = session.settings.block_size
    cut: dict[str, Any] = {n: w[:rows] if n == CROPPED else w for n, w in weights.items()}
    own = dict(session.model.named_parameters())
    session.model.load_state_dict({name: as_held(w, own.get(name, w)) for name, w in cut.items()})
    return all(cut[name].shape == weight.shape for name, weight in weights.items())
