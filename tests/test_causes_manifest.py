"""With a manifest, what no log can show is tested: each cause is found where the data has it, and cleared where not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from synthetic import healthy_run, without_series
from unplateau.derive import changed, derive
from unplateau.diagnosis import examine
from unplateau.manifest import facts_of, full_file, read_manifest
from unplateau.plugins import discover
from unplateau.prepare.embedded import embedded_text
from unplateau.prepare.manifest_only import make_manifest, write_manifest

CAUSES = discover("hypotheses")
ADDRESSES = [text for _, text in embedded_text()]
ALPHABET = {c: i for i, c in enumerate(sorted(set("".join(ADDRESSES))))}
PIECES = [text[i : i + 3000] for text in ADDRESSES for i in range(0, len(text), 3000)]
FINEWEB = "hf://datasets/HuggingFaceFW/fineweb/sample/10BT/000_00000.parquet"


def finding_on(run, cause):
    return examine(CAUSES[cause], run)


def told(run, **manifest):
    """The run with what a manifest says, and what follows from it; what it said of its data before is forgotten."""
    new = facts_of(manifest, "manifest.json")
    kept = {n: f for n, f in run.facts.items() if n not in {"train_tokens", "unique_tokens", "passes"}}
    return derive(replace(run, facts={**kept, **new}))


def said(finding):
    return " ".join(e.fact for e in finding.evidence)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Facts of manifests that ``make_manifest`` made of tokens on disk, one for each fault."""
    order = np.random.default_rng(0).permutation(len(PIECES))
    n = len(PIECES) // 10
    train, val = [PIECES[i] for i in sorted(order[n:])], [PIECES[i] for i in sorted(order[:n])]
    shuffled = [train[i] for i in np.random.default_rng(1).permutation(len(train))]
    cut = int(0.9 * len(PIECES))
    noise = list("".join(train))
    np.random.default_rng(0).shuffle(noise)
    cases = {
        "fair": (shuffled, val),
        "leaked": ([*shuffled, *val[::4]], val),
        "copied": (shuffled + shuffled[: len(shuffled) * 4 // 5], val),
        "last addresses": (PIECES[:cut], PIECES[cut:]),
        "noise": (["".join(noise)], ["".join(noise[:100_000])]),
    }
    made = {}
    for name, (a, b) in cases.items():
        folder = tmp_path_factory.mktemp("data")
        for split, texts in (("train", a), ("val", b)):
            np.array([ALPHABET[c] for c in "".join(texts)], np.uint16).tofile(folder / f"{split}.bin")
        write_manifest(make_manifest(folder), folder / "manifest.json")
        made[name] = {n: f for n, f in read_manifest(folder).items() if n != "char_level"}
    return made


class TestOfRealTokens:
    """From tokens on disk, by ``make_manifest``, to the finding."""

    @pytest.mark.parametrize(
        ("data", "cause", "verdict"),
        [
            ("fair", "val-leak", "refuted"),
            ("fair", "duplicates", "refuted"),
            ("fair", "val-mismatch", "refuted"),
            ("fair", "data-order", "refuted"),
            ("leaked", "val-leak", "supported"),
            ("copied", "duplicates", "supported"),
            ("last addresses", "val-mismatch", "supported"),
            ("last addresses", "val-leak", "refuted"),
            ("last addresses", "duplicates", "refuted"),
            ("noise", "duplicates", "refuted"),
        ],
    )
    def test_a_fault_of_the_data_is_found(self, made, data, cause, verdict):
        run = without_series(replace(healthy_run(3), format="table"), "train_loss")
        run = derive(replace(run, facts={**run.facts, **made[data]}))

        assert finding_on(run, cause).verdict == verdict

    def test_a_loss_that_stands_on_noise_is_told_from_one_that_has_not_learnt(self, made):
        run = healthy_run(3)
        level = run.series["val_loss"].last
        for data, verdict in (("noise", "supported"), ("fair", "refuted")):
            facts = dict(made[data])
            shift = level - facts["unigram_entropy"].value  # the run's loss, on letters' entropies
            for name in ("unigram_entropy", "bigram_entropy"):
                facts[name] = replace(facts[name], value=facts[name].value + shift)

            assert finding_on(run.with_facts(**facts), "noisy-data").verdict == verdict


FAIR = {"val_divergence": 0.010, "val_divergence_chance": 0.012, "val_gap": 0.004, "val_gap_error": 0.01}
UNFAIR = {"val_divergence": 0.030, "val_divergence_chance": 0.012, "val_gap": 0.3, "val_gap_error": 0.02}


class TestValMismatch:
    def test_is_told_by_the_data_alone(self):
        run = without_series(healthy_run(1), "train_loss")

        assert finding_on(run, "val-mismatch").verdict == "untestable"
        assert finding_on(told(run, **UNFAIR), "val-mismatch").verdict == "supported"
        assert finding_on(told(run, **FAIR), "val-mismatch").verdict == "refuted"

    def test_of_a_val_that_strays_a_little_is_not_called(self):
        run = without_series(healthy_run(1), "train_loss")
        little = {**FAIR, "val_divergence": 0.013}

        assert finding_on(told(run, **little), "val-mismatch").verdict == "undecided"

    @pytest.mark.parametrize("seed", range(8))
    def test_a_fair_val_clears_what_the_losses_made_suspect(self, seed):
        run = healthy_run(seed)
        val = run.series["val_loss"]
        easier = replace(val, value=val.value - 0.1)
        run = replace(run, series={**run.series, "val_loss": easier})

        assert finding_on(run, "val-mismatch").verdict == "supported"
        assert finding_on(told(run, **FAIR), "val-mismatch").verdict == "undecided"

    def test_losses_that_agree_are_not_overruled(self):
        run = healthy_run(2)
        finding = finding_on(told(run, **UNFAIR), "val-mismatch")

        assert finding.verdict == "undecided"  # val and train lie together, whatever their words

    def test_an_easier_val_is_unfair_too(self):
        run = without_series(healthy_run(1), "train_loss")
        finding = finding_on(told(run, **{**UNFAIR, "val_gap": -0.3}), "val-mismatch")

        assert finding.verdict == "supported"
        assert "loses -0.300 +- 0.020 nats" in said(finding)


class TestOtherNumbers:
    """Val under another tokenizer's numbers: its own cause, and val-mismatch no longer the reason."""

    OFF = {"val_renumbered": 0.3, "val_renumbered_chance": 0.05, "val_offset": 1}  # noqa: RUF012

    def test_they_are_another_tokenizers_and_no_unfair_sample(self):
        run = told(without_series(healthy_run(1), "train_loss"), **UNFAIR, **self.OFF)
        finding = finding_on(run, "tokenizer-mismatch")

        assert finding.verdict == "supported"
        assert "30% of val is train's text once its token numbers are set back by 1" in said(finding)
        assert finding_on(run, "val-mismatch").verdict == "undecided"

    def test_as_many_as_chance_gives_are_none(self):
        run = told(healthy_run(1), **FAIR, **{**self.OFF, "val_renumbered": 0.05})

        assert finding_on(run, "tokenizer-mismatch").verdict != "supported"

    def test_the_first_loss_of_fresh_weights_does_not_clear_a_val_that_lies_far_above_train(self):
        run = healthy_run(1)
        val = run.series["val_loss"]
        first = np.arange(len(val.value)) == 0
        high = replace(val, value=val.value + np.where(first, 0.0, 1.0))
        far = replace(run, series={**run.series, "val_loss": high})
        finding = finding_on(far, "tokenizer-mismatch")

        assert finding_on(run, "tokenizer-mismatch").verdict == "refuted"
        assert finding_on(far, "val-mismatch").verdict == "supported"
        assert finding.verdict == "undecided"
        assert any("--manifest-only" in ask for ask in finding.missing)


class TestAValOfTwoTexts:
    """Its large error is of what is wrong with it: how far it strays says whether to believe two standard errors."""

    TWO = {**UNFAIR, "val_gap": 0.32, "val_gap_error": 0.13}  # noqa: RUF012

    def test_it_is_found_where_it_strays_further_than_pieces_of_train(self):
        run = without_series(healthy_run(1), "train_loss")

        assert (
            finding_on(told(run, **self.TWO, order_divergence=0.013), "val-mismatch").verdict == "supported"
        )
        assert (
            finding_on(told(run, **self.TWO, order_divergence=0.020), "val-mismatch").verdict == "undecided"
        )
        assert finding_on(told(run, **self.TWO), "val-mismatch").verdict == "undecided"


class TestRandomTokens:
    def test_a_share_of_them_is_noise_and_a_trace_is_not(self):
        run = healthy_run(2)
        much = finding_on(told(run, random_share=0.2, unigram_entropy=5.7, bigram_entropy=4.9), "noisy-data")
        little = finding_on(
            told(run, random_share=0.02, unigram_entropy=5.7, bigram_entropy=4.9), "noisy-data"
        )

        assert much.verdict == "supported"
        assert "20% of all tokens are drawn at random" in said(much)
        assert little.verdict != "supported"


DRIFTS = {"order_divergence": 0.08, "order_divergence_chance": 0.012, "data_order": "source"}
SHUFFLED = {"order_divergence": 0.011, "order_divergence_chance": 0.012, "data_order": "shuffled"}


class TestDataOrder:
    def test_text_that_drifts_under_a_loader_that_reads_in_order(self):
        run = replace(told(healthy_run(0), **DRIFTS), format="modded-nanogpt")
        finding = finding_on(run, "data-order")

        assert finding.verdict == "supported"
        assert finding_on(CAUSES["data-order"].without(run), "data-order").verdict == "refuted"

    def test_text_that_drifts_is_no_fault_under_nanogpts_random_windows(self):
        assert finding_on(told(healthy_run(0), **DRIFTS), "data-order").verdict == "refuted"

    def test_text_that_drifts_is_undecided_where_the_loader_is_not_known(self):
        run = replace(told(healthy_run(0), **DRIFTS), format="table")

        assert finding_on(run, "data-order").verdict == "undecided"

    def test_shuffled_text_clears_every_loader(self):
        for name in ("table", "modded-nanogpt"):
            run = replace(told(healthy_run(0), **SHUFFLED), format=name)

            assert finding_on(run, "data-order").verdict == "refuted"

    def test_the_order_of_a_manifest_without_numbers_accuses_nobody(self):
        run = replace(told(healthy_run(0), data_order="source"), format="modded-nanogpt")

        assert finding_on(run, "data-order").verdict == "untestable"


class TestRepetition:
    def test_tells_the_steps_at_which_passes_ended(self):
        run = changed(healthy_run(0), {"unique_tokens": None, "train_tokens": None})
        seen, per_step = run.get("tokens_seen"), run.get("tokens_per_step")
        unique = int(seen / 10)
        finding = finding_on(told(run, train_tokens=unique, unique_tokens=unique), "repetition")

        assert "10.0 passes" in said(finding)
        assert (
            f"the first ended at step {unique / per_step:,.0f}, pass 4 ended at step {4 * unique / per_step:,.0f}"
            in said(finding)
        )

    def test_copies_make_passes(self):
        run = healthy_run(0)
        seen = int(run.get("tokens_seen"))
        run = told(run, train_tokens=seen, unique_tokens=seen // 5)

        assert run.get("passes") == pytest.approx(5, rel=0.01)


class TestKnownFiles:
    def test_one_full_file_of_fineweb_is_about_727_million_tokens(self):
        facts = facts_of({"sources": [{"path": FINEWEB}]}, "manifest.json")

        assert facts["train_tokens"].value == 727_000_000
        assert facts["train_tokens"].source.startswith("assumed: 1 full file of FineWeb's sample-10BT")

    def test_several_add_up_and_edu_has_its_own(self):
        edu = FINEWEB.replace("fineweb", "fineweb-edu")
        paths = [{"path": edu}, {"path": edu.replace("000_", "007_")}]

        assert facts_of({"sources": paths}, "m")["train_tokens"].value == 1_500_000_000

    def test_a_count_is_never_replaced_by_what_is_assumed(self):
        told = {"sources": [{"path": FINEWEB}], "train_tokens": 5_000_000}

        assert facts_of(told, "m")["train_tokens"].value == 5_000_000

    def test_what_was_left_of_a_file_is_told_where_it_would_help(self):
        run = told(
            healthy_run(0), sources=[{"path": FINEWEB}], train_tokens=5_000_000, unique_tokens=5_000_000
        )
        val = run.series["val_loss"]
        gap = 0.5 * np.maximum(0, val.step / val.step[-1] - 0.3)
        run = replace(run, series={**run.series, "val_loss": replace(val, value=val.value + gap)})
        finding = finding_on(run, "repetition")

        assert finding.verdict == "supported"
        assert "the sources hold about 727M (1 full file of FineWeb's sample-10BT" in finding.remedy.advice

    @pytest.mark.parametrize(
        "path",
        [
            FINEWEB.replace("000_", "014_"),  # the last of the 15 is not full
            FINEWEB.replace("10BT", "100BT"),
            "data/train.parquet",
            "fineweb.parquet",
            "",
        ],
    )
    def test_other_files_are_not_known(self, path):
        assert full_file(path) is None
        assert facts_of({"sources": [{"path": FINEWEB}, {"path": path}]}, "m") == {}

    @pytest.mark.parametrize("sources", [None, 5, "x", [], [5], [{"path": None}], [{}], {"path": FINEWEB}])
    def test_sources_of_any_kind_are_read_without_fail(self, sources):
        assert facts_of({"sources": sources}, "m") == {}

    def test_passes_over_it_are_told_as_assumed(self):
        run = told(healthy_run(0), sources=[{"path": FINEWEB}])

        assert run.get("passes") == pytest.approx(run.get("tokens_seen") / 727e6)
        assert run.source("train_tokens").startswith("assumed")


@pytest.mark.parametrize("value", [float("nan"), "x", None, True, [], {}, 1e400])
def test_numbers_that_are_none_are_no_facts(value, tmp_path):
    keys = ("val_gap", "val_gap_error", "val_divergence", "order_divergence", "val_contiguous", "val_overlap")
    found = facts_of(dict.fromkeys(keys, value), "m")
    (tmp_path / "manifest.json").write_text(json.dumps({"val_gap": -0.25}))

    assert set(found) <= {"val_contiguous"}
    assert read_manifest(tmp_path)["val_gap"].value == -0.25


@pytest.mark.parametrize("cause", ["repetition", "duplicates"])
def test_what_a_manifest_has_told_is_not_asked_for_again(cause):
    """Red where repetition asked for the unique tokens, and duplicates for a manifest, with both in hand."""
    run = healthy_run()
    tokens = run.get("tokens_seen")
    counted = told(run, train_tokens=tokens / 4.3, unique_tokens=tokens / 4.8, duplicate_share=0.104)

    found = finding_on(counted, cause)
    assert found.verdict == "undecided"
    assert not [ask for ask in found.missing if "manifest" in ask or "unique" in ask]
