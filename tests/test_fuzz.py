"""Whatever the bytes: no reader raises anything but an UnplateauError, takes long, or fills the memory."""

from __future__ import annotations

import gzip
import importlib.util
import random
import re
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unplateau import cli
from unplateau import source as source_module
from unplateau.errors import UnplateauError
from unplateau.plugins import discover
from unplateau.readers import Options, Reader, choose
from unplateau.source import Source

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
spec = importlib.util.spec_from_file_location("fuzz", BENCHMARK)
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)

READERS = discover("readers")
LOGS = fuzz.LOGS
SAMPLES = fuzz.seeds()
MIB = 1 << 20
SECONDS = 6.0  # CPU for one hostile line of 1 MiB; the slowest takes a tenth, tests run on busy machines
QUIET = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
#: text with the marks of all formats in it, so that hypothesis gets past the first pattern
WORDS = st.sampled_from(
    [
        b"step",
        b"iter ",
        b"loss",
        b"val_loss",
        b": ",
        b"=",
        b"|",
        b" ",
        b"\n",
        b"\r",
        b"{",
        b"}",
        b'"',
        b"'",
        b",",
        b"/",
        b"iteration 1/ 5 |",
        b"epoch 001:",
        b"completed step: ",
        b"[batch=1/2]:\n",
        b"\tTrain loss/train/total: ",
        b"3.5",
        b"10",
        b"nan",
        b"1e400",
        b"9" * 30,
        b"\x1b[31m",
        b"\x1b]0;",
        b"\xff",
        b"\0",
        b"1,234",
        b"-1",
        b"lm loss: ",
    ]
)
hostile = st.one_of(
    st.binary(max_size=400),
    st.lists(WORDS, max_size=60).map(b"".join),
    st.integers(0, 10**6).map(lambda seed: fuzz.mutated(random.Random(seed), SAMPLES)),
)


def read(reader, path, options=None):
    """The runs, or none where the reader says in one line why not."""
    try:
        return reader.read(Source(path), options or Options())
    except UnplateauError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return []


def test_there_are_samples_to_start_from():
    assert len(SAMPLES) >= 20


@QUIET
@given(data=hostile)
def test_the_chosen_reader_survives_anything(data, tmp_path):
    path = tmp_path / "input.log"
    path.write_bytes(data)

    fuzz.check(path)


@pytest.mark.parametrize("name", READERS)
def test_each_reader_survives_what_is_not_its_own(name, tmp_path):
    path = tmp_path / "input.log"
    for seed in range(40):
        path.write_bytes(fuzz.mutated(random.Random(seed), SAMPLES))
        for run in read(READERS[name], path):
            assert all(len(c.step) == len(c.value) for c in run.series.values())


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "option", [{"columns": {"val_loss": "loss", "step": "x"}}, {"unit": "bits"}, {"unit": "perplexity"}]
)
def test_options_change_nothing_of_that(name, option, tmp_path):
    path = tmp_path / "input.log"
    for data in [*SAMPLES[::7], b"step 1 loss -3\nstep 2 loss nan\nstep 3 loss 0\n"]:
        path.write_bytes(data[:20_000])
        read(READERS[name], path, Options(**option))


@pytest.mark.parametrize(
    "character", [b"a", b"0", b" ", b"{", b'"', b"|", b"=", b",", b"[", b"-", b"\t", b":"]
)
def test_one_line_of_one_character_costs_time_in_proportion(character, tmp_path):
    path = tmp_path / "input.log"
    for line in (
        character * MIB,
        b"step 1 loss " + character * MIB,
        character * MIB + b"\nstep 1 loss 3.5\n",
    ):
        path.write_bytes(line)
        for name, reader in READERS.items():
            start = time.process_time()
            reader.sniff(Source(path).sample, path.name)
            read(reader, path)
            assert time.process_time() - start < SECONDS, name


