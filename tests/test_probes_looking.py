"""The probes that look, on tiny real runs: none accuses a healthy one, each planted cause gives a contrast of its own side.

Seen red: with train's own difficulty left in (an unfair val was memorising), with the unmasked model compared by less than
``LEAK`` (an early model was a leak), with weight decay counted as movement, and with every prediction's two sides swapped.
"""

import json
from itertools import pairwise
from math import hypot, log

import numpy as np
import pytest
import torch

from small_runs import SMALL, write_text
from synthetic import healthy_run, with_values
from unplateau.errors import UnreadableError
from unplateau.probe.information import log_odds
from unplateau.probes import Site, context, fresh_seen, gradients, more_windows, one_batch, targets
from unplateau.probes._looked import ARM, about
from unplateau.reading import read_runs
from unplateau.run import Run
from unplateau.train import session, step
from unplateau.train.configure import resolve
from unplateau.train.loop import train
from unplateau.train.losses import loss_of

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (
    *SMALL,
    *("--preset=nanogpt", "--sampling=nanogpt", "--max_steps=150", "--eval_interval=0", "--eval_iters=60"),
    *("--warmup_steps=10", "--peak_lr=1e-2", "--gradient_accumulation_steps=1", "--log_interval=50"),
    *("--batch_size=16", "--attention=explicit", "--matmul=highest"),
)
PROBES = [fresh_seen, more_windows, context, gradients, targets]
BUDGET = 1_000_000  # tokens


def trained(folder, *words):
    train(resolve(None, [*WORDS, f"--dataset={folder}", f"--out_dir={folder / 'out'}", *words]))
    (run,) = read_runs(folder / "out")
    return run, Site(150, folder / "out/checkpoints/00000150", folder, BUDGET)


def probed(probe, run, site):
    """What a probe reads of a run: its arm as a run of the trainer."""
    trial = probe.PROBE.design(run, site)
    (arm,) = trial.arms
    place = site.data / probe.NAME
    first = [f"--init_from={site.checkpoint}"] if arm.start else [*WORDS]
    train(resolve(None, [*first, f"--dataset={site.data}", f"--out_dir={place}", *arm.words, *QUIET]))
    return odds(trial, probe.PROBE.read(trial, {arm.name: place}))


QUIET = ("--log_style=none", "--device=cpu")


def odds(trial, readings):
    """By cause, the logarithm of how many times likelier the contrast is with it than without."""
    said = {one.cause: one for one in trial.predictions}
    return {one.cause: ratio(said[one.cause], one.contrast) for one in readings}


def ratio(prediction, contrast):
    error = contrast.sd
    so, no = (
        -0.5 * ((contrast.value - side.mean) / hypot(side.sd, error)) ** 2 - log(hypot(side.sd, error))
        for side in (prediction.if_so, prediction.if_not)
    )
    return so - no


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return trained(write_text(tmp_path_factory.mktemp("healthy"), 40_000, 8_000))


@pytest.mark.parametrize("probe", [*PROBES, one_batch], ids=lambda p: p.NAME)
def test_a_healthy_run_is_not_accused(probe, healthy):
    found = probed(probe, *healthy)

    assert set(found) <= set(probe.PROBE.tells)
    assert all(value < 0.5 for value in found.values()), found


def test_a_text_that_is_known_by_heart(tmp_path):
    rng = np.random.default_rng(0)
    for split, tokens in (("train", 1_500), ("val", 3_000)):
        rng.integers(0, 32, tokens).astype(np.uint16).tofile(tmp_path / f"{split}.bin")
    run, site = trained(tmp_path, "--max_steps=400", "--n_embd=64")

    site = Site(400, tmp_path / "out/checkpoints/00000400", tmp_path, BUDGET)
    assert probed(fresh_seen, run, site)["repetition"] > 2
    assert probed(more_windows, run, site)["val-mismatch"] < 0  # it is as hard to whoever has read neither


