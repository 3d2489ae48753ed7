"""What ``prepare`` and ``--manifest-only`` say is so: words and numbers that a stranger took at their word.

Each was seen red on the code before it.
"""

import json
from dataclasses import replace
from math import log

import jsonschema
import numpy as np
import pytest

from synthetic import healthy_run
from test_prepare_job import SCHEMA
from test_prepare_manifest_only import EOT, folder, halves, letters, words
from unplateau import cli
from unplateau.derive import derive
from unplateau.diagnosis import examine
from unplateau.errors import UnreadableError
from unplateau.manifest import facts_of
from unplateau.plugins import discover
from unplateau.prepare._bigram import Pairs, pair_facts
from unplateau.prepare._plan import Options
from unplateau.prepare.embedded import embedded_text
from unplateau.prepare.job import prepare
from unplateau.prepare.manifest_only import make_manifest
from unplateau.report.prepare import text
from unplateau.units import count

CAUSES = discover("hypotheses")


def documents(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
    return [str(folder / "a.jsonl")]


def judged(cause, manifest):
    run = healthy_run()
    facts = {n: f for n, f in run.facts.items() if n not in {"train_tokens", "unique_tokens", "passes"}}
    return examine(CAUSES[cause], derive(replace(run, facts=facts | facts_of(manifest, "manifest.json"))))


PIECES = [text[i : i + 3000] for _, text in embedded_text() for i in range(0, len(text), 3000)]


def notes(told, word):
    return [note for note in told["notes"] if word in note]


class TestVal:
    @pytest.mark.parametrize("tokenizer", ["gpt2", "bytes"])
    def test_its_error_is_one_number_however_it_is_counted(self, tmp_path, tokenizer):
        """The note says what ``val_error`` says, and ``--manifest-only`` says it too."""
        sources = documents(tmp_path / "in", PIECES[:300])
        told = prepare(sources, tmp_path / "out", Options(format="nanogpt", tokenizer=tokenizer))
        (tmp_path / "out" / "manifest.json").unlink()
        again = make_manifest(tmp_path / "out")

        (note,) = notes(told, "standard error")
        wanted = told["val_tokens"] * (told["val_error"] / 0.005) ** 2
        assert f"by {told['val_error']:.3f} nats" in note
        assert f"about {count(wanted)} tokens would give 0.005" in note
        if tokenizer == "gpt2":  # which says where documents end
            assert again["val_error"] == pytest.approx(told["val_error"], rel=0.02)
            assert notes(again, "standard error") == [note]

    def test_of_a_few_tokens_nothing_is_known(self, tmp_path):
        rng = np.random.default_rng(0)
        rng.integers(0, 50_000, 100_000, dtype=np.uint16).tofile(tmp_path / "train.bin")
        rng.integers(0, 50_000, 10, dtype=np.uint16).tofile(tmp_path / "val.bin")
        told = make_manifest(tmp_path)

        assert notes(told, "too few to tell")
        assert not notes(told, "nats")
        assert "val_error" not in told

    def test_train_that_is_only_cut_short_says_nothing_of_val(self, tmp_path):
        train, val = halves()
        shuffled = [train[i] for i in np.random.default_rng(1).permutation(len(train))]
        told = make_manifest(folder(tmp_path, words(shuffled)[:-200], words(val)))

        assert notes(told, "train ends within a document: it was cut there")
        assert "val_contiguous" not in told

    def test_that_is_other_text_is_told_with_its_numbers_also_by_the_diagnosis(self, tmp_path):
        train, val = halves()
        other = words(val)
        np.random.default_rng(0).shuffle(other[other != EOT])
        changed = np.where(other == EOT, other, 49_000 - other % 3000).astype(np.uint16)
        told = make_manifest(folder(tmp_path / "a", words(train), changed))
        evidence = " ".join(e.fact for e in judged("val-mismatch", told).evidence)

        (note,) = notes(told, "val is no fair sample")
        assert f"{told['val_gap']:+.2f}" in note
        assert f"{told['val_divergence']:.3f}" in note
        assert f"{told['val_gap']:+.3f}" in evidence
        assert f"{told['val_divergence']:.4f}" in evidence
        assert not notes(make_manifest(folder(tmp_path / "b", words(train), words(val))), "no fair")


class TestEntropy:
    def test_of_pairs_is_at_most_that_of_single_tokens(self, tmp_path):
        rng = np.random.default_rng(0)
        rng.integers(0, 50_000, 1_000_000, dtype=np.uint16).tofile(tmp_path / "train.bin")
        told = make_manifest(tmp_path)
        between = told["estimates"]["bigram_entropy"]

        assert told["bigram_entropy"] <= told["unigram_entropy"]
        assert between["low"] < told["bigram_entropy"] <= between["high"] <= told["unigram_entropy"]
        assert f"{between['low']:.2f} to {between['high']:.2f} nats per token" in text(told, "out")

    def test_of_pairs_has_an_interval_also_where_held_out_text_is_easier_than_what_was_counted(self):
        pairs = Pairs(2.5, np.array([2.4, 2.45, 2.35, 2.42]), np.zeros(0), 1_000_000)
        facts, told = pair_facts(pairs, 0.0, 3.0)

        assert told["bigram_entropy"]["low"] < facts["bigram_entropy"] < told["bigram_entropy"]["high"]

    def test_of_three_tokens_is_at_most_that_of_three(self, tmp_path):
        np.array([7, 900, 31], np.uint16).tofile(tmp_path / "train.bin")

        assert make_manifest(tmp_path)["unigram_entropy"] <= log(3) + 1e-9


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


class TestWhatIsNoTokens:
    @pytest.mark.parametrize(
        ("name", "data", "said"),
        [
            ("a.log", b"step 5: train loss 3.2\n" * 200, "is text, no tokens"),
            ("a.txt", "Über Sätze, die länger sind.\n".encode() * 200, "is text, no tokens"),
            ("train.bin", b"A text of some words. " * 200, "is text, no tokens"),
            ("a.json", b'{"text": "one"}\n' * 200, "is JSON, no tokens"),
            ("a.parquet", b"PAR1" + bytes(3996), "is parquet, no tokens"),
            ("a.gz", b"\x1f\x8b" + bytes(3998), "is gzip, no tokens"),
            ("manifest.json", b'{"tokens": 7}', "give the folder"),
        ],
    )
    def test_is_told_by_its_content(self, tmp_path, name, data, said):
        (tmp_path / name).write_bytes(data)

        with pytest.raises(UnreadableError, match=said):
            make_manifest(tmp_path / name)

    def test_a_manifest_itself_is_not_asked_to_be_removed(self, tmp_path, capsys):
        (tmp_path / "manifest.json").write_text("{}")

        assert cli.main(["prepare", "--manifest-only", str(tmp_path / "manifest.json")]) == 3
        assert "give the folder" in capsys.readouterr().err

    def test_letters_and_words_are_tokens(self, tmp_path):
        for name, tokens in (("letters", letters(PIECES[:9])), ("words", words(PIECES[:9]))):
            tokens.tofile(tmp_path / f"{name}.bin")

            assert make_manifest(tmp_path / f"{name}.bin")["train_tokens"] == len(tokens)


def test_what_was_only_counted_is_not_said_to_be_prepared(tmp_path):
    told = make_manifest(folder(tmp_path, words(PIECES[:90])))

    assert text(told, "there").startswith("counted; its manifest is in there\n")


def test_a_manifest_of_values_that_cannot_be_is_told_by_them(tmp_path, capsys):
    (tmp_path / "log.txt").write_text(
        "".join(f"step {i}: train loss {5 - i / 5000:.4f}, val loss 5.0\n" for i in range(0, 9000, 500))
    )
    data = {"train_tokens": "many", "bytes_per_token": -3, "duplicate_share": 7}
    (tmp_path / "d.json").write_text(json.dumps(data))
    code = cli.main(["diagnose", str(tmp_path / "log.txt"), "--data", str(tmp_path / "d.json")])
    said = capsys.readouterr().err

    assert code == 3
    assert all(
        part in said for part in ("train_tokens 'many'", "bytes_per_token '-3'", "duplicate_share '7'")
    )
    assert len(said) < 200


def test_a_pass_over_the_file_is_told_apart_from_one_over_what_is_unique():
    copied = {"train_tokens": 1_000_000, "unique_tokens": 700_000}
    few = {"train_tokens": 1_000_000, "unique_tokens": 999_000}

    said, plain = (" ".join(e.fact for e in judged("repetition", told).evidence) for told in (copied, few))
    assert "700k unique ones: each" in said
    assert "passes over all 1.00M tokens of train (the first ended at step" in said
    assert "unique ones" not in plain


class TestTheVocabulary:
    def test_of_our_own_shards_is_named_by_their_header(self, tmp_path):
        sources = documents(tmp_path / "in", PIECES[:60])
        told = prepare(sources, tmp_path / "out", Options(tokenizer="bytes"))
        (tmp_path / "out" / "manifest.json").unlink()
        again = make_manifest(tmp_path / "out")

        assert again["tokenizer"] == "bytes"
        assert again["bytes_per_token"] == pytest.approx(told["bytes_per_token"], abs=1e-6)

    def test_that_is_supposed_is_said_to_be(self, tmp_path):
        data = folder(tmp_path / "a", words(PIECES[:90]))
        (data / "meta.pkl").write_bytes(b"not a pickle")
        told = make_manifest(data)

        assert notes(told, "meta.pkl holds no vocabulary")
        assert notes(told, "taken for GPT-2's")
        assert not notes(make_manifest(folder(tmp_path / "b", letters(PIECES[:90]))), "GPT-2")


def test_documents_shorter_than_a_window_are_not_said_to_have_no_copies(tmp_path):
    texts = np.append(np.random.default_rng(0).integers(0, 50_000, 20, dtype=np.uint16), EOT)
    told = make_manifest(folder(tmp_path, np.tile(texts, 500).astype(np.uint16)))

    assert told["duplicate_share"] > 0.9


def test_copies_of_short_documents_are_counted_whole(tmp_path):
    rng = np.random.default_rng(0)
    texts = [np.append(rng.integers(0, 50_000, 60, dtype=np.uint16), EOT) for _ in range(2000)]
    order = rng.permutation(2500)
    told = make_manifest(
        folder(tmp_path, np.concatenate([[*texts, *texts[:500]][i] for i in order]).astype(np.uint16))
    )

    assert told["duplicate_share"] == pytest.approx(0.2, abs=0.001)
