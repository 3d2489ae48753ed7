"""The worked example is true: its commands are ours, and its verdicts are those of the logs that are kept in tests/worked.

The logs, what the probes told and the stored forecasts are of unmodified nanoGPT; nothing is trained here.

Mutations that went red here: evidence not heard (``heard`` returns its finding); ``agree`` with the interval of the
prediction alone; a verdict within both errors said to be within the interval.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest

from unplateau.cli import group, main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "worked-example.md").read_text(encoding="utf-8")
LATER = 1_795_400_000  # 2026-11-23: AFTER was written after the forecasts were stored
PAIRS = {"out-early": "out-early-annealed", "out-sotu": "out-sotu-lr-not-annealed"}


def squeezed(text):
    return " ".join(text.split())


def commands():
    """The words of each call of unplateau in the page's fences, in their order."""
    fences = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[1:] for line in "".join(fences).splitlines() if line.startswith("unplateau ")]


@pytest.fixture
def worked(tmp_path, monkeypatch):
    """Work in a copy of the runs."""
    shutil.copytree(ROOT / "tests" / "worked", tmp_path / "worked")
    for after in PAIRS.values():
        os.utime(tmp_path / "worked" / after / "train.log", (LATER, LATER))
    monkeypatch.chdir(tmp_path / "worked")


def said(capsys, *words):
    capsys.readouterr()
    assert main([*words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_each_command_of_the_page_is_one_that_we_understand(words):
    with click.Context(group) as parent:
        context = group.commands[words[0]].make_context(words[0], words[1:], parent=parent)

    assert context.command.name == words[0]


def test_the_page_has_every_verb_of_the_loop():
    assert {"prepare", "diagnose", "probe", "fix", "verify", "compare", "causes"} == {
        w[0] for w in commands()
    }


@pytest.mark.usefixtures("worked")
def test_the_log_alone_left_open_what_the_probe_decided(capsys):
    after = said(capsys, "diagnose", "out-early")
    shutil.rmtree("out-early-probes/evidence")
    before = said(capsys, "diagnose", "out-early")

    assert "lr-not-annealed (10%)" in before.split("undecided")[1]
    assert "lr-not-annealed (10%): at step 1,580" in squeezed(PAGE)
    assert "supported lr-not-annealed (90%)" in squeezed(after)
    assert "supported lr-not-annealed (90%)" in squeezed(PAGE)


@pytest.mark.usefixtures("worked")
@pytest.mark.parametrize("before", PAIRS)
def test_the_page_has_the_verdicts_of_the_kept_runs(before, capsys):
    text = said(capsys, "verify", before, PAIRS[before])

    assert squeezed(text) in squeezed(PAGE)
    assert "a hit" in text


@pytest.mark.usefixtures("worked")
def test_the_record_is_the_one_of_the_page(capsys):
    for before, after in PAIRS.items():
        said(capsys, "verify", before, after)
    told = said(capsys, "causes", "lr-not-annealed", "--record", ".")

    assert "predicted within its interval 2 of 2 times" in told
    assert "predicted within its interval 2 of 2 times" in PAGE