@pytest.fixture(scope="module")
def unfair(tmp_path_factory):
    folder = write_text(tmp_path_factory.mktemp("unfair"), 40_000, 8_000)
    val = np.fromfile(folder / "val.bin", np.uint16)
    rng = np.random.default_rng(1)
    np.where(rng.random(len(val)) < 0.4, rng.integers(0, 32, len(val)), val).astype(np.uint16).tofile(
        folder / "val.bin"
    )
    return trained(folder)


def test_a_val_that_is_harder_text_is_a_mismatch_and_no_memorising(unfair):
    assert probed(more_windows, *unfair)["val-mismatch"] > 2
    assert probed(fresh_seen, *unfair)["repetition"] < 1


def test_a_look_that_is_no_finer_than_the_gap_of_the_log_does_not_refute_it():
    """A gap of .08 nats, and a measurement of .015 +- .1: it would refute a gap of .35, and says nothing of this one."""
    run = with_values(healthy_run(3), val_loss=lambda _, value: value + 0.08)
    alike = with_values(healthy_run(3), val_loss=lambda _, value: value)
    coarse, fine = about(0.015, 0.1), about(0.015, 0.01)

    assert abs(log_odds(more_windows._unfair(run), coarse)) < 0.3
    assert log_odds(more_windows._unfair(run), fine) < -0.3
    assert log_odds(more_windows._unfair(run), about(0.08, 0.01)) > 2
    assert log_odds(more_windows._unfair(alike), coarse) < -1.5


def test_evaluations_of_few_windows_are_noise_and_of_many_are_not(unfair):
    run, site = unfair
    few, many = (
        more_windows.PROBE.design(run.with_facts(**facts), site)
        for facts in ({"eval_tokens": fact(8 * 16)}, {"eval_tokens": fact(20_000 * 16)})
    )
    rng = np.random.default_rng(0)
    losses = 2 + 0.4 * rng.standard_normal(500)
    place = site.data / "made"
    write_look(place, windows={"train": windows(losses), "val": windows(losses)})

    found = [odds(t, more_windows.PROBE.read(t, {ARM: place}))["eval-noise"] for t in (few, many)]

    assert found[0] > 1
    assert found[1] < -1


def fact(value):
    from unplateau.run import Fact

    return Fact(value)


def windows(losses):
    return {"loss": losses.tolist(), "cheap": [[x, x] for x in losses]}


def flat(losses):
    return {"loss": losses.tolist(), "cheap": [[1.0, 1.0]] * len(losses)}


def write_look(place, **parts):
    (place / "evaluations").mkdir(parents=True)
    told = {"schema": "unplateau.inspection/1", "step": 1, "block_size": 16, **parts}
    (place / "evaluations/inspect.json").write_text(json.dumps(told))


def test_a_window_too_short_for_what_the_text_tells(tmp_path):
    rng = np.random.default_rng(0)
    for split, tokens in (
        ("train", 30_000),
        ("val", 8_000),
    ):  # each token is the sixth before it plus one, mostly
        text = rng.integers(0, 32, tokens)
        for place in range(6, tokens):
            if rng.random() < 0.9:
                text[place] = (text[place - 6] + 1) % 32
        text.astype(np.uint16).tofile(tmp_path / f"{split}.bin")
    run, _ = trained(tmp_path, "--block_size=8", "--batch_size=32", "--max_steps=600", "--n_embd=32")

    site = Site(600, tmp_path / "out/checkpoints/00000600", tmp_path, BUDGET)
    assert probed(context, run, site)["short-context"] > 1


@pytest.mark.parametrize(("level", "told"), [(3.4, 1), (3.5, 0)])
def test_context_tells_nothing_of_a_model_that_is_no_better_than_an_even_guess(tmp_path, level, told):
    """ln(32) is 3.466; a model of other targets gains by context, or loses, whatever the text is."""
    (tmp_path / "evaluations").mkdir()
    rows = [{"from": 0, "loss": 3.0}, {"from": 4, "loss": level}]
    found = {"context": {"gain": 0.2, "error": 0.001, "positions": rows}, "schema": "unplateau.inspection/1"}
    (tmp_path / "evaluations/inspect.json").write_text(json.dumps(found))
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 32}))
    (tmp_path / "log.jsonl").write_text("")

    assert len(context.PROBE.read(None, {"look": tmp_path})) == told


