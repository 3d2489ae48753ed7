"""What a run says while it goes: on a terminal no line is longer than 80 columns, in a file none is folded.

Seen red once each: notes that are not folded; the last line in one; losses told without their errors.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from io import StringIO

import pytest
from rich.console import Console

from small_runs import SMALL, write_text
from unplateau.train.terminal import Moving, Plain, in_rows, told

WIDE = 200  # columns of the terminal: more than any line may have
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROW = {
    "step": 100,
    **{f"{name}_loss": 6.21364 for name in ("val", "train", "seen", "fresh")},
    **{f"{name}_loss_error": 0.00213 for name in ("val", "train", "seen", "fresh")},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("data"), 20_000, 4_000)


def words(data, out, *more):
    texts = [f"--dataset={data}", f"--out_dir={out}", "--max_steps=40", "--eval_interval=20"]
    return ["train", *SMALL, *texts, "--backend=nccl", *more]


def on_a_terminal(args, folder):
    """Exit code, and all lines that a terminal of ``WIDE`` columns was given."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDE, 0, 0))
    free = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "CI")}
    said, program = b"", [sys.executable, "-m", "unplateau", *args]
    environment = {**free, "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    with subprocess.Popen(
        program, stdin=other, stdout=other, stderr=other, env=environment, cwd=folder
    ) as process:
        os.close(other)
        try:
            while part := os.read(main, 1 << 16):
                said += part
        except OSError:  # Linux's word for the end
            pass
    os.close(main)
    return process.returncode, re.split(r"[\r\n]+", CONTROLS.sub("", said.decode()))


@pytest.mark.parametrize("style", ["rich", "nanogpt"])
def test_on_a_terminal_no_line_is_longer_than_80_columns(data, tmp_path, style):
    more = (f"--log_style={style}", "--attention=sdpa", "--compile=auto")
    code, lines = on_a_terminal(words(data, "out", *more), tmp_path)

    assert code == 0, lines
    assert sum("kernels: " in line for line in lines) == 1
    assert any("step 40" in line for line in lines)
    assert [line for line in lines if len(line) > 80] == []
    assert ("Next: unplateau diagnose out" in lines) == (style == "rich")


def test_in_a_file_every_note_is_one_line(data, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as stream:
        command = [sys.executable, "-m", "unplateau", *words(data, tmp_path / "out", "--log_style=rich")]
        subprocess.run(command, stdout=stream, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    lines = log.read_text().splitlines()

    assert "note: --backend has no effect: torchrun's devices tell it" in lines
    assert any(len(line) > 80 for line in lines)  # the kernels', and the last evaluation's
    assert re.fullmatch(r"step 20 of 40  val \d\.\d{4} ±\d\.\d{4}  train \d\.\d{4} ±\d.\d{4}.*", lines[-4])


def test_every_split_is_told_with_its_error():
    said = []
    Plain(said.append, 300).evaluated(ROW, 325.0)

    assert said[0].count("6.2136 ±0.0021") == 4


def test_an_evaluation_of_four_splits_is_two_rows_of_a_terminal():
    rows = in_rows(told(ROW, 300, 325.0), 80).split("\n")

    assert len(rows) == 2
    assert rows[1].startswith(" " * len("step 100 of 300  ") + "fresh")
    assert max(map(len, rows)) <= 80


def test_the_line_that_moves_leaves_out_what_does_not_fit():
    voice = Moving(print, 1_000_000, Console(file=StringIO(), force_terminal=True, width=80), 80)
    voice.stepped({"step": 100_000, "batch_loss": 3.0, "tokens_per_second": 18_300.0}, 300_000.0)
    shown = voice._progress.tasks[0].description
    voice.close()

    assert shown == "step 100,000 of 1,000,000  loss 3.0000  3 d 11 h left"
