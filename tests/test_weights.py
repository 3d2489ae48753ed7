"""Weights that never moved, read from checkpoints of every kind: those that learn are never accused.

Seen red:
- ``_carried`` that is always true: test_a_matrix_that_looks_as_drawn_accuses_nobody_before_the_rates_could_move_it;
- ``rests`` ignored: test_rows_of_tokens_that_never_come_are_no_frozen_embedding;
- ``KEYS`` that matches nothing: test_what_may_rest_is_not_judged;
- ``meant`` always false: test_what_may_be_meant_accuses_nobody;
- ``step > last`` not asked: test_a_checkpoint_of_a_later_step_than_the_log_is_not_used.
"""

import json
import struct
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthetic import healthy_run
from unplateau.diagnosis import diagnose
from unplateau.hypotheses import frozen_parameters, resume_state
from unplateau.run import Fact
from unplateau.tensors import saved_at
from unplateau.weights import BYTES, departures, judge, newest, weights_of

WIDTH, LAYERS = 64, 2
STEP = 5_000


def drawn(rng, *shape):
    return torch.tensor(rng.normal(0, 0.02, shape), dtype=torch.float32)


def learnt(rng, *shape):
    """What was drawn, and updates that are the same for all that a neuron reads, as gradients are."""
    rows, columns = rng.normal(0, 1, (shape[0], 2)), rng.normal(0, 1, (2, shape[1]))
    return drawn(rng, *shape) + torch.tensor(0.02 * rows @ columns, dtype=torch.float32)


def model(still=(), seed=0, bias=True, tied=True):
    """nanoGPT's names; the parts whose name holds a word of ``still`` are as they began."""
    rng, found = np.random.default_rng(seed), OrderedDict()

    def add(name, *shape):
        stands = any(word in name for word in still)
        if len(shape) == 2:
            found[name] = (drawn if stands else learnt)(rng, *shape)
        else:
            began = torch.ones(shape) if "ln" in name and "weight" in name else torch.zeros(shape)
            found[name] = began if stands else began + 0.1 * drawn(rng, *shape)

    add("transformer.wte.weight", 96, WIDTH)
    add("transformer.wpe.weight", 32, WIDTH)
    for n in range(LAYERS):
        h = f"transformer.h.{n}."
        for name, shape in (
            ("ln_1.weight", (WIDTH,)),
            ("attn.c_attn.weight", (3 * WIDTH, WIDTH)),
            ("attn.c_proj.weight", (WIDTH, WIDTH)),
            ("mlp.c_fc.weight", (4 * WIDTH, WIDTH)),
        ):
            add(h + name, *shape)
            if bias and "ln" not in name:
                add(h + name.replace("weight", "bias"), shape[0])
    if tied:
        found["lm_head.weight"] = found["transformer.wte.weight"]
    else:
        add("lm_head.weight", 96, WIDTH)
    return found


def moments_of(weights, none=(), steps=STEP):
    """Adam's state in nanoGPT's order: all matrices, then all vectors; of the parts in ``none`` squares of 0."""
    names = [n for n in weights if n != "lm_head.weight"]
    order = [n for n in names if weights[n].dim() >= 2] + [n for n in names if weights[n].dim() < 2]
    state = {}
    for n, name in enumerate(order):
        square = torch.full_like(weights[name], 0.0 if any(word in name for word in none) else 1e-9)
        state[n] = {"step": torch.tensor(float(steps)), "exp_avg": square, "exp_avg_sq": square}
    wide = sum(weights[n].dim() >= 2 for n in order)
    groups = [{"params": list(range(wide))}, {"params": list(range(wide, len(order)))}]
    return {"state": state, "param_groups": groups}


def ckpt(folder, weights, optimizer=None, step=STEP):
    path = folder / "ckpt.pt"
    torch.save({"model": weights, "iter_num": step, **({"optimizer": optimizer} if optimizer else {})}, path)
    return path


def with_weights(path, **changes):
    """A healthy run of 5,000 steps and more whose newest checkpoint lies at ``path``."""
    run = healthy_run(0, **changes)
    return run.with_facts(**weights_of(path))


def said(run):
    return frozen_parameters.test(run)


