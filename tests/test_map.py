"""``--map`` and ``--unit`` from outside: names that only the user knows, and names that the log doesn't hold."""

import json

import pytest

from unplateau import cli

BITS = 0.6931471805599453  # nats
LOGS = {
    "a.csv": ("i,eval/nll,foo", "{step},{loss},3"),
    "b.csv": ("a,quality", "{step},{loss}"),
    "a.jsonl": ("", '{{"i": {step}, "eval/nll": {loss}}}'),
    "b.jsonl": ("", '{{"i": {step}, "quality": {loss}}}'),
    "a.log": ("", "at {step} quality {loss} speed 3"),
    "b.log": ("starting", "step {step}: quality {loss} speed 3"),
    "nanogpt.log": (
        "tokens per iteration will be: 8,192",
        "iter {step}: loss {loss}, time 9.00ms, mfu 1.00%",
    ),
}
COLUMN = {"a.csv": "eval/nll", "a.jsonl": "eval/nll", "nanogpt.log": "time"}


@pytest.fixture
def log(tmp_path):
    def written(name):
        head, line = LOGS[name]
        lines = [line.format(step=10 * i, loss=f"{8 - i / 4:.4f}") for i in range(1, 9)]
        (tmp_path / name).write_text("\n".join([*([head] if head else []), *lines, ""]))
        return str(tmp_path / name)

    return written


def read(capsys, *args):
    code = cli.main(["read", "--json", *args])
    said = capsys.readouterr()
    return code, json.loads(said.out)["runs"][0]["series"] if said.out else None, said.err


@pytest.mark.parametrize("name", LOGS)
def test_a_name_that_only_the_user_knows_is_read(name, log, capsys):
    code, series, _ = read(capsys, log(name), "--map", f"val_loss={COLUMN.get(name, 'quality')}")

    assert code == 0
    assert len(series["val_loss"]["value"]) == 8
    assert series["val_loss"]["value"][0] == (9.0 if name == "nanogpt.log" else 7.75)


@pytest.mark.parametrize("name", ["a.csv", "b.jsonl", "a.log"])
def test_a_unit_converts_it(name, log, capsys):
    column = COLUMN.get(name, "quality")
    _, series, _ = read(capsys, log(name), "--map", f"val_loss={column}", "--unit", "bits")

    assert series["val_loss"]["value"][0] == pytest.approx(7.75 * BITS)
    assert series["val_loss"]["unit"] == "nats"


@pytest.mark.parametrize(("name", "step"), [("a.csv", "i"), ("b.jsonl", "i"), ("a.log", "at")])
def test_the_step_is_named_too(name, step, log, capsys):
    column = COLUMN.get(name, "quality")
    _, series, _ = read(capsys, log(name), "--map", f"val_loss={column}", "--map", f"step={step}")

    assert series["val_loss"]["step"] == [10, 20, 30, 40, 50, 60, 70, 80]


@pytest.mark.parametrize("name", LOGS)
def test_a_name_that_is_not_there_is_one_line_with_the_nearest_first(name, log, capsys):
    column = COLUMN.get(name, "quality")
    code, series, said = read(capsys, log(name), "--map", f"val_loss={column[:-1]}")

    assert (code, series) == (3, None)
    assert said.count("\n") == 1
    assert f"there are: {column}" in said


def test_a_key_that_comes_late_is_found(tmp_path, capsys):
    log = tmp_path / "late.jsonl"
    rows = [{"step": i, "loss": 5.0} | ({"held": 4.0} if i in {500, 600} else {}) for i in range(700)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))

    _, series, _ = read(capsys, str(log), "--map", "val_loss=held")

    assert series["val_loss"]["step"] == [500, 600]


def test_no_regular_column_is_lost_beside_it(log, capsys):
    _, series, _ = read(capsys, log("nanogpt.log"), "--map", "val_loss=time")

    assert len(series["batch_loss"]["value"]) == 8


def table(tmp_path, name="zeit.csv"):
    rows = "".join(f"{10 * i},{i // 4},{5120 * i},{8 - i / 4:.4f}\n" for i in range(1, 9))
    (tmp_path / name).write_text("zeit,runde,gesehen,loss\n" + rows)
    return str(tmp_path / name)


def test_the_table_s_own_advice_to_name_the_step_is_taken(tmp_path, capsys):
    _, unnamed, _ = read(capsys, table(tmp_path))
    code, series, _ = read(capsys, table(tmp_path), "--map", "step=zeit")

    assert unnamed["batch_loss"]["step"] == list(range(8))
    assert (code, series["batch_loss"]["step"]) == (0, list(range(10, 90, 10)))


@pytest.mark.parametrize(("key", "column", "last"), [("epoch", "runde", 2), ("tokens", "gesehen", 40960)])
def test_so_are_epoch_and_tokens(key, column, last, tmp_path, capsys):
    code, series, _ = read(capsys, table(tmp_path), "--map", "step=zeit", "--map", f"{key}={column}")

    assert (code, series[key]["value"][-1]) == (0, last)


@pytest.mark.parametrize(("key", "column", "last"), [("epoch", "runde", 2), ("tokens", "gesehen", 40960)])
def test_and_in_prose(key, column, last, tmp_path, capsys):
    log = tmp_path / "a.log"
    rows = (f"zeit {10 * i} runde {i // 4} gesehen {5120 * i} loss {8 - i / 4:.4f}\n" for i in range(1, 9))
    log.write_text("".join(rows))
    code, series, _ = read(capsys, str(log), "--map", "step=zeit", "--map", f"{key}={column}")

    assert (code, series["batch_loss"]["step"]) == (0, list(range(10, 90, 10)))
    assert series[key]["value"][-1] == last


def test_a_column_called_it_needs_no_map_but_takes_one(tmp_path, capsys):
    log = tmp_path / "a.csv"
    log.write_text("it,loss\n" + "".join(f"{10 * i},{8 - i / 4}\n" for i in range(8)))
    guessed, told = read(capsys, str(log)), read(capsys, str(log), "--map", "step=it")

    assert guessed[0] == told[0] == 0
    assert guessed[1]["batch_loss"]["step"] == told[1]["batch_loss"]["step"] == list(range(0, 80, 10))


def test_an_epoch_that_is_named_stands_for_the_step(tmp_path, capsys):
    log = tmp_path / "a.csv"
    log.write_text("runde,loss\n" + "".join(f"{i},{8 - i / 4}\n" for i in range(5, 13)))
    code, series, _ = read(capsys, str(log), "--map", "epoch=runde")

    assert (code, series["batch_loss"]["step"]) == (0, list(range(5, 13)))


def test_so_is_the_step_among_records_of_the_trainer(tmp_path, capsys):
    log = tmp_path / "out.log"
    record = "{{'loss': {loss}, 'learning_rate': 1e-05, 'epoch': 0.1, 'at': {at}}}\n"
    log.write_text("".join(record.format(loss=8 - i / 4, at=10 * i) for i in range(8)))
    code, series, _ = read(capsys, str(log), "--map", "step=at")

    assert (code, series["batch_loss"]["step"]) == (0, list(range(0, 80, 10)))
    assert "step" not in series
