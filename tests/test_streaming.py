"""Large output is written in pieces: the same to the letter as in one, and in little memory."""

import csv
import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unplateau import source as source_module
from unplateau.curve import Curve
from unplateau.errors import UnplateauError
from unplateau.readers import Options, choose
from unplateau.readers._json import values_in
from unplateau.reading import read_runs
from unplateau.report import csv as as_csv
from unplateau.report import json as as_json
from unplateau.run import Fact, Run
from unplateau.source import Source

LOGS = Path(__file__).parent / "logs"
NAMES = st.text(max_size=12)
VALUES = st.lists(st.floats(), max_size=30)
MIB = 1 << 20


def samples():
    found = [p for p in sorted(LOGS.glob("*/*")) if "expected" not in p.name and p.is_file()]
    return [pytest.param(p, id=f"{p.parent.name}-{p.name}") for p in found if choose(Source(p))]


def one(values, unit="nats", start=0):
    return Curve(np.arange(start, start + len(values)), values, unit)


@pytest.mark.parametrize("sample", samples())
def test_json_in_pieces_is_the_same_for_every_sample(sample):
    try:
        runs = choose(Source(sample)).read(Source(sample), Options())
    except UnplateauError:
        runs = []

    assert "".join(as_json.reading_chunks(runs)) == as_json.dumps(as_json.reading(runs))


@given(
    runs=st.lists(
        st.builds(
            Run,
            NAMES,
            NAMES,
            st.dictionaries(NAMES, st.builds(one, VALUES, NAMES, st.integers(0, 1 << 60)), max_size=4),
            st.dictionaries(NAMES, st.builds(Fact, st.one_of(NAMES, st.floats()), NAMES, NAMES), max_size=3),
            warnings=st.tuples(NAMES),
        ),
        max_size=3,
    ),
    at_once=st.integers(1, 7),
)
def test_json_in_pieces_is_the_same_for_any_runs(runs, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(as_json, "POINTS", at_once)
        written = "".join(as_json.reading_chunks(runs))

    assert written == as_json.dumps(as_json.reading(runs))


@given(values=VALUES, run=NAMES, series=NAMES)
def test_csv_reads_back(values, run, series):
    text = "".join(as_csv.chunks([Run(run, "", {series: one(values)})]))

    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [repr(float(row[3])) for row in rows] == [repr(v) for v in values]
    assert all(len(row) == 4 and row[2] == str(i) for i, row in enumerate(rows))


@pytest.mark.parametrize("chunks", [as_json.reading_chunks, as_csv.chunks], ids=["json", "csv"])
def test_a_long_run_is_written_in_little_memory(chunks):
    run = Run("long", "", {"batch_loss": one(np.linspace(11, 3, 400_000))})
    tracemalloc.start()
    try:
        size = sum(len(chunk) for chunk in chunks([run]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size > 8 * MIB
    assert peak < 8 * MIB


def rows(count):
    return [{"step": i, "loss": 8 - i / count, "nested": {"note": "ä]}, {["}} for i in range(count)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("piece", [7, 100, MIB])
def test_a_list_of_json_is_read_in_pieces_of_any_size(indent, piece, tmp_path, monkeypatch):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows(40), indent=indent, ensure_ascii=False))
    monkeypatch.setattr(source_module, "PIECE", piece)
    monkeypatch.setattr(source_module, "LINE", piece)

    assert list(values_in(Source(path))) == rows(40)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.99])
def test_a_list_of_json_that_is_cut_gives_what_came_before_and_a_warning(share, tmp_path):
    path = tmp_path / "rows.json"
    text = json.dumps(rows(100))
    path.write_text(text[: int(share * len(text))])
    (run,) = read_runs(path)

    assert abs(len(run.series["batch_loss"]) - 100 * share) < 2
    assert any("cut or damaged after" in w for w in run.warnings)


def test_a_long_list_of_json_takes_little_memory(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text("[" + ",".join(f'{{"step":{i},"loss":{3 + i % 7}.5}}' for i in range(100_000)) + "]")
    tracemalloc.start()

    (run,) = read_runs(path)

    assert tracemalloc.get_traced_memory()[1] < 25 * MIB  # 67 as a whole
    assert len(run.series["batch_loss"]) == 100_000
    tracemalloc.stop()
