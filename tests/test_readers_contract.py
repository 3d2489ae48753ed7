"""What every reader promises. A new file in readers/ is held to it without touching this one.

Golden samples lie in ``tests/logs/<reader name>/``: ``sample.<any suffix>`` with ``expected.json``, and
any further ``NAME.<suffix>`` with ``NAME.expected.json``. An expectation looks like this::

    {"runs": [{"name": "optional", "series": {"val_loss": {"points": 3, "last": 3.28, "unit": "nats"}},
               "facts": {"max_steps": 100}}],
     "binary": true,     # absent for text: no line ends, colours or junk lines are tried
     "document": true}   # one JSON or YAML document, or a table whose rows can't be torn: no junk lines

``last`` is null where the last value is not finite. The series listed must be all that there are; the
facts listed must be among those read.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from pathlib import Path

import pytest

from unplateau.errors import UnplateauError
from unplateau.plugins import discover
from unplateau.readers import Options, choose
from unplateau.source import Source

LOGS = Path(__file__).parent / "logs"
READERS = discover("readers")
CUTS = 250  # prefixes of a sample that are tried: every byte of small samples, else spread, and its tail
NUMBER = re.compile(rb"[-+]?\d{1,9}(?:\.\d{0,20})?(?:[eE][-+]?\d{1,3})?")
JUNK = b"W0705 22:39:55.979000 1090103 site-packages/torch/_inductor/utils.py:1137] Not enough SMs"


def expectations():
    for expected in sorted(LOGS.glob("*/*expected.json")):
        stem = expected.name.removesuffix(".json").removesuffix("expected").rstrip(".") or "sample"
        (sample,) = (p for p in expected.parent.glob(f"{stem}.*") if not p.name.endswith("expected.json"))
        yield pytest.param(
            expected.parent.name,
            sample,
            json.loads(expected.read_text()),
            id=f"{expected.parent.name}-{stem}",
        )


SAMPLES = list(expectations())
FILES = [pytest.param(*p.values[:2], id=p.id) for p in SAMPLES]
TEXTS = [p for p in SAMPLES if not p.values[2].get("binary")]
LINES = [pytest.param(*p.values[:2], id=p.id) for p in TEXTS]
TORN = [pytest.param(*p.values[:2], id=p.id) for p in TEXTS if not p.values[2].get("document")]


def read(name, path):
    return READERS[name].read(Source(path), Options())


def points(runs):
    """Steps and values, NaN made comparable."""
    return [
        {
            name: {int(s): repr(float(v)) for s, v in zip(c.step, c.value, strict=True)}
            for name, c in run.series.items()
        }
        for run in runs
    ]


def cuts(size):
    if size <= CUTS:
        return range(size)
    tail = range(size - CUTS // 2, size)
    return [*range(0, size, size // (CUTS // 2)), *tail]


@pytest.mark.parametrize("name", READERS)
def test_every_reader_has_a_golden_sample(name):
    assert (LOGS / name / "expected.json").is_file(), f"write tests/logs/{name}/sample.* and expected.json"


@pytest.mark.parametrize("name", READERS)
def test_a_reader_claims_nothing_in_foreign_text(name):
    prose = (
        b"step by step the loss: 3 pounds at 10:30\nepoch after epoch, 1.5 years\n\x00\x01\xff\xfe junk\n"
        * 50
    )

    assert READERS[name].last_resort or READERS[name].sniff(prose, "story.txt") == 0


@pytest.mark.parametrize("name", READERS)
def test_one_huge_line_is_no_trouble(name, tmp_path):
    path = tmp_path / "huge.log"
    path.write_bytes(b"step 1 | loss: " * 20_000 + b"\niter 5: loss " + b"9" * 20_000 + b" {" * 9_000)

    try:
        runs = read(name, path)
    except UnplateauError:
        return
    assert sum(len(c) for run in runs for c in run.series.values()) < 20_000


@pytest.mark.parametrize(("name", "sample", "expected"), SAMPLES)
def test_reads_as_expected(name, sample, expected):
    runs = read(name, sample)

    assert len(runs) == len(expected["runs"])
    for run, wanted in zip(runs, expected["runs"], strict=True):
        assert run.name == wanted.get("name", run.name)
        got = {
            series: {
                "points": len(c),
                "last": float(c.value[-1]) if math.isfinite(c.value[-1]) else None,
                "unit": c.unit,
            }
            for series, c in run.series.items()
        }
        assert got == wanted["series"]
        assert {f: run.get(f) for f in wanted.get("facts", {})} == wanted.get("facts", {})
        assert all(fact.source for fact in run.facts.values())


@pytest.mark.parametrize(("name", "sample"), FILES)
class TestEverySample:
    def test_is_claimed_by_its_own_reader(self, name, sample):
        chosen = choose(Source(sample))

        assert chosen is not None
        assert chosen.name == name

    def test_reads_the_same_from_gzip(self, name, sample, tmp_path):
        packed = tmp_path / f"{sample.name}.gz"
        packed.write_bytes(gzip.compress(sample.read_bytes()))

        assert choose(Source(packed)).name == name
        assert points(read(name, packed)) == points(read(name, sample))

    def test_cut_anywhere_it_gives_what_came_before(self, name, sample, tmp_path):
        whole, raw = read(name, sample), sample.read_bytes()
        full = points(whole)
        replayed = any("more than once" in w for run in whole for w in run.warnings)
        path = tmp_path / sample.name
        for cut in cuts(len(raw)):
            path.write_bytes(raw[:cut])
            try:
                runs = points(read(name, path))
            except UnplateauError:
                continue
            assert len(runs) <= len(full)
            if replayed:
                continue
            for got, wanted in zip(runs, full, strict=False):
                for series in got.keys() & wanted.keys():
                    last = max(got[series], default=0)  # the record that the cut fell into
                    bad = {s: v for s, v in got[series].items() if s != last and wanted[series].get(s) != v}
                    assert not bad, f"cut at byte {cut}, {series}: {bad}"


@pytest.mark.parametrize(("name", "sample"), LINES)
class TestEveryTextSample:
    def test_reads_the_same_with_windows_line_ends(self, name, sample, tmp_path):
        path = tmp_path / sample.name
        path.write_bytes(sample.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

        assert points(read(name, path)) == points(read(name, sample))

    def test_reads_the_same_from_utf_16(self, name, sample, tmp_path):
        """As Windows' shell writes what it redirects."""
        path = tmp_path / sample.name
        path.write_bytes(sample.read_bytes().decode("utf-8", "replace").encode("utf-16"))

        assert choose(Source(path)).name == name
        assert points(read(name, path)) == points(read(name, sample))

    def test_reads_the_same_behind_the_mark_that_spreadsheets_write_first(self, name, sample, tmp_path):
        path = tmp_path / sample.name
        path.write_bytes(b"\xef\xbb\xbf" + sample.read_bytes())

        assert choose(Source(path)).name == name
        assert points(read(name, path)) == points(read(name, sample))

    def test_reads_the_same_in_colour(self, name, sample, tmp_path):
        path = tmp_path / sample.name
        lines = sample.read_bytes().split(b"\n")
        path.write_bytes(b"\n".join(b"\x1b[1;32m" + line + b"\x1b[0m" if line else line for line in lines))

        assert choose(Source(path)).name == name
        assert points(read(name, path)) == points(read(name, sample))


