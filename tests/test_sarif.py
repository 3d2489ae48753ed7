"""SARIF: valid by the schema that GitHub holds uploads to, with ids, levels, places and fingerprints that stay.

tests/schemas/sarif-2.1.0.json is src/sarif-schema-2.1.0.json of github/codeql-action (commit f3f1edb), MIT, its licence
beside it. Each guard was seen red once:
- ``"kind": "finding"`` in a result: test_it_is_valid_by_the_schema, "'finding' is not one of [...]";
- ``id(files)`` in what is hashed: test_the_same_log_gives_the_same_bytes;
- ``level = grave`` for what --fail-on names: test_what_fails_the_build_is_an_error;
- ``_uri`` without ``quote``: test_a_name_is_escaped_in_its_uri;
- ``plain_text = text`` in ``_text``: test_foreign_words_make_no_link_and_no_placeholder.
"""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

import unplateau
from unplateau.cli import main
from unplateau.diagnosis import diagnose
from unplateau.plugins import discover
from unplateau.reading import read_runs
from unplateau.report.sarif import sarif

LOG = Path(unplateau.__file__).parent / "examples" / "reference-run" / "train.log"
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "sarif-2.1.0.json").read_text("utf-8"))
VALID = Draft202012Validator(SCHEMA)
LOG_LINES = "step {0}: train loss {1:.4f}, val loss {2:.4f}\n"


@pytest.fixture(scope="module")
def found():
    (run,) = read_runs(LOG)
    return diagnose(run)


@pytest.fixture
def results(found):
    (run,) = sarif([found], LOG)["runs"]
    return {result["ruleId"]: result for result in run["results"]}


def write_log(folder, name, values):
    folder.mkdir(exist_ok=True, parents=True)
    rows = [LOG_LINES.format(100 * i, value, value) for i, value in enumerate(values)]
    (folder / name).write_text("".join(rows))
    return folder / name


def test_it_is_valid_by_the_schema(found):
    told = sarif([found], LOG, failing=["lr-not-annealed", "falling"])

    VALID.validate(told)
    assert len(told["runs"][0]["results"]) > 3  # else there was nothing to hold against it


def test_the_schema_refuses_what_is_no_sarif(found):
    told = sarif([found], LOG)
    del told["runs"][0]["tool"]["driver"]["name"]

    assert list(VALID.iter_errors(told))


def test_every_cause_is_a_rule_and_each_result_points_to_its_own(found):
    (run,) = sarif([found], LOG)["runs"]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]

    assert set(discover("hypotheses")) < set(ids)
    assert len(ids) == len(set(ids))
    assert [ids[result["ruleIndex"]] for result in run["results"]] == [r["ruleId"] for r in run["results"]]


def test_a_supported_cause_is_a_warning_and_an_undecided_one_a_note(found, results):
    verdicts = {f.cause: f.verdict for f in found.findings}

    assert results["lr-not-annealed"]["level"] == "warning"
    assert results["still-learning"]["level"] == "note"  # it goes on as it should
    assert results["capacity"]["level"] == "note"
    assert {verdicts[cause] for cause in results} == {"supported", "undecided"}


def test_what_fails_the_build_is_an_error(found):
    (run,) = sarif([found], LOG, failing=["lr-not-annealed", "capacity", "falling"])["runs"]
    levels = {result["ruleId"]: result["level"] for result in run["results"]}

    assert levels["lr-not-annealed"] == "error"
    assert levels["falling"] == "error"
    assert levels["capacity"] == "note"  # undecided: it fails nothing


def place_of(result):
    place = result["locations"][0]["physicalLocation"]
    return Path(place["artifactLocation"]["uri"]).name, place["region"]["startLine"]


def test_a_result_stands_at_the_line_of_its_evidence_else_of_what_is_to_change_else_of_the_log(results):
    config = (LOG.parent / "config.py").read_text("utf-8").splitlines()

    for cause, key in (("over-regularised", "dropout"), ("capacity", "n_embd")):
        name, line = place_of(results[cause])
        assert name == "config.py"
        assert config[line - 1].startswith(key)
    assert place_of(results["still-learning"]) == ("train.log", 1)


def test_a_line_of_the_log_is_told(found):
    (finding,) = (f for f in found.findings if f.cause == "lr-not-annealed")
    moved = replace(finding, evidence=(replace(finding.evidence[0], source="log line 132"),))

    (run,) = sarif([replace(found, findings=(moved,))], LOG)["runs"]

    assert place_of(run["results"][0]) == ("train.log", 132)


def test_a_run_in_a_folder_stands_in_its_own_log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, end in (("a", 3.0), ("b", 4.0)):
        write_log(tmp_path / "runs" / name, "train.log", [9.0 - (9.0 - end) * i / 20 for i in range(21)])
    runs = read_runs(Path("runs"))

    (told,) = sarif([diagnose(run) for run in runs], Path("runs"))["runs"]

    uris = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in told["results"]}
    assert uris == {"runs/a/train.log", "runs/b/train.log"}


def test_standard_input_has_no_place(found):
    (run,) = sarif([found], Path("-"))["runs"]

    assert run["results"]
    assert not any("locations" in result for result in run["results"])


