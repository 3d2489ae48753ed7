"""From a path to complete runs: files, folders, standard input, and what lies beside a log."""

import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import pytest

import unplateau
from unplateau.contradictions import contradictions
from unplateau.diagnosis import diagnose
from unplateau.errors import UnplateauError, UnreadableError
from unplateau.reading import merge, read_runs
from unplateau.run import Fact

SEED = Path(unplateau.__file__).parent / "examples" / "reference-run"
SHARED = Path(os.environ.get("UNPLATEAU_SHARED") or Path(__file__).parents[2] / "shared")
LOG = (
    "step 0: train loss 4.4500, val loss 4.4600\niter 0: loss 4.4500, time 30.00ms, mfu -100.00%\n"
    + "".join(
        f"step {n}: train loss {4 - n / 1000:.4f}, val loss {4.1 - n / 1000:.4f}\n"
        for n in range(100, 1100, 100)
    )
)
CONFIG = "n_layer = 2\nn_head = 4\nn_embd = 64\nblock_size = 48\nmax_iters = 2000\nlearning_rate = 1e-3\n"
CSV = "step,train_loss,val_loss\n" + "".join(f"{n},{4 - n / 100},{4.1 - n / 100}\n" for n in range(0, 50, 10))
#: some evaluations of LOG, as a table
SAME = "step,val_loss\n" + "".join(f"{n},{4.1 - n / 1000:.3f}\n" for n in range(200, 1000, 200))


