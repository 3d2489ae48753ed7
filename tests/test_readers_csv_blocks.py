"""A table read a piece at a time says to the bit what it says line by line, whatever stands in it.

Mutations that went red here: torn lines not counted; words of a column not left out; a step that is no whole number taken;
quotes split at their commas; a header repeated where the steps start over read into the first run; -0 read as 0, as JSON
does; a number of 70 digits taken; commas within the cells of a table of semicolons taken for its delimiter; the second of
two empty cells side by side looked at alone; a header below the first that gave what follows twice; a row with an empty cell too many left out, as a space in that cell once made it.
"""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unplateau.readers._blocks as blocks
import unplateau.readers._tabular as tabular
from unplateau import source
from unplateau.readers._cells import Layout, below
from unplateau.reading import read_runs

HEAD = "step,train_loss,val_loss,lr,note\n"


def rows(first, last, **odd):
    out = []
    for step in range(first, last):
        val = f"{3 + 1 / (step + 1):.4f}" if step % 10 == 0 else ""
        out.append(odd.get(f"at{step}", f"{step},{4 - step / 1000:.4f},{val},1e-3,") + "\n")
    return "".join(out)


TABLES = {
    "plain": HEAD + rows(0, 300),
    "words": HEAD + rows(0, 300, at7="7,best,,1e-3,a word", at90="90,nan,inf,-,12"),
    "torn": HEAD + rows(0, 300, at50="50,3.9", at51="51,3.9,,,,,,8", at299="299,3."),
    "one cell more, a space": HEAD + rows(0, 300, at50="50,3.9,3.1,1e-3,x, "),
    "one cell more": HEAD + rows(0, 300, at50="50,3.9,3.1,1e-3,x,"),
    "steps": HEAD + rows(0, 300, at40="40.5,3,3,3,", at41=",3,3,3,", at42="1e17,3,3,3,", at43="-4,3,3,3,"),
    "quotes": HEAD + rows(0, 300, at60='60,"3.9",,1e-3,"a, b"'),
    "spaces": HEAD + rows(0, 300, at60=" 60 , 3.9 , , 1e-3 , "),
    "repeated": HEAD + rows(0, 200) + HEAD + rows(200, 300),
    "starts over": HEAD + rows(0, 200) + HEAD + rows(0, 300),
    "goes back": HEAD + rows(0, 200) + rows(100, 300),
    "grouped": HEAD + rows(0, 300, at77='77,"1,234.5",,0.001,'),
    "tabs": (HEAD + rows(0, 300)).replace(",", "\t"),
    "commas": "step;train_loss;val_loss\n" + "".join(f"{s};3,{9999 - s};2,5\n" for s in range(300)),
    "epochs": "epoch,loss,val_loss\n" + "".join(f"{s},{4 - s / 400:.4f},3.5\n" for s in range(300)),
    "no steps": "loss,val_loss\n" + "".join(f"{4 - s / 400:.4f},3.5\n" for s in range(300)),
    "runs": "run,step,loss\n"
    + "".join(f"{'ab'[s // 150]},{s % 150},{4 - s / 400:.4f}\n" for s in range(300)),
    "long": HEAD + rows(0, 300, at20=f"20,{'3' * 70},,1e-3,"),
    "minus zero": HEAD + rows(0, 300, at20="20,-0,-0.0,-0 ,-0", at21="21,-0e3,,1e-05,"),
    "no numbers": HEAD
    + rows(0, 300, at20="20,1.5e400,null,true,NaN", at21="21,[1],{},0x1,.5", at22="22,3.,+1,01,"),
    "empty cells": HEAD + rows(0, 300, at20="20,,,,", at21="21,,,,7"),
    "lines without a cell": HEAD + rows(0, 300, at20="20,3,,,\n\nepoch 2"),
    "returns": (HEAD + rows(0, 300)).replace("\n", "\r\n"),
    "lone returns": (HEAD + rows(0, 300)).replace("\n", "\r"),
    "cut": HEAD + rows(0, 300)[:-9],
    "semicolons": "step;train_loss;val_loss\n" + "".join(f"{s};3.5;{9 + s},250.5\n" for s in range(300)),
    "two of a name": "step,loss,loss\n" + "".join(f"{s},3.5,{s}\n" for s in range(300)),
    "underscores": HEAD + rows(0, 300, at20="20,1_0,,1e-3,"),
}


def told(path):
    return [
        (
            run.name,
            run.warnings,
            {n: (c.step.tolist(), c.value.tobytes(), c.unit) for n, c in run.series.items()},
        )
        for run in read_runs(path)
    ]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("piece", [1, 70, 700, 1 << 20])