def test_weights_that_no_gradient_reaches(tmp_path, monkeypatch):
    build = session.optimizer_of

    def frozen(settings, model):
        for name, weight in model.named_parameters():
            if name.startswith("blocks."):
                weight.register_hook(torch.zeros_like)
        return build(settings, model)

    monkeypatch.setattr(session, "optimizer_of", frozen)
    run, site = trained(write_text(tmp_path))
    monkeypatch.undo()

    assert probed(gradients, run, site)["frozen-parameters"] > 2


@pytest.mark.parametrize("which", ["own", "two"])
def test_labels_that_are_not_shifted_or_shifted_twice(which, tmp_path, monkeypatch):
    def wrong(network, settings):
        def losses(x, y, document):
            y = x if which == "own" else torch.cat([y[:, 1:], y[:, -1:]], 1)
            found = loss_of(network(x, document), y, settings)
            return found.objective, found.plain, found.z

        return losses

    monkeypatch.setattr(step, "objective_of", wrong)
    folder = tmp_path
    rng = np.random.default_rng(0)
    for split, tokens in (
        ("train", 20_000),
        ("val", 8_000),
    ):  # pairs of twos: the next but one is as sure as the next
        text = np.cumsum(np.where(rng.random(tokens) < 0.1, rng.integers(0, 32, tokens), 1)) % 32
        text.astype(np.uint16).tofile(folder / f"{split}.bin")
    run, site = trained(folder)
    monkeypatch.undo()

    assert probed(targets, run, site)["broken-targets"] > 1


def test_a_mask_that_let_the_future_through(tmp_path, monkeypatch):
    def everywhere(q, k, v, *, dropout=0.0, mask=None):  # noqa: ARG001
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    monkeypatch.setattr(session, "use", lambda _: everywhere)
    run, _ = trained(write_text(tmp_path), "--max_steps=300")
    monkeypatch.undo()

    site = Site(300, tmp_path / "out/checkpoints/00000300", tmp_path, BUDGET)
    assert probed(targets, run, site)["broken-targets"] > 0


def test_an_architecture_that_sees_the_future_is_told_of(healthy, tmp_path):
    row = {"loss": 2.0, "better": 1.5, "error": 0.01}
    told = {"next": {**row, "better": 0.0, "error": 0.0}, "two": row, "future": 0.4}
    write_look(tmp_path, targets=told)
    trial = targets.PROBE.design(*healthy)

    (found,) = targets.PROBE.read(trial, {ARM: tmp_path})

    assert odds(trial, (found,))["broken-targets"] > 1
    assert "what comes later changes the loss of an earlier token by up to 0.400 nats" in found.fact


def test_losses_that_are_no_numbers_are_told_in_one_line(healthy, tmp_path):
    none = {"loss": [None] * 20, "cheap": [[1.0, 1.0]] * 20}
    write_look(tmp_path, windows={"train": none, "val": none})

    with pytest.raises(UnreadableError, match="the losses of val are no numbers"):
        fresh_seen.PROBE.read(fresh_seen.PROBE.design(*healthy), {ARM: tmp_path})


def test_a_batch_that_can_t_be_learnt_by_heart(healthy, tmp_path, monkeypatch):
    monkeypatch.setattr(
        session, "optimizer_of", lambda _, model: torch.optim.AdamW(model.parameters(), lr=0.0, foreach=False)
    )
    run, site = healthy
    trial = one_batch.PROBE.design(run, site)
    monkeypatch.setattr("unplateau.train.step.set_rate", lambda *_: None)
    words = [*WORDS, *trial.arms[0].words, *QUIET, f"--dataset={site.data}", f"--out_dir={tmp_path / 'arm'}"]
    train(resolve(None, words))

    found = odds(trial, one_batch.PROBE.read(trial, {one_batch.ARM: tmp_path / "arm"}))

    assert set(found) == set(one_batch.CAUSES)
    assert min(found.values()) > 1


