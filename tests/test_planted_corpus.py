"""The corpus of planted runs is whole and says the truth about its own logs."""

import io
import json
import re
from pathlib import Path

import pytest
import zstandard

CORPUS = Path(__file__).parents[1] / "benchmarks/planted/corpus.jsonl.zst"
HEALTHY = {"still-learning", "converged"}
EVALUATED = re.compile(r"^step (\d{1,9}): train loss (\S{1,20}), val loss (\S{1,20})$", re.MULTILINE)


@pytest.fixture(scope="module")
def runs():
    with CORPUS.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file).read().decode()
    return [json.loads(line) for line in io.StringIO(text)]


def test_each_run_has_a_name_of_its_own(runs):
    assert len({run["name"] for run in runs}) == len(runs)


def test_a_planted_run_names_the_run_without_its_cause(runs):
    causes = {run["name"]: run["truth"]["cause"] for run in runs}
    for run in runs:
        truth = run["truth"]
        if truth["cause"] not in HEALTHY:
            assert causes[truth["mended"]["name"]] != truth["cause"], run["name"]


def test_the_truth_is_the_end_of_the_log(runs):
    for run in runs:
        step, _, val = EVALUATED.findall(run["log"])[-1]
        assert run["truth"]["run"]["final_step"] == int(step)
        assert val == "nan" or run["truth"]["run"]["final_val"] == float(val), run["name"]


def test_no_log_tells_where_it_was_made(runs):
    assert not [
        run["name"] for run in runs if re.search(r"(?<!\w)/(work|tmp|home|root)/", run["log"] + run["config"])
    ]