class TestFiles:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
    def test_numbers_are_those_that_torch_saved(self, tmp_path, dtype):
        weight = torch.arange(600, dtype=torch.float32).reshape(20, 30).to(dtype)
        saved = saved_at(ckpt(tmp_path, {"a.weight": torch.zeros(7), "b.weight": weight}))
        part = saved.weights["b.weight"]

        with part.path.open("rb") as file:
            assert part.numbers(file, 35, 4).tolist() == weight.flatten()[35:39].float().tolist()
        assert part.shape == (20, 30)

    def test_a_view_into_another_tensor_s_storage_is_found_and_one_out_of_order_is_left_out(self, tmp_path):
        whole = torch.arange(40.0).reshape(4, 10)
        saved = saved_at(ckpt(tmp_path, {"part": whole[2:], "turned": whole.T}))
        part = saved.weights["part"]

        with part.path.open("rb") as file:
            assert part.numbers(file, 0, 3).tolist() == [20, 21, 22]
        assert "turned" not in saved.weights

    def test_a_folder_of_safetensors_reads_as_one_whatever_its_parts(self, tmp_path):
        weights = {n: w.clone() for n, w in model(tied=False).items()}
        half = len(weights) // 2
        items = list(weights.items())
        save_file(dict(items[:half]), tmp_path / "model-00001-of-00002.safetensors")
        save_file(dict(items[half:]), tmp_path / "model-00002-of-00002.safetensors")

        assert saved_at(tmp_path).weights.keys() == weights.keys()

    @pytest.mark.parametrize("cut", [10, 400, 5_000, -300])
    def test_a_cut_file_tells_nothing(self, tmp_path, cut):
        path = ckpt(tmp_path, model())
        path.write_bytes(path.read_bytes()[:cut])

        assert weights_of(path) == {}

    @pytest.mark.parametrize("offsets", [[0, 10**15], [-8, 8], [8, 0], ["a", 1], 5])
    def test_a_header_that_lies_about_its_tensors_tells_nothing(self, tmp_path, offsets):
        part = {"dtype": "F32", "shape": [2, 2], "data_offsets": offsets}
        header = json.dumps({"h.0.mlp.weight": part}).encode()
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))

        assert weights_of(tmp_path) == {}

    def test_the_newest_checkpoint_is_the_one_that_is_whole(self, tmp_path):
        for step in (100, 200, 300):
            (tmp_path / f"checkpoints/{step:08d}").mkdir(parents=True)
        for step in (100, 200):
            (tmp_path / f"checkpoints/{step:08d}/sha256.json").touch()

        assert newest(tmp_path).name == "00000200"

    def test_no_more_is_read_than_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setattr("unplateau.weights.BYTES", 40_000)
        path = ckpt(tmp_path, model())

        assert 1 <= len(list(judge(saved_at(path)))) < len(model()) - 1
        assert BYTES <= 32 << 20


class TestStatistics:
    def test_what_is_drawn_strays_as_chance_does(self):
        rng = np.random.default_rng(1)
        strays = [departures(rng.normal(0, 0.02, (64, 256))) for _ in range(300)]

        assert np.abs(np.mean(strays, 0)).max() < 0.25
        assert np.std(strays, 0) == pytest.approx(np.ones(5), abs=0.2)

    def test_one_direction_that_was_learnt_is_seen(self):
        rng = np.random.default_rng(2)
        update = np.outer(np.sign(rng.normal(size=64)), np.sign(rng.normal(size=256)))

        assert max(departures(rng.normal(0, 0.02, (64, 256)) + 0.005 * update)) > 9


