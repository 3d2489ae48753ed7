"""Readers of TensorBoard, Megatron, torchtitan, LitGPT, Composer, MaxText, NeMo, fairseq, and of unknown text."""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
import os
import struct
from pathlib import Path

import pytest

from unplateau.errors import UnreadableError
from unplateau.plugins import discover
from unplateau.readers import Options, choose
from unplateau.readers.tensorboard import read_folder
from unplateau.source import Source

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("UNPLATEAU_SHARED", HERE.parents[1] / "shared")) / "logs"
MINE = ("tensorboard", "megatron", "torchtitan", "litgpt", "composer", "maxtext", "nemo", "fairseq")
LN2 = math.log(2)

spec = importlib.util.spec_from_file_location(
    "bench_tensorboard", HERE.parent / "benchmarks" / "tensorboard.py"
)
writer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writer)


def run_of(text, tmp_path, options=None, name=None):
    path = tmp_path / "train.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    reader = discover("readers")[name] if name else choose(Source(path))
    assert reader is not None
    (run,) = reader.read(Source(path), options or Options())
    return run


def pairs(curve):
    return list(zip(curve.step.tolist(), curve.value.tolist(), strict=True))


def shared(pattern):
    found = sorted(SHARED.glob(pattern)) if SHARED.is_dir() else []
    if not found:
        pytest.skip(f"no {pattern} below {SHARED}: set UNPLATEAU_SHARED")
    return found


# --- TensorBoard


def events(*scalars):
    head = writer.record(b"\x09" + struct.pack("<d", 1.7e9) + b"\x1a\x0dbrain.Event:2")
    return head + b"".join(writer.scalar(tag, step, value, 1.7e9 + step) for tag, step, value in scalars)


LOSSES = [(b"train/loss", step, 5.0 - step / 64) for step in range(1, 65)]


def test_tags_of_trainers_become_series_and_others_stay(tmp_path):
    data = events(
        (b"Loss/train", 1, 5.0),
        (b"eval/loss", 1, 4.0),
        (b"train/grad_norm", 1, 2.0),
        (b"val/box_loss", 1, 1.0),
    )
    run = run_of(data, tmp_path)

    assert set(run.series) == {"batch_loss", "val_loss", "grad_norm", "val/box_loss"}


def test_the_users_tag_is_the_loss(tmp_path):
    data = events((b"eval/loss", 1, 4.0), (b"ppl/nll_of_b", 1, 3.0))
    run = run_of(data, tmp_path, Options(columns={"val_loss": "ppl/nll_of_b"}))

    assert run.series["val_loss"].last == 3.0
    assert run.series["eval/loss"].last == 4.0


def test_step_0_is_a_step_though_protobuf_does_not_write_it(tmp_path):
    inner = b"\x0a\x04loss\x15" + struct.pack("<f", 7.5)
    summary = b"\x0a" + bytes([len(inner)]) + inner
    event = b"\x09" + struct.pack("<d", 1.7e9) + b"\x2a" + bytes([len(summary)]) + summary
    run = run_of(events() + writer.record(event) + events((b"loss", 1, 7.0))[37:], tmp_path)

    assert pairs(run.series["batch_loss"])[0] == (0, 7.5)


def test_a_damaged_record_is_left_out_and_its_byte_is_named(tmp_path):
    data = bytearray(events(*LOSSES))
    size = len(events(*LOSSES[:2])) - len(events(LOSSES[0]))
    at = len(events(*LOSSES[:9]))
    data[at + 30] ^= 1
    run = run_of(bytes(data), tmp_path)

    assert len(run.series["batch_loss"]) == 63
    assert run.series["batch_loss"].at(10) is None
    assert any(f"first at byte {at:,}" in w for w in run.warnings), (run.warnings, size)


def test_after_a_destroyed_header_the_next_record_is_found_again(tmp_path):
    data, at = events(*LOSSES), len(events(*LOSSES[:9]))
    run = run_of(data[:at] + b"\xff" * 500 + data[at:], tmp_path)

    assert len(run.series["batch_loss"]) == 64
    assert any("500 bytes passed over" in w for w in run.warnings), run.warnings


@pytest.mark.parametrize("lost", [1, 7, 20])
def test_a_cut_file_is_read_as_far_as_it_goes(lost, tmp_path):
    data = events(*LOSSES)
    run = run_of(data[:-lost], tmp_path)

    assert len(run.series["batch_loss"]) == 63
    assert any(f"at byte {len(events(*LOSSES[:63])):,}, is not whole" in w for w in run.warnings)


