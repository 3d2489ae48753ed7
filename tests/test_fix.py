"""`unplateau fix`: the mended config, its diff, its prediction; what it refuses, and what it leaves alone.

Each guard and its mutation; those of the first day were seen red, later ones not all:
- the prediction stored in the run's own folder whatever it is: test_a_foreign_folder_is_left_as_it_was;
- ``redacted`` left out of ``report.fix.diff``: test_a_secret_is_in_the_file_and_nowhere_else;
- the new ``out_dir`` left out of ``launch``: test_the_mended_run_lies_elsewhere;
- what nanoGPT prints not kept: test_what_is_typed_keeps_the_log_that_verify_looks_for;
- a nanoGPT folder named whether it is there or not: test_a_folder_that_is_there_is_not_taken_for_another_run;
- the mended JSON written into a file of any ending: test_what_is_written_is_what_its_ending_says_and_can_be_trained,
  test_another_ending_is_refused_with_the_right_one;
- ``_startable`` left out: test_one_cause_without_its_checkpoint_is_left_out_of_all;
- ``Place.named`` that is always empty: test_the_config_that_the_log_names_is_found_beside_it_and_nowhere_else;
- clashes merged key by key (no ``_clash``): test_remedies_that_do_not_go_together_are_left_out_whole.
"""

import hashlib
import json
import tomllib
from dataclasses import asdict, replace
from importlib.resources import files
from math import isclose
from pathlib import Path

import jsonschema
import pytest

import unplateau
from small_runs import SMALL, write_text
from unplateau.cli import main
from unplateau.config import read_config
from unplateau.diagnosis import diagnose
from unplateau.fix import choose
from unplateau.fixed import ours, unheaded
from unplateau.hypotheses import Remedy
from unplateau.reading import read_runs
from unplateau.train.configure import resolve
from unplateau.train.loop import LEFT
from unplateau.train.settings import TYPES

REFERENCE = Path(unplateau.__file__).parent / "examples" / "reference-run"
#: causes that a config can mend, where the log that is simulated supports them
MENDED = ("lr-too-high", "lr-too-low", "over-regularised", "precision", "short-context", "lr-exhausted")
SECRET = "wandb_api_key = 's3cr3t-value'\n"
NANOGPT = f"""
{SECRET}out_dir = 'out'  # here
eval_interval = 50; eval_iters = 20
n_layer = 2; n_head = 2; n_embd = 64
block_size = 64
batch_size = 8
gradient_accumulation_steps = 1
learning_rate = 3e-3
max_iters = 1000
lr_decay_iters = max_iters
min_lr = learning_rate  # no decay
warmup_iters = 20
dropout = 0.4
"""
OPEN = NANOGPT.replace(SECRET, "")  # without what nobody should log


def call(*words):
    return main([str(word) for word in words])


