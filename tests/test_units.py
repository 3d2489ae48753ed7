"""``--unit`` for every format: what a log can't tell, the user can."""

import json
from math import log
from pathlib import Path

import pytest

from unplateau import cli
from unplateau.facts import VOCABULARY
from unplateau.implausible import OTHER
from unplateau.readers import Options
from unplateau.reading import read_runs
from unplateau.run import LOSSES
from unplateau.units import NATS_PER, UNITS

LOGS = Path(__file__).parent / "logs"
#: a format -> a sample of it; those not listed tell a unit of their own, or hold sums of losses
SAMPLES = {
    folder.name: path
    for folder in sorted(LOGS.iterdir())
    if folder.is_dir() and folder.name != "ultralytics-csv"
    for path in [p for p in sorted(folder.iterdir()) if "expected" not in p.name][-1:]
}


def losses(run):
    return {n: c for n, c in run.series.items() if n in LOSSES}


def first_with(path, **options):
    return read_runs(path, options=Options(**options))[0]


@pytest.mark.parametrize("unit", ["bits", "perplexity", "nats"])
@pytest.mark.parametrize("name", SAMPLES)
def test_losses_are_converted_once_whatever_the_format(name, unit):
    plain, told = first_with(SAMPLES[name]), first_with(SAMPLES[name], unit=unit)

    for series, curve in losses(plain).items():
        if curve.unit != "nats" or not len(curve.finite) or name == "fairseq":
            continue
        was, now = curve.finite.first, told.series[series].finite.first
        expected = log(was) if unit == "perplexity" else was * NATS_PER[unit]
        assert now == pytest.approx(expected), series
        possible = not (told.series[series].finite.value < 0).any()  # a perplexity below 1 is none
        assert told.series[series].unit == ("nats" if possible else OTHER)
        if unit != "nats":
            assert told.get("loss_unit") == unit
            assert told.source("loss_unit") == "--unit"
            assert f"losses are converted to nats from {unit}, as --unit says" in told.warnings


def test_without_the_option_there_is_no_such_fact():
    assert not first_with(SAMPLES["nanogpt"]).has("loss_unit")
    assert "loss_unit" in VOCABULARY


def test_a_column_whose_name_tells_its_unit_is_not_converted_by_another(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("step,val_ppl\n" + "".join(f"{n},{90 - n}\n" for n in range(9)))
    run = first_with(path, unit="bits")

    assert run.series["val_loss"].first == pytest.approx(log(90))


def test_a_folder_is_converted_too(tmp_path):
    path = tmp_path / "out" / "train.log"
    path.parent.mkdir()
    path.write_bytes(SAMPLES["nanogpt"].read_bytes())

    assert first_with(path.parent, unit="bits").get("loss_unit") == "bits"


def test_an_unknown_unit_is_answered_with_what_help_lists(capsys):
    assert cli.main(["read", str(SAMPLES["nanogpt"]), "--unit", "furlongs"]) == 2
    said = capsys.readouterr().err
    cli.main(["read", "--help"])
    helped = " ".join(capsys.readouterr().out.split())

    assert f"one of {', '.join(UNITS)}; found 'furlongs'" in said
    assert f"Unit of the losses: {', '.join(UNITS)}." in helped


def test_json_names_the_fact(capsys):
    cli.main(["read", str(SAMPLES["nanogpt"]), "--unit", "bits", "--json"])

    facts = json.loads(capsys.readouterr().out)["runs"][0]["facts"]
    assert facts["loss_unit"] == {"value": "bits", "unit": "", "source": "--unit"}
