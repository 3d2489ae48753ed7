"""What a user asks of a run that can't be: refused in one line, or said, never passed over in silence.

Found by trying the trainer as a new user. Each test was red before its guard was there: ``refuse_other_model`` (a third
layer asked of a checkpoint with one was left out in silence), ``MOST`` (a seed of 23 digits was a fault of unplateau),
the name of ``out_dir`` (a run in the working folder itself), ``refuse_none_left`` (a branch with an empty log),
``folders`` (a data set named twice counted as twice the unique tokens), ``_tell_skipped`` (39 of 40 steps skipped, and
the last line said nothing of it), ``_mended`` ("make room" where nothing was full), and ``last_told`` (a last state.json that can't be parsed ended it).
"""

import errno
import os
import shutil

import pytest

from small_runs import SMALL, write_text
from unplateau import cli
from unplateau.durable import told
from unplateau.errors import UnplateauError, UnreadableError, UsageError
from unplateau.train.configure import resolve
from unplateau.train.datasets import folders

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (*SMALL, "--max_steps=4", "--eval_interval=2", "--eval_iters=1", "--warmup_steps=0")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 4 steps, with the folder of its data."""
    folder = write_text(tmp_path_factory.mktemp("run"))
    assert cli.main(["train", *WORDS, f"--dataset={folder}", f"--out_dir={folder / 'out'}"]) == 0
    return folder / "out"


def refused(words, capsys):
    """The line that a command ends with, before anything else is said."""
    assert cli.main(["train", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_another_model_than_the_checkpoint_s_is_refused_also_where_the_run_goes_on(run, tmp_path, capsys):
    said = refused([run, "--n_layer=3", "--max_steps=8"], capsys)
    assert "--n_layer is 3; expected what the checkpoint's model has, 1: leave it out" in said

    branch = [f"--init_from={run}/checkpoints/2", f"--out_dir={tmp_path / 'new'}"]
    said = refused([*branch, "--positions=alibi"], capsys)
    assert "--positions is alibi; expected what the checkpoint's model has, its architecture's own" in said
    assert not (tmp_path / "new").exists()
    assert cli.main(["train", str(run), "--n_layer=1", "--dry-run", "--log_style=none"]) == 0


def test_a_branch_with_no_step_left_is_refused_and_a_finished_run_says_how_it_goes_on(run, tmp_path, capsys):
    branch = [f"--init_from={run}", f"--out_dir={tmp_path / 'new'}"]
    said = refused(branch, capsys)
    assert "the checkpoint is of step 4, and max_steps is 4: no step is left" in said
    assert not (tmp_path / "new").exists()

    assert cli.main(["train", str(run)]) == 0
    assert "from step 4: 0 steps are left; a larger max_steps makes it longer" in capsys.readouterr().out
    assert cli.main(["train", *branch, "--eval_only=True"]) == 0


def test_an_end_that_lies_behind_a_run_is_refused_and_its_config_is_left_as_it_was(run, capsys):
    before = (run / "config.json").read_bytes()

    said = refused([run, "--max_iters=3"], capsys)

    assert "the run has reached step 4, and max_steps is 3: give a larger --max_steps" in said
    assert (run / "config.json").read_bytes() == before


def test_the_header_says_which_parameters_the_tokens_are_counted_for(run, tmp_path, capsys):
    words = [
        *WORDS,
        f"--dataset={run.parent}",
        f"--out_dir={tmp_path / 'new'}",
        "--log_style=rich",
        "--dry-run",
    ]

    assert cli.main(["train", *words, "--architecture=gpt2"]) == 0
    assert "tokens per parameter (without positions)" in capsys.readouterr().out
    assert cli.main(["train", *words, "--positions=rope"]) == 0
    assert "tokens per parameter\n" in capsys.readouterr().out


def test_a_run_whose_last_state_is_cut_off_goes_on_from_the_checkpoint_before(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "out")
    os.truncate(tmp_path / "out/checkpoints/00000004/state.json", 20)

    assert cli.main(["train", str(tmp_path / "out"), "--log_style=rich"]) == 0

    said = capsys.readouterr().out
    assert "warning: 00000004/state.json is not as it was written: the checkpoint before it is taken" in said
    assert "from step 2: 2 steps are left" in said


@pytest.mark.parametrize("name", ["seed", "max_steps", "eval_tokens"])
def test_a_whole_number_that_no_integer_holds_is_refused(name):
    with pytest.raises(UsageError, match=rf"--{name} is 9{{23}}; expected 9223372036854775807 or less"):
        resolve(None, [f"--{name}={'9' * 23}"])


def test_two_ways_to_say_how_much_is_evaluated_are_refused_where_both_are_said():
    with pytest.raises(
        UsageError, match=r"--eval_iters is 3; expected nothing beside eval_tokens, which is 640"
    ):
        resolve(None, ["--eval_tokens=640", "--eval_iters=3"])


def test_the_command_line_s_way_to_say_how_much_is_evaluated_holds_over_the_config_s(tmp_path):
    (tmp_path / "config.py").write_text("eval_iters = 200\n")

    found = resolve(tmp_path / "config.py", ["--eval_tokens=640"]).settings

    assert (found.eval_tokens, found.eval_iters) == (640, 0)
    assert resolve(tmp_path / "config.py").settings.eval_iters == 200


def test_a_shape_in_a_config_that_the_checkpoint_is_not_of_gives_way_and_is_told(run, tmp_path, capsys):
    (tmp_path / "config.toml").write_text("n_layer = 5\n")
    branch = [f"--init_from={run / 'checkpoints/00000002'}", f"--out_dir={tmp_path / 'out'}", "--device=cpu"]
    words = [*branch, f"--dataset={run.parent}", "--max_steps=6", "--log_style=rich", "--dry-run"]

    assert cli.main(["train", str(tmp_path / "config.toml"), *words]) == 0

    said = " ".join(capsys.readouterr().out.split())
    assert "config.toml:1: n_layer is 5; the checkpoint's model has 1, and that is taken" in said


def test_a_run_s_folder_has_a_name():
    with pytest.raises(UsageError, match=r"--out_dir is ''; expected the name of a folder"):
        resolve(None, ["--out_dir="])


def test_a_folder_of_data_taken_for_a_config_is_told_how_it_is_given(tmp_path):
    with pytest.raises(UnreadableError, match=r"data are given as --dataset=FOLDER"):
        resolve(tmp_path)


def test_a_data_set_is_in_a_mixture_once(tmp_path):
    with pytest.raises(UsageError, match="is in the mixture twice: name it once"):
        folders(resolve(None, [f"--dataset={tmp_path}=3,{tmp_path}=1"]).settings.dataset)


def test_steps_that_were_skipped_are_counted_at_the_end(run, tmp_path, capsys):
    words = [*WORDS, f"--dataset={run.parent}", f"--out_dir={tmp_path / 'out'}", "--on_nan=skip"]

    assert cli.main(["train", *words, "--peak_lr=1e30", "--log_style=rich"]) == 0

    assert "warning: 3 of 4 steps were skipped: their loss" in capsys.readouterr().out


def test_the_last_line_of_a_mixture_names_its_splits_alone(run, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    other = write_text(tmp_path / "other", train=3_000)
    words = [*WORDS, f"--dataset={run.parent}=3,{other}=1", f"--out_dir={tmp_path / 'out'}"]

    assert cli.main(["train", *words, "--log_style=rich"]) == 0

    ended = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("4 steps in"))
    assert "val 3." in ended
    assert "val/0" not in ended


@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.ENOSPC, "make room, and go on"), (errno.EROFS, "give a folder that can be written")],
)
def test_what_to_do_is_said_of_what_went_wrong(code, advice, tmp_path):
    with pytest.raises(UnplateauError, match=advice), told(tmp_path / "file"):
        raise OSError(code, os.strerror(code))


def test_a_run_without_a_step_says_so(tmp_path, capsys):
    words = [*SMALL, f"--dataset={write_text(tmp_path)}", f"--out_dir={tmp_path / 'out'}", "--eval_iters=1"]

    assert cli.main(["train", *words, "--max_steps=0", "--schedule=constant"]) == 0

    assert "note: max_steps is 0: the model is evaluated and saved" in capsys.readouterr().out
