"""Readers of Hugging Face's logs, of tables and of Weights & Biases, beyond the contract of all readers."""

import gzip
import json
import math
import os
import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unplateau.errors import UnplateauError, UnreadableError
from unplateau.plugins import discover
from unplateau.readers import Options, choose
from unplateau.readers._leveldb import BLOCK, MAGIC, Damage, frame, records
from unplateau.readers._wandb_records import Logged, rows
from unplateau.readers.wandb_dir import read_folder
from unplateau.reading import read_runs
from unplateau.source import Source

HERE = Path(__file__).parent
LOGS = HERE / "logs"
SHARED = Path(os.environ.get("UNPLATEAU_SHARED", HERE.parent.parent / "shared"))
needs_shared = pytest.mark.skipif(
    not (SHARED / "logs").is_dir(), reason="no shared logs: set UNPLATEAU_SHARED to their folder"
)
OURS = (
    *("hf-trainer-state", "hf-stdout", "llamafactory", "lightning-csv", "keras-csv", "ultralytics-csv"),
    *("unplateau", "table", "wandb", "wandb-csv"),
)
READERS = discover("readers")


def read(path, reader=None, **options):
    source = Source(path)
    chosen = READERS[reader] if reader else choose(source)
    return chosen.read(source, Options(**options)) if chosen else []


