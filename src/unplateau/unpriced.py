"""What no law can price, said by name with the experiment that would tell."""

from __future__ import annotations

from collections.abc import Sequence

from .asked import Ask
from .counterfactual import BATCH, DATA, SCHEDULED, SIZES
from .outlook import Outlook
from .plugins import discover
from .run import Run

STEPS = "a few hundred steps"
ALIKE = "then both cooled down alike, and their val losses compared"
#: setting -> the cheapest experiment that tells what it is worth
PROBES = {
    **dict.fromkeys(
        SIZES,
        "a twin at half the width for a tenth of the tokens, beside the first tenth of this run",
    ),
    **dict.fromkeys(
        DATA,
        f"a branch of {STEPS} from the last checkpoint on fresh text, beside one on the old, val loss at equal steps",
    ),
    **dict.fromkeys(
        (*SCHEDULED[:5], "max_steps"),
        f"a branch of {STEPS} from the last checkpoint under the new rate, beside one as it is",
    ),
    **dict.fromkeys(
        BATCH, f"two branches of {STEPS} x the old batch's tokens from one checkpoint, at equal tokens"
    ),
    "n_head": "two short runs of a tenth of the tokens, one with each number of heads",
    "peak_lr": f"two branches of {STEPS} from one early checkpoint, one at each rate, {ALIKE}",
    "warmup_steps": f"two short runs of {STEPS} from step 0, one with each warm-up",
    "dropout": f"a branch of {STEPS} from the last checkpoint with the new dropout, beside one as it is; val loss at equal steps",
    "weight_decay": f"two branches of {STEPS} from one checkpoint, one with each weight decay, {ALIKE}",
    "dtype": f"a branch of {STEPS} from the last checkpoint in float32, beside one as it is, on the same batches",
    "optimizer": "two short runs of a tenth of the tokens, each with a peak rate tuned for its optimiser",
    "beta1": f"two branches of {STEPS} from one checkpoint, one with each beta1",
    "beta2": f"two branches of {STEPS} from one checkpoint, one with each beta2",
    "grad_clip": f"a branch of {STEPS} with the new clip, beside one as it is; gradient norms logged at each step",
    "label_smoothing": "evaluate the last checkpoint without label smoothing: the loss itself is another",
    "block_size": "evaluate the last checkpoint at the other context: loss by position tells what context is worth",
    "vocab_size": "a short run of each tokenizer, compared in bits per byte, not in nats per token",
    "tokenizer": "a short run with each tokenizer, compared in bits per byte, not in nats per token",
}
ANY = f"two branches of {STEPS} from one checkpoint, with and without the change, at equal tokens"
#: what people would change and no law prices, in the words of a report
NEVER = (
    "peak learning rate, dropout, weight decay, precision and optimizer: no law prices them; two short branches from one "
    "checkpoint tell"
)


def refusal(outlook: Outlook, other: Run, ask: Ask) -> str:
    """One line on what no law prices in ``other``; empty where all is priced."""
    unpriced = [key for key in outlook.unpriced(other) if not _idle(outlook.run, other, key)]
    unpriced += [key for key in _reshaped(outlook.run, other) if key not in unpriced]
    if not unpriced:
        return ""
    said = [_why(outlook, key, ask) for key in _told_once(unpriced)]
    return f"{ask.name}: {'; '.join(said)}"


def _idle(run: Run, other: Run, key: str) -> bool:
    """True for a change that leaves every step as it is: micro-batches cut another way, the start of a run."""
    same = run.get("tokens_per_step") == other.get("tokens_per_step") is not None
    return key == "init_from" or (key in BATCH and same)


def _reshaped(run: Run, other: Run) -> list[str]:
    """The settings of a shape that has as many parameters as before: laws of the size see no difference in it."""
    changed = [key for key in SIZES if run.get(key) != other.get(key)]
    same = run.get("params_total", run.get("params")) == other.get("params_total", other.get("params"))
    return changed[:1] if same else []


def _told_once(keys: Sequence[str]) -> list[str]:
    """A schedule has many settings, and one reason why it is not priced; so have a batch and a shape."""
    kinds = {"schedule": set(SCHEDULED) - {"peak_lr"}, "batch": set(BATCH), "shape": set(SIZES)}
    out: dict[str, str] = {}
    # the setting that says most is the one to name: a peak, not the rates that come of it; a width, not its heads
    for key in sorted(
        set(keys) - ({"schedule"} if "peak_lr" in keys else set()), key=("schedule", "n_head").__contains__
    ):
        kind = next((kind for kind, names in kinds.items() if key in names), key)
        out.setdefault(kind, key)
    return list(out.values())


def _why(outlook: Outlook, key: str, ask: Ask) -> str:
    """A law that could and does not fit, else the probe."""
    shown = "a cooldown" if "cooldown" in ask.settings and key in SCHEDULED else key
    laws = [law for law in discover("laws").values() if key in law.prices]
    reasons = [
        f"the {law.name} law: {outlook.refused[law.name]}" for law in laws if law.name in outlook.refused
    ]
    if reasons:
        return f"{shown} can't be priced on this run ({'; '.join(reasons)})"
    return f"no law prices {shown}; a probe would tell: {PROBES.get(key, ANY)}"