def test_it_is_read_as_line_by_line(name, piece, tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text(TABLES[name], newline="")
    monkeypatch.setattr(source, "PIECE", piece)
    fast = told(path)
    monkeypatch.setattr(tabular.Reading, "add_block", lambda *_: False)

    assert fast == told(path)


def test_any_table_is_read_as_line_by_line(tmp_path, monkeypatch):
    draw, path = random.Random(0), tmp_path / "table.csv"
    cells = ["3.5", "", "nan", "x", " 2", "1e-3", "-1", "12", "1.5e400", "0x1", '"4"', "٣"]
    plain = tabular.Reading.add_block
    for _ in range(60):
        lines = [
            ",".join(
                [str(i), *draw.choices(cells, [9, 3, *[1] * 8, 0.2, 0.2], k=draw.choice([4] * 30 + [3, 5]))]
            )
            for i in range(60)
        ]
        path.write_text(HEAD + rows(0, 5) + "\n".join(lines) + "\n")
        monkeypatch.setattr(source, "PIECE", 300)
        monkeypatch.setattr(tabular.Reading, "add_block", plain)
        fast = told(path)
        monkeypatch.setattr(tabular.Reading, "add_block", lambda *_: False)
        assert fast == told(path)


def test_a_plain_table_is_taken_a_piece_at_a_time(tmp_path, monkeypatch):
    path, taken, sizes = tmp_path / "table.csv", [], []
    path.write_text(TABLES["torn"])
    plain = tabular.Reading.add_block

    def add_block(reading, data, *given):
        sizes.append(len(data))
        taken.append(plain(reading, data, *given))
        return taken[-1]

    monkeypatch.setattr(tabular.Reading, "add_block", add_block)
    monkeypatch.setattr(source, "PIECE", 700)

    (run,) = read_runs(path)

    assert set(taken) == {True}
    assert max(sizes) < 700 + 50  # a piece ends where a line does
    assert sum(sizes) == len(TABLES["torn"]) - len(HEAD)
    assert len(run.series["batch_loss"]) == 297
    assert np.isfinite(run.series["val_loss"].value).all()


def test_numbers_and_empty_cells_are_not_looked_at_one_by_one(monkeypatch):
    monkeypatch.setattr(blocks, "numbers_of", None)

    found = blocks.columns_of(b"1,,,\n2,,3e-5,\n,-0.5,, 4\n", Layout(",", ("a", "b", "c", "d"), 1))

    assert {name: (rows.tolist(), values.tolist()) for name, (rows, values) in found.items()} == {
        "a": ([0, 1], [1.0, 2.0]),
        "b": ([2], [-0.5]),
        "c": ([1], [3e-5]),
        "d": ([2], [4.0]),
    }


def test_all_below_the_first_header_is_given_once(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("# by hand\n" + HEAD + rows(0, 20) + HEAD + rows(20, 40))
    monkeypatch.setattr(source, "PIECE", 1 << 20)

    pieces = list(below(source.Source(path), Layout(",", tuple(HEAD.strip().split(",")), 1)))

    assert b"".join(pieces).decode() == rows(0, 20) + HEAD + rows(20, 40)


NUMBERS = st.one_of(
    st.floats().map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map("{:.4f}".format),
    st.integers(-(10**24), 10**24).map(str),
    st.from_regex(r"[-+]?[0-9]{0,30}\.?[0-9]{0,25}([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"-0(\.0{0,3})?(e-?0[0-9])?", fullmatch=True),
)
CELLS = st.one_of(NUMBERS, st.just(""), st.text(" \t0123456789.-+eEnaif[]{}_:", max_size=8))
#: pieces of numbers and empty cells alone, and such where something else stands
COLUMNS = st.one_of(st.lists(st.one_of(NUMBERS, st.just("")), min_size=2), st.lists(CELLS, min_size=2))


@given(cells=COLUMNS, delimiter=st.sampled_from(",;|"))
def test_any_cells_are_the_numbers_that_they_are_one_by_one(cells, delimiter):
    how, rows = Layout(delimiter, ("a", "b"), 1), len(cells) // 2
    data = "".join(f"{cells[2 * i]}{delimiter}{cells[2 * i + 1]}\n" for i in range(rows)).encode()

    found = blocks.columns_of(data, how)

    for i, name in enumerate(how.header):
        places, values = found[name]
        told = {
            j: value for j in range(rows) if (value := blocks.number(cells[2 * j + i].strip())) is not None
        }
        assert list(told) == (list(range(rows)) if places is None else places.tolist())
        assert np.array(list(told.values()), np.float64).tobytes() == values.tobytes()


@given(st.lists(st.lists(CELLS, max_size=4).map(",".join)).map("\n".join))
def test_lines_that_fit_are_those_that_fit_one_by_one(text):
    how = Layout(",", ("a", "b"), 1)
    rows = [[cell.strip() for cell in line.split(",")] for line in text.split("\n") if "," in line]
    fitting = [row for row in rows if tabular.fits(row, how.header)]

    found = blocks.fitting(text.encode(), how)

    if any(len(row) == 3 for row in fitting):
        assert found is None
    else:
        lines, left_out = found
        kept = lines.decode().split("\n")[:-1]
        assert [[cell.strip() for cell in line.split(",")] for line in kept if "," in line] == fitting
        assert left_out == len(rows) - len(fitting)