def written(tmp_path, text, name="log.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def only(path, reader=None, **options):
    (run,) = read(path, reader, **options)
    return run


def points(curve):
    return dict(zip(curve.step.tolist(), curve.value.tolist(), strict=True))


def said(run):
    return " / ".join(run.warnings)


# --- Hugging Face


def bar(count, total, before=""):
    return f"\r{before}{100 * count // total:3d}%|{'#' * 8}  | {count}/{total} [00:12<3:16:55,  1.01it/s]"


def hf_log(spe, steps, every, *, redrawn=True, lag=0, arguments=True):
    """What the Trainer prints with its bars, ``lag`` steps behind before each record."""
    out = [f"logging_steps={every},\nnum_train_epochs={steps / spe},\n" if arguments else ""]
    for step in range(1, steps + 1):
        if step % every:
            out.append(bar(step, steps))
            continue
        out.append(bar(max(0, step - lag), steps))
        record = {"loss": round(2 + 5 / step, 4), "learning_rate": 1e-4, "epoch": round(step / spe, 2)}
        out.append(f"\r{' ' * 40}\r{record}\n")
        if redrawn:
            out.append(bar(step, steps))
    return "".join(out)


@pytest.mark.parametrize("every", [1, 7, 10])
@pytest.mark.parametrize("spe", [30, 47.5, 476.75])
@pytest.mark.parametrize("lag", [0, 1])
def test_steps_are_those_of_the_bar_beside_a_record(tmp_path, every, spe, lag):
    run = only(written(tmp_path, hf_log(spe, 300, every, lag=lag)))

    assert run.format == "hf-stdout"
    assert run.series["batch_loss"].step.tolist() == list(range(every, 301, every))
    assert "told" in said(run)


def test_steps_without_a_redrawn_bar_are_those_of_the_bar_before(tmp_path):
    run = only(written(tmp_path, hf_log(50, 100, 5, redrawn=False, arguments=False)))

    assert run.series["batch_loss"].step.tolist() == list(range(5, 101, 5))


def test_the_bar_of_an_evaluation_tells_no_step(tmp_path):
    log = hf_log(50, 100, 50).replace("\n", f"\n{bar(3, 7)}{bar(7, 7)}", 2)
    run = only(written(tmp_path, log))

    assert run.series["batch_loss"].step.tolist() == [50, 100]
    assert run.get("max_steps") == 100


def test_without_bars_steps_come_from_epochs_and_what_the_log_states(tmp_path):
    record = "{'loss': %.4f, 'learning_rate': 1e-4, 'epoch': %.2f}"
    log = "logging_steps=25,\nnum_train_epochs=3.0,\n  Total optimization steps = 300\n"
    log += "\n".join(record % (3 - i / 10, 25 * i / 100) for i in range(1, 13))
    run = only(written(tmp_path, log))

    assert run.series["batch_loss"].step.tolist() == list(range(25, 301, 25))
    assert "logging_steps=25" in said(run)


def test_without_anything_the_steps_are_the_records_numbers_and_it_is_said():
    run = only(LOGS / "hf-stdout" / "strings.log")

    assert run.series["batch_loss"].step.tolist() == [1, 2, 3, 4]
    assert run.get("step_unit") == "records"
    assert run.warnings[0] == "the log has no steps: numbers of its records stand for them"


def test_a_bar_that_a_terminal_drew_over_later_tells_no_step():
    run = only(LOGS / "hf-stdout" / "terminal.txt")

    assert points(run.series["batch_loss"]) == {500: 1.5, 1000: 0.625}
    assert points(run.series["val_loss"]) == {549: 0.75, 1098: 0.5}


def test_a_second_run_in_the_same_output_is_a_run_of_its_own(tmp_path):
    log = hf_log(50, 100, 10)
    runs = read(written(tmp_path, log + "\nTraceback (most recent call last):\n" + log))

    assert [r.series["batch_loss"].step.tolist() for r in runs] == [list(range(10, 101, 10))] * 2


def test_a_run_after_the_end_of_another_is_told_by_its_epochs_and_its_speed(tmp_path):
    log = ""
    for steps, spe, every in ((2319, 773, 500), (2260, 226, 500)):
        for step in range(every, steps, every):
            log += f"{{'loss': {3 - step / 3000:.4f}, 'learning_rate': 1e-05, 'epoch': {step / spe:.2f}}}\n"
        log += f"{{'train_runtime': 332.9102, 'train_steps_per_second': {steps / 332.9102:.3f}, "
        log += f"'train_loss': 0.04, 'epoch': {steps / spe:.1f}}}\n"
    runs = read(written(tmp_path, log))

    assert [r.series["batch_loss"].step.tolist() for r in runs] == [[500, 1000, 1500, 2000]] * 2


def test_prose_with_values_is_no_header():
    text = "- eval: `val_loss:2.0480`, `val_bpb:1.2129`\n- eval: `val_loss:2.0510`, `val_bpb:1.2150`\n"

    assert READERS["table"].sniff(text.encode(), "README.md") == 0


def test_the_mean_loss_of_the_whole_run_is_no_point():
    for path in ("hf-trainer-state/evaluated.json", "hf-stdout/sample.txt", "llamafactory/sample.jsonl"):
        run = only(LOGS / path)

        assert "train_loss" not in run.series
        assert "eval_modes_equal" not in run.facts


def test_a_trainer_state_that_is_cut_gives_its_whole_records(tmp_path):
    whole = (LOGS / "hf-trainer-state" / "sample.json").read_text()
    run = only(written(tmp_path, whole[: len(whole) // 2], "trainer_state.json"))

    assert 3 < len(run.series["batch_loss"]) < 17
    assert "cut or damaged" in said(run)


def test_evaluations_at_the_end_of_epochs_give_no_interval(tmp_path):
    state = json.loads((LOGS / "hf-trainer-state" / "evaluated.json").read_text())

    assert only(written(tmp_path, json.dumps(state))).get("eval_interval") == 50
    assert only(written(tmp_path, json.dumps({**state, "eval_steps": 500}))).get("eval_interval") is None


def test_a_unit_is_applied_to_every_loss():
    run = only(LOGS / "hf-trainer-state" / "evaluated.json", unit="bits")

    assert run.series["val_loss"].last == pytest.approx(2.1875 * math.log(2))
    assert run.series["val_loss"].unit == "nats"
    assert (
        only(LOGS / "keras-csv" / "sample.csv", unit="bits per byte").series["val_loss"].unit
        == "bits per byte"
    )


# --- tables


def test_lightning_rows_of_train_and_val_become_their_own_series():
    run = only(LOGS / "lightning-csv" / "sample.csv")

    assert points(run.series["val_loss"]) == {140: 6.25, 281: 5.5}
    assert points(run.series["batch_loss"]) == {49: 7.62858, 99: 7.528, 149: 6.125, 199: 5.875}
    assert "more than once" not in said(run)


def test_decimal_commas_and_points_between_thousands_are_read():
    run = only(LOGS / "table" / "european.csv")

    assert points(run.series["val_loss"]) == {0: 10.912, 1000: 5.25, 2000: 4.5}
    assert points(run.series["lr"]) == {0: 3e-4, 1000: 3e-4, 2000: 1.5e-4}
    assert "1 rows without a step" in said(run)


def test_commas_between_thousands_are_read(tmp_path):
    run = only(written(tmp_path, 'step,val_loss\n0,10.5\n"1,000",5.25\n"12,000",4.5\n', "a.csv"))

    assert points(run.series["val_loss"]) == {0: 10.5, 1000: 5.25, 12000: 4.5}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_delimiter_is_told(tmp_path, delimiter):
    text = "# notes\niteration,train loss,dev nll\n0,10.5,10.25\n10,9.5,9.25\n20,9.0,8.75\n"
    run = only(written(tmp_path, text.replace(",", delimiter), "a.csv"))

    assert points(run.series["val_loss"]) == {0: 10.25, 10: 9.25, 20: 8.75}
    assert "'dev nll' as val_loss" in said(run)


def test_a_column_of_runs_gives_several_runs():
    runs = read(LOGS / "table" / "runs.csv")

    assert {r.name: r.series["batch_loss"].last for r in runs} == {"base": 4.75, "wide": 4.25}
    assert not any("resumed" in said(r) for r in runs)


def test_a_weaker_column_tells_runs_apart_only_where_steps_would_repeat(tmp_path):
    rows_ = [(seed, step, 5 - step / 10 - seed) for seed in (1, 2) for step in (0, 10, 20)]
    text = "seed,step,loss\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows_)
    twice = read(written(tmp_path, text, "a.csv"))
    once = read(written(tmp_path, "seed,step,loss\n7,0,5.0\n7,10,4.0\n7,20,3.5\n", "b.csv"))

    assert [r.name for r in twice] == ["seed=1", "seed=2"]
    assert [len(r.series["batch_loss"]) for r in once] == [3]


def test_a_train_loss_counts_as_evaluated_only_beside_val(tmp_path):
    both = only(LOGS / "table" / "sample.csv")
    alone = only(written(tmp_path, "step,train_loss,val_loss\n0,5.5,5.0\n1,5.25,\n2,5.0,4.75\n", "a.csv"))

    assert "train_loss" in both.series
    assert "batch_loss" not in both.series
    assert points(alone.series["batch_loss"]) == {0: 5.5, 1: 5.25, 2: 5.0}


def test_the_user_names_columns_and_units(tmp_path):
    path = written(tmp_path, "t,foo,bar\n0,2.0,9\n5,1.5,8\n", "a.csv")
    run = only(path, "table", columns={"val_loss": "foo", "step": "t"}, unit="bits")

    assert points(run.series["val_loss"]) == pytest.approx({0: 2 * math.log(2), 5: 1.5 * math.log(2)})
    with pytest.raises(UnreadableError, match="no such column; there are: "):
        read(path, "table", columns={"val_loss": "absent"})
    with pytest.raises(UnplateauError, match="no loss among the columns t, foo, bar"):
        read(path, "table")


def test_units_in_names_are_converted_or_named(tmp_path):
    ppl = only(written(tmp_path, "step,val_ppl\n0,100\n1,50\n", "a.csv"))
    beside = only(written(tmp_path, "step,loss,val/bpb\n0,5,1.5\n1,4,1.25\n", "b.csv"))
    alone = only(written(tmp_path, "step,val/bpb\n0,1.5\n1,1.25\n", "c.csv"))

    assert ppl.series["val_loss"].last == pytest.approx(math.log(50))
    assert (beside.series["val_bpb"].unit, "val_loss" in beside.series) == ("bits per byte", False)
    assert alone.series["val_loss"].unit == "bits per byte"


def test_a_header_repeated_where_steps_start_over_begins_another_run(tmp_path):
    part = "step,loss\n0,5.5\n10,4.5\n20,4.0\n"
    resumed = "step,loss\n15,4.25\n25,3.75\n"

    assert len(read(written(tmp_path, part + part, "a.csv"))) == 2
    (run,) = read(written(tmp_path, part + resumed, "b.csv"))
    assert run.get("resumed_after") == [20]


@pytest.mark.parametrize(
    "text",
    [
        '[{"step": 0, "val_loss": 5.5}, {"step": 10, "val_loss": 5.0}]',
        '[\n{"step": 0, "val_loss": 5.5},\n{"step": 10, "val_loss": 5.0}\n]\n',
        '{"step": [0, 10], "val_loss": [5.5, 5.0], "name": "x"}',
        '{"val_loss": [[0, 5.5], [10, 5.0]]}',
        '{"config": {"a": 1}, "history": [{"iter": 0, "val": {"loss": 5.5}}, {"iter": 10, "val": {"loss": 5.0}}]}',
        '{"step": 0, "val_loss": 5.5}\n{"step": 10, "val_loss": 5.0}\n{"step": 20, "val_l',
        "Wall time,Step,Value\n1.7e9,0,5.5\n1.7e9,10,5.0\n",
        "step,metric,value\n0,val_loss,5.5\n10,val_loss,5.0\n",
    ],
)
def test_shapes_of_tables(tmp_path, text):
    name = "run-a-tag-val_loss.csv" if text.startswith("Wall") else "log.txt"
    run = only(written(tmp_path, text, name), "table")

    assert points(run.series["val_loss"]) == {0: 5.5, 10: 5.0}


@pytest.mark.parametrize("shape", ["csv", "tsv", "jsonl", "json"])
def test_a_whole_table_is_read_as_one_and_not_as_prose(tmp_path, shape):
    held = [{"step": 10 * i, "loss": 5 - i / 1000, "val_loss": 5.5 - i / 1000} for i in range(400)]
    rows_ = ["step,loss,val_loss", *(",".join(map(str, row.values())) for row in held)]
    text = {
        "csv": "\n".join(rows_),
        "tsv": "\n".join(rows_).replace(",", "\t"),
        "jsonl": "\n".join(map(json.dumps, held)),
        "json": json.dumps(held, indent=1),
    }[shape]
    run = only(written(tmp_path, text, f"a.{shape}"))

    assert run.format == "table"
    assert run.series["val_loss"].step.tolist() == [row["step"] for row in held]


def test_a_summary_of_wandb_alone_is_one_point(tmp_path):
    run = only(written(tmp_path, '{"_step": 40, "val/loss": 5.5, "_wandb": {}}', "wandb-summary.json"))

    assert (run.format, points(run.series["val_loss"])) == ("wandb", {40: 5.5})


def test_results_one_row_a_run_without_steps_are_no_runs(tmp_path):
    assert (
        read(written(tmp_path, "variant,Train BPB,Val BPB\nrope,0.79,0.80\nyarn,0.78,0.79\n", "a.csv")) == []
    )


def test_ultralytics_sums_are_called_no_loss_per_token():
    run = only(LOGS / "ultralytics-csv" / "padded.csv")

    assert points(run.series["val_loss"]) == {0: 6.0, 1: 5.25}
    assert run.series["val_loss"].unit == ""
    assert "no loss per token" in said(run)


# --- Weights & Biases


def test_a_real_file_of_a_killed_run_is_read_to_its_last_whole_record():
    run = only(LOGS / "wandb" / "killed.wandb")

    expected = {10 * i: round(1.25 + 3 / (1 + i), 4) for i in range(len(run.series["batch_loss"]))}
    assert points(run.series["batch_loss"]) == expected
    assert len(expected) > 90
    assert "cut within a record" in said(run)
    assert "was killed or goes on" in said(run)


def test_a_real_file_gives_what_was_logged():
    run = only(LOGS / "wandb" / "sample.wandb")

    assert run.name == "sample small"
    assert points(run.series["val_loss"]) == {250 * i: 1.4 + 2.8 / (1 + i) for i in range(8)}
    assert run.get("peak_lr") == 1e-3
    assert run.source("peak_lr") == "W&B config"


def history(step, **values):
    """A history record as older versions write it."""

    def text(number, content):
        data = content.encode()
        return varint(number << 3 | 2) + varint(len(data)) + data

    def varint(n):
        return bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80]) + varint(n >> 7)

    items = [text(1, k) + text(16, json.dumps(v)) for k, v in {**values, "_step": step}.items()]
    body = b"".join(b"\x0a" + varint(len(i)) + i for i in items)
    return b"\x12" + varint(len(body)) + body


def wandb_file(*payloads):
    """A file of whole records, laid out in blocks."""
    out = bytearray(MAGIC + b"\0")
    for payload in payloads:
        first, rest = True, payload
        while True:
            left = BLOCK - len(out) % BLOCK
            if left < 7:
                out += bytes(left)
                continue
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if not rest else 2) if first else (4 if not rest else 3)
            out += frame(part, kind)
            first = False
            if not rest:
                break
    return bytes(out)


def test_records_over_several_blocks_are_put_together():
    payloads = [os.urandom(n) for n in (0, 5, 40_000, 70_000, 32_748, 3)]
    damage = Damage()

    assert list(records([wandb_file(*payloads)], damage)) == payloads
    assert not damage.cut
    assert not damage.records


def test_values_of_any_kind_are_read_or_left_out(tmp_path):
    data = wandb_file(
        history(0, loss=5.5, text="words", flag=True, nested={"val": {"loss": 5.25}}),
        history(1, loss="NaN", other=[1, 2]),
        history(2, loss=4.5, huge=10**400),
    )
    run = only(written(tmp_path, data, "run-x.wandb"))

    assert run.series["batch_loss"].step.tolist() == [0, 1, 2]
    assert np.isnan(run.series["batch_loss"].value[1])
    assert "_step, which counts calls" in said(run)


def test_a_damaged_record_is_left_out_and_the_rest_is_read(tmp_path):
    data = bytearray(wandb_file(*(history(i, loss=5.0 - i / 100) for i in range(100))))
    data[data.index(b"4.95") + 2] = ord("7")  # still a record, but not the one that was written
    run = only(written(tmp_path, bytes(data), "run-x.wandb"))

    assert len(run.series["batch_loss"]) == 99
    assert run.series["batch_loss"].at(5) is None
    assert "1 damaged records" in said(run)


def test_masked_crc32c_is_known_too():
    from crc32c import crc32c

    crc = crc32c(b"\x01one")
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    data = MAGIC + b"\0" + struct.pack("<IHB", masked, 3, 1) + b"one"

    assert list(records([data], Damage())) == [b"one"]


def test_a_folder_is_read_by_its_binary_else_its_output_else_its_summary(tmp_path):
    folder = tmp_path / "wandb" / "run-20240101_000000-abc"
    (folder / "files").mkdir(parents=True)
    written(folder / "files", '{"_step": 40, "val/loss": 5.5, "_wandb": {}}', "wandb-summary.json")
    written(folder / "files", "learning_rate:\n  value: 0.001\nblock_size:\n  value: 256\n", "config.yaml")
    (summary,) = read_folder(tmp_path, Options())
    written(folder / "files", "step 0: train loss 5.5000, val loss 5.2500\n", "output.log")
    (output,) = read_folder(folder, Options())
    written(folder, (LOGS / "wandb" / "sample.wandb").read_bytes(), "run-abc.wandb")
    (binary,) = read_folder(folder / "files" / "..", Options())

    assert points(summary.series["val_loss"]) == {40: 5.5}
    assert "one point" in said(summary)
    assert summary.get("peak_lr") == 0.001
    assert output.format == "nanogpt"
    assert len(binary.series["val_loss"]) == 8
    assert read_folder(tmp_path / "absent", Options()) == []


def test_the_folder_of_all_runs_beside_a_script_is_known(tmp_path):
    folder = tmp_path / "wandb" / "offline-run-20240101_000000-abc"
    folder.mkdir(parents=True)
    written(folder, (LOGS / "wandb" / "sample.wandb").read_bytes(), "run-abc.wandb")
    (tmp_path / "wandb" / "latest-run").symlink_to(folder)

    assert [run.name for run in read_runs(tmp_path / "wandb")] == ["sample small"]


def test_a_chart_of_several_runs_leaves_out_its_bands():
    runs = read(LOGS / "wandb-csv" / "sample.csv")

    assert all(set(r.series) == {"val_loss"} for r in runs)
    assert {r.name: points(r.series["val_loss"]) for r in runs} == {
        "glad-sun-3": {0: 10.9, 100: 5.1, 200: 4.2},
        "a - b": {100: 6.25, 200: 5.5},
    }


# --- nothing that is read may break us

QUIET = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
SAMPLES = sorted(p for name in OURS for p in (LOGS / name).iterdir() if not p.name.endswith("expected.json"))


def survives(reader, path):
    source = Source(path)
    try:
        READERS[reader].sniff(source.sample, source.name)
        runs = READERS[reader].read(source, Options())
    except UnplateauError:
        return
    for run in runs:
        json.dumps({name: curve.as_dict() for name, curve in run.series.items()}, allow_nan=False)


@QUIET
@given(data=st.data())
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_flipped_and_cut_samples_never_break_a_reader(sample, data, tmp_path):
    raw = bytearray(sample.read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(0, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    survives(sample.parent.name, written(tmp_path, bytes(raw[:cut]), sample.name))


@QUIET
@given(
    junk=st.binary(max_size=2000),
    head=st.sampled_from([b"", MAGIC + b"\0", b"step,loss\n0,1\n", b'{"log_history": [']),
)
@pytest.mark.parametrize("reader", OURS)
def test_random_bytes_never_break_a_reader(reader, junk, head, tmp_path):
    survives(reader, written(tmp_path, head + junk, "junk.bin"))


@QUIET
@given(payload=st.binary(max_size=600))
def test_random_records_are_refused_with_a_value_error(payload):
    for start in (b"", b"\x12\x40", b"\x8a\x01\x40", b"\x2a\x40"):
        try:
            for row in rows(start + payload, Logged()):
                assert isinstance(row, dict)
        except ValueError:
            continue


CELL = st.text(alphabet="0123456789.,-+eE \"'\t;|naif\r{}[]:#%", max_size=12)


@QUIET
@given(
    table=st.lists(st.lists(CELL, min_size=1, max_size=5), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
)
@pytest.mark.parametrize("reader", ["table", "lightning-csv", "keras-csv", "ultralytics-csv", "wandb-csv"])
def test_random_tables_never_break_a_reader(reader, table, delimiter, tmp_path):
    header = {"lightning-csv": "epoch,step,train_loss_step", "keras-csv": "epoch,loss,val_loss"}.get(
        reader, 'epoch,"a - loss",a - loss__MAX,train/box_loss,val/box_loss,metrics/x,step,loss'
    )
    text = "\n".join([header.replace(",", delimiter), *(delimiter.join(row) for row in table)])
    survives(reader, written(tmp_path, text, "a.csv"))


@pytest.mark.parametrize("reader", OURS)
@pytest.mark.parametrize(
    "line",
    [
        *(b"{'loss': " * 8000, b"| 1/1" * 16000, b"," * 60_000, b'"' * 60_000, b"0," * 30_000, b"[" * 60_000),
        *(b"{'" + b"a" * 60_000, b"1" * 60_000, b"=" * 60_000, b"a b " * 15_000, b"{'a': '" * 9000),
        b"\x0a\x02" * 30_000,
    ],
    ids=lambda line: repr(line[:9]),
)
def test_a_long_line_of_junk_takes_no_time(reader, line, tmp_path):
    path = written(tmp_path, b"epoch,step,loss,val_loss\n1,1,1,1\n" + line + b"\n" + MAGIC + line, "junk.log")
    start = time.process_time()
    survives(reader, path)

    assert time.process_time() - start < 2.0


def test_a_compressed_binary_is_read(tmp_path):
    raw = (LOGS / "wandb" / "sample.wandb").read_bytes()
    run = only(written(tmp_path, gzip.compress(raw), "run-x.wandb.gz"))

    assert len(run.series["val_loss"]) == 8


# --- real logs, where they are


def shared(path):
    (file,) = (p for p in (SHARED / "logs" / path).iterdir() if p.name != "meta.json")
    return only(file)


@needs_shared
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("llamafactory_trainer_log/chatglm_lora_epoch25", "hf_stdout_dict/chatglm_lora_epoch25_stdout"),
        ("hf_stdout_dict/Jaong_CPT_cmd", "hf_trainer_state/Jaong_CPT"),
        ("llamafactory_trainer_log/suzushi_luojiu7b", "hf_trainer_state/suzushi_luojiu7b_pretrain"),
        ("llamafactory_trainer_log/syGOAT_mistral", "hf_trainer_state/syGOAT_mistral_translator"),
    ],
)
def test_two_captures_of_one_run_give_the_same_series(one, other):
    one, other = shared(one), shared(other)
    both = one.series.keys() & other.series.keys()

    assert both >= {"batch_loss", "lr", "epoch"}
    assert {name: one.series[name] == other.series[name] for name in both} == dict.fromkeys(both, True)


@needs_shared
@pytest.mark.parametrize(
    ("case", "reader", "series", "points_", "last"),
    [
        ("hf_stdout_dict/h2ogpt_tqdm_cr", "hf-stdout", "batch_loss", 3, 1.4059),
        ("hf_trainer_state/Jaong_CPT", "hf-trainer-state", "val_loss", 10, 0.4916660189628601),
        ("hf_trainer_state/Mubashir_gpt2_code", "hf-trainer-state", "val_loss", 1, 1.039638638496399),
        ("hf_trainer_state/anon_llm_training_summ", "hf-trainer-state", "batch_loss", 4, 0.427),
        ("hf_trainer_state/satish_llama_medqa_lr1e-4", "hf-trainer-state", "batch_loss", 109, 0.5299),
        ("hf_trainer_state/suzushi_luojiu7b_pretrain", "hf-trainer-state", "batch_loss", 1742, 1.3703),
        ("keras_csv/Angga_lstm_translation", "keras-csv", "val_loss", 63, 0.8031464219093323),
        ("lightning_csv/0Xero7_slm_v0", "lightning-csv", "val_loss", 10, 3.570486068725586),
        ("ultralytics_csv/yolo11_bone", "ultralytics-csv", "val_loss", 10, 8.77028),
    ],
)
def test_real_logs_end_on_their_last_record(case, reader, series, points_, last):
    run = shared(case)

    assert (run.format, len(run.series[series])) == (reader, points_)
    assert run.series[series].last == pytest.approx(last, rel=1e-12)


@needs_shared
def test_a_log_of_two_runs_gives_both():
    runs = read(next((SHARED / "logs/hf_stdout_dict/chatglm_webqsp_epoch200_truncated").glob("*.txt")))

    assert [(len(r.series["batch_loss"]), int(r.series["batch_loss"].step[-1])) for r in runs] == [
        (212, 2120),
        (628, 6280),
    ]
    assert {replace(r, warnings=()).get("max_steps") for r in runs} == {21600}
