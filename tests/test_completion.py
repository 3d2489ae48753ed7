"""Completion: the script that the verb prints, loaded into a real bash, and what it offers there.

Each guard was seen red once:
- ``path.stem`` without its dashes in ``causes``: test_the_causes_are_those_that_are_tested, and in bash
  test_bash_completes;
- ``answer`` without ``Offered``: test_bash_completes, ten of its cases;
- ``discover`` called in ``causes``: test_it_loads_nothing_that_takes_long, numpy is loaded.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from unplateau.cli import group, main
from unplateau.cli.completion import FILES, FOLDERS, SHELLS, VARIABLE, causes, words_of
from unplateau.plugins import discover

PROGRAM = Path(sys.executable).parent / "unplateau"
#: what bash does when the user presses Tab: words, the word that the cursor is in, the function of the program
TAB = """
eval "$(unplateau completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
compopt() { printf "%s\\n" "$@"; }
_unplateau_completion unplateau
printf '%s\\n' "${COMPREPLY[@]}"
"""
bash = pytest.mark.skipif(
    not (shutil.which("bash") and PROGRAM.is_file()),
    reason="wants bash, and unplateau installed beside this Python",
)


def pressed(*words, folder="."):
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", TAB, "bash", *words],
        text=True,
        capture_output=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PATH": path},
    )
    assert not done.stderr
    return done.stdout.split("\n")[:-1]


@bash
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("unplateau", "diag"), ["diagnose"]),
        (("unplateau", "diagnose", "--fail-on", "lr-too"), ["lr-too-high", "lr-too-low"]),
        (("unplateau", "diagnose", "--fail-on", "div"), ["diverged"]),
        (("unplateau", "fix", "run", "--cause", "rep"), ["repetition"]),
        (("unplateau", "causes", "still"), ["still-learning"]),
        (("unplateau", "diagnose", "--sar"), ["--sarif"]),
        (("unplateau", "read", "--unit", "b"), ["bits"]),
        (("unplateau", "prepare", "emb"), ["embedded:sotu"]),
        (("unplateau", "completion", ""), ["bash", "zsh", "fish"]),
        (("unplateau", "diagnose", "tra"), ["default"]),
        (("unplateau", "diagnose", "--config", "con"), ["default"]),
        (("unplateau", "probe", "run", "--out", "o"), ["dirnames"]),
        (("unplateau", "prepare", "data/"), ["default"]),
    ],
    ids=" ".join,
)
def test_bash_completes(words, offered):
    found = pressed(*words)

    assert set(offered) <= set(found), found
    assert len(found) < 20  # else everything is offered, whatever was typed


def test_the_causes_are_those_that_are_tested():
    assert causes() == sorted(discover("hypotheses"))


def test_what_takes_a_path_is_completed_as_one():
    """Of any verb, also of one that comes later, by its metavar."""
    looked = 0
    for name, verb in group.commands.items():
        for parameter in verb.params:
            if isinstance(parameter, click.Option) and parameter.metavar in (*FILES, *FOLDERS):
                looked += 1
                (item,) = words_of(name, parameter)("x")
                assert item.type == ("dir" if parameter.metavar in FOLDERS else "file")
    assert looked > 10


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_gets_its_script(shell, capsys):
    assert main(["completion", shell]) == 0

    told = capsys.readouterr().out
    assert f"{VARIABLE}={shell}_complete" in told
    assert told.startswith("#compdef unplateau\n") is (shell == "zsh")  # else its fpath does not take it


def test_a_shell_that_nobody_knows_is_refused(capsys):
    assert main(["completion", "tcsh"]) == 2

    assert "bash" in capsys.readouterr().err


def test_it_loads_nothing_that_takes_long():
    """Measured: .13 s of the processor, most of it Python and click."""
    code = (
        "import sys\n"
        "from unplateau.cli import main\n"
        "code = main([])\n"
        "print('EXIT', code, *sys.modules, file=sys.stderr)"
    )
    words = {"COMP_WORDS": "unplateau diagnose --fail-on cap", "COMP_CWORD": "3", VARIABLE: "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=True, env={**os.environ, **words}
    )

    assert done.stdout.strip() == "plain,capacity"  # else this would pass where nothing was done
    loaded = {word.partition(".")[0] for word in done.stderr.split()}
    assert {"numpy", "scipy", "rich", "msgspec", "yaml", "torch"}.isdisjoint(loaded)
