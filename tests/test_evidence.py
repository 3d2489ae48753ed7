"""What probes told, in files and in the diagnosis.

Mutations that went red here: a damaged file raised instead of giving a warning; two files of one probe both counted;
log-odds of one probe not capped.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unplateau.errors import UnplateauError
from unplateau.estimate import Estimate
from unplateau.evidence import LIMIT, ArmRun, Evidence, Told, newest, posterior, read, write

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
