"""What is never written over: what a verb reads, and what is not ours.

Each guard and the mutation that it is meant for (written down, not run):
- ``spare`` left out of ``diagnose``, ``read`` and ``report --svg``: test_no_verb_writes_over_what_is_not_ours for each;
- ``is_one_of`` that says False: test_a_table_of_ours_that_is_read_is_kept, and that of a config;
- ``html = False`` in ``read_source``: test_a_page_given_as_a_log_is_told_as_what_it_is;
- ``signed`` left out of ``png``: test_an_earlier_file_of_ours_is_written_anew for --png.
"""

import shutil
from pathlib import Path

import pytest

import unplateau
from unplateau.cli import main
from unplateau.fixed import marked

RUN = Path(unplateau.__file__).parent / "examples" / "reference-run"
WRITERS = {"--sarif": "diagnose", "--csv": "read", "--html": "report", "--svg": "report", "--png": "report"}


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def one_line(capsys):
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("option", ["--sarif", "--csv", "--html"])
@pytest.mark.parametrize("name", ["train.log", "config.py", "page.html"])
def test_no_verb_writes_over_what_is_not_ours(option, name, run, capsys):
    (run / "page.html").write_text("<!doctype html><title>somebody's</title>")
    before = (run / name).read_bytes()

    assert main([WRITERS[option], str(run), option, str(run / name)]) == 2

    said = one_line(capsys)
    assert f"{run / name} is" in said
    assert f": it is kept; give another file to {option}" in said
    assert (run / name).read_bytes() == before


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_no_picture_is_written_over_that_is_not_ours(kind, run, capsys):
    pytest.importorskip("resvg") if kind == "png" else None
    (run / f"curve.{kind}").write_text("<svg><text>by hand</text></svg>")

    assert main(["report", str(run), "--html", str(run / "page.html"), f"--{kind}", str(run)]) == 2

    assert f"curve.{kind} is there, and is no picture of unplateau: it is kept" in one_line(capsys)
    assert (run / f"curve.{kind}").read_text() == "<svg><text>by hand</text></svg>"
    assert sorted(p.name for p in run.iterdir()) == ["config.py", f"curve.{kind}", "train.log"]


@pytest.mark.parametrize("option", WRITERS)
def test_an_earlier_file_of_ours_is_written_anew(option, run):
    pytest.importorskip("resvg") if option == "--png" else None
    place = run / ("written" if option in ("--svg", "--png") else "written.csv")
    command = [WRITERS[option], str(run), option, str(place)]

    assert main(command) == 0
    first = sorted(p for p in run.rglob("*") if p.is_file())
    assert main(command) == 0

    assert len(first) > 2
    assert sorted(p for p in run.rglob("*") if p.is_file()) == first


def test_a_table_of_ours_that_is_read_is_kept(run, capsys):
    rows = run / "rows.csv"
    assert main(["read", str(run), "--csv", str(rows)]) == 0
    before = rows.read_bytes()
    for name in ("train.log", "config.py"):
        (run / name).unlink()
    link = run / "link.csv"
    link.symlink_to(rows)
    capsys.readouterr()

    assert main(["read", str(rows), "--csv", str(link)]) == 2
    assert f"{link} is what is read: it is kept" in one_line(capsys)
    link.unlink()
    assert main(["read", str(run), "--csv", str(rows)]) == 2
    assert f"{rows} is what is read: it is kept" in one_line(capsys)
    assert rows.read_bytes() == before


@pytest.mark.parametrize("option", ["--sarif", "--csv", "--html"])
def test_where_nothing_can_be_written_is_told_with_the_whole_path(option, run, capsys):
    assert main([WRITERS[option], str(run), option, str(run)]) == 2
    assert f"{option} wants a file; {run} is a folder" in one_line(capsys)

    assert main([WRITERS[option], str(run), option, str(run / "no" / "file")]) == 2
    assert f"there is no folder {run / 'no'}; make it, or give another" in one_line(capsys)


def test_a_device_is_no_file_to_replace(run, capsys):
    assert main(["diagnose", str(run), "--sarif", "/dev/null"]) == 2
    assert "/dev/null is there, and is no regular file" in one_line(capsys)
    assert main(["read", str(run), "--csv", "/dev/null"]) == 0  # rows go through a pipe too

    assert Path("/dev/null").is_char_device()


def test_dark_without_picture_files_is_refused(run, capsys):
    assert main(["report", str(run), "--html", str(run / "page.html"), "--dark"]) == 2

    assert "--dark is of the picture files, for --svg and --png" in one_line(capsys)


@pytest.mark.parametrize("verb", ["read", "diagnose"])
def test_a_page_given_as_a_log_is_told_as_what_it_is(verb, run, capsys):
    page = run / "page.html"
    assert main(["report", str(run), "--html", str(page)]) == 0
    capsys.readouterr()

    assert main([verb, str(page)]) == 3

    assert "page.html is an HTML page, not a log" in one_line(capsys)


def test_a_config_of_ours_that_the_run_is_read_from_is_kept_until_told(run, capsys):
    config = run / "config.py"
    config.write_text(marked(config.read_text(), "config.py", ["why"]))
    before = config.read_bytes()
    command = ["fix", str(run), "--cause", "over-regularised", "--no-store", "--out", str(config)]

    assert main(command) == 2
    assert f"{config} is what is read: it is kept; name another file, or give --force" in one_line(capsys)
    assert config.read_bytes() == before

    assert main([*command, "--force"]) == 0
    assert config.read_bytes() != before
