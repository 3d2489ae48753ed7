"""The package as people import it: at once, typed, and each function what its verb is.

Each guard was seen red once:
- ``import numpy`` at the top of errors.py, and of integrations/logger.py: test_importing_the_package_loads_nothing_heavy;
- a module ``src/unplateau/log.py``: test_no_module_of_the_package_hides_a_function_of_it;
- ``-> Any`` on api.read: test_a_users_script_is_checked_by_mypy_strict, "returning Any";
- a name in ``__all__`` of the package that api.py lacks: test_the_package_hands_on_all_of_the_api;
- ``Path(path)`` in place of ``given.path`` in api.read_all: test_whatever_is_given_is_taken_or_refused_in_one_line,
  TypeError for read, diagnose and others.
"""

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import msgspec
import pytest

import unplateau as up
from unplateau import api

ROOT = Path(up.__file__).parent
SNIPPET = """
import unplateau as up

run = up.read("train.log", columns={"val_loss": "eval/nll"})
found = up.diagnose(run)
reveal_type(run)
reveal_type(found.budget)
ahead = up.forecast(run, cooldown=2000)
loss: float = ahead.futures[0].loss.value
beside: up.Comparison = up.compare(run, "other.log")
told: dict[str, object] = up.as_dict(found)
with up.init("out", config={"n_layer": 2}, stop_on=["diverged"]) as logger:
    logger.log(step=1, val_loss=2.5)
up.log(step=2, val_loss="words do not count")
wrong: int = up.text(found)
"""


def python(code):
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    loaded = python(
        "import sys, unplateau\nprint(*sys.modules)\nunplateau.log\nprint('AND', *sys.modules)\n"
        "unplateau.Run\nprint('THEN', *sys.modules)"
    )
    first, second = loaded.index("AND"), loaded.index("THEN")

    assert "unplateau" in loaded[:first]
    assert "unplateau.api" not in loaded[:first]
    assert {"numpy", "scipy", "click", "msgspec", "rich", "torch"}.isdisjoint(loaded[:second])
    assert "numpy" in loaded[second:]


def test_importing_the_package_takes_no_time():
    # of the processor: other work on the machine does not count
    code = "import time; a = time.process_time(); import unplateau; print(time.process_time() - a)"

    assert min(float(python(code)[0]) for _ in range(3)) < 0.02  # seconds; 2 to 3 milliseconds here


def test_the_package_hands_on_all_of_the_api():
    assert set(up.__all__) == set(api.__all__)
    assert set(up.__all__) <= set(dir(up))
    for name in up.__all__:
        assert getattr(up, name) is getattr(api, name), name


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'budgets'"):
        _ = up.budgets
    with pytest.raises(AttributeError, match="no attribute 'Budgets'"):
        _ = api.Budgets


def test_no_module_of_the_package_hides_a_function_of_it():
    # importing a module of a package sets its name there: it would take the function's place
    assert [name for name in up.__all__ if find_spec(f"unplateau.{name}")] == []


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "py.typed").is_file()


def test_a_users_script_is_checked_by_mypy_strict(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "mine.py").write_text(SNIPPET)
    args = [
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(tmp_path / "cache"),
        "--follow-imports=silent",
        "mine.py",
    ]

    done = subprocess.run([sys.executable, *args], cwd=tmp_path, text=True, capture_output=True, check=False)

    assert 'Revealed type is "unplateau.run.Run"' in done.stdout, done.stdout + done.stderr
    assert "unplateau.budget.Budget | None" in done.stdout
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout
    assert 'expression has type "str"' in errors[0]


@pytest.fixture(scope="module")
def found():
    return up.diagnose(up.EXAMPLE)


def test_a_run_is_read_with_what_the_user_says():
    run = up.read(up.EXAMPLE / "train.log", unique_tokens=10**9, config=up.EXAMPLE / "config.py")

    assert (run.get("unique_tokens"), run.source("unique_tokens")) == (10**9, "--unique-tokens")
    assert run.source("n_layer").startswith("config.py:")


