"""What probes told, in files and in the diagnosis.

Mutations that went red here: a damaged file raised instead of giving a warning; two files of one probe both counted;
log-odds of one probe not capped; evidence of a later step used; evidence of a folder of logs
given to each of them; one folder of evidence given to several runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unplateau.cli import main
from unplateau.errors import UnplateauError, UnreadableError, UsageError
from unplateau.estimate import Estimate
from unplateau.evidence import LIMIT, ArmRun, Evidence, Told, newest, posterior, read, write
from unplateau.reading import read_runs

EST = Estimate(0.05, 0.04, 0.06, "nats/token")
TOLD = Told("lr-not-annealed", "0.050 nats below", 3.0, "cooldown", "evidence/cooldown.json", EST, EST)
FOUND = Evidence(
    "cooldown",
    "does annealing lower the loss?",
    (ArmRun("going-on", 50, loss=EST), ArmRun("annealed", 50, {"floor": (0.1, 0.0)}, "cooldown/annealed")),
    (TOLD,),
    "it does",
    (1000, "ab" * 32),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    place = write(tmp_path / "evidence", FOUND)

    (told,) = read(tmp_path / "evidence")
    document = json.loads(place.read_text())

    assert place == tmp_path / "evidence" / "cooldown.json"
    assert (told.cause, told.log_odds, told.effect, told.contrast) == ("lr-not-annealed", 3.0, EST, EST)
    assert (told.step, told.probe, told.source) == (1000, "cooldown", "evidence/cooldown.json")
    assert document["arms"][1]["patch"] == {"floor": [0.1, 0.0]}
    assert told.date == document["date"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "null",
        '{"schema": "unplateau.evidence/1"}',
        '{"schema": "unplateau.evidence/2", "probe": "p", "told": []}',
        '{"schema": "unplateau.evidence/1", "probe": "p", "told": [{"cause": "c", "fact": "f", "log_odds": NaN}]}',
        '{"schema": "unplateau.evidence/1", "probe": "p", "told": [{"cause": "c", "fact": "f", "log_odds": 1e999}]}',
        (
            '{"schema": "unplateau.evidence/1", "probe": "p", "told": [{"cause": "c", "fact": "f", "log_odds": 1, '
            '"effect": {"value": 3, "low": 4, "high": 5, "unit": "nats"}}]}'
        ),
        " " * (LIMIT + 2),
    ],
)
def test_a_damaged_file_is_one_warning_and_the_others_count(tmp_path: Path, text: str) -> None:
    write(tmp_path, FOUND)
    (tmp_path / "broken.json").write_text(text)
    warnings: list[str] = []

    told = read(tmp_path, warnings)

    assert [one.probe for one in told] == ["cooldown"]
    assert len(warnings) == 1
    assert warnings[0].startswith("evidence/broken.json is not used: ")
    assert "\n" not in warnings[0]


def test_no_folder_is_no_evidence(tmp_path: Path) -> None:
    warnings: list[str] = []

    assert read(tmp_path / "evidence", warnings) == ()
    assert warnings == []


def test_control_characters_of_a_file_do_not_reach_a_terminal(tmp_path: Path) -> None:
    write(tmp_path, Evidence("p", "", (), (Told("c", "a\x1b[31m", 1.0, "p", ""),), ""))

    assert read(tmp_path)[0].fact == "a?[31m"


def test_a_place_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file")

    with pytest.raises(UnplateauError, match="can't make"):
        write(tmp_path / "evidence", FOUND)


def test_the_later_of_two_files_of_one_probe_counts_alone() -> None:
    old = Told("capacity", "old", 1.0, "width", "a", date="2026-01-01")
    new = Told("capacity", "new", 2.0, "width", "b", date="2026-01-02")
    other = Told("capacity", "other", 2.0, "loss", "c", date="2025-01-02")

    assert newest((new, old, other)) == (new, other)


def test_log_odds_add_up_and_one_probe_alone_is_trusted_to_one_in_a_thousand() -> None:
    assert posterior(0.5, [1.0, -1.0]) == pytest.approx(0.5)
    assert posterior(0.01, [1000.0]) == pytest.approx(0.91, abs=0.01)
    assert posterior(0.01, [1000.0, 1000.0]) == pytest.approx(0.99)
    assert posterior(0.5, [-1000.0]) == pytest.approx(0.01)


LOG = "".join(
    f"step {s}: train loss {5 - s / 1e3:.4f}, val loss {5 - s / 1e3:.4f}\n" for s in range(0, 1100, 100)
)


def log_in(folder: Path, name: str = "train.log") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(LOG)
    return folder


@pytest.mark.parametrize("root", ["out-probes", "out/train-probes"])
def test_evidence_beside_a_foreign_run_is_found_by_its_folder(tmp_path: Path, root: str) -> None:
    log_in(tmp_path / "out")
    write(tmp_path / root / "evidence", FOUND)

    (run,) = read_runs(tmp_path / "out")

    assert [one.cause for one in run.probed] == ["lr-not-annealed"]


def test_evidence_of_a_log_among_others_is_its_own_alone(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        log_in(tmp_path / "logs", name)
    write(tmp_path / "logs" / "a-probes" / "evidence", FOUND)
    write(tmp_path / "logs-probes" / "evidence", FOUND)

    assert len(read_runs(tmp_path / "logs" / "a.log")[0].probed) == 1
    assert read_runs(tmp_path / "logs" / "b.log")[0].probed == ()


def test_evidence_in_a_run_folder_of_ours_is_read_and_its_arms_are_no_runs(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    arm = run / "evidence" / "cooldown" / "annealed"
    for folder in (run, arm):
        folder.mkdir(parents=True)
        rows = [{"step": s, "val_loss": 5 - s / 1e3} for s in range(0, 1100, 100)]
        (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(run / "evidence", FOUND)

    (of_folder,) = read_runs(run)
    (of_log,) = read_runs(run / "log.jsonl")
    (of_parent,) = read_runs(tmp_path)

    assert [len(r.probed) for r in (of_folder, of_log, of_parent)] == [1, 1, 1]


def test_arms_beside_a_foreign_run_are_no_runs_of_their_own(tmp_path: Path) -> None:
    log_in(tmp_path / "out")
    place = write(tmp_path / "out-probes" / "evidence", FOUND)
    log_in(place.parent / "cooldown" / "annealed")
    (place.parent / "cooldown" / "annealed" / "train.log").write_text(LOG.replace("4.", "3."))

    assert [run.name for run in read_runs(tmp_path)] == ["train.log"]


def test_evidence_that_the_user_names_is_read_and_a_folder_without_any_is_one_line(tmp_path: Path) -> None:
    log_in(tmp_path / "out")
    write(tmp_path / "elsewhere" / "evidence", FOUND)
    (tmp_path / "empty").mkdir()

    for folder in ("elsewhere", "elsewhere/evidence"):
        (run,) = read_runs(tmp_path / "out", evidence=[tmp_path / folder])
        assert len(run.probed) == 1
    with pytest.raises(UnreadableError, match=r"empty holds no evidence; expected the folder that unplateau"):
        read_runs(tmp_path / "out", evidence=[tmp_path / "empty"])
    with pytest.raises(UnreadableError, match="there is no nowhere"):
        read_runs(tmp_path / "out", evidence=[tmp_path / "nowhere"])


def test_evidence_of_a_later_step_than_the_log_is_not_of_this_log(tmp_path: Path) -> None:
    log_in(tmp_path / "out")
    write(tmp_path / "out-probes" / "evidence", replace(FOUND, checkpoint=(2000, "")))

    (run,) = read_runs(tmp_path / "out")

    assert run.probed == ()
    assert run.warnings[-1] == "evidence/cooldown.json is of step 2,000, the log ends at 1,000: not used"


def test_one_word_for_several_runs_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        log_in(tmp_path / "runs" / name)
    (tmp_path / "runs" / "b" / "train.log").write_text(LOG.replace("4.", "3."))
    write(tmp_path / "evidence", FOUND)

    with pytest.raises(UsageError, match="--evidence is of one run, and here are 2"):
        read_runs(tmp_path / "runs", evidence=[tmp_path])


def test_the_command_line_takes_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_in(tmp_path / "out")
    write(tmp_path / "elsewhere", FOUND)

    assert main(["diagnose", str(tmp_path / "out"), "--evidence", str(tmp_path / "elsewhere"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    facts = [e for f in found if f["cause"] == "lr-not-annealed" for e in f["evidence"]]

    assert {
        "fact": "probe cooldown: 0.050 nats below",
        "points": "for",
        "source": "evidence/cooldown.json",
    } in facts