@pytest.mark.parametrize("probe", [*PROBES, one_batch], ids=lambda p: p.NAME)
def test_a_probe_is_not_laid_out_where_it_can_t_be(probe, healthy):
    run, site = healthy
    poor = Site(site.step, site.checkpoint, site.data, tokens=100)

    assert probe.PROBE.design(Run("empty"), Site()) is None
    assert probe.PROBE.design(Run("empty"), site) is None
    assert probe.PROBE.design(run, poor) is None


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.NAME)
def test_no_budget_is_overspent_and_more_budget_is_no_less_sure(probe, healthy):
    run, site = healthy
    found = [
        probe.PROBE.design(run, Site(site.step, site.checkpoint, site.data, tokens))
        for tokens in (3_000, 30_000, 300_000, 10**9)
    ]
    there = [trial for trial in found if trial is not None]

    assert there
    assert all(t.tokens <= b for t, b in zip(found, (3_000, 30_000, 300_000, 10**9), strict=True) if t)
    assert all(b.noise <= a.noise for a, b in pairwise(there))


def test_of_another_trainer_s_code_one_batch_tells_nothing(healthy):
    run, site = healthy

    assert one_batch.PROBE.design(run, site) is not None
    assert one_batch.PROBE.design(Run("log", "nanogpt", facts=run.facts), site) is None


def test_what_is_known_by_heart_costs_a_part_of_it(healthy, tmp_path):
    rng = np.random.default_rng(0)
    losses = 2 + 0.1 * rng.standard_normal((2, 400))
    write_look(tmp_path, windows={"train": windows(losses[0] - 0.4), "val": flat(losses[1])})
    told = json.loads((tmp_path / "evaluations/inspect.json").read_text())
    told["windows"]["train"]["cheap"] = told["windows"]["val"]["cheap"]
    (tmp_path / "evaluations/inspect.json").write_text(json.dumps(told))

    (found,) = fresh_seen.PROBE.read(fresh_seen.PROBE.design(*healthy), {ARM: tmp_path})

    assert found.contrast.value == pytest.approx(0.4, abs=0.05)
    assert 0.1 < found.effect.low < found.effect.value < found.effect.high < 0.4


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.NAME)
@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", '{"schema": "x"}', '{"schema": "unplateau.inspection/1"}'], ids=str
)
def test_a_damaged_look_is_told_in_one_line(probe, content, healthy, tmp_path):
    if content is not None:
        (tmp_path / "evaluations").mkdir()
        (tmp_path / "evaluations/inspect.json").write_text(content)
    trial = probe.PROBE.design(*healthy)

    with pytest.raises(UnreadableError) as told:
        probe.PROBE.read(trial, {ARM: tmp_path})
    assert "\n" not in str(told.value)
    assert "inspect.json" in str(told.value)


def test_context_is_not_asked_of_a_run_that_knows_passages_by_heart(healthy):
    """Its last tokens gain by any context that says which passage this is; the mutation let 80 % of copies through."""
    run, site = healthy
    copied = run.with_facts(duplicate_share=fact(0.8))

    assert context.PROBE.design(run, site) is not None
    assert context.PROBE.design(copied, site) is None
    told = {one.cause for one in more_windows.PROBE.design(copied, site).predictions}
    assert told == {"eval-noise"}  # what is held against copies is no unfair val


def test_a_val_of_two_texts_strays_without_being_a_small_evaluation(healthy):
    """How far windows stray is told by the text where they stray least: by val alone, such a val was called noise."""
    run, site = healthy
    trial = more_windows.PROBE.design(run.with_facts(eval_tokens=fact(200 * 16)), site)
    rng = np.random.default_rng(0)
    even, two = 2 + 0.3 * rng.standard_normal(500), 2 + 3 * (np.arange(500) > 250) + rng.standard_normal(500)
    place = site.data / "two"
    write_look(place, windows={"train": windows(even), "val": windows(two)})
    reading = next(r for r in more_windows.PROBE.read(trial, {ARM: place}) if r.cause == "eval-noise")

    assert odds(trial, [reading])["eval-noise"] < 0
    assert "not of one kind" in reading.fact