def test_several_runs_are_a_list_and_read_says_so(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows = [f'{{"step": {i}, "val_loss": {5 - i / 10 - len(name) / 9}}}\n' for i in range(9)]
        (tmp_path / name / "log.jsonl").write_text("".join(rows))
        (tmp_path / name / "config.json").write_text(
            f'{{"peak_lr": 0.00{len(name)}, "seed": {ord(name[0])}}}'
        )
    (tmp_path / "two" / "log.jsonl").write_text('{"step": 0, "val_loss": 4}\n{"step": 1, "val_loss": 3}\n')

    with pytest.raises(up.UsageError, match=r"holds 2 runs .*read_all"):
        up.read(tmp_path)
    assert len(up.read_all(tmp_path)) == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"columns": {"vall_loss": "x"}}, "columns wants a series among step, val_loss"),
        ({"unit": "furlongs"}, "unit wants one of nats"),
    ],
)
def test_what_can_not_be_meant_is_one_line(wrong, said):
    with pytest.raises(up.UsageError, match=said):
        up.read(up.EXAMPLE, **wrong)


def test_a_path_that_is_not_there_is_unreadable(tmp_path):
    with pytest.raises(up.UnreadableError, match=r"there is no nothing\.log"):
        up.diagnose(tmp_path / "nothing.log")


def test_a_log_without_a_loss_says_which_series_it_has(tmp_path):
    (tmp_path / "log.jsonl").write_text("".join(f'{{"step": {i}, "lr": 0.1}}\n' for i in range(50)))

    with pytest.raises(up.UnplateauError, match=r"loss") as error:
        up.diagnose(tmp_path / "log.jsonl")
    assert "\n" not in str(error.value)


def test_a_forecast_takes_settings_by_name_and_several_futures():
    run = up.read(up.EXAMPLE)

    one = up.forecast(run, cooldown=2000)
    two = up.forecast(
        run,
        until=3.4,
        futures={"wide: and long, = too": {"n_embd": 768, "horizon": 30_000}, "b": {"floor": 0}},
    )

    assert [f.name for f in one.futures] == ["as planned", "cooldown=2000"]
    assert one.futures[1].step == run.get("steps_done") + 2000
    assert [f.name for f in two.futures] == ["as planned", "wide: and long, = too", "b"]
    assert two.futures[1].patch.keys() >= {"n_embd"}
    assert two.futures[0].reaches is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cooldown": -3}, "^cooldown wants a whole number above 0; found '-3'"),
        ({"n_embed": 3}, "^no setting is called 'n_embed'; did you mean n_embd"),
        ({"cooldown": 10, "horizon": 30_000}, "both say where the run ends"),
        ({"futures": {"as planned": {"cooldown": 10}}}, "the first future is called 'as planned'"),
    ],
)
def test_a_forecast_that_can_not_be_meant_is_refused_in_the_words_of_python(settings, said):
    with pytest.raises(up.UsageError, match=said) as error:
        up.forecast(up.EXAMPLE, **settings)
    assert "--set" not in str(error.value)


def test_what_is_printed_and_what_is_plain_is_what_the_command_line_gives(found, capsys):
    from unplateau.cli import main

    ahead = up.forecast(found.run)
    main(["diagnose", str(up.EXAMPLE)])
    assert up.text(found) == capsys.readouterr().out
    main(["forecast", str(up.EXAMPLE)])
    assert up.text(ahead) == capsys.readouterr().out
    main(["read", str(up.EXAMPLE)])
    assert up.text(up.read(up.EXAMPLE)) == capsys.readouterr().out
    main(["diagnose", "--json", str(up.EXAMPLE)])
    assert up.as_dict(found) == msgspec.json.decode(capsys.readouterr().out)
    main(["forecast", "--json", str(up.EXAMPLE)])
    assert up.as_dict(ahead) == msgspec.json.decode(capsys.readouterr().out)


def test_a_comparison_and_a_run_are_shown_too(found):
    beside = up.compare(found.run, up.EXAMPLE, found.run)

    assert [one.name for one in beside.told] == [found.run.name, str(up.EXAMPLE), f"{found.run.name} (2)"]
    assert "LOSS" in up.text(beside)
    schema = msgspec.json.decode((ROOT / "schemas" / "comparison-1.json").read_bytes())
    jsonschema.validate(up.as_dict(beside), schema)
    assert up.as_dict(found.run)["schema"] == "unplateau.read/1"