@pytest.mark.parametrize(
    "word",
    [
        b"loss ",
        b"step ",
        b"1 ",
        b"a=1 ",
        b"| 1 ",
        b'{"a":',
        b"iteration 1/ 2 |",
        b"epoch 1: ",
        b"val ",
        b"1.",
    ],
)
def test_one_line_of_one_word_costs_time_in_proportion(word, tmp_path):
    path = tmp_path / "input.log"
    path.write_bytes(word * (MIB // len(word)))
    for name, reader in READERS.items():
        start = time.process_time()
        reader.sniff(Source(path).sample, path.name)
        read(reader, path)
        assert time.process_time() - start < SECONDS, name


@pytest.mark.parametrize("step", [10**15, 10**18, 10**19, 10**40])
def test_a_step_that_is_none_is_no_step(step, tmp_path):
    for name, reader in READERS.items():
        for sample in (Path(__file__).parent / "logs" / name).glob("sample.*"):
            if b"\0" in sample.read_bytes()[:4096]:
                continue
            text = sample.read_bytes()[:30_000]
            path = tmp_path / sample.name
            for place in [i for i in range(1, len(text)) if text[i - 1 : i + 1].isdigit()][::97]:
                path.write_bytes(text[:place] + str(step).encode() + text[place:])
                for run in read(reader, path):
                    assert all(c.step[-1] < 10**15 for c in run.series.values() if len(c)), name


@pytest.mark.parametrize(
    "line", [b"a" * 100 + b"\n", b"\0" * 100, b"step 1 loss 3.5\n", b'{"step": 1, "loss": 2.5}\n']
)
def test_a_gzip_bomb_is_refused(line, tmp_path, monkeypatch):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(line * (6 * MIB // len(line)), 1))
    monkeypatch.setattr(source_module, "UNPACKED", 2 * MIB)

    for reader in READERS.values():
        read(reader, path)
    with pytest.raises(UnplateauError, match="unpacks to more"):
        for _ in Source(path).blocks():
            pass


def test_a_line_that_never_ends_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "endless.log.gz"
    path.write_bytes(gzip.compress(b"step 1 loss: 3.5 " + b"x" * (32 * MIB), 1))
    tracemalloc.start()
    try:
        reader = choose(Source(path))
        assert reader is None or read(reader, path) is not None
        for name in (
            "text",
            "megatron",
            "litgpt",
            "nemo",
            "maxtext",
            "torchtitan",
            "composer",
            "fairseq",
            "tensorboard",
        ):
            read(READERS[name], path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 48 * MIB


@pytest.mark.parametrize("part", [b"\r", b"\r\n", b"\0", b"\x1b", b"\x1b[", b"\x1b]", b"\r\0", b"\x1b[0;"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_cleaning_costs_time_in_proportion(part, end):
    start = time.process_time()
    source_module.clean(part * (MIB // len(part)) + end)

    assert time.process_time() - start < 1


@pytest.mark.parametrize("character", [b"a", b"0", b"{", b" ", b"\0", b"\r"])
@pytest.mark.parametrize("name", ["nanogpt", "text", "table", "megatron", "hf-stdout"])
def test_a_long_line_in_a_log_that_is_claimed_costs_time_in_proportion(name, character, tmp_path):
    (sample,) = (p for p in LOGS.glob(f"{name}/sample.*") if "expected" not in p.name)
    path = tmp_path / sample.name
    path.write_bytes(sample.read_bytes() + character * 8 * MIB + b"\n" + sample.read_bytes())
    start = time.process_time()

    assert read(READERS[name], path)
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize(
    "sample", ["nanogpt/sample", "text/sample", "table/sample", "hf-stdout/sample", "llm.c/sample"]
)
def test_the_command_line_takes_a_log_that_was_cut_anywhere(sample, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("UNPLATEAU_DEBUG", "1")  # a fault of our own is raised, not said
    (path,) = (p for p in LOGS.glob(f"{sample}.*") if "expected" not in p.name)
    raw = path.read_bytes()
    for cut in range(0, len(raw), max(1, len(raw) // 60)):
        (tmp_path / path.name).write_bytes(raw[:cut])
        verb = "diagnose" if cut % 3 == 0 else "read"
        code = cli.main([verb, str(tmp_path / path.name), "--json"])
        said = capsys.readouterr()
        assert (code, bool(said.out)) == (0, True) or (code, said.out, said.err.count("\n")) == (3, "", 1)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "a.log",
            "step {step}: train loss {loss}, val loss {loss}\niter {step}: loss {loss}, time 9.00ms, mfu 1.00%\n",
        ),
        ("a.txt", "step={step} loss={loss} lr={loss}\n"),
        ("a.jsonl", '{{"step": {step}, "loss": {loss}}}\n'),
    ],
)
@pytest.mark.parametrize(
    ("step", "loss"), [(10**18, "1e400"), (0, "1e400"), (10**18, "3.5"), (0, "-1e308"), (0, "1e308")]
)
def test_the_command_line_takes_monstrous_numbers(name, line, step, loss, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("UNPLATEAU_DEBUG", "1")
    (tmp_path / name).write_text("".join(line.format(step=step + i, loss=loss) for i in range(40)))
    for verb in ("read", "diagnose"):
        code = cli.main([verb, str(tmp_path / name)])
        said = capsys.readouterr()
        assert code == 0 or (code == 3 and said.err.count("\n") == 1)


@pytest.mark.parametrize("number", [b"nan", b"1e308", b"-1", b"0", b"9" * 18])
@pytest.mark.parametrize("name", READERS)
def test_one_number_that_became_monstrous_is_diagnosed(name, number, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("UNPLATEAU_DEBUG", "1")
    for sample in (p for p in LOGS.glob(f"{name}/*.*") if "expected" not in p.name):
        raw = sample.read_bytes()
        numbers = list(re.finditer(rb"\d{1,20}(?:\.\d{1,20})?", raw)) if b"\0" not in raw[:4096] else []
        for found in numbers[:: max(1, len(numbers) // 3)]:
            (tmp_path / sample.name).write_bytes(raw[: found.start()] + number + raw[found.end() :])
            code = cli.main(["diagnose", str(tmp_path / sample.name)])
            assert code == 0 or (code == 3 and capsys.readouterr().err.count("\n") == 1)


@pytest.mark.parametrize("last", ["nan", "inf"])
def test_a_short_log_that_ends_in_nan_is_not_called_lost_from_nowhere(last, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("step,val_loss\n0,9.5\n10,8.5\n20,7.5\n30," + last + "\n")

    assert cli.main(["diagnose", str(tmp_path / "a.csv")]) == 0
    assert "None" not in capsys.readouterr().out


def test_the_net_catches_a_reader_that_raises(tmp_path):
    """Without this, an error swallowed by the driver would look like robustness."""
    path = tmp_path / "input.log"
    path.write_bytes(b"step 1")

    def broken(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fuzz.check(path, Reader("broken", "", lambda *_: 0, broken))


def test_the_net_catches_a_reader_that_hangs():
    with pytest.raises(fuzz.TooSlow), fuzz.limited(0.05):
        time.sleep(5)
