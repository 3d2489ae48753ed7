"""The verb report: what it writes, what it says of it, and what it refuses to write over.

Seen red once: ``spare`` without its look into the file (test_what_is_no_page_is_never_written_over: the log was gone).
"""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

import unplateau
from unplateau.cli import main

LOG = Path(unplateau.__file__).parent / "examples" / "reference-run" / "train.log"


def test_it_writes_the_page_and_says_so(tmp_path, capsys):
    place = tmp_path / "page.html"

    assert main(["report", str(LOG), "--html", str(place)]) == 0

    said = capsys.readouterr().out
    assert "The loss is still falling" in said
    assert f"wrote {place}" in "".join(said.splitlines())
    assert place.read_text("utf-8").startswith("<!doctype html>")


def test_json_is_one_object_of_the_schema(tmp_path, capsys):
    place = tmp_path / "page.html"

    assert main(["report", str(LOG), str(LOG.parent), "--html", str(place), "--json"]) == 0

    out = json.loads(capsys.readouterr().out)
    schema = json.loads(files("unplateau").joinpath("schemas", "report-1.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(out)
    assert out["files"] == [{"path": str(place), "kind": "html", "bytes": place.stat().st_size}]
    assert [one["cause"] for one in out["runs"]] == ["lr-not-annealed"] * 2
    assert out["compared"] is True


def test_pictures_go_to_files_of_their_own(tmp_path, capsys):
    pytest.importorskip("resvg")
    folders = ["--svg", str(tmp_path / "svg"), "--png", str(tmp_path / "png")]

    assert main(["report", str(LOG), *folders, "--json"]) == 0

    files = json.loads(capsys.readouterr().out)["files"]
    assert {Path(one["path"]).name for one in files} >= {"curve.svg", "budget.svg", "curve.png", "health.png"}
    for one in files:
        assert Path(one["path"]).stat().st_size == one["bytes"] > 500


def test_pictures_of_several_runs_keep_apart(tmp_path, capsys):
    assert main(["report", str(LOG), str(LOG.parent), "--svg", str(tmp_path), "--json"]) == 0

    names = [Path(one["path"]).name for one in json.loads(capsys.readouterr().out)["files"]]
    assert len(set(names)) == len(names)
    assert {"compared-tokens.svg"} < set(names)
    assert sum(name.endswith("curve.svg") for name in names) == 2


def test_a_page_may_go_to_standard_output(capsys):
    assert main(["report", str(LOG), "--html", "-"]) == 0

    out = capsys.readouterr().out
    assert out.startswith("<!doctype html>")
    assert out.endswith("</html>\n")


def test_runs_of_one_name_go_by_their_paths(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.log").write_bytes(LOG.read_bytes())
    paths = [str(tmp_path / name / "train.log") for name in ("a", "b")]

    assert main(["report", *paths, "--html", str(tmp_path / "page.html"), "--json"]) == 0

    names = [one["run"] for one in json.loads(capsys.readouterr().out)["runs"]]
    assert names == ["a/train.log", "b/train.log"]  # without the folders that both lie in


def test_a_future_that_was_asked_for_is_on_the_page(tmp_path):
    place = tmp_path / "page.html"

    assert main(["report", str(LOG), "--set", "cooldown=2000", "--until", "3.5", "--html", str(place)]) == 0

    assert "cooldown = 2000" in place.read_text("utf-8")
    assert "reaches 3.5" in place.read_text("utf-8")


def test_a_condition_that_is_met_gives_1(tmp_path):
    place = str(tmp_path / "page.html")

    assert main(["report", str(LOG), "--html", place, "--fail-on", "lr-not-annealed"]) == 1
    assert main(["report", str(LOG), "--html", place, "--fail-on", "precision"]) == 0


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([str(LOG)], 2, "report wants to be told what to write"),
        ([str(LOG), "--html", "-", "--json"], 2, "both want standard output"),
        ([str(LOG), "--html", "{folder}"], 2, "is a folder"),
        ([str(LOG), "--html", "{folder}/no/page.html"], 2, "there is no folder {folder}/no"),
        (["{folder}/no.log", "--html", "{folder}/no/page.html"], 2, "there is no folder {folder}/no"),
        ([str(LOG), "--svg", str(LOG)], 2, "--svg wants a folder"),
        ([str(LOG), "--png", f"{LOG}/deeper"], 2, "--png wants a folder"),
        (["{folder}/nothing.log", "--html", "{folder}/page.html"], 3, "there is no nothing.log"),
        (
            [str(LOG), str(LOG), "--config", "c.py", "--html", "{folder}/page.html"],
            2,
            "--config is of one run",
        ),
        (["-", str(LOG), "--html", "{folder}/page.html"], 2, "standard input is one log"),
        ([str(LOG), "--until", "-1", "--html", "{folder}/page.html"], 2, "--until wants a loss above 0"),
        ([str(LOG), "--set", "dropout=0", "--html", "{folder}/page.html"], 2, "dropout"),
    ],
)
def test_what_cannot_be_meant_gets_one_line(args, code, said, tmp_path, capsys):
    assert main(["report", *(arg.format(folder=tmp_path) for arg in args)]) == code

    error = capsys.readouterr().err
    assert said.format(folder=tmp_path) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


def test_what_is_no_page_is_never_written_over(tmp_path, capsys):
    log = tmp_path / "train.log"
    log.write_bytes(LOG.read_bytes())

    assert main(["report", str(log), "--html", str(log)]) == 2
    assert main(["report", str(tmp_path), "--html", str(log)]) == 2

    assert "is no page of unplateau: it is kept" in capsys.readouterr().err
    assert log.read_bytes() == LOG.read_bytes()


def test_an_earlier_page_is_written_over(tmp_path):
    place = tmp_path / "page.html"
    place.write_text('<!DOCTYPE HTML><meta name="generator" content="unplateau 0"><p>old')

    assert main(["report", str(LOG), "--html", str(place)]) == 0

    assert "<p>old" not in place.read_text("utf-8")


def test_a_run_without_a_loss_that_is_a_number_is_left_out_of_the_comparison_alone(tmp_path, capsys):
    lost = tmp_path / "lost.log"
    lost.write_text("".join(f"step {s}: train loss nan, val loss nan\n" for s in range(0, 5000, 250)))
    place = tmp_path / "page.html"

    assert main(["report", str(LOG), str(lost), str(LOG.parent), "--html", str(place), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["compared"] is True
    shown = place.read_text("utf-8")
    assert "lost.log is left out: none of its losses is a number" in shown
    assert shown.count('href="#r3-run"') == 2  # in the contents, and in the table: the right part of the page
    assert shown.count('href="#r2-run"') == 1
