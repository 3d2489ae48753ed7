"""The page of ``prepare`` is true: its commands run as they stand there, on files laid out as the page says.

Each guard was seen red once, see the docstrings.
"""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest

from unplateau.cli import main
from unplateau.cli.folders import prepare
from unplateau.manifest import read_manifest
from unplateau.prepare.embedded import embedded_text

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "src" / "unplateau" / "schemas" / "manifest-1.json").read_text())
PAGE = (ROOT / "docs" / "prepare.md").read_text(encoding="utf-8")
sys.path.insert(0, str(ROOT / "benchmarks" / "preparing_parts"))
import fineweb  # noqa: E402

TEXTS = [text[at : at + 4000] for _, text in embedded_text()[:40] for at in range(0, len(text), 4000)]


def fences(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands():
    """The arguments of each call of unplateau in the page's fences, in their order."""
    lines = "".join(fences("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("unplateau ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the page's commands read: files like FineWeb's, few and small, and a log."""
    folder = tmp_path_factory.mktemp("page")
    fineweb.write(TEXTS, fineweb.place(folder))
    fineweb.write(TEXTS, fineweb.place(folder, edu=True), edu=True)
    for number in range(20):
        fineweb.write(TEXTS[number::20], fineweb.place(folder, number, sample="100BT"), seed=number)
    shutil.copytree(ROOT / "src" / "unplateau" / "examples" / "reference-run", folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def done(place):
    """What each command said, in its order, and its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return [(command, main([*command, *_quick(command)])) for command in commands()]


def _quick(command):
    """One process is enough for files that are small."""
    return ("--workers", "1") if command[0] == "prepare" else ()


def test_every_command_of_the_page_works(done):
    """Red with an option misspelt in the page, and with a source that is not there."""
    assert [(command, code) for command, code in done if code] == []
    assert {command[0] for command, _ in done} == {"prepare", "diagnose", "forecast"}


def test_every_manifest_of_the_page_is_of_its_schema_and_read_by_the_diagnosis(done, place):
    folders = [place / command[command.index("--out") + 1] for command, _ in done if "--out" in command]

    assert len(folders) > 5
    for folder in folders:
        jsonschema.validate(json.loads((folder / "manifest.json").read_text()), SCHEMA)
        facts = read_manifest(folder)
        assert {"train_tokens", "unique_tokens", "bigram_entropy", "tokenizer"} <= set(facts) | {"tokenizer"}


def test_a_file_of_fineweb_is_known_and_its_columns_are_found(done, place):
    told = json.loads((place / "nanoGPT" / "data" / "fineweb1" / "manifest.json").read_text())

    assert done
    assert "metadata: dump, url, date, language, language_score" in told["notes"][0]
    assert {"dump", "url", "language_score"} <= set(told["fairness"])
    assert read_manifest(place / "nanoGPT" / "data" / "fineweb1")["source_tokens"].value == 727_000_000


def test_a_condition_on_the_score_takes_part_of_the_documents(done, place):
    told = json.loads((place / "edu" / "manifest.json").read_text())

    assert done
    assert 0 < told["documents"] < len(TEXTS)


def test_the_python_of_the_page_reads_what_its_commands_wrote(done, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    for code in fences("python"):
        exec(compile(code, "docs/prepare.md", "exec"), {})

    said = capsys.readouterr().out
    assert done
    assert len(said) > 100
    assert any(said.strip()[:100] in text for _, text in embedded_text())


def test_every_key_of_a_manifest_is_in_its_schema_and_on_its_page(done, place):
    """Red where a key was written that neither names."""
    page = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")
    folders = [place / command[command.index("--out") + 1] for command, _ in done if "--out" in command]
    keys = {key for folder in folders for key in json.loads((folder / "manifest.json").read_text())}

    assert keys >= {"alphabet", "one_pass", "estimates"}
    assert keys <= SCHEMA["properties"].keys()
    assert keys <= set(re.findall(r"`([a-z_]+)`", page))


def test_every_option_that_the_page_names_is_one():
    """Red with an option in the table that the verb lacks."""
    known = {name for parameter in prepare.params for name in parameter.opts}
    rows = [line for line in PAGE.splitlines() if line.startswith("| `--")]
    named = {option for row in rows for option in re.findall(r"`(--[a-z-]+)", row)}

    assert named <= known
    assert {"--tokenizer", "--dedup", "--where", "--train-bpe"} <= named