def needs_shared(part):
    return pytest.mark.skipif(
        not (SHARED / part).is_dir(), reason=f"no {part}: set UNPLATEAU_SHARED to the folder of logs"
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.log").write_text(LOG)
    (tmp_path / "config.py").write_text(CONFIG)
    return tmp_path


class TestAFile:
    def test_takes_the_config_beside_it(self, folder):
        (run,) = read_runs(folder / "train.log")

        assert run.format == "nanogpt"
        assert run.source("n_embd") == "config.py:3"
        assert run.get("schedule") == "cosine"
        assert run.schedule is not None

    def test_takes_no_file_of_another_name(self, folder):
        (folder / "config.py").rename(folder / "settings.py")

        (run,) = read_runs(folder / "train.log")

        assert "n_embd" not in run.facts
        assert "grad_clip" not in run.facts  # no config: no defaults either

    def test_takes_a_config_that_it_is_given(self, folder):
        other = folder / "mine.py"
        other.write_text("n_embd = 128\n")

        (run,) = read_runs(folder / "train.log", config=other)

        assert (run.get("n_embd"), run.source("n_embd")) == (128, "mine.py:1")

    def test_a_given_config_of_our_own_run_adds_to_what_its_folder_says(self, tmp_path):
        # a TOML with a preset says little: width and optimiser were lost with config.json, and the remedies with them
        (tmp_path / "log.jsonl").write_text('{"step": 1, "val_loss": 3.0}\n{"step": 2, "val_loss": 2.9}\n')
        (tmp_path / "config.json").write_text(
            '{"schema": "unplateau.config/1", "n_embd": 48, "peak_lr": 0.003}'
        )
        (tmp_path / "plateau.toml").write_text('preset = "nanogpt"\npeak_lr = 0.001\n')

        (run,) = read_runs(tmp_path, config=tmp_path / "plateau.toml")

        assert (run.get("n_embd"), run.source("n_embd").split(":")[0]) == (48, "config.json")
        assert run.get("peak_lr") == 0.003  # the command line had another one than the file

    def test_leaves_another_trainers_config_alone_and_says_so(self, folder):
        (folder / "config.py").unlink()
        (folder / "config.json").write_text(
            '{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2}'
        )

        (run,) = read_runs(folder / "train.log")

        assert "n_embd" not in run.facts
        assert any("config.json" in warning and "not used" in warning for warning in run.warnings)

    def test_a_config_that_cannot_be_read_is_a_warning_beside_the_log_and_an_error_when_given(self, folder):
        (folder / "config.py").write_text("n_layer = = 2")

        (run,) = read_runs(folder / "train.log")

        assert any("config.py" in warning for warning in run.warnings)
        with pytest.raises(UnreadableError, match="line 1"):
            read_runs(folder / "train.log", config=folder / "config.py")

    def test_the_echo_in_the_log_holds_and_the_difference_is_a_contradiction(self, folder):
        header = "Overriding config with other.py:\nn_embd = 32\nlearning_rate = 1e-3\n\nOverriding: max_iters = 1500\n"
        (folder / "train.log").write_text(f"{header}tokens per iteration will be: 1,152\n{LOG}")

        (run,) = read_runs(folder / "train.log")
        told = [c.fact for c in contradictions(run)]

        assert (run.get("n_embd"), run.get("max_steps"), run.get("n_layer")) == (32, 1500, 2)
        assert any(fact.startswith("n_embd is 64 in config.py:3") and "says 32" in fact for fact in told)

    def test_another_trainers_config_is_not_taken_where_the_log_has_its_own(self, folder):
        (folder / "config.json").write_text('{"model_type": "gpt2", "n_layer": 99, "vocab_size": 77}')
        (folder / "train.log").write_text(
            "Overriding: n_embd = 32\ntokens per iteration will be: 1,152\n" + LOG
        )

        (beside,) = read_runs(folder / "train.log")
        (given,) = read_runs(folder / "train.log", config=folder / "config.json")

        assert (beside.get("n_layer"), beside.get("n_embd")) == (2, 32)
        assert (given.get("n_layer"), given.get("n_embd")) == (99, 32)

    def test_an_assumed_vocabulary_that_the_first_loss_contradicts_is_not_kept(self, folder):
        (run,) = read_runs(folder / "train.log")

        assert "vocab_size" not in run.facts
        assert any(warning.startswith("vocab_size is not known") for warning in run.warnings)

    def test_unique_tokens_of_the_command_line_hold(self, folder):
        (folder / "manifest.json").write_text('{"unique_tokens": 5, "val_tokens": 70}')

        (run,) = read_runs(folder / "train.log", unique_tokens=1000)

        assert run.facts["unique_tokens"] == Fact(1000, "tokens", "--unique-tokens")
        assert run.source("val_tokens") == "manifest.json"
        assert run.get("passes") == run.get("tokens_seen") / 1000

    def test_data_may_be_nanogpts_folder(self, folder):
        data = folder / "shakespeare"
        data.mkdir()
        (data / "train.bin").write_bytes(bytes(4000))

        (run,) = read_runs(folder / "train.log", data=data)

        assert run.facts["train_tokens"] == Fact(2000, "tokens", "counted: train.bin")

    def test_data_of_the_configured_name_is_found_by_itself(self, folder):
        (folder / "config.py").write_text(CONFIG + "dataset = 'small'\n")
        (folder / "data" / "small").mkdir(parents=True)
        (folder / "data" / "small" / "val.bin").write_bytes(bytes(400))

        (run,) = read_runs(folder / "train.log")

        assert run.get("val_tokens") == 200

    def test_standard_input(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LOG.encode())))

        (run,) = read_runs("-")

        assert len(run.series["val_loss"]) == 11

    def test_standard_input_keeps_its_first_bytes(self, monkeypatch):
        table = "step,val_loss\n" + "".join(f"{n},{4 - n / 1000}\n" for n in range(100, 900, 100))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table.encode())))

        (run,) = read_runs("-")

        assert run.series["val_loss"].step[0] == 100


