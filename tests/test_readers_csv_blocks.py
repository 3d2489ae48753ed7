"""A table read many lines at a time says to the bit what it says line by line, whatever stands in it.

Mutations that went red here: torn lines not counted; words of a column not left out; a step that is no whole number taken;
quotes split at their commas; a header repeated where the steps start over read into the first run.
"""

import random

import numpy as np
import pytest

import unplateau.readers._tabular as tabular
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
@pytest.mark.parametrize("block", [1, 7, 64, 1 << 14])
def test_it_is_read_as_line_by_line(name, block, tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text(TABLES[name])
    monkeypatch.setattr(tabular, "BLOCK", block)
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
        monkeypatch.setattr(tabular, "BLOCK", 16)
        monkeypatch.setattr(tabular.Reading, "add_block", plain)
        fast = told(path)
        monkeypatch.setattr(tabular.Reading, "add_block", lambda *_: False)
        assert fast == told(path)


def test_a_plain_table_is_taken_in_blocks(tmp_path, monkeypatch):
    path, taken = tmp_path / "table.csv", []
    path.write_text(TABLES["torn"])
    plain = tabular.Reading.add_block
    monkeypatch.setattr(tabular.Reading, "add_block", lambda *given: taken.append(plain(*given)) or taken[-1])

    (run,) = read_runs(path)

    assert taken == [True]
    assert len(run.series["batch_loss"]) == 297
    assert np.isfinite(run.series["val_loss"].value).all()
