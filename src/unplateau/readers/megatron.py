"""Megatron-LM and Megatron-DeepSpeed: one line of cells a log interval, the arguments echoed before.

An iteration whose update was skipped (fp16 overflow) has no ``lm loss`` cell; the cells count skips.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from ..run import Run
from ..source import Source
from . import Options, Reader
from ._lines import MACHINE, marked, number, settle
from ._records import Recorder
from ._text import Book, count
from ._units import in_nats

RECORD = re.compile(rb"(?<!at )(?<!, )iteration {1,24}(\d{1,18})/ {0,24}(\d{1,18}) {0,4}\|")
VALIDATION = re.compile(
    rb"valid(?:ation)?[ _]loss at iteration {1,24}(\d{1,18})\b[^|\n]{0,80}\| {0,4}lm loss value: {0,8}([^|\s]{1,24}) {0,8}\|"
)
ARGUMENT = re.compile(rb"([a-z][a-z0-9_]{1,60}) \.{3,60} ([^\n]{0,400})$")
PARAMETERS = re.compile(
    rb"number of parameters on \(tensor, pipeline\) model parallel rank \((\d{1,5}), {0,2}(\d{1,5})\): {0,4}(\d{1,18})"
)
PADDED = re.compile(rb"padded vocab \(size: \d{1,9}\) with \d{1,9} dummy tokens \(new size: (\d{1,9})\)")
MARK = re.compile(rb"iteration {1,24}\d|number of parameters on \(tensor| \.{4}|padded vocab \(|" + MACHINE)
CELLS = {
    b"lm loss": ("batch_loss", 1.0),
    b"learning rate": ("lr", 1.0),
    b"grad norm": ("grad_norm", 1.0),
    b"loss scale": ("loss_scale", 1.0),
    b"consumed tokens": ("tokens", 1.0),
    b"elapsed time per iteration (ms)": ("step_ms", 1.0),
    b"elapsed time per iteration (s)": ("step_ms", 1e3),
}
SKIPPED = b"number of skipped iterations"
ARGUMENTS = {
    "num_layers": ("n_layer", ""),
    "hidden_size": ("n_embd", ""),
    "num_attention_heads": ("n_head", ""),
    "ffn_hidden_size": ("mlp_hidden", ""),
    "padded_vocab_size": ("vocab_size", ""),
    "seq_length": ("block_size", "tokens"),
    "micro_batch_size": ("batch_size", "sequences"),
    "world_size": ("world_size", "devices"),
    "train_iters": ("max_steps", "steps"),
    "lr": ("peak_lr", ""),
    "min_lr": ("floor_lr", ""),
    "lr_decay_style": ("schedule", ""),
    "adam_beta1": ("beta1", ""),
    "adam_beta2": ("beta2", ""),
    "weight_decay": ("weight_decay", ""),
    "clip_grad": ("grad_clip", ""),
    "hidden_dropout": ("dropout", ""),
    "seed": ("seed", ""),
    "eval_interval": ("eval_interval", "steps"),
    "eval_iters": ("eval_iters", "batches"),
    "log_interval": ("log_interval", "steps"),
    "tokenizer_type": ("tokenizer", ""),
    "data_path": ("dataset", ""),
    "save": ("out_dir", ""),
}
#: arguments that give a fact only together with others
FURTHER = {
    name: (name, "")
    for name in (
        "global_batch_size",
        "rampup_batch_size",
        "lr_warmup_iters",
        "lr_warmup_fraction",
        "lr_decay_iters",
        "optimizer",
        "params_dtype",
        "untie_embeddings_and_output_weights",
        "tensor_model_parallel_size",
        "pipeline_model_parallel_size",
        "group_query_attention",
        "num_query_groups",
    )
}


@dataclass(slots=True)
class _Log:
    book: Book
    skipped: dict[Recorder, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    ranks: dict[tuple[int, int], int] = field(default_factory=dict)
    ranks_from: str = ""
    arguments: Recorder = field(default_factory=lambda: Recorder("arguments", "megatron"))
    total: int = -1

    def line(self, line: bytes, where: str) -> None:
        record = RECORD.search(line)
        if record:
            self.records(line, where)
        elif argument := ARGUMENT.search(line):
            key, raw = argument[1].decode(), argument[2].decode("utf-8", "replace")
            settle(self.book.now, ARGUMENTS, key, raw, where)
            settle(self.arguments, FURTHER, key, raw, where)
        elif padded := PADDED.search(line):
            settle(self.book.now, ARGUMENTS, "padded_vocab_size", padded[1].decode(), where)
        elif rank := PARAMETERS.search(line):
            self.ranks[int(rank[1]), int(rank[2])] = int(rank[3])
            self.ranks_from = self.ranks_from or where
        elif validation := VALIDATION.search(line):
            loss = number(validation[2])
            if loss is not None:
                self.book.now.add("val_loss", int(validation[1]), loss)
        else:
            self.book.machine(line, where)

    def records(self, line: bytes, where: str) -> None:
        """All records on one line: ranks that print at once share lines."""
        found = list(RECORD.finditer(line))
        ends = [*(after.start() for after in found[1:]), len(line)]
        for record, end in zip(found, ends, strict=False):
            cells = line[record.end() : end].split(b"|")
            self.record(int(record[1]), cells[:-1], where)  # what no bar ends may be cut
            if int(record[2]) != self.total:
                self.total = int(record[2])
                self.book.now.fact("max_steps", self.total, "steps", where)

    def record(self, step: int, cells: list[bytes], where: str) -> None:  # noqa: ARG002
        rec = self.book.at(step)
        names: list[str] = []
        values: list[float] = []
        for cell in cells:
            key, _, raw = cell.strip().rpartition(b":")
            value = number(raw)
            if value is None:
                continue
            if key in CELLS:
                name, scale = CELLS[key]
                names.append(name)
                values.append(value * scale)
            elif key == SKIPPED and 0 < value < 1e9:
                self.skipped[rec][step] = int(value)
        if len(set(names)) == len(names):
            rec.row(tuple(names), step, values)

    def finish(self) -> list[Run]:
        first = self.book.runs[0]
        for recorder, skips in self.skipped.items():
            recorder.fact("skipped_steps", sum(skips.values()), "steps", "counted")
        for recorder in self.book.runs:
            for name in first.facts.keys() - recorder.facts.keys() - {"skipped_steps", "killed"}:
                recorder.facts[name] = first.facts[name]
            self.derive(recorder)
        return self.book.finish()

    def derive(self, rec: Recorder) -> None:
        """Facts that follow from several arguments."""
        said = {name: fact.value for name, fact in self.arguments.facts.items()}
        source = {name: fact.source for name, fact in self.arguments.facts.items()}
        _batch(rec, said, source)
        _schedule(rec, said, source)
        if isinstance(said.get("optimizer"), str):
            # Megatron's adam is FusedAdam with adam_w_mode: its decay is decoupled
            name = "adamw" if said["optimizer"] == "adam" else said["optimizer"]
            rec.fact("optimizer", name, "", source["optimizer"])
        if isinstance(said.get("params_dtype"), str):
            rec.fact("dtype", said["params_dtype"].removeprefix("torch."), "", source["params_dtype"])
        if "untie_embeddings_and_output_weights" in said:
            untied = said["untie_embeddings_and_output_weights"]
            rec.fact("tied", not untied, "", source["untie_embeddings_and_output_weights"])
        if said.get("group_query_attention") is True and "num_query_groups" in said:
            rec.fact("n_kv_head", said["num_query_groups"], "", source["num_query_groups"])
        tensor, pipeline = said.get("tensor_model_parallel_size"), said.get("pipeline_model_parallel_size")
        if isinstance(tensor, int) and isinstance(pipeline, int) and len(self.ranks) == tensor * pipeline:
            rec.fact("params_logged", sum(self.ranks.values()), "", self.ranks_from)
            kind = (
                f"summed over {len(self.ranks)} model parallel ranks, shared embeddings and norms once a rank"
            )
            rec.fact("params_logged_kind", kind, "", self.ranks_from)


def _batch(rec: Recorder, said: dict[str, Any], source: dict[str, str]) -> None:
    batch, micro = said.get("global_batch_size"), rec.facts.get("batch_size")
    block = rec.facts.get("block_size")
    if not isinstance(batch, int) or "rampup_batch_size" in said:
        return
    if block and isinstance(block.value, int):
        rec.fact("tokens_per_step", batch * block.value, "tokens", source["global_batch_size"])
        iters = rec.facts.get("eval_iters")
        if iters and isinstance(iters.value, int):
            rec.fact("eval_tokens", iters.value * batch * block.value, "tokens", iters.source)
    if micro and isinstance(micro.value, int) and micro.value and batch % micro.value == 0:
        rec.fact("gradient_accumulation_steps", batch // micro.value, "", source["global_batch_size"])


def _schedule(rec: Recorder, said: dict[str, Any], source: dict[str, str]) -> None:
    planned = rec.facts.get("max_steps")
    decay = said.get("lr_decay_iters", planned.value if planned else None)
    where = source.get("lr_decay_iters", planned.source if planned else "")
    fraction, warmup = said.get("lr_warmup_fraction"), said.get("lr_warmup_iters")
    if isinstance(decay, int) and "lr_decay_iters" in said:
        rec.fact("decay_end", decay, "steps", where)
    if isinstance(fraction, (int, float)) and 0 <= fraction <= 1 and isinstance(decay, int):
        rec.fact("warmup_steps", round(fraction * decay), "steps", source["lr_warmup_fraction"])
    elif isinstance(warmup, int):
        rec.fact("warmup_steps", warmup, "steps", source["lr_warmup_iters"])


def read(source: Source, options: Options) -> list[Run]:
    """The runs of a Megatron log."""
    log = _Log(Book(source.name, "megatron"))
    for line, where in marked(source, MARK):
        log.line(line, where)
    return [in_nats(run, options) for run in log.finish()]


READER = Reader(
    name="megatron",
    about="Megatron-LM, Megatron-DeepSpeed: 'iteration 10/ 1000 | ... | lm loss: 1.0E+01 | ...'",
    sniff=count(RECORD),
    read=read,
)