class TestAFolder:
    def test_is_read_as_its_log(self, folder):
        (run,) = read_runs(folder)

        assert len(run.series["val_loss"]) == 11
        assert run.get("n_layer") == 2

    def test_the_richest_log_is_read_and_the_others_are_named(self, folder):
        (folder / "metrics.csv").write_text(SAME)
        (folder / "meta.json").write_text('{"loss": 3}')
        (folder / "README.txt").write_text("step 1: train loss 1.0, val loss 1.0\n" * 9)
        (folder / "notes.txt").write_text("nothing to see\n")

        (run,) = read_runs(folder)

        assert run.format == "nanogpt"
        assert any(
            "train.log holds most" in w and "metrics.csv" in w and "README" not in w for w in run.warnings
        )

    def test_one_level_of_folders_is_looked_into(self, tmp_path):
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "train.log").write_text(LOG)

        runs = read_runs(tmp_path)

        assert [run.name for run in runs] == ["one/train.log", "two/train.log"]

    def test_the_last_checkpoint_of_the_trainer_is_read(self, tmp_path):
        for step in (9, 100, 20):
            state = {"global_step": step, "log_history": [{"step": n, "loss": 3.0} for n in range(1, step)]}
            (tmp_path / f"checkpoint-{step}").mkdir()
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state))
        (tmp_path / "config.json").write_text(
            '{"model_type": "gpt2", "n_layer": 3, "n_embd": 8, "n_head": 2, "vocab_size": 9}'
        )

        (run,) = read_runs(tmp_path)

        assert len(run.series["batch_loss"]) == 99
        assert run.source("n_layer") == "config.json: n_layer"

    def test_a_checkpoint_beside_the_log_fills_what_is_not_told(self, folder):
        config = {"n_embd": 32, "grad_clip": 0.5, "decay_lr": True}
        with zipfile.ZipFile(folder / "ckpt.pt", "w") as archive:
            archive.writestr("ckpt/data.pkl", pickle.dumps({"config": config, "iter_num": 1500}))

        (run,) = read_runs(folder)

        assert (run.get("grad_clip"), run.source("grad_clip")) == (0.5, "ckpt.pt: grad_clip")
        assert run.source("n_embd") == "config.py:3"
        assert run.get("checkpoint_step") == 1500

    def test_a_damaged_checkpoint_is_a_warning(self, folder):
        (folder / "ckpt.pt").write_bytes(b"PK\x03\x04 and no more")

        (run,) = read_runs(folder)

        assert any("ckpt.pt" in warning for warning in run.warnings)


def write(folder, **logs):
    """Logs of nanoGPT by their names: ``a__train=4.0`` is a/train.log with a loss that starts there."""
    for name, loss in logs.items():
        path = folder / f"{name.replace('__', '/')}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "".join(
                f"step {n}: train loss {loss - n / 1000:.4f}, val loss {loss + 0.1 - n / 1000:.4f}\n"
                for n in range(100, 1100, 100)
            )
        )


def names(runs):
    return [run.name for run in runs]


