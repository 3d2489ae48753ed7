"""MaxText: ``completed step: 9, seconds: 0.440, TFLOP/s/device: 233.790, ..., loss: nan``.

The configuration stands before as ``Config param name: value``, a thousand lines of it.
"""

from __future__ import annotations

import re

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._lines import MACHINE, marked, number, settle
from ._records import STEP_LIMIT, Recorder
from ._text import Book, count
from ._units import in_nats

RECORD = re.compile(rb"completed step: {1,8}(\d{1,18}), ")
FIELD = re.compile(rb"(?<= )(seconds|loss|lm_loss|learning_rate|grad_norm): {1,8}([^\s,|]{1,24})(?=,|\s|$)")
EVAL = re.compile(rb"eval metrics after step: {1,8}(\d{1,18}), {0,4}loss[=:] {0,8}([^\s,|]{1,24})(?=,|\s|$)")
PARAM = re.compile(rb"Config param (\w{1,80}): ([^\n]{0,400})$")
PARAMETERS = re.compile(rb"number parameters: {1,8}(\d{1,6}(?:\.\d{1,6})?) (billion|million)")
MARK = re.compile(rb"completed step: |eval metrics after step: |Config param |number parameters: |" + MACHINE)
FIELDS = {
    b"seconds": ("step_ms", 1e3),
    b"loss": ("batch_loss", 1.0),
    b"learning_rate": ("lr", 1.0),
    b"grad_norm": ("grad_norm", 1.0),
}
CONFIG = {
    "base_num_decoder_layers": ("n_layer", ""),
    "base_emb_dim": ("n_embd", ""),
    "base_num_query_heads": ("n_head", ""),
    "base_num_kv_heads": ("n_kv_head", ""),
    "base_mlp_dim": ("mlp_hidden", ""),
    "vocab_size": ("vocab_size", ""),
    "max_target_length": ("block_size", "tokens"),
    "per_device_batch_size": ("batch_size", "sequences"),
    "steps": ("max_steps", "steps"),
    "learning_rate": ("peak_lr", ""),
    "opt_type": ("optimizer", ""),
    "adam_b1": ("beta1", ""),
    "adam_b2": ("beta2", ""),
    "adam_weight_decay": ("weight_decay", ""),
    "gradient_clipping_threshold": ("grad_clip", ""),
    "dropout_rate": ("dropout", ""),
    "dtype": ("dtype", ""),
    "hardware": ("device", ""),
    "model_name": ("architecture", ""),
    "logits_via_embedding": ("tied", ""),
    "tokenizer_path": ("tokenizer", ""),
    "dataset_path": ("dataset", ""),
    "eval_interval": ("eval_interval", "steps"),
    "eval_steps": ("eval_iters", "batches"),
    "log_period": ("log_interval", "steps"),
    "run_name": ("run_name", ""),
    "base_output_directory": ("out_dir", ""),
    "init_weights_seed": ("seed", ""),
}
#: settings that give a fact only together with others
FURTHER = {
    name: (name, "")
    for name in (
        "warmup_steps_fraction",
        "learning_rate_schedule_steps",
        "cosine_learning_rate_final_fraction",
        "global_batch_size_to_train_on",
    )
}


def _record(book: Book, found: re.Match[bytes], line: bytes) -> None:
    step = int(found[1])
    row: dict[str, float] = {}
    for key, raw in FIELD.findall(line, found.end() - 1):
        value = number(raw)
        if key in FIELDS and value is not None:
            name, scale = FIELDS[key]
            row[name] = value * scale
    if row:
        book.at(step).row(tuple(row), step, tuple(row.values()))


def _fact(book: Book, settings: Recorder, line: bytes, where: str) -> None:
    if found := PARAM.search(line):
        key, raw = found[1].decode(), found[2].decode("utf-8", "replace")
        if raw.strip() not in {"-1", ""}:  # MaxText's word for "not set"
            settle(book.now, CONFIG, key, raw, where)
            settle(settings, FURTHER, key, raw, where)
    elif found := PARAMETERS.search(line):
        scale = 1e9 if found[2] == b"billion" else 1e6
        book.now.fact("params_logged", round(float(found[1]) * scale), "", where)
        book.now.fact("params_logged_kind", "rounded by the trainer to three decimals", "", where)
    else:
        book.machine(line, where)


def _derive(rec: Recorder, settings: Recorder) -> None:
    """Facts that follow from several settings; MaxText's schedule is warmup, then cosine to a fraction."""
    stated = {name: fact.value for name, fact in settings.facts.items()}
    said = {n: v for n, v in stated.items() if isinstance(v, (int, float)) and abs(v) < STEP_LIMIT}
    steps = said.get("learning_rate_schedule_steps", getattr(rec.facts.get("max_steps"), "value", None))
    where = next((f.source for f in settings.facts.values()), "log")
    if isinstance(steps, int) and "warmup_steps_fraction" in said:
        rec.fact("warmup_steps", int(said["warmup_steps_fraction"] * steps), "steps", where)
        rec.fact("decay_end", steps, "steps", where)
        rec.fact("schedule", "cosine", "", where)
    peak = getattr(rec.facts.get("peak_lr"), "value", None)
    if isinstance(peak, float) and "cosine_learning_rate_final_fraction" in said:
        rec.fact("floor_lr", peak * said["cosine_learning_rate_final_fraction"], "", where)
    block = getattr(rec.facts.get("block_size"), "value", None)
    batch = said.get("global_batch_size_to_train_on")
    if isinstance(block, int) and batch:
        rec.fact("tokens_per_step", round(batch * block), "tokens", where)


def read(source: Source, options: Options) -> list[Run]:
    """The runs of a MaxText log."""
    book, settings = Book(source.name, "maxtext"), Recorder("settings", "maxtext")
    for line, where in marked(source, MARK):
        if found := RECORD.search(line):
            _record(book, found, line)
        elif found := EVAL.search(line):
            loss = number(found[2])
            if loss is not None:
                book.at(int(found[1])).add("val_loss", int(found[1]), loss)
        else:
            _fact(book, settings, line, where)
    if settings.facts or book.now.facts:
        _derive(book.runs[0], settings)
    return [in_nats(run, options) for run in book.finish()]


READER = Reader(
    name="maxtext",
    about="MaxText: 'completed step: 9, seconds: 0.440, TFLOP/s/device: 233.790, ..., loss: 5.123'",
    sniff=count(RECORD),
    read=read,
)