def test_the_same_log_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path, "train.log", [9.0, 6.0, 5.0, 4.5, 4.2, 4.0, 3.9, 3.8, 3.75, 3.7])
    for name in ("one.sarif", "two.sarif"):
        assert main(["diagnose", "train.log", "--sarif", name]) == 0

    assert Path("one.sarif").read_bytes() == Path("two.sarif").read_bytes()
    assert str(tmp_path) not in Path("one.sarif").read_text()


def test_a_fingerprint_outlives_more_steps_of_the_log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    for steps in (21, 26):
        log = write_log(tmp_path, "train.log", [9.0 - 5.0 * min(i, 20) / 20 for i in range(steps)])
        (run,) = sarif([diagnose(read_runs(log)[0])], Path("train.log"))["runs"]
        seen.append({r["ruleId"]: r["partialFingerprints"] for r in run["results"]})

    common = set(seen[0]) & set(seen[1])
    assert common
    assert all(seen[0][rule] == seen[1][rule] for rule in common)
    marks = [result["causeOfRun/v1"] for result in seen[0].values()]
    assert len(marks) == len(set(marks))


def test_a_name_is_escaped_in_its_uri(tmp_path, monkeypatch, found):
    monkeypatch.chdir(tmp_path)
    log = write_log(tmp_path, "my run #1%.log", [3.0])

    (run,) = sarif([found], log)["runs"]

    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "my%20run%20%231%25.log"


def test_a_log_outside_the_working_folder_has_a_whole_uri(tmp_path, monkeypatch, found):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    log = write_log(tmp_path, "train.log", [3.0])

    (run,) = sarif([found], Path("../train.log"))["runs"]

    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": log.as_uri()}


def test_foreign_words_make_no_link_and_no_placeholder(found):
    (finding,) = (f for f in found.findings if f.cause == "lr-not-annealed")
    bad = replace(finding.evidence[0], fact="see [this](http://x.test) {0}\x1b[31m\nhf_" + "A" * 34)
    (run,) = sarif([replace(found, findings=(replace(finding, evidence=(bad,)),))], LOG)["runs"]

    text = run["results"][0]["message"]["text"]
    assert "see [this] (http://x.test) { 0}" in text
    assert "\x1b" not in text
    assert "\n" not in text
    assert "hf_AAAA" not in text


def test_the_verb_writes_it_beside_what_it_prints(tmp_path, capsys):
    out = tmp_path / "found.sarif"

    code = main(["diagnose", str(LOG), "--json", "--fail-on", "lr-not-annealed", "--sarif", str(out)])

    assert code == 1
    assert json.loads(capsys.readouterr().out)["schema"] == "unplateau.diagnosis/1"
    told = json.loads(out.read_text("utf-8"))
    VALID.validate(told)
    assert "error" in {r["level"] for r in told["runs"][0]["results"]}


def test_standard_output_is_no_file_for_it(capsys):
    assert main(["diagnose", str(LOG), "--sarif", "-"]) == 2

    assert capsys.readouterr().out == ""


def test_every_rule_has_what_github_asks_of_one(found):
    (run,) = sarif([found], LOG)["runs"]

    for rule in run["tool"]["driver"]["rules"]:
        texts = [rule[name]["text"] for name in ("shortDescription", "fullDescription", "help")]
        assert all(texts), rule["id"]
    causes = [rule for rule in run["tool"]["driver"]["rules"] if rule["id"] in discover("hypotheses")]
    assert all("**What to do:** " in rule["help"]["markdown"] for rule in causes)


def test_a_file_that_can_not_be_written_is_told_in_one_line(tmp_path, capsys):
    assert main(["diagnose", str(LOG), "--sarif", str(tmp_path / "no" / "x.sarif")]) == 2

    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "x.sarif" in told.err


def steps_of_the_docs():
    page = (Path(__file__).parent.parent / "docs" / "ci.md").read_text("utf-8")
    return yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])


def test_the_step_of_the_docs_is_three_lines_and_runs_here(tmp_path, monkeypatch, capsys):
    """What GitHub would run; its upload is held to have a file."""
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "run", "train.log", [9.0, 6.0, 5.0, 4.5, 4.2, 4.0, 3.9, 3.8, 3.75, 3.7])
    install, diagnosed, upload = steps_of_the_docs()
    program, *words = shlex.split(diagnosed["run"])

    assert install["run"].startswith("pip install")
    assert program == "unplateau"
    assert main(words) == 0, capsys.readouterr().err
    assert upload["uses"].startswith("github/codeql-action/upload-sarif@v")
    assert upload["if"] == "always()"
    VALID.validate(json.loads(Path(upload["with"]["sarif_file"]).read_text("utf-8")))


def test_the_step_of_the_docs_fails_on_a_run_that_diverged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    losses = [9.0, 6.0, 5.0, 4.5, 4.2, 4.0, 3.9, 3.8, *[float("nan")] * 8]
    write_log(tmp_path / "run", "train.log", losses)

    assert main(shlex.split(steps_of_the_docs()[1]["run"])[1:]) == 1

    (run,) = json.loads(Path("unplateau.sarif").read_text("utf-8"))["runs"]
    assert {"diverged": "error"}.items() <= {r["ruleId"]: r["level"] for r in run["results"]}.items()