def test_what_is_none_of_ours_is_refused(found):
    with pytest.raises(up.UsageError, match="expected a Run, a Diagnosis"):
        up.text(3)
    with pytest.raises(
        up.UsageError, match="write_back goes to tensorboard, wandb or trackio; found 'mlflow'"
    ):
        up.write_back(found, to="mlflow")
    with pytest.raises(up.UsageError, match="wants folder="):
        up.write_back(found, to="tensorboard")


def test_the_example_is_read_and_diagnosed_in_a_second_of_the_processor():
    begun = time.process_time()
    up.diagnose(up.EXAMPLE)

    assert time.process_time() - begun < 3


def test_a_page_is_written_and_no_other_file_is_written_over(found, tmp_path):
    ahead = up.forecast(found.run, cooldown=2000)

    page = up.write_report(found, tmp_path / "page.html", ahead=ahead)
    again = up.write_report([found, up.EXAMPLE], page)  # an earlier page gives way

    assert page == again
    assert "cooldown=2000" not in page.read_text("utf-8")
    (tmp_path / "train.log").write_text("step 0: train loss 5.0, val loss 5.0")
    with pytest.raises(
        up.UsageError, match=r"train\.log is there, and is no page of unplateau: it is kept; .* write_report"
    ):
        up.write_report(found, tmp_path / "train.log")


def test_values_show_themselves_in_a_notebook():
    pytest.importorskip("IPython", reason="IPython is not installed")
    told = python(
        "import IPython, unplateau as up\nfound = up.diagnose(up.EXAMPLE)\n"
        "print([hasattr(one, '_repr_html_') for one in (found, found.run, up.forecast(found.run))])"
    )

    assert told == ["[True,", "True,", "True]"]


NONSENSE = (3, None, [], "", b"x", {}, object(), ["a"], float("nan"), True, "a\0b", "x" * 5000)
#: of these a function takes some: an empty folder's name is none, no columns are named, ...
CALLS = {
    "read": up.read,
    "diagnose": up.diagnose,
    "forecast": up.forecast,
    "compare": lambda one: up.compare(up.EXAMPLE, one),
    "text": up.text,
    "as_dict": up.as_dict,
    "unit": lambda one: up.read(up.EXAMPLE, unit=one),
    "columns": lambda one: up.read(up.EXAMPLE, columns=one),
    "evidence": lambda one: up.read(up.EXAMPLE, evidence=one),
    "unique_tokens": lambda one: up.read(up.EXAMPLE, unique_tokens=one),
    "config": lambda one: up.read(up.EXAMPLE, config=one),
    "stop_on": lambda one: up.init("run", diagnose=False, stop_on=one),
    "wait": lambda one: up.init("run", diagnose=False, wait=one),
    "init": lambda one: up.init(one, diagnose=False),
    "write_back": lambda one: up.write_back(one, to="tensorboard", folder="board"),
    "write_report": lambda one: up.write_report(one, "page.html"),
}


@pytest.mark.parametrize("name", CALLS)
def test_whatever_is_given_is_taken_or_refused_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = []
    for one in NONSENSE:
        try:
            CALLS[name](one)
        except up.UnplateauError as error:
            refused.append(str(error))
        finally:
            up.finish(wait=0.0)

    assert len(refused) >= 5  # else nothing of it was looked at
    assert not [line for line in refused if "\n" in line]


def test_words_for_what_is_given_say_what_is_wanted(found):
    for call, said in (
        (lambda: up.diagnose(3), "expected a Run, or the path of one; found an int"),
        (lambda: up.forecast(found), "found a Diagnosis: give its .run"),
        (lambda: up.forecast(found.run, at=2.5), "at wants a whole number, 0 or above; found a float"),
        (lambda: up.forecast(found.run, futures={"a": [1]}), "a setting to its value; found a list"),
        (lambda: up.text(found, width=3), "width wants a whole number, 20 or above; found 3"),
        (lambda: up.write_report([], "page.html"), "wants a run, or some; found an empty list"),
        (lambda: up.write_back(found, to="wandb", run=3), "run= wants a run of W&B, .* found an int"),
    ):
        with pytest.raises(up.UsageError, match=said):
            call()