class TestFrozen:
    def test_a_model_that_learns_is_cleared_by_its_checkpoint(self, tmp_path):
        weights = model()
        run = with_weights(ckpt(tmp_path, weights, moments_of(weights)))

        assert run.get("weights_still") == []
        assert said(run).verdict == "refuted"
        assert "have moved" in said(run).evidence[0].fact

    def test_a_part_without_gradients_is_named(self, tmp_path):
        weights = model(still=["h.0."])
        found = said(with_weights(ckpt(tmp_path, weights, moments_of(weights, none=["h.0."]))))

        assert found.verdict == "supported"
        assert "transformer.h.0.mlp.c_fc.weight (Adam has seen no gradient)" in found.evidence[0].fact
        assert found.probability < 0.97  # so that the probe may still say its word

    @pytest.mark.parametrize("decay", [1.0, 0.6])
    def test_a_part_that_the_optimiser_never_had_is_told_from_its_numbers_alone(self, tmp_path, decay):
        weights = {n: w * (decay if "h.0." in n else 1) for n, w in model(still=["h.0."]).items()}
        found = said(with_weights(ckpt(tmp_path, weights)))

        assert found.verdict == "supported"
        assert "as drawn" in found.evidence[0].fact

    def test_a_matrix_that_looks_as_drawn_accuses_nobody_before_the_rates_could_move_it(self, tmp_path):
        path = ckpt(tmp_path, model(still=["c_fc"], bias=False))
        slow = healthy_run(0, peak_lr=1e-5, floor_lr=1e-6).with_facts(**weights_of(path))

        assert said(slow).verdict == "undecided"
        assert said(slow).probability < 0.3

    @pytest.mark.parametrize("step", [1, 40])
    def test_the_first_steps_tell_nothing(self, tmp_path, step):
        weights = model(still=["c_fc"])
        run = with_weights(ckpt(tmp_path, weights, moments_of(weights, none=["c_fc"], steps=step), step=step))

        assert said(run).probability < 0.3

    def test_a_checkpoint_of_a_later_step_than_the_log_is_not_used(self, tmp_path):
        weights = model(still=["c_fc"])
        run = with_weights(ckpt(tmp_path, weights, moments_of(weights, none=["c_fc"]), step=10**7))

        assert said(run).probability < 0.3

    def test_what_may_be_meant_accuses_nobody(self, tmp_path):
        weights = model(still=["h.0."])
        path = ckpt(tmp_path, weights, moments_of(weights, none=["h.0."]))

        assert said(with_weights(path, init_from="gpt2")).verdict == "undecided"
        gains = model(still=["ln_1.weight"])
        assert said(with_weights(ckpt(tmp_path, gains, moments_of(gains)))).verdict != "supported"
        gains_alone = said(with_weights(ckpt(tmp_path, gains)))
        assert gains_alone.verdict == "undecided"
        assert "gains all alike" in gains_alone.evidence[0].fact

    def test_rows_of_tokens_that_never_come_are_no_frozen_embedding(self, tmp_path):
        """Nor are the places beyond a window that is shorter than the model allows."""
        weights = model(still=["wte", "wpe"], tied=False)

        assert weights_of(ckpt(tmp_path, weights))["weights_still"].value == []
        tied = model(still=["wte"])
        assert weights_of(ckpt(tmp_path, tied))["weights_still"].value[0][0] == "transformer.wte.weight"

    def test_what_may_rest_is_not_judged(self, tmp_path):
        weights = model() | {
            "layers.0.k_proj.bias": torch.zeros(64),
            "h.0.experts.3.weight": torch.zeros(64, 64),
        }
        weights |= {"h.0.ln_x.weight": torch.ones(64).bfloat16(), "lora_A.weight": torch.zeros(64, 64)}

        assert weights_of(ckpt(tmp_path, weights))["weights_still"].value == []

    def test_a_fall_alone_leaves_open_that_a_part_stands_still(self):
        found = said(healthy_run(0))

        assert (found.verdict, found.stake) == ("undecided", 0.0)
        assert found.missing[0].startswith("a checkpoint")
        (whole,) = [f for f in diagnose(healthy_run(0)).findings if f.cause == "frozen-parameters"]
        assert 0.015 <= whole.probability < 0.03
        assert "gradients" in whole.probes


class TestMoments:
    def test_moments_that_were_begun_anew_are_told_and_accuse_nobody(self, tmp_path):
        weights = model()
        run = with_weights(ckpt(tmp_path, weights, moments_of(weights, steps=1_000)))
        found = resume_state.test(run)

        assert found.verdict == "undecided"
        assert "begun anew at step 4,000" in found.evidence[0].fact

    def test_steps_that_a_scaler_skipped_are_no_loss(self, tmp_path):
        weights = model()
        run = with_weights(ckpt(tmp_path, weights, moments_of(weights, steps=STEP - 40)))

        assert resume_state.test(run).verdict == "refuted"

    def test_weights_alone_are_told_where_the_run_was_resumed(self, tmp_path):
        run = with_weights(ckpt(tmp_path, model()))
        resumed = replace(run.with_facts(init_from=Fact("resume", "", "config.py:1")))

        assert resume_state.test(run).verdict == "refuted"
        assert "begins with moments of 0" in resume_state.test(resumed).evidence[0].fact
        assert resume_state.test(resumed).verdict == "undecided"