@pytest.mark.parametrize(("name", "sample"), TORN)
def test_reads_the_same_between_junk_lines(name, sample, tmp_path):
    path = tmp_path / sample.name
    lines = sample.read_bytes().split(b"\n")
    path.write_bytes(
        b"\n".join(x for i, line in enumerate(lines) for x in ([line, JUNK] if i % 2 else [line]))
    )

    assert points(read(name, path)) == points(read(name, sample))


@pytest.mark.parametrize(("name", "sample", "expected"), TEXTS)
def test_keeps_a_loss_that_is_not_a_number(name, sample, expected, tmp_path):
    raw, run = sample.read_bytes(), expected["runs"][-1]
    series, last = next((n, s["last"]) for n, s in run["series"].items() if "loss" in n or n == "val_bpb")
    found = [m for m in NUMBER.finditer(raw) if last is not None and float(m[0]) == last]
    if not found:
        pytest.skip(f"the last {series} is not written in the log as it is read")
    m, nan = found[-1], b"NaN" if sample.suffix in {".json", ".jsonl"} else b"nan"
    path = tmp_path / sample.name
    path.write_bytes(raw[: m.start()] + nan + raw[m.end() :])

    got = read(name, path)[-1].series[series]
    assert len(got) == run["series"][series]["points"]
    assert len(got.non_finite_steps) == 1
