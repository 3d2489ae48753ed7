"""Facts that follow from other facts by arithmetic: tokens, sizes, times, the learning rate now.

``derive`` can be called again on its own result, and ``changed`` is the way to change a setting:
what had been counted from the old value is counted anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .planned import is_share, schedule_of
from .run import Fact, Run
from .shape import Shape

COUNTED = "counted"  # the start of the source of every fact made here
SIZES = ("params_logged", "params", "params_non_embedding", "params_total")
SHAPING = ("n_layer", "n_head", "n_kv_head", "n_embd", "head_dim", "mlp_hidden", "vocab_size", "bias", "tied")
#: settings that a logged number depends on: where they are changed, the logged number is of another run
DEPENDS: dict[str, tuple[str, ...]] = {
    "tokens_per_step": ("batch_size", "gradient_accumulation_steps", "block_size", "world_size"),
    **dict.fromkeys(SIZES, SHAPING),
    "planned_end": ("max_steps", "epochs_planned"),
}
#: formats whose epoch is a fraction by definition, even where the logged ones are whole
FRACTIONAL = ("hf-trainer-state", "hf-stdout", "llamafactory")
ERRORS = {
    "eval_error": "val_loss_error",
    "eval_text_error": "val_text_error",
}  # fact -> series of our own log
SHAPED = ("n_layer", "n_embd", "vocab_size", "architecture")


def derive(run: Run) -> Run:
    """The run with every derived fact of VOCABULARY that its facts and curves can tell, and its schedule.

    >>> told = {"batch_size": 16, "gradient_accumulation_steps": 32, "block_size": 1024}
    >>> derive(Run("demo", facts={name: Fact(value) for name, value in told.items()})).facts["tokens_per_step"]
    Fact(value=524288, unit='tokens', source='counted')
    """
    told = {name: fact for name, fact in run.facts.items() if not _ours(name, fact)}
    run = replace(run, facts=told)
    for rule in RULES:
        run = run.with_facts(**{n: f for n, f in rule(run).items() if n not in run.facts})
    run = replace(run, schedule=schedule_of(run.facts, run.series))
    for rule in AFTER_SCHEDULE:
        run = run.with_facts(**{n: f for n, f in rule(run).items() if n not in run.facts})
    return run


def changed(run: Run, settings: Mapping[str, Any]) -> Run:
    """The same run with other settings, by VOCABULARY's names; ``None`` forgets one.

    >>> run = derive(Run("demo", facts={"batch_size": Fact(16), "gradient_accumulation_steps": Fact(2),
    ...                                 "block_size": Fact(64)}))
    >>> changed(run, {"batch_size": 32}).get("tokens_per_step")
    4096
    """
    stale = {name for name, inputs in DEPENDS.items() if set(inputs) & set(settings)}
    kept = {n: f for n, f in run.facts.items() if n not in stale and n not in settings}
    new = {n: Fact(v, _unit(n), "changed") for n, v in settings.items() if v is not None}
    return derive(replace(run, facts={**kept, **new}))


def _ours(name: str, fact: Fact) -> bool:
    return name in DERIVED and fact.source.startswith(COUNTED)


def _unit(name: str) -> str:
    from .facts import VOCABULARY

    return VOCABULARY.get(name, ("", ""))[0]


def _counted(**values: Any) -> dict[str, Fact]:
    return {name: Fact(v, _unit(name), COUNTED) for name, v in values.items() if v is not None}


def _batch(run: Run) -> dict[str, Fact]:
    parts = [run.get(n) for n in ("batch_size", "gradient_accumulation_steps", "block_size")]
    if not all(parts):
        return {}
    per_step = parts[0] * parts[1] * parts[2]
    assumed = "; ".join(
        run.source(n) for n in ("gradient_accumulation_steps", "block_size") if "assumed" in run.source(n)
    )
    return {"tokens_per_step": Fact(per_step, "tokens", COUNTED + (f" ({assumed})" if assumed else ""))}


def _length(run: Run) -> dict[str, Fact]:
    last = [int(curve.step[-1]) for curve in run.series.values() if len(curve)]
    done = max(last, default=None)
    return _counted(steps_done=done, planned_end=_planned_end(run))


def _planned_end(run: Run) -> int | None:
    if run.get("max_steps") and not run.has("step_unit"):
        return int(run.get("max_steps"))
    epochs, logged = run.get("epochs_planned"), run.series.get("epoch")
    if not epochs or logged is None or not len(seen := logged.finite) or seen.last <= 0:
        return None
    return max(int(seen.step[-1]), round(float(epochs) * int(seen.step[-1]) / seen.last))


def _tokens(run: Run) -> dict[str, Fact]:
    logged, steps, per_step = run.series.get("tokens"), run.get("steps_done"), run.get("tokens_per_step")
    if logged is not None and len(seen := logged.finite):
        return {"tokens_seen": Fact(seen.last, "tokens", "counted: as logged")}
    if steps is None or not per_step or run.has("step_unit"):
        return {}  # what is set for an optimiser step says nothing of a record or an epoch
    return _counted(tokens_seen=steps * per_step)


def _evaluation(run: Run) -> dict[str, Fact]:
    facts = {name: found for name, series in ERRORS.items() if (found := _last_error(run, series))}
    parts = [run.get(n) for n in ("eval_iters", "batch_size", "block_size")]
    # only nanoGPT's evaluation is that simple: eval_iters micro-batches of the training batch's size
    drawn = run.get("config_dialect", run.format) == "nanogpt" or run.get("eval_windows") == "drawn"
    return (
        {**facts, **_counted(eval_tokens=parts[0] * parts[1] * parts[2])} if all(parts) and drawn else facts
    )


def _last_error(run: Run, series: str) -> Fact | None:
    """The standard error that the log tells of its last val loss; 0 where all of val was read."""
    told = run.series.get(series)
    if told is None or not len(seen := told.finite) or seen.last < 0:
        return None
    return Fact(seen.last, "nats", f"{COUNTED}: {series} as logged at step {int(seen.step[-1]):,}")


def _size(run: Run) -> dict[str, Fact]:
    shape = Shape.of({name: fact.value for name, fact in run.facts.items()})
    if shape is None:
        # a count that the log prints is better than none
        return _counted(params=run.get("params_total") or run.get("params_logged") or None)
    guessed = ", ".join(n for n in SHAPED if "assumed" in run.source(n))
    source = COUNTED + (f" (with assumed {guessed})" if guessed else "")
    sizes = {n: getattr(shape, n) for n in ("params", "params_non_embedding", "params_total")}
    if total := run.get("params_total"):
        # what was built beats what the shape comes to: it may hold more than the shape knows of
        sizes["params"] = total - (shape.params_total - shape.params)
        source = f"counted from {run.source('params_total')}"
    return {**{name: Fact(value, "", source) for name, value in sizes.items()}, **_memory(run, shape)}


def _memory(run: Run, shape: Shape) -> dict[str, Fact]:
    batch, dtype = run.get("batch_size"), run.get("dtype")
    if not batch or not dtype or not run.get("block_size"):
        return {}
    need = shape.memory(batch, dtype)
    return {"memory_needed": Fact(need, "bytes", "counted: Korthikanti et al. 2022, with flash attention")}


def _ratios(run: Run) -> dict[str, Fact]:
    tokens, params = run.get("tokens_seen"), run.get("params")
    shape = Shape.of({name: fact.value for name, fact in run.facts.items()})
    flops = shape.flops_per_token * tokens if shape and tokens and run.get("block_size") else None
    unique = run.get("unique_tokens") or run.get("train_tokens")
    warm, per_step = run.get("warmup_steps"), run.get("tokens_per_step")
    return _counted(
        tokens_per_param=tokens / params if tokens and params else None,
        flops=flops,
        passes=tokens / unique if tokens and unique else _epochs(run),
        warmup_tokens=warm * per_step if warm is not None and per_step else None,
    )


def _epochs(run: Run) -> float | None:
    """The last logged epoch, where it is logged as a fraction (Hugging Face and others): passes over the data."""
    epoch = run.series.get("epoch")
    if epoch is None or not len(epoch.finite):
        return None
    last = epoch.finite.value
    fractions = bool((last % 1 != 0).any()) or run.format in FRACTIONAL
    return float(last[-1]) if fractions and last[-1] > 0 else None


def _loss_units(run: Run) -> dict[str, Fact]:
    from .units import bits_per_byte, perplexity

    val = run.series.get("val_loss")
    if val is None or val.unit != "nats" or not len(val := val.finite):
        return {}
    width = run.get("bytes_per_token")
    return _counted(
        perplexity=perplexity(val.last), bits_per_byte=bits_per_byte(val.last, width) if width else None
    )


def _clock(run: Run) -> dict[str, Fact]:
    from .timing import step_seconds

    seconds = step_seconds(run)
    steps, end = run.get("steps_done"), run.get("planned_end")
    if seconds is None or steps is None:
        return {}
    if run.has("step_unit"):  # steps_done is none of the optimiser's
        return _counted(step_seconds=seconds)
    left = max(0, end - steps) * seconds / 3600 if end else None
    return _counted(step_seconds=seconds, hours_so_far=steps * seconds / 3600, hours_left=left)


def _machine(run: Run) -> dict[str, Fact]:
    from .timing import card_of, mfu_of

    facts = {} if (mfu := mfu_of(run)) is None else {"mfu": mfu}
    card = card_of(run)
    if card is not None and card[0].memory:
        facts["gpu_memory"] = Fact(card[0].memory, "bytes", f"counted: {card[0].source}; {card[1]}")
    return facts


def _rate(run: Run) -> dict[str, Fact]:
    logged, steps = run.series.get("lr"), run.get("steps_done")
    if logged is not None and len(seen := logged.finite):
        now, source = seen.last, "counted: as logged"
    elif run.schedule is not None and steps is not None and not run.has("step_unit"):
        now, source = run.schedule(steps), "counted: from the schedule"
    else:
        return {}
    peak = run.schedule.peak if run.schedule else run.get("peak_lr")
    if is_share(run.facts, run.series):  # of unknown peaks
        return _counted(lr_share=now / peak) if peak else {}
    facts = {"lr_now": Fact(now, "", source)}
    return {**facts, **_counted(lr_share=now / peak)} if peak else facts


RULES: tuple[Callable[[Run], dict[str, Fact]], ...] = (
    *(_batch, _length, _tokens, _evaluation, _size, _ratios, _loss_units, _clock, _machine),
)
AFTER_SCHEDULE: tuple[Callable[[Run], dict[str, Fact]], ...] = (_rate,)
DERIVED = frozenset(
    {
        *("steps_done", "planned_end", "tokens_seen", "tokens_per_step", "tokens_per_param", "warmup_tokens"),
        *("params", "params_non_embedding", "params_total", "flops", "memory_needed", "gpu_memory", "mfu"),
        *("lr_now", "lr_share", "perplexity", "bits_per_byte", "passes", "eval_tokens", *ERRORS),
        *("step_seconds", "hours_so_far", "hours_left"),
    }
)