def test_every_flipped_bit_is_noticed(tmp_path):
    data = events(*LOSSES)
    for bit in range(8 * len(events()), 8 * len(data), 41):
        hurt = bytearray(data)
        hurt[bit // 8] ^= 1 << bit % 8
        run = run_of(bytes(hurt), tmp_path)

        assert any("damaged" in w or "not whole" in w for w in run.warnings), bit
        assert set(pairs(run.series["batch_loss"])) <= {(s, v) for _, s, v in LOSSES}


def test_a_folder_is_its_runs_and_the_files_of_one_are_joined_in_time(tmp_path):
    for name, part in (
        ("b/events.out.tfevents.200.h", LOSSES[32:]),
        ("b/events.out.tfevents.90.h", LOSSES[:40]),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(events(*part))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "events.out.tfevents.1.h").write_bytes(events(LOSSES[0]))

    runs = read_folder(tmp_path, Options())

    assert [(r.name, len(r.series["batch_loss"])) for r in runs] == [("a", 1), ("b", 64)]
    with pytest.raises(UnreadableError, match="not a folder"):
        read_folder(tmp_path / "none", Options())


def test_a_packed_event_file_reads_the_same(tmp_path):
    plain, packed = (
        run_of(events(*LOSSES), tmp_path),
        run_of(gzip.compress(events(*LOSSES)), tmp_path, None, "tensorboard"),
    )

    assert plain.series == packed.series


# --- printed logs


def test_megatron_counts_skipped_iterations_and_keeps_what_has_no_loss(tmp_path):
    text = (HERE / "logs" / "megatron" / "sample.out").read_text()
    run = run_of(text, tmp_path)

    assert run.series["batch_loss"].at(10) is None
    assert run.series["loss_scale"].at(10) == 8388608.0
    assert run.get("skipped_steps") == 19
    assert (run.get("tokens_per_step"), run.get("warmup_steps"), run.get("n_layer")) == (4096, 8, 40)


def test_ranks_that_print_at_once_do_not_make_numbers_up(tmp_path):
    whole = "step: 2  loss:  7.07623  grad_norm: 46.5000  mfu: 0.07%\n"
    text = "step: 1  loss:  8.13451  grad_norm:  1.5250  mfu: 0.07%\nstep: 2  loss:  7.0" + whole * 3
    run = run_of(text, tmp_path)

    assert pairs(run.series["batch_loss"]) == [(1, 8.13451), (2, 7.07623)]
    assert any("2 of batch_loss" in w for w in run.warnings)


def test_a_stale_val_is_no_measurement(tmp_path):
    run = run_of((HERE / "logs" / "litgpt" / "stale.log").read_text(), tmp_path)

    assert pairs(run.series["val_loss"]) == [(510, 3.801), (540, 3.742)]


def test_lines_of_a_validation_are_placed_at_their_step_and_rule_the_column_out(tmp_path):
    run = run_of((HERE / "logs" / "litgpt" / "sample.log").read_text(), tmp_path)

    assert pairs(run.series["val_loss"]) == [(20, 9.6812), (40, 8.8047)]


def test_a_nan_loss_is_a_value_and_a_nan_in_a_message_is_none(tmp_path):
    text = (HERE / "logs" / "maxtext" / "sample.log").read_text().replace("loss: 9.140", "loss: nan")
    run = run_of(text, tmp_path)

    assert run.series["batch_loss"].non_finite_steps.tolist() == [3]


def test_fairseqs_bits_become_nats_and_the_smoothed_loss_is_another(tmp_path):
    run = run_of((HERE / "logs" / "fairseq" / "sample.log").read_text(), tmp_path)

    assert run.series["batch_loss"].first == pytest.approx(14.1 * LN2)
    assert run.series["smoothed_loss"].first == pytest.approx(14.351 * LN2)
    assert run.series["val_loss"].last == pytest.approx(11.602 * LN2)
    assert {run.series[n].unit for n in ("batch_loss", "smoothed_loss", "val_loss")} == {"nats"}


def test_a_fork_of_fairseq_that_logs_nats_is_told_by_its_ppl(tmp_path):
    line = "| epoch 001:    {0}00 / 900 loss=5.000, ppl=148.41, wps=1, num_updates={0}00, lr=1e-05, wall=1\n"
    run = run_of("".join(line.format(i) for i in (1, 2, 3)), tmp_path)

    assert run.series["batch_loss"].last == 5.0


def test_composers_blocks_take_their_step_from_the_header(tmp_path):
    run = run_of((HERE / "logs" / "composer" / "sample.log").read_text(), tmp_path)

    assert pairs(run.series["batch_loss"]) == [(1, 11.6525), (101, 8.2104), (201, 6.9125)]


# --- unknown text


@pytest.mark.parametrize(
    "line",
    [
        "step={0} loss={1}",
        "step: {0}, loss: {1}",
        "step {0} loss {1}",
        "[INFO] Iteration [{0}/900] | Loss = {1}",
        "({0}/900) nothing; it {0} train_loss: {1} acc: 12.5%",
        "{{'global_step': {0}, 'loss': {1}}}",
        "2026-01-01 10:00:00,123 root INFO update {0} - total loss {1} - 5s",
        "Epoch 1 Batch {0}/900 avg loss: {1} (0.5)",
    ],
)
def test_a_step_and_a_loss_are_told_however_they_are_printed(line, tmp_path):
    text = "".join(line.format(step, 9.5 - step / 100) + "\n" for step in (10, 20, 30, 40))
    run = run_of(text, tmp_path, name="text")

    assert pairs(run.series["batch_loss"]) == [(10, 9.4), (20, 9.3), (30, 9.2), (40, 9.1)]


def test_what_a_column_was_read_as_is_said(tmp_path):
    run = run_of("".join(f"step={s} xent={9 - s} gnorm=1.5\n" for s in range(5)), tmp_path, name="text")

    assert "read 'xent' as batch_loss" in run.warnings
    assert run.series["grad_norm"].last == 1.5


def test_a_validation_line_without_a_step_takes_the_latest(tmp_path):
    lines = [
        f"step {s} loss {9 - s / 100}\n" + ("Validation loss: 8.5\n" if s == 300 else "")
        for s in range(100, 600, 100)
    ]
    run = run_of("".join(lines), tmp_path, name="text")

    assert pairs(run.series["val_loss"]) == [(300, 8.5)]


def test_steps_that_begin_again_with_each_epoch_go_on(tmp_path):
    lines = [f"Epoch {e} step {s}/30 loss {9 - e - s / 100}\n" for e in (1, 2) for s in (10, 20, 30)]
    run = run_of("".join(lines), tmp_path, name="text")

    assert run.series["batch_loss"].step.tolist() == [10, 20, 30, 40, 50, 60]


def test_the_users_own_key_is_the_loss(tmp_path):
    text = "".join(f"step {s} blorp {9 - s} loss 1.0\n" for s in range(1, 5))
    run = run_of(text, tmp_path, Options(columns={"val_loss": "blorp"}), "text")

    assert pairs(run.series["val_loss"])[0] == (1, 8.0)


@pytest.mark.parametrize(
    "line",
    [
        'print(f"step {step}: loss {loss.item():.4f}, val {val:.2f}")',
        "loss = 0.0",
        "we saw the loss of 3.5 at 10:30, and the loss is 4.5 now",
        "step {0}: loss_scale 65536, best val loss 3.5",
        "--plot_loss 1 --prediction_loss_only 0",
        "step {0}: NaN or Inf found in input tensor, loss unknown",
    ],
)
def test_a_loss_is_never_invented(line, tmp_path):
    path = tmp_path / "train.log"
    path.write_text("".join(line.replace("{0}", str(i)) + "\n" for i in range(40)))

    assert discover("readers")["text"].read(Source(path), Options()) == []
    assert choose(Source(path)) is None or choose(Source(path)).name != "text"


def test_two_records_are_no_log(tmp_path):
    path = tmp_path / "train.log"
    path.write_text("step 1 loss 3.5\nstep 2 loss 3.4\n")

    assert discover("readers")["text"].read(Source(path), Options()) == []


# --- the real logs, where they are


@pytest.mark.parametrize("name", MINE)
def test_real_logs_are_claimed_by_their_reader(name):
    for path in shared(f"{name}_*/*/*"):
        if path.name == "meta.json":
            continue
        chosen = choose(Source(path))
        assert chosen is not None
        assert chosen.name == name
        (run,) = chosen.read(Source(path), Options())
        known = json.loads((path.parent / "meta.json").read_text()).get("known_final", {})
        if "val" in known:
            assert run.series["val_loss"].last == known["val"]
        if "step" in known:
            assert max(int(c.step[-1]) for c in run.series.values()) == known["step"]


def test_a_real_log_without_losses_gives_no_run():
    for path in shared("negative_no_loss/*/*.out"):
        assert choose(Source(path)) is None
        assert discover("readers")["text"].read(Source(path), Options()) == []


def test_a_real_log_without_steps_is_counted():
    (path,) = shared("custom_python_logging/T5_finetune/train.log")
    (run,) = choose(Source(path)).read(Source(path), Options())

    assert (len(run.series["batch_loss"]), run.series["batch_loss"].first) == (7760, 12.1336)
    assert run.get("step_unit") == "records"
    assert run.warnings[0] == "the log has no steps: numbers of its records stand for them"


def test_a_real_log_of_a_fork_reads_the_same_by_the_last_resort():
    (path,) = shared("nanogpt_fork_stdout/nanogpt_seis_mix/train_mix.log")
    (run,) = discover("readers")["text"].read(Source(path), Options())

    assert (run.series["val_loss"].last, run.series["train_loss"].last) == (2.6645, 2.6118)
