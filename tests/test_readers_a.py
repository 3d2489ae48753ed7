"""The readers of the nanoGPT family, on real logs where they lie beside the project, and on made ones."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest

from unplateau.plugins import discover
from unplateau.readers import Options, choose
from unplateau.readers._template import Template
from unplateau.source import Source

LOGS = Path(__file__).parent / "logs"
SHARED = Path(os.environ.get("UNPLATEAU_SHARED", Path(__file__).parents[2] / "shared"))
READERS = discover("readers")
MINE = (
    "nanogpt",
    "nanogpt-fork",
    "build-nanogpt",
    "build-nanogpt-stdout",
    "llm.c",
    "llm.c-stdout",
    "modded-nanogpt",
    "nanochat",
)
needs_shared = pytest.mark.skipif(
    not (SHARED / "logs").is_dir(), reason=f"no real logs at {SHARED.name}/logs"
)

#: case -> format, and for each run its name (None: the file's) and series: points, first step, last step, last value
REAL = {
    "nanogpt_stdout/lzwjava_fineweb_1.5B_H200_abort": (
        "nanogpt",
        {
            None: {
                "val_loss": (4, 0, 750, 4.2237),
                "batch_loss": (20, 0, 950, 4.0026),
                "mfu": (19, 50, 950, 1.4743),
            }
        },
    ),
    "nanogpt_stdout/lzwjava_openweb_noheader": (
        "nanogpt",
        {None: {"train_loss": (13, 0, 6000, 4.1361), "val_loss": (13, 0, 6000, 4.1727)}},
    ),
    "nanogpt_fork_stdout/nanogpt_seis_mix": (
        "nanogpt-fork",
        {None: {"val_loss": (17, 0, 8000, 2.6645), "batch_loss": (800, 10, 8000, 2.7499)}},
    ),
    "build_nanogpt_logtxt/AGNDM_aborted_step96": (
        "build-nanogpt",
        {None: {"val_loss": (1, 0, 0, 10.931), "batch_loss": (95, 0, 94, 7.321465)}},
    ),
    "build_nanogpt_logtxt/AGNDM_linear_lr": (
        "build-nanogpt",
        {None: {"batch_loss": (19073, 0, 19072, 3.102417)}},
    ),
    "build_nanogpt_logtxt/ty1erz_38k_resumed": (
        "build-nanogpt",
        {None: {"val_loss": (120, 8250, 37999, 3.055331), "batch_loss": (29999, 8001, 37999, 2.831837)}},
    ),
    "build_nanogpt_stdout/AGNDM_baseline_1epoch": (
        "build-nanogpt-stdout",
        {None: {"val_loss": (78, 0, 19072, 3.0663), "batch_loss": (19073, 0, 19072, 3.08329)}},
    ),
    "llmc_mainlog/SiddanthEmani_124M": (
        "llm.c",
        {None: {"val_loss": (80, 0, 19552, 3.2731), "batch_loss": (19552, 0, 19551, 3.2813)}},
    ),
    "llmc_stdout/Hector_complete_11685414": (
        "llm.c-stdout",
        {None: {"val_loss": (80, 0, 19560, 3.264775), "batch_loss": (19560, 1, 19560, 3.253402)}},
    ),
    "llmc_stdout/Hector_nan_at_warmup_11672255": (
        "llm.c-stdout",
        {
            None: {
                "val_loss": (4, 0, 750, math.nan),
                "batch_loss": (902, 1, 902, math.nan),
                "lr": (901, 1, 901, 6e-4),
            }
        },
    ),
    "modded_nanogpt/2024-06_AdamW_baseline": (
        "modded-nanogpt",
        {None: {"val_loss": (76, 0, 9536, 3.275959), "batch_loss": (9536, 0, 9535, 3.34018)}},
    ),
    "modded_nanogpt/2024-10_Muon": ("modded-nanogpt", {None: {"val_loss": (51, 0, 6200, 3.2785)}}),
    "modded_nanogpt/2024-11_Untie": ("modded-nanogpt", {None: {"val_loss": (38, 0, 4578, 3.2762)}}),
    "modded_nanogpt/track3_adamh": ("modded-nanogpt", {None: {"val_loss": (40, 0, 4875, 3.27637)}}),
    "modded_nanogpt/paramgolf_10L": (
        "modded-nanogpt",
        {None: {"val_loss": (67, 0, 13101, 2.0396), "val_bpb": (67, 0, 13101, 1.208)}},
    ),
    "modded_nanogpt/paramgolf_baseline": ("modded-nanogpt", {None: {"val_loss": (70, 0, 13780, 2.0606)}}),
    "nanochat_stdout/chirag_speedrun_d20": (
        "nanochat",
        {
            "base": {"val_bpb": (87, 0, 21400, 0.8155), "batch_loss": (21400, 0, 21399, 2.7676)},
            "mid": {"val_bpb": (7, 0, 770, 0.3997), "batch_loss": (770, 1, 770, 1.305023)},
            "sft": {"val_loss": (8, 0, 681, 1.012097), "batch_loss": (681, 0, 680, 1.301751)},
        },
    ),
    "nanochat_stdout/gtx1660_sft_nan_d2": ("nanochat", {None: {"batch_loss": (133, 1, 133, math.nan)}}),
    "nanochat_stdout/karpathy_d24_feb01_variant": (
        "nanochat",
        {None: {"val_bpb": (68, 0, 16704, 0.753336), "batch_loss": (16704, 0, 16703, 2.417931)}},
    ),
    "nanochat_stdout/lzwjava_d12_trainlog_wrapped": (
        "nanochat",
        {None: {"val_bpb": (1, 87000, 87000, 0.865752), "batch_loss": (981, 86019, 86999, 2.748422)}},
    ),
}


def log_of(folder):
    return next(p for p in sorted(folder.iterdir()) if p.name not in ("meta.json", "README.md"))


def runs_of(path):
    reader = choose(Source(path))
    assert reader is not None
    return reader.name, reader.read(Source(path), Options())


def read_text(tmp_path, text, name="nanogpt"):
    path = tmp_path / "train.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return READERS[name].read(Source(path), Options())


@needs_shared
@pytest.mark.parametrize("case", REAL)
def test_a_real_log_reads_exactly(case):
    path = log_of(SHARED / "logs" / case)
    wanted_format, wanted = REAL[case]
    name, runs = runs_of(path)

    assert name == wanted_format
    assert [r.name for r in runs] == [n or path.name for n in wanted]
    for run, series in zip(runs, wanted.values(), strict=True):
        for key, (points, first, last, value) in series.items():
            curve = run.series[key]
            assert (len(curve), curve.step[0], curve.step[-1]) == (points, first, last)
            assert curve.last == pytest.approx(value, abs=1e-12, nan_ok=True)


@needs_shared
def test_the_final_values_that_their_authors_noted_are_read():
    mine = {case.partition("/")[0] for case in REAL}
    metas = [m for f in mine for m in sorted((SHARED / "logs" / f).glob("*/meta.json"))]
    known = [(m.parent, json.loads(m.read_text()).get("known_final", {})) for m in metas]
    assert sum(bool(k) for _, k in known) >= 8
    for folder, final in known:
        _, (run, *_) = runs_of(log_of(folder))
        train = "train_loss" if "train_loss" in run.series else "batch_loss"
        for key, series in (("val", "val_loss"), ("train", train), ("val_bpb", "val_bpb")):
            assert key not in final or run.series[series].last == final[key]
        if "val" in final:
            assert run.series["val_loss"].step[-1] == final["step"]


@needs_shared
def test_every_planted_run_reads_whole():
    logs = sorted((SHARED / "planted").glob("*/*/train.log"))
    assert len(logs) >= 20
    for log in logs:
        name, (run,) = runs_of(log)
        assert name == "nanogpt"
        assert "learning_rate = " in run.get("config_echo")
        lines = log.read_text().splitlines()
        assert len(run.series["batch_loss"]) == sum(x.startswith("iter ") for x in lines)
        assert len(run.series["val_loss"]) == sum(x.startswith("step ") for x in lines)


# --- what the log says of its run


def test_each_header_after_records_begins_a_run_but_a_resume_does_not(tmp_path):
    one = "tokens per iteration will be: 8\nInitializing a new model from scratch\n"
    again = "tokens per iteration will be: 8\nResuming training from out\n"
    text = (
        f"{one}step 0: train loss 4.0000, val loss 4.0000\niter 10: loss 3.5000, time 1.00ms, mfu 1.00%\n"
        f"{one}step 0: train loss 4.1000, val loss 4.1000\niter 10: loss 3.6000, time 1.00ms, mfu 1.00%\n"
        f"{again}step 10: train loss 3.6000, val loss 3.6000\niter 20: loss 3.2000, time 1.00ms, mfu 1.00%\n"
    )
    first, second = read_text(tmp_path, text)

    assert first.series["val_loss"].value.tolist() == [4.0]
    assert second.series["val_loss"].value.tolist() == [4.1, 3.6]
    assert second.get("resumed_at") == [10]
    assert second.get("init_from") == "resume"


def test_step_0_after_later_steps_begins_a_run_without_any_header(tmp_path):
    half = "".join(f"iter {i}: loss {5 - i / 100:.4f}, time 1.00ms, mfu 1.00%\n" for i in range(0, 50, 10))
    runs = read_text(tmp_path, half * 3)

    assert [len(r.series["batch_loss"]) for r in runs] == [5, 5, 5]
    assert [r.name for r in runs] == ["train.log", "train.log (2)", "train.log (3)"]


def test_a_run_that_died_before_its_first_record_leaves_no_facts(tmp_path):
    text = (
        "Overriding: batch_size = 64\ntokens per iteration will be: 16,384\n"
        "torch.OutOfMemoryError: CUDA out of memory.\n"
        "Overriding: batch_size = 32\ntokens per iteration will be: 8,192\n"
        "iter 0: loss 4.0000, time 1.00ms, mfu -100.00%\n"
    )
    (run,) = read_text(tmp_path, text)

    assert run.get("tokens_per_step") == 8192
    assert run.get("config_echo").split() == ["batch_size", "=", "32"]
    assert not run.has("killed")


def test_a_death_in_the_log_is_a_fact_only_where_the_log_ends_with_it(tmp_path):
    line = "iter {}: loss 4.0000, time 1.00ms, mfu 1.00%\n"
    (lived,) = read_text(tmp_path, line.format(0) + "Killed\n" + line.format(10))
    (died,) = read_text(tmp_path, line.format(0) + line.format(10) + "Killed\n")

    assert not lived.has("killed")
    assert died.facts["killed"].value == "Killed"
    assert died.facts["killed"].source == "log line 3"


def test_a_loss_marked_bpc_is_not_called_nats(tmp_path):
    (run,) = read_text(tmp_path, "step 0: train loss 7.9000 BPC, val loss 8.0000 BPC\niter 0: loss 7.9\n")

    assert run.series["val_loss"].unit == "bits per character"
    assert run.series["val_loss"].value.tolist() == [8.0]


def test_an_evaluation_without_a_step_belongs_to_the_step_printed_after_it(tmp_path):
    row = "step {:5d} | loss: 6.100000 | lr 1.0e-04 | norm: 0.5 | dt: 400.00ms | tok/sec: 1.00\n"
    text = (
        "validation loss: 10.9000\n" + row.format(0) + row.format(1)
        + "validation loss: 6.2000\nHellaSwag accuracy: 2497/10042=0.2487\nsome text\n" + row.format(2)
        + "validation loss: 6.1000\n"
    )  # fmt: skip
    (run,) = read_text(tmp_path, text, "build-nanogpt-stdout")

    assert run.series["val_loss"].step.tolist() == [0, 2, 3]


def test_source_code_before_the_records_is_not_read(tmp_path):
    code = 'import torch\n"""\nstep:5/10 val_loss:1.0000 train_time:1ms\n"""\ndef f():\n    print("step:0/1 val_loss:nan")\n'
    text = (
        code
        + "=" * 100
        + "\nstep:0/10 val_loss:9.0000 train_time:1ms\nstep:10/10 val_loss:8.0000 train_time:9ms\n"
    )
    (run,) = read_text(tmp_path, text, "modded-nanogpt")

    assert run.series["val_loss"].value.tolist() == [9.0, 8.0]


def test_a_capture_broken_at_the_width_of_the_terminal_keeps_its_numbers(tmp_path):
    text = (
        "step 86019/87000 (98.87%) | loss: 2.800943 | lrm: 0.07 | dt: 1177.85ms | tok/sec: 55,640 | bf16_mfu:\n"
        "48.12 | epoch: 1 pq: 9 rg: 772 | total time: 1686.95m | eta: 19.2m\n"
        "Step 86020 | Validation bpb: 0.865752\n"
    )
    (run,) = read_text(tmp_path, text, "nanochat")

    assert run.series["mfu"].value.tolist() == [pytest.approx(0.4812)]
    assert "val_loss" not in run.series
    assert run.series["val_bpb"].unit == "bits per byte"


@pytest.mark.parametrize(
    "prefix",
    [
        "2024-05-01T10:00:00.123Z ",
        "[2024-05-01 10:00:00,123] ",
        "[rank0]: ",
        "0: ",
        "    ",
        "> ",
        "10:00:00 ",
    ],
)
def test_what_a_launcher_puts_before_each_line_is_passed_over(prefix, tmp_path):
    lines = (LOGS / "nanogpt" / "sample.log").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("tokens per"))
    plain, marked = lines[at:], [prefix + line for line in lines[at:]]
    (wanted,) = read_text(tmp_path, "\n".join(plain) + "\n")
    (run,) = read_text(tmp_path, "\n".join(marked) + "\n")

    assert choose(Source(tmp_path / "train.log")).name == "nanogpt"
    assert run.series == wanted.series
    assert run.get("params_total") == wanted.get("params_total")


# --- exactness and cost


@pytest.mark.parametrize("name", MINE)
def test_no_number_is_taken_from_a_line_that_the_end_of_the_log_cut(name, tmp_path):
    (sample,) = LOGS.joinpath(name).glob("sample.*")
    raw = sample.read_bytes()
    full = {
        (i, s, int(a), float(b))
        for i, run in enumerate(READERS[name].read(Source(sample), Options()))
        for s, c in run.series.items()
        for a, b in zip(c.step, c.value, strict=True)
    }
    for cut in [*range(0, len(raw), 23), *range(max(0, len(raw) - 120), len(raw))]:
        for i, run in enumerate(read_text(tmp_path, raw[:cut], name)):
            for s, c in run.series.items():
                got = {(i, s, int(a), float(b)) for a, b in zip(c.step, c.value, strict=True)}
                assert got <= full, f"cut at byte {cut}"


def test_many_lines_at_once_give_the_same_numbers_as_one_by_one():
    rng = np.random.default_rng(0)
    rows = [(i, *np.round(rng.uniform(0, 20_000, 3), 4)) for i in range(500)]
    text = "".join("\niter {}: loss {:.4f}, time {:.2f}ms, mfu {:.2f}%".format(*row) for row in rows)
    columns = Template(b"\niter 0: loss 0.0, time 0.0ms, mfu 0.0%").columns(text.encode())

    assert columns[1].tolist() == [float(f"{row[1]:.4f}") for row in rows]
    assert columns[2].tolist() == [float(f"{row[2]:.2f}") for row in rows]


@pytest.mark.parametrize("bad", [b"nan", b"-1.5", b"", b"1.5e3", b"1.2.3", b"9" * 40])
def test_lines_of_another_shape_are_left_to_the_careful_reader(bad):
    line = b"\niter 5: loss 1.5, time 2.5ms, mfu 3.5%"

    assert Template(line).columns(line * 3 + line.replace(b"1.5", bad)) is None


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize(
    "junk",
    [b"step 1: train loss 1 ", b"iter 1: loss " + b"1" * 99, b"Overriding: a = 1\n", b"step 1/2 (1%) | loss: 1 | ",
     b"step:1/2 val_loss:1 a:b ", b"| a ", b"20-:, nanochat. - ", b"s:1 tel:", b"iter 0: loss 1, time 1ms, mfu 1%\n",
     b"a " * 9 + b"=", b"Killed", b"\n", b"|  1  NVIDIA ", b"tokens per iteration 1\n", b"step 0: train loss 9,\n"],
    ids=range(15),
)  # fmt: skip
def test_hostile_text_costs_no_more_than_its_length(name, junk, tmp_path):
    text = (b"iter 1: loss 1.0\nstep 1: " + junk * (300_000 // len(junk)))[:300_000]
    start = time.process_time()
    read_text(tmp_path, text, name)

    assert time.process_time() - start < 3  # seconds for 300 kB; a quadratic pattern takes minutes


def test_steps_that_no_run_has_are_left_out_and_counted(tmp_path):
    (run,) = read_text(
        tmp_path,
        "iter 0: loss 4.0000, time 1.00ms, mfu -100.00%\n"
        "iter 99999999999999999: loss 1.0000, time 1.00ms, mfu 1.00%\n",
    )

    assert run.series["batch_loss"].step.tolist() == [0]
    assert "mfu" not in run.series
    assert any("impossible" in w for w in run.warnings)
    assert read_text(tmp_path, "iter 99999999999999999: loss 1.0000, time 1.00ms, mfu 1.00%\n") == []