def said(capsys, *words):
    """The exit code, and what stands on standard output and standard error."""
    capsys.readouterr()
    code = call(*words)
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A folder of simulated runs, each made once: ``(cause, dialect)`` -> its folder."""
    root, made = tmp_path_factory.mktemp("simulated"), {}

    def run(cause, dialect):
        folder = root / f"{cause}-{dialect}"
        if (cause, dialect) not in made:
            words = (
                "--cause",
                cause,
                "--dialect",
                dialect,
                "--severity",
                1,
                "--steps",
                1500,
                "--out",
                folder,
            )
            made[cause, dialect] = call("simulate", *words)
        return folder / "run"

    return run


@pytest.fixture
def flat(tmp_path):
    """A nanoGPT run that ended at its full rate with much dropout: two causes, one of them a branch."""
    folder = tmp_path / "out"
    folder.mkdir()
    lines = ["step 0: train loss 4.2000, val loss 4.2000"]
    for step in range(50, 1001, 50):
        loss = 1.6 + 12 * step**-0.6 + (0.004 if step % 100 else -0.004)
        lines.append(f"step {step}: train loss {loss - 0.01:.4f}, val loss {loss:.4f}")
        lines += [
            f"iter {i}: loss {loss + 0.12:.4f}, time 20.00ms, mfu 1.00%" for i in range(step, step + 50, 10)
        ]
    (folder / "train.log").write_text("\n".join(lines[:-4]) + "\n")
    (folder / "ckpt.pt").write_bytes(b"no checkpoint that anybody reads")
    (folder / "config.py").write_text(NANOGPT)
    return folder


def hashes(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def written_by_the_trainer(folder):
    """The config of a simulated run as the trainer writes it: all settings, and where each came from."""
    told = json.loads((folder / "config.json").read_text())
    told = {key: value for key, value in told.items() if key in TYPES and key != "eval_tokens"}
    now = resolve(None, [f"--{key}={value}" for key, value in told.items()])
    whole = {key: value for key, value in asdict(now.settings).items() if value or key not in LEFT}
    where = {**now.origin, "device": "this machine", "n_kv_head": "default"}
    return {
        "schema": "unplateau.config/1",
        **whole,
        "tokens_per_step": now.settings.tokens_per_step,
        "origin": where,
    }


def schema():
    return jsonschema.Draft202012Validator(
        json.loads(files("unplateau").joinpath("schemas", "fix-1.json").read_text())
    )


class TestMended:
    @pytest.mark.parametrize("dialect", ["nanogpt", "jsonl"])
    @pytest.mark.parametrize("cause", MENDED)
    def test_the_written_config_has_the_patch_and_nothing_else(
        self, simulated, tmp_path, capsys, cause, dialect
    ):
        folder = simulated(cause, dialect)
        config = next(p for p in (folder / "config.py", folder / "config.json") if p.exists())
        out = tmp_path / config.name

        code, text, _ = said(capsys, "fix", folder, "--cause", cause, "--out", out, "--json", "--no-store")

        told = json.loads(text)
        schema().validate(told)
        assert code == 0
        before, after = read_config(config), read_config(out)
        own = {"learning_rate": "peak_lr", "min_lr": "floor_lr", "lr_decay_iters": "decay_end"}
        for key, (_, new) in told["patch"].items():
            got = after[own.get(key, key)].value
            assert got == new or isclose(got, new)
        changed = {n for n in before if n in after and before[n].value != after[n].value}
        assert changed <= {own.get(key, key) for key in told["patch"]} | {
            "tokens_per_step",
            "claims",
            "config_unread",
        }

    @pytest.mark.parametrize(
        "cause", ["capacity", "instability", "precision", "short-context", "still-learning"]
    )
    def test_a_run_of_hugging_face_is_mended_in_its_words(self, simulated, capsys, cause):
        code, text, _ = said(capsys, "fix", simulated(cause, "hf"), "--cause", cause, "--json", "--no-store")

        told = json.loads(text)
        schema().validate(told)
        assert code == 0
        assert told["command"].startswith("YOUR_COMMAND --")
        assert all(f"--{key}={new}" in told["command"] for key, (_, new) in told["patch"].items())

    def test_the_reference_run_is_mended_with_what_it_will_come_to(self, tmp_path, capsys):
        log = tmp_path / "train.log"
        log.write_bytes((REFERENCE / "train.log").read_bytes())
        words = ("fix", log, "--config", REFERENCE / "config.py", "--cause", "capacity", "--json")

        told = json.loads(said(capsys, *words)[1])

        schema().validate(told)
        assert told["patch"]["n_embd"] == [384, 768]
        assert told["expects"]["low"] > 0.1
        kept = json.loads((tmp_path / "train-probes" / "forecast.json").read_text())["forecasts"]
        planned, without = kept[0]["futures"]
        assert (planned["name"], without["name"]) == ("as planned", "without capacity")
        assert without["gain"] == told["expects"]
        assert without["step"] == 14_800
        assert without["settings"]["n_embd"] == [384, 768]
        assert "out_dir" not in without["patch"]

    def test_comments_order_and_arithmetic_stay(self, flat, capsys):
        out = flat.parent / "mended.py"

        said(capsys, "fix", flat, "--cause", "over-regularised", "--out", out)

        text = unheaded(out.read_text())
        assert text == NANOGPT.replace(
            "'out'  # here", "'out-over-regularised'  # here  # was 'out'"
        ).replace("dropout = 0.4", "dropout = 0.0  # was 0.4")

    def test_a_branch_says_which_file_to_copy_and_never_resumes_in_place(self, flat, capsys):
        told = json.loads(said(capsys, "fix", flat, "--cause", "lr-not-annealed", "--json")[1])

        new = f"{flat}-lr-not-annealed"
        assert told["patch"]["init_from"] == ["scratch", "resume"]
        assert told["patch"]["out_dir"] == ["out", "out-lr-not-annealed"]
        assert told["command"].startswith(f"mkdir -p {new} && cp {flat}/ckpt.pt {new}/ && python train.py ")
        end = told["patch"]["max_iters"][1]
        assert end % 50 == 0  # nanoGPT evaluates at multiples of eval_interval alone
        assert told["patch"]["lr_decay_iters"][1] == end

    def test_the_mended_run_lies_elsewhere(self, flat, capsys):
        told = json.loads(said(capsys, "fix", flat, "--cause", "over-regularised", "--json", "--no-store")[1])

        assert told["patch"]["out_dir"] == ["out", "out-over-regularised"]
        assert "init_from" not in told["patch"]

    def test_what_is_typed_keeps_the_log_that_verify_looks_for(self, flat, capsys):
        words = ["fix", flat, "--cause", "over-regularised"]
        told = json.loads(said(capsys, *words, "--json", "--no-store")[1])
        new = f"{flat}-over-regularised"

        assert told["command"].startswith(f"mkdir -p {new} && python train.py ")
        assert told["command"].endswith(" > out-over-regularised/train.log")
        assert f"unplateau verify {flat} {new}" in " ".join(said(capsys, *words, "--no-store")[2].split())

    def test_a_folder_that_is_there_is_not_taken_for_another_run(self, flat, capsys):
        (flat.parent / "out-lr-not-annealed").mkdir()
        told = json.loads(said(capsys, "fix", flat, "--cause", "lr-not-annealed", "--json", "--no-store")[1])

        assert told["patch"]["out_dir"] == ["out", "out-lr-not-annealed-2"]
        assert f"{flat}-lr-not-annealed-2/ && " in told["command"]

    def test_remedies_that_do_not_go_together_are_left_out_whole(self, flat, capsys):
        told = json.loads(said(capsys, "fix", flat, "--all-supported", "--json", "--no-store")[1])

        assert {"lr-not-annealed", "over-regularised"} <= set(told["cause"])
        assert "still-learning" not in told["cause"]
        assert told["patch"]["dropout"] == [0.4, 0.0]
        assert any(
            note.startswith("still-learning is left out: it wants a fresh run") for note in told["notes"]
        )

    def test_what_the_command_line_had_overridden_is_in_the_mended_config(self, flat, capsys):
        log = flat / "train.log"
        log.write_text("Overriding: batch_size = 4\nbatch_size = 4\nseed = 7\n" + log.read_text())
        out = flat.parent / "mended.py"

        said(capsys, "fix", flat, "--cause", "over-regularised", "--out", out)

        assert read_config(out)["batch_size"].value == 4
        assert read_config(out)["dropout"].value == 0.0

    def test_without_a_config_file_the_changed_keys_alone_are_written(self, flat, capsys):
        log = flat / "train.log"
        log.write_text(f"Overriding config with config/mine.py:\n{OPEN}\n{log.read_text()}")
        (flat / "config.py").unlink()
        out = flat.parent / "mended.py"

        code, text, err = said(capsys, "fix", flat, "--cause", "over-regularised", "--out", out)

        assert code == 0
        assert unheaded(out.read_text()).splitlines()[0] == "dropout = 0.0  # was 0.4"
        assert f"python train.py YOUR_CONFIG.py {out}" in err.replace("\\\n   ", "")
        assert "+dropout = 0.0" in text

    def test_the_config_that_the_log_names_is_found_beside_it_and_nowhere_else(self, flat, capsys):
        log = flat / "train.log"
        log.write_text(f"Overriding config with config/mine.py:\n{OPEN}\n{log.read_text()}")
        (flat / "config.py").rename(flat / "mine.py")
        assert "--- mine.py" in said(capsys, "fix", flat, "--cause", "over-regularised", "--no-store")[1]

        (flat / "config").mkdir()
        (flat / "mine.py").rename(flat / "config" / "mine.py")
        _, text, err = said(capsys, "fix", flat, "--cause", "over-regularised", "--no-store")
        assert "--- /dev/null" in text
        assert "the name that the log has" in " ".join(err.split())


class TestOwnRuns:
    @pytest.fixture
    def own(self, simulated, tmp_path):
        """A run of our own trainer that ended at a high rate, with a checkpoint's folder."""
        folder = tmp_path / "out"
        folder.mkdir()
        for path in simulated("lr-not-annealed", "jsonl").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "checkpoints" / "1500").mkdir(parents=True)
        return folder

    def test_a_branch_goes_on_from_its_checkpoint(self, own, capsys):
        told = json.loads(said(capsys, "fix", own, "--cause", "lr-not-annealed", "--json")[1])

        assert told["patch"]["schedule"][1] == "wsd"
        assert told["patch"]["decay_start"][1] == 1500
        assert told["patch"]["init_from"][1] == f"{own}/checkpoints/1500"
        assert told["command"].startswith("unplateau train --")
        assert (own / "forecast.json").is_file()

    def test_what_is_typed_is_what_the_trainer_understands(self, own, capsys):
        told = json.loads(said(capsys, "fix", own, "--cause", "lr-not-annealed", "--json")[1])
        words = [w for w in told["command"].split()[2:] if not w.startswith("--init_from")]

        found = resolve(None, words).settings

        assert (found.schedule, found.decay_start, found.floor_lr) == ("wsd", 1500, 0.0)
        assert found.decay_end == found.max_steps == told["patch"]["max_steps"][1]

    def test_what_is_written_is_what_its_ending_says_and_can_be_trained(self, own, tmp_path, capsys):
        cause = "lr-not-annealed"
        (own / "config.json").write_text(json.dumps(written_by_the_trainer(own)))
        for ending in ("json", "toml"):
            words = (
                "fix",
                own,
                "--cause",
                cause,
                "--out",
                tmp_path / f"mended.{ending}",
                "--json",
                "--no-store",
            )
            code, text, _ = said(capsys, *words)
            assert code == 0
            assert json.loads(text)["command"] == f"unplateau train {tmp_path / 'mended'}.{ending}"

        text = (tmp_path / "mended.toml").read_text()
        assert text.startswith(f"# unplateau fix: {cause} (")
        assert "\n# why: " in text
        assert ours(text)
        patch = {k: new for k, (_, new) in json.loads(said(capsys, *words)[1])["patch"].items()}
        set_there = tomllib.loads(text)
        assert set_there.items() >= patch.items()
        assert not {"schema", "origin", "tokens_per_step", "n_kv_head", "device"} & set(set_there)
        by_json, by_toml = (resolve(tmp_path / f"mended.{one}").settings for one in ("json", "toml"))
        assert by_toml == by_json

    def test_a_run_of_the_trainer_is_mended_into_a_toml_that_it_takes(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(write_text(tmp_path))
        small = [*SMALL, "--max_steps=60", "--eval_interval=2", "--eval_iters=1", "--log_interval=1"]
        assert call("train", *small, "--dataset=.", "--out_dir=own", "--dropout=0.8") == 0
        words = ("fix", "own", "--cause", "over-regularised", "--no-store")

        assert said(capsys, *words, "--out", "mended.toml")[0] == 0

        assert "dropout = 0.0  # was 0.8" in Path("mended.toml").read_text()
        assert said(capsys, "train", "mended.toml", "--dry-run")[0] == 0

    @pytest.mark.parametrize("name", ["mended.py", "mended.yaml", "mended.sh", "MENDED.PY"])
    def test_another_ending_is_refused_with_the_right_one(self, own, tmp_path, capsys, name):
        out = tmp_path / name

        code, text, err = said(capsys, "fix", own, "--cause", "lr-not-annealed", "--out", out)

        assert (code, text, err.count("\n")) == (2, "", 1)
        assert "config.json is JSON, and would be read otherwise under that name" in err
        assert "name a file that ends in .json or .toml" in err
        assert not out.exists()
        assert not (own / "forecast.json").exists()

    def test_without_a_checkpoint_a_branch_is_refused(self, own, capsys):
        (own / "checkpoints" / "1500").rmdir()

        code, _, err = said(capsys, "fix", own, "--cause", "lr-not-annealed")

        assert code == 2
        assert "keeps no checkpoint of step 1,500 or before" in err

    def test_one_cause_without_its_checkpoint_is_left_out_of_all(self, own):
        found = diagnose(read_runs(own)[0])
        told = next(f for f in found.findings if f.cause == "lr-not-annealed")
        branch = replace(told, verdict="supported")
        other = replace(branch, cause="over-regularised", remedy=Remedy({"dropout": (0.1, 0.0)}, "", ""))
        both = replace(found, findings=(branch, other))
        assert choose(both, (), own).causes == ("lr-not-annealed", "over-regularised")

        (own / "checkpoints" / "1500").rmdir()
        left = choose(both, (), own)
        assert left.causes == ("over-regularised",)
        assert left.notes[0].startswith("lr-not-annealed is left out: ")
        assert "keeps no checkpoint of step 1,500" in left.notes[0]


class TestKept:
    def test_a_foreign_folder_is_left_as_it_was(self, flat, capsys):
        before = hashes(flat)

        said(capsys, "fix", flat, "--cause", "over-regularised")

        assert hashes(flat) == before
        assert (flat.parent / "out-probes" / "forecast.json").is_file()

    def test_the_same_prediction_is_kept_once(self, flat, capsys):
        words = ("fix", flat, "--cause", "over-regularised")

        said(capsys, *words)
        _, _, err = said(capsys, *words)

        kept = json.loads((flat.parent / "out-probes" / "forecast.json").read_text())["forecasts"]
        assert "already" in err
        assert [one["futures"][-1]["name"] for one in kept] == ["without over-regularised"]

    def test_what_no_law_prices_is_kept_without_a_number(self, flat, capsys):
        said(capsys, "fix", flat, "--cause", "over-regularised")

        kept = json.loads((flat.parent / "out-probes" / "forecast.json").read_text())["forecasts"]
        future = kept[0]["futures"][-1]
        assert (future["loss"], future["gain"]) == (None, None)
        assert future["step"] > 0

    def test_nothing_is_kept_where_that_is_not_wanted(self, flat, capsys):
        said(capsys, "fix", flat, "--cause", "over-regularised", "--no-store")

        assert not (flat.parent / "out-probes").exists()

    def test_a_secret_is_in_the_file_and_nowhere_else(self, flat, capsys):
        out = flat.parent / "mended.py"

        _, text, err = said(capsys, "fix", flat, "--cause", "over-regularised", "--out", out)
        _, told, _ = said(capsys, "fix", flat, "--cause", "over-regularised", "--json")

        assert "s3cr3t-value" in out.read_text()
        assert "wandb_api_key" in text  # else its value would be hidden by not being there
        assert "s3cr3t-value" not in text + err + told
        assert "s3cr3t-value" not in (flat.parent / "out-probes" / "forecast.json").read_text()

    def test_only_what_fix_wrote_is_written_over(self, flat, capsys):
        out = flat.parent / "mended.py"
        words = ("fix", flat, "--cause", "over-regularised", "--out", out, "--no-store")

        assert call(*words) == 0
        assert ours(out.read_text())
        assert call(*words) == 0
        out.write_text(out.read_text() + "n_layer = 3\n")
        code, _, err = said(capsys, *words)
        assert code == 2
        assert "not as fix wrote it" in err
        assert call(*words, "--force") == 0
        assert "n_layer = 3" not in out.read_text()

    def test_a_mended_config_can_be_mended_again(self, flat, capsys):
        first, second = flat.parent / "first.py", flat.parent / "second.py"
        said(capsys, "fix", flat, "--cause", "over-regularised", "--out", first)

        said(capsys, "fix", flat, "--config", first, "--cause", "lr-not-annealed", "--out", second)

        assert second.read_text().count("# unplateau fix: ") == 1
        assert ours(second.read_text())


class TestRefused:
    @pytest.mark.parametrize(
        ("words", "line"),
        [
            ((), "fix wants --cause NAME, or --all-supported"),
            (("--cause", "capacity", "--all-supported"), "fix wants --cause NAME, or --all-supported"),
            (("--cause", "capacty"), "did you mean capacity?"),
            (("--cause", "lr-too-high"), "lr-too-high is refuted: the peak learning rate is 1.00e-03"),
            (("--cause", "duplicates"), "duplicates is untestable here: send "),
            (("--cause", "lr-not-annealed"), "mended by no setting: let the schedule finish"),
            (("--all-supported",), "still-learning is mended by no setting"),
            (("--cause", "capacity", "--out", "no/such/x.py"), "there is no folder no/such"),
            (("--cause", "capacity", "--out", "."), "--out wants a file; . is a folder"),
        ],
    )
    def test_what_can_not_be_mended_is_one_line(self, capsys, words, line):
        code, out, err = said(capsys, "fix", REFERENCE, *words, "--no-store")

        assert (code, out) == (2, "")
        assert line in err
        assert err.count("\n") == 1

    def test_a_run_without_a_known_config_is_told_what_to_set(self, tmp_path, capsys):
        rows = [
            "step,train_loss,val_loss,lr,n",
            *(f"{s},{5 * s**-0.1},{5 * s**-0.1 + 0.01},1e-3,1" for s in range(50, 5001, 50)),
        ]
        (tmp_path / "log.csv").write_text("\n".join(rows))

        code, _, err = said(capsys, "fix", tmp_path / "log.csv", "--all-supported", "--no-store")

        assert code == 2
        assert err.count("\n") == 1

    def test_several_runs_are_refused_by_name(self, flat, capsys):
        (flat.parent / "out2").mkdir()
        for name in ("train.log", "config.py"):
            (flat.parent / "out2" / name).write_bytes((flat / name).read_bytes())

        code, _, err = said(capsys, "fix", flat.parent, "--cause", "capacity")

        assert code == 2
        assert "there are 2 runs" in err

    def test_a_trainer_without_a_word_for_it_says_what_was_wanted(self, flat, capsys):
        config = flat.parent / "run.sh"
        config.write_text("./train_gpt2cu -l 3e-3 -q 1.0 -b 8 -t 64 -d 512 -x 1000 -e d12\n")

        code, _, err = said(
            capsys, "fix", flat / "train.log", "--config", config, "--cause", "capacity", "--no-store"
        )

        assert code == 2
        assert err.count("\n") == 1

    def test_a_config_that_is_no_text_is_refused(self, flat, capsys):
        (flat / "config.py").write_bytes(NANOGPT.encode() + b"\nname = '\xff'\n")

        code, _, err = said(
            capsys, "fix", flat, "--config", flat / "config.py", "--cause", "over-regularised", "--no-store"
        )

        assert code == 3
        assert "no text in UTF-8" in err
