"""What ``prepare`` and ``--manifest-only`` say is so: words and numbers that a stranger took at their word.

Each was seen red on the code before it.
"""

import json
from dataclasses import replace

import jsonschema
import pytest

from synthetic import healthy_run
from test_prepare_job import SCHEMA
from unplateau.derive import derive
from unplateau.diagnose import examine
from unplateau.manifest import facts_of
from unplateau.plugins import discover
from unplateau.prepare._plan import Options
from unplateau.prepare.job import prepare
from unplateau.report.prepare import text

CAUSES = discover("hypotheses")


def documents(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
    return [str(folder / "a.jsonl")]


def judged(cause, manifest):
    run = healthy_run()
    facts = {n: f for n, f in run.facts.items() if n not in {"train_tokens", "unique_tokens", "passes"}}
    return examine(CAUSES[cause], derive(replace(run, facts=facts | facts_of(manifest, "manifest.json"))))


class TestCopies:
    @pytest.fixture
    def texts(self):
        some = [f"One text, number {i}, with a few words of its own: {i * i} {i * 7}." for i in range(90)]
        return [*some, *some[:5], *(text.upper() for text in some[5:10])]

    def test_copies_that_were_not_looked_for_are_not_counted_as_none(self, tmp_path, texts):
        told = prepare(documents(tmp_path / "in", texts), tmp_path / "out", Options(dedup="off"))

        jsonschema.validate(told, SCHEMA)
        assert told["identical_share"] == pytest.approx(0.05)
        assert not {"exact_duplicate_share", "near_duplicate_share"} & set(told)
        assert not [key for key in told["duplicates"] if key.startswith(("exact", "near"))]
        assert "5.00% of documents identical (kept); near: not looked for" in text(told, "out")
        assert judged("duplicates", told).verdict == "undecided"

    def test_the_same_words_are_no_identical_text(self, tmp_path, texts):
        told = prepare(documents(tmp_path / "in", texts), tmp_path / "out", Options())

        assert told["exact_duplicate_share"] == pytest.approx(0.1)
        assert "identical_share" not in told
        assert "10.00% of documents the same words" in text(told, "out")
