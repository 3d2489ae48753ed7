"""Steps that are not the optimiser's are said to be none: a fact, and the first of the warnings."""

import pytest

from unplateau.derive import derive
from unplateau.facts import VOCABULARY
from unplateau.readers import Options
from unplateau.reading import read_runs
from unplateau.run import Fact

RECORDS = "the log has no steps: numbers of its records stand for them"
EPOCHS = "the log has no steps: its epochs stand for them"
HF = "{{'loss': {loss}, 'learning_rate': 1e-05, 'epoch': {epoch}}}\n"
HF_EVAL = "{{'eval_loss': {loss}, 'eval_runtime': 3.1, 'epoch': {epoch}}}\n"


def read(tmp_path, name, text, **options):
    (tmp_path / name).write_text(text)
    (run,) = read_runs(tmp_path / name, options=Options(**options))
    return run


def trainer_log(evaluated=(4, 8)):
    lines = []
    for i in range(1, 9):
        lines.append(HF.format(loss=9 - i / 2, epoch=round(i / 10, 2)))
        if i in evaluated:
            lines.append(HF_EVAL.format(loss=9.1 - i / 2, epoch=round(i / 10, 2)))
    return "".join(lines)


def test_a_log_of_the_trainer_without_bars_has_numbers_of_records(tmp_path):
    run = read(tmp_path, "out.log", trainer_log())

    assert run.format == "hf-stdout"
    assert run.facts["step_unit"] == Fact("records", "", "counted")
    assert run.warnings[0] == RECORDS
    assert not any("from nothing" in w for w in run.warnings)


def test_an_evaluation_counts_as_no_record_of_training(tmp_path):
    run = read(tmp_path, "out.log", trainer_log())

    assert run.series["batch_loss"].step.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert run.series["val_loss"].step.tolist() == [4, 8]


def test_an_evaluation_without_an_epoch_is_of_the_record_before(tmp_path):
    records = [
        "{'loss': 5.0, 'learning_rate': 1e-5, 'step': 10}",
        "{'loss': 4.5, 'learning_rate': 1e-5, 'step': 20}",
        "{'eval_loss': 4.6, 'learning_rate': 1e-5}",
    ]
    run = read(tmp_path, "out.log", "\n".join([*records, ""]))

    assert run.series["val_loss"].step.tolist() == [20]


TABLES = {
    "records.csv": ("loss,lr\n" + "".join(f"{9 - i / 2},0.1\n" for i in range(8)), "records"),
    "epochs.csv": ("epoch,train_loss,lr\n" + "".join(f"{i},{9 - i / 2},0.1\n" for i in range(8)), "epochs"),
    "keras.csv": ("epoch,accuracy,loss\n" + "".join(f"{i},0.5,{9 - i / 2}\n" for i in range(8)), "epochs"),
    "rows.jsonl": ("".join(f'{{"loss": {9 - i / 2}, "lr": 0.1}}\n' for i in range(8)), "records"),
    "plain.log": ("".join(f"training loss: {9 - i / 2:.3f}\n" for i in range(8)), "records"),
    "epochs.log": ("".join(f"Epoch {i}: loss = {9 - i / 2:.3f}\n" for i in range(8)), "epochs"),
    "yolo.csv": (
        "epoch,train/box_loss,val/box_loss,metrics/mAP50(B)\n"
        + "".join(f"{i},{9 - i / 2},{9 - i / 3},0.5\n" for i in range(8)),
        "epochs",
    ),
    "wandb.csv": (
        '"epoch","a - val/loss","a - val/loss__MIN","a - val/loss__MAX"\n'
        + "".join(f'"{i}","{9 - i / 2}","1","9"\n' for i in range(8)),
        "epochs",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_stands_for_steps_is_a_fact_and_the_first_warning(name, tmp_path):
    text, unit = TABLES[name]
    run = read(tmp_path, name, text)

    assert run.get("step_unit") == unit
    assert run.warnings[0] == {"records": RECORDS, "epochs": EPOCHS}[unit]
    assert "step_unit" in VOCABULARY


def test_a_log_with_steps_has_no_such_fact(tmp_path):
    run = read(tmp_path, "a.csv", "step,loss\n" + "".join(f"{10 * i},{9 - i / 2}\n" for i in range(8)))

    assert not run.has("step_unit")
    assert RECORDS not in run.warnings


def test_rows_of_each_run_are_counted_alone(tmp_path):
    text = "run,loss\n" + "".join(f"{name},{9 - i / 2}\n" for name in "ab" for i in range(8))
    (tmp_path / "two.csv").write_text(text)
    runs = read_runs(tmp_path / "two.csv")

    assert [run.series["batch_loss"].step.tolist() for run in runs] == [list(range(8))] * 2


def test_no_tokens_are_counted_from_steps_that_are_none(tmp_path):
    run = read(tmp_path, "keras.csv", TABLES["keras.csv"][0])
    known = run.with_facts(tokens_per_step=Fact(1024, "tokens", "x"), max_steps=Fact(9000, "steps", "x"))

    assert not derive(known).has("tokens_seen")
    assert not derive(known).has("planned_end")


def guesses():
    names = ("it", "iters", "iter", "iteration", "iterations", "n_iter", "global_step", "update", "updates")
    return (*names, "num_updates", "batch_idx")


@pytest.mark.parametrize("column", guesses())
def test_a_column_named_as_steps_are_is_the_step(column, tmp_path):
    run = read(tmp_path, "a.csv", f"{column},loss\n" + "".join(f"{10 * i},{9 - i / 2}\n" for i in range(8)))

    assert run.series["batch_loss"].step.tolist() == list(range(0, 80, 10))
    assert not run.has("step_unit")


@pytest.mark.parametrize("column", guesses())
def test_and_so_is_a_name_in_prose(column, tmp_path):
    run = read(
        tmp_path, "a.log", "".join(f"{column} {10 * i} quux=3 loss={9 - i / 2:.3f}\n" for i in range(8))
    )

    assert run.series["batch_loss"].step.tolist() == list(range(0, 80, 10))