class TestSeveralRuns:
    def test_seven_folders_are_seven_runs_named_by_them(self, tmp_path):
        write(tmp_path, **{f"run{i}__train": 4 + i / 10 for i in range(7)})

        runs = read_runs(tmp_path)

        assert names(runs) == [f"run{i}/train.log" for i in range(7)]
        assert [run.series["train_loss"].first for run in runs] == pytest.approx(
            [3.9 + i / 10 for i in range(7)]
        )
        assert all(diagnose(run).state for run in runs)

    def test_folders_within_folders_are_found(self, tmp_path):
        write(tmp_path, cold__run__train=4.0, cold__mended__train=3.5, hot__logs__a__train=5.0)

        assert names(read_runs(tmp_path)) == [
            "cold/mended/train.log",
            "cold/run/train.log",
            "hot/logs/a/train.log",
        ]

    def test_each_has_the_config_of_its_own_folder(self, tmp_path):
        write(tmp_path, a__train=4.0, b__train=5.0)
        (tmp_path / "a" / "config.py").write_text(CONFIG)
        (tmp_path / "b" / "config.py").write_text(CONFIG.replace("n_embd = 64", "n_embd = 32"))
        (tmp_path / "config.py").write_text("n_layer = 77\n")
        (tmp_path / "manifest.json").write_text('{"unique_tokens": 5000}')

        a, b = read_runs(tmp_path)

        assert (a.get("n_embd"), b.get("n_embd"), a.get("n_layer"), b.get("n_layer")) == (64, 32, 2, 2)
        assert a.get("unique_tokens") == b.get("unique_tokens") == 5000

    def test_a_folder_of_several_logs_is_several_runs(self, tmp_path):
        write(tmp_path, seed1=4.0, seed2=4.01, seed3=4.02)
        (tmp_path / "config.py").write_text(CONFIG)

        runs = read_runs(tmp_path)

        assert names(runs) == ["seed1.log", "seed2.log", "seed3.log"]
        assert not runs[0].has("n_embd")  # it can be of one only
        assert any("config.py" in w and "several runs" in w for w in runs[0].warnings)

    def test_captures_of_one_run_are_one(self, tmp_path):
        write(tmp_path, a=4.0)
        text = (tmp_path / "a.log").read_text()
        (tmp_path / "cut.log").write_text(text[: len(text) // 2])
        rows = "".join(f"{n + 1},{4.1 - n / 1000:.3f}\n" for n in range(100, 1100, 100))
        (tmp_path / "from1.csv").write_text("step,val_loss\n" + rows)
        rows = "".join(f"{4 - n / 1000:.4f}\n" for n in range(100, 900, 100))
        (tmp_path / "rows.csv").write_text("train_loss,accuracy\n" + rows.replace("\n", ",0\n"))

        (run,) = read_runs(tmp_path)

        assert run.name == "a.log"
        assert any("cut.log" in w and "from1.csv" in w and "rows.csv" in w for w in run.warnings)

    def test_runs_that_train_alike_but_are_evaluated_on_other_text_are_two(self, tmp_path):
        write(tmp_path, a=4.0)
        (tmp_path / "b.log").write_text((tmp_path / "a.log").read_text().replace("val loss ", "val loss 1"))

        assert names(read_runs(tmp_path)) == ["a.log", "b.log"]

    def test_a_log_and_one_of_the_same_run_in_a_folder_below_are_one(self, tmp_path):
        write(tmp_path, a=4.0, tb__a=4.0, other__a=5.0)

        assert names(read_runs(tmp_path)) == ["a.log", "other/a.log"]

    def test_a_log_without_losses_at_the_top_hides_nothing(self, tmp_path):
        write(tmp_path, a__train=4.0, b__train=5.0)
        (tmp_path / "notes.txt").write_text("nothing to see\n" * 9)

        assert names(read_runs(tmp_path)) == ["a/train.log", "b/train.log"]

    def test_a_list_of_results_is_left_out(self, tmp_path):
        write(tmp_path, a__train=4.0)
        (tmp_path / "results.csv").write_text("name,step,val_loss\nx,9,1.5\ny,9,1.6\n")

        (run,) = read_runs(tmp_path)

        assert run.name == "train.log"
        assert any("results.csv" in w for w in run.warnings)

    def test_more_than_the_limit_are_named(self, tmp_path):
        write(tmp_path, **{f"run{i:02}__train": 4 + i / 10 for i in range(53)})

        runs = read_runs(tmp_path)

        assert len(runs) == 50
        assert runs[0].warnings[0].startswith("3 more logs left out, beyond the first 50: run50/train.log")

    def test_checkpoints_of_several_outputs_are_a_run_each(self, tmp_path):
        for folder in ("a", "b"):
            for step in (9, 20):
                state = {"log_history": [{"step": n, "loss": 3.0 - n / 99} for n in range(1, step)]}
                path = tmp_path / folder / f"checkpoint-{step}"
                path.mkdir(parents=True)
                (path / "trainer_state.json").write_text(json.dumps(state))

        runs = read_runs(tmp_path)

        assert [len(run.series["batch_loss"]) for run in runs] == [19, 19]
        assert names(runs) == [f"{folder}/checkpoint-20/trainer_state.json" for folder in "ab"]


class TestNothing:
    @pytest.mark.parametrize(
        "make",
        [
            lambda p: (p / "empty").mkdir(),
            lambda p: (p / "empty.log").write_text(""),
            lambda p: (p / "prose.txt").write_text("the loss of a friend is hard\n" * 9),
            lambda p: (p / "meta.json").write_text("{}"),
            lambda p: (p / "image.png").write_bytes(bytes(999)),
        ],
    )
    def test_in_a_folder_is_one_line_that_says_what_to_do(self, tmp_path, make):
        make(tmp_path)

        with pytest.raises(UnreadableError) as error:
            read_runs(tmp_path)

        assert "\n" not in str(error.value)
        assert error.value.exit_code == 3

    def test_at_a_path_is_one_line(self, tmp_path):
        with pytest.raises(UnreadableError, match=r"there is no missing\.log"):
            read_runs(tmp_path / "missing.log")

    @pytest.mark.parametrize("data", [b"", b"\0" * 100, b"hello\n", b"\x1b[31mred", bytes(range(256))])
    def test_in_a_file_says_what_always_works(self, tmp_path, data):
        (tmp_path / "x.log").write_bytes(data)

        with pytest.raises(
            UnreadableError,
            match="A CSV with columns step,train_loss,val_loss, a row an evaluation, always works",
        ):
            read_runs(tmp_path / "x.log")


def test_what_is_told_comes_before_what_is_assumed():
    facts = merge(
        {"a": Fact(1, "", "assumed: x")}, {"a": Fact(2, "", "log line 3")}, {"a": Fact(3, "", "config.py:1")}
    )

    assert facts["a"].value == 2


@needs_shared("planted")
@pytest.mark.parametrize("case", sorted(p.name for p in (SHARED / "planted").glob("*/") if p.is_dir()))
def test_a_planted_run_is_complete(case):
    (run,) = read_runs(SHARED / "planted" / case / "run")

    assert run.get("tokens_per_step") == run.get("batch_size") * run.get("block_size")
    assert run.get("vocab_size") == 86
    assert run.source("n_embd") == "log line 1"  # the echo, not the file
    assert run.get("planned_end") == run.get("max_steps")
    assert run.schedule is not None
    assert "config_overridden" not in run.facts
    assert not [c for c in contradictions(run) if "parameters" in c.fact]


@needs_shared("logs")
@pytest.mark.parametrize("case", sorted((SHARED / "logs").glob("*/*/")), ids=lambda p: p.name)
def test_a_real_log_is_read_or_refused_in_one_line(case):
    try:
        runs = read_runs(case)
    except UnplateauError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may raise or not
        assert case.parent.name.startswith("negative") or case.name.endswith("summary")
        return
    assert runs
    for run in runs:
        contradictions(run)


def a_rewarmed_log() -> str:
    """Two runs of nanoGPT in one log: cosine to its floor at 1,000, then resumed at a constant rate."""
    first = (
        "learning_rate = 2e-3\nmin_lr = 1e-4\nwarmup_iters = 100\nmax_iters = 1000\nlr_decay_iters = 1000\n"
    )
    second = (
        first.replace("max_iters = 1000", "max_iters = 1500", 1) + "decay_lr = False\ninit_from = 'resume'\n"
    )
    log = f"Overriding config with a.py:\n{first}\nInitializing a new model from scratch\n"
    log += "".join(
        f"step {s}: train loss {3 - s / 1e3:.4f}, val loss {3 - s / 1e3:.4f}\n" for s in range(0, 1001, 100)
    )
    log += f"Overriding config with b.py:\n{second}\nResuming training from out\n"
    return log + "".join(f"step {s}: train loss 2.1000, val loss 2.1000\n" for s in range(1000, 1501, 100))


def test_a_resume_with_other_settings_splices_the_schedules(tmp_path):
    (tmp_path / "train.log").write_text(a_rewarmed_log())

    (run,) = read_runs(tmp_path / "train.log")

    assert run.schedule(999) == pytest.approx(1e-4, rel=0.01)
    assert run.schedule(1400) == 2e-3
    assert run.get("lr_now") == 2e-3
    found = {f.cause: f for f in diagnose(run).findings}
    assert found["lr-rewarmed"].verdict == "supported"
    assert found["lr-exhausted"].verdict == "refuted"
