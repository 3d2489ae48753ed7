"""The size law: what it says of models whose larger twin was trained, and where it says nothing."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard

from synthetic import healthy_run
from unplateau.curve import Curve
from unplateau.derive import changed, derive
from unplateau.estimate import Estimate
from unplateau.evidence import Told
from unplateau.hypotheses import capacity
from unplateau.laws._twins import Twins, held_against, shares
from unplateau.laws.size import COUNTS, LAW, SHAPE, Size, SizeFit, anchored
from unplateau.reading import read_runs
from unplateau.run import Fact, Run

CORPUS = Path(__file__).parents[1] / "benchmarks" / "planted" / "corpus.jsonl.zst"
SHARED = Path(os.environ.get("UNPLATEAU_SHARED", Path(__file__).parents[2] / "shared"))
SHAPES = ("n_layer", "n_head", "n_embd")


def cases() -> dict[str, dict]:
    with zstandard.open(CORPUS, "rb") as packed:
        return {case["name"]: case for case in map(json.loads, io.TextIOWrapper(packed, encoding="utf-8"))}


def shape_of(config: str) -> dict[str, int]:
    return {name: int(re.search(rf"^{name} = (\d+)", config, re.MULTILINE).group(1)) for name in SHAPES}


def gain(run: Run, other: Run) -> Estimate:
    return Estimate.of(-LAW.fit([run]).price(other, run.get("steps_done")), "nats")


def told(**facts) -> Run:
    """A run of which little is known beside its loss, 3 nats in the end."""
    t = np.arange(1, 31) * 500
    loss = 3.0 + 0.7 * ((t / t[-1]) ** -0.4 - 1)
    known = {"tokens_per_step": 500_000, "params": 4e7} | facts
    facts = {name: Fact(value, "", "config.py:1") for name, value in known.items() if value is not None}
    return derive(Run("told", series={"val_loss": Curve(t, loss, "nats")}, facts=facts))


def test_gains_of_sound_models_over_planted_small_ones_lie_in_the_interval(tmp_path):
    corpus = cases()
    small = [case for case in corpus.values() if case["truth"]["cause"] == "capacity"]
    for case in small:
        (tmp_path / "train.log").write_text(case["log"])
        (tmp_path / "config.py").write_text(case["config"])
        run = derive(read_runs(str(tmp_path / "train.log"), config=tmp_path / "config.py")[0])
        mended = corpus[case["truth"]["mended"]["name"]]

        found = gain(run, changed(run, shape_of(mended["config"])))

        assert not found.excludes(case["truth"]["gain"]), (case["name"], str(found))
    assert len(small) == 5


def test_a_model_never_fitted_has_its_true_gain_in_the_interval():
    folder = SHARED / "planted" / "small_model"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    run = derive(read_runs(str(folder / "run" / "train.log"), config=folder / "run" / "config.py")[0])
    truth = json.loads((folder / "truth.json").read_text())["gain"]

    found = gain(run, changed(run, shape_of((folder / "mended" / "config.py").read_text())))

    assert not found.excludes(truth), str(found)
    assert found.high < 2 * found.value


def test_a_wider_model_wins_more_the_more_tokens_it_has():
    run = healthy_run(0)
    fit = LAW.fit([run])
    wider = changed(run, {"n_embd": 1536, "n_head": 24})

    soon, late = (-float(fit.price(wider, run.get("steps_done") * k).mean()) for k in (1, 10))

    assert 0 < soon < late < fit.loss


def test_no_model_wins_more_than_an_endless_one():
    run = told()
    fit = LAW.fit([run])

    wins = -fit.price(run.with_facts(params=Fact(1e30)), 15_000)

    assert isinstance(fit, SizeFit)
    assert wins == pytest.approx(fit.capacity, rel=0.02)
    assert (fit.capacity < fit.loss).all()


def test_a_smaller_model_loses():
    run = healthy_run(0)

    assert gain(run, changed(run, {"n_embd": 384, "n_head": 6})).high < 0


def test_more_tokens_and_other_settings_are_not_its_business():
    run = healthy_run(0)
    fit = LAW.fit([run])

    longer = changed(run, {"max_steps": 10 * run.get("max_steps")})
    hotter = changed(run, {"peak_lr": 1.0})

    assert not fit.price(longer, 10 * run.get("max_steps")).any()
    assert not fit.price(hotter, run.get("steps_done")).any()


def test_depth_for_width_costs_nothing_but_certainty():
    run = told(params=None, n_layer=12, n_embd=384, architecture="gpt2", vocab_size=50304, n_head=6)
    deeper = changed(run, {"n_layer": 27, "n_embd": 256, "n_head": 4})
    blocks = [r.get("params_non_embedding") for r in (run, deeper)]

    assert blocks[0] == pytest.approx(blocks[1], rel=0.01)
    assert not gain(run, deeper).excludes(0.0)


def test_another_shape_is_less_sure_than_the_same_one():
    run = told(params=None, n_layer=12, n_embd=384, architecture="gpt2", vocab_size=50304, n_head=6)
    fit = LAW.fit([run])
    alike, stretched = (changed(run, {"n_embd": 768, "n_layer": depth}) for depth in (24, 3))
    alone = changed(run, {"n_layer": 3, "n_embd": 384})

    assert np.std(fit.price(stretched, 15_000) - fit.price(alike, 15_000)) > 0
    assert fit.shape.std() == pytest.approx(SHAPE, rel=0.2)
    assert np.corrcoef(fit.price(alone, 15_000), fit.shape)[0, 1] > 0.1


def twins(run: Run, share: float, error: float = 0.003, **patch) -> Run:
    """``run`` after a probe: a copy of half its size, and one of twice that width, which won ``share``."""
    arms = ({"n_layer": 6, "n_embd": 192, "n_head": 3}, {"n_layer": 6, "n_embd": 384, "n_head": 6} | patch)
    contrast = Estimate(share, share - 1.645 * error, share + 1.645 * error, "")
    one = Told("capacity", "x", 0.5, "twins", "evidence/twins.json", contrast=contrast, steps=1900, arms=arms)
    return replace(run, probed=(one,))


SHAPED = {"n_layer": 12, "n_embd": 384, "n_head": 6, "architecture": "gpt2", "vocab_size": 50304}


def test_twins_that_a_probe_trained_make_the_gain_surer_and_move_it_their_way():
    run = told(params=None, **SHAPED)
    wider = {"n_embd": 768, "n_head": 12}
    before = gain(run, changed(run, wider))

    little, much = (gain(twins(run, share), changed(twins(run, share), wider)) for share in (0.03, 0.09))

    assert little.value < before.value < much.value
    assert little.high < much.low
    for after in (little, much):
        assert after.high - after.low < 0.8 * (before.high - before.low)


def test_twins_of_a_world_bring_its_true_gain_into_a_narrower_interval():
    hits, narrower = [], []
    for seed in range(40):
        world = LAW.world(seed)
        fit = LAW.fit([world.run])
        size, tokens = fit.size, fit.tokens
        truth = anchored(world.run, fit.loss, size, tokens, seed + 1000)
        one = int(np.random.default_rng(seed).integers(len(truth.prior.g)))
        small = Size(size.blocks / 8, size.blocks / 8 + (size.total - size.blocks) / 2)
        large = Size(size.blocks / 2, size.blocks / 2 + size.total - size.blocks)
        pair = Twins(small, large, tokens / 8, Estimate(0.0, 0.0, 0.0, ""))
        share = float(shares(truth.prior, size, tokens, pair)[one])
        told_ = replace(pair, share=Estimate(share, share - 0.005, share + 0.005, ""))
        after = held_against(fit.prior, size, tokens, {0: told_}, n=1000, seed=seed)
        wider = size.widened(3 * size.total)
        true, found, prior = (
            law.change(*(s.counted(law.embedding) for s in (size, wider)), tokens)
            for law in (truth.prior, after, fit.prior)
        )
        low, high = np.quantile(found, (0.05, 0.95))
        hits.append(low <= true[one] <= high)
        narrower.append((high - low) / np.subtract(*np.quantile(prior, (0.95, 0.05))))
    assert np.mean(hits) >= 0.8
    assert np.median(narrower) < 0.7


@pytest.mark.parametrize("patch", [{"n_embd": "wide"}, {"n_embd": 96, "n_head": 1}, {"n_embd": -1}])
def test_twins_whose_shapes_make_no_sense_are_left_out(patch):
    run = told(params=None, **SHAPED)

    assert LAW.fit([twins(run, 0.05, **patch)]).heard == ()
    assert len(LAW.fit([twins(run, 0.05)]).heard) == 1


def test_where_data_are_scarce_it_is_less_sure():
    plenty, scarce = (told(params=4e7, tokens_per_step=each) for each in (2_000_000, 20_000))
    sure, unsure = (gain(run, run.with_facts(params=Fact(8e7))) for run in (plenty, scarce))

    assert (unsure.high - unsure.low) / unsure.value > 1.3 * (sure.high - sure.low) / sure.value


def test_a_count_of_parameters_alone_is_read_as_a_wider_model():
    run = healthy_run(0)
    wider = changed(run, {"n_embd": 1536, "n_head": 24})

    counted = run.with_facts(params=Fact(wider.get("params")))

    assert gain(run, counted).value == pytest.approx(gain(run, wider).value, rel=0.1)


def test_prices_what_the_cause_would_change():
    run = told(params=4e6)

    assert gain(run, capacity.without(run)).low > 0


@pytest.mark.parametrize(
    ("lacking", "words"),
    [({"params": None}, "size of the model"), ({"tokens_per_step": None}, "tokens seen")],
)
def test_says_what_it_lacks(lacking, words):
    with pytest.raises(ValueError, match=words):
        LAW.fit([told(**lacking)])


def test_refuses_a_run_without_a_loss():
    run = told()
    with pytest.raises(ValueError, match="no loss"):
        LAW.fit([Run("dark", facts={**run.facts})])


def test_the_constants_are_those_that_the_public_runs_give(monkeypatch):
    monkeypatch.syspath_prepend(str(CORPUS.parents[1] / "laws"))
    script = importlib.import_module("size")

    mean, cov = script.constants(script.pairs(), 0.0)

    assert mean == pytest.approx(COUNTS[0].mean, abs=0.02)
    assert np.linalg.cholesky(cov)[np.tril_indices(4)] == pytest.approx(COUNTS[0].root, abs=0.02)
