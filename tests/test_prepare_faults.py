"""What goes wrong on the way: killed, no room, damaged or foreign input. One line and its exit code, never a traceback.

Red, each once, with: writes in place of durable ones; the old ``lines`` that took a link to nothing for a glob.
"""

import errno
import gzip
import json
import os
import random
import subprocess
import sys
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

import disk
from unplateau.cli import main
from unplateau.errors import UnplateauError, UnreadableError, UsageError
from unplateau.prepare import sources

TEXTS = [f"document {i} " + "some words of it " * (i % 9) for i in range(60)]
ROWS = [json.dumps({"text": text}) for text in TEXTS]
GOOD = "\n".join(ROWS).encode()
CUT = gzip.compress(GOOD)[:200]
WHOLE_LINES = zlib.decompressobj(31).decompress(CUT).count(b"\n")
WIDE = 200  # columns that a line may have


@pytest.mark.parametrize("form", ["own", "nanogpt", "llmc"])
def test_killed_before_or_within_a_change_of_the_disk_it_goes_on_to_the_same_bytes(form, tmp_path):
    """By SIGKILL, in a process of its own; ``benchmarks/kills.py`` does it at every call of the system."""
    source = disk.corpus(tmp_path / "in")

    done = subprocess.run(
        [sys.executable, disk.__file__, source, str(tmp_path), form, "25"],
        capture_output=True,
        text=True,
        check=True,
    )

    told = json.loads(done.stdout)
    assert told["killed"] >= told["changes"] // 25 > 5
    assert told["differ"] == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO], ids=errno.errorcode.get)
def test_no_room_is_one_line_and_with_room_it_goes_on_to_the_same_bytes(code, tmp_path, monkeypatch):
    disk.small(monkeypatch.setattr)
    source, out = disk.corpus(tmp_path / "in"), tmp_path / "out"
    disk.job(source, tmp_path / "whole")
    whole = disk.contents(tmp_path / "whole")
    with monkeypatch.context() as patch:
        total = disk.changes(patch.setattr, lambda: disk.job(source, tmp_path / "count"))

    refused = 0
    for number in range(code, total, total // 8):
        with monkeypatch.context() as patch:
            disk.watch(patch.setattr, full_from(number, code))
            said = refusal(source, out)
        if said is not None:  # all that it changes last is tidying up
            assert "can't write" in said
            assert os.strerror(code) in said
            assert not (out / "manifest.json").exists()
            refused += 1
        disk.job(source, out)
        assert disk.contents(out) == whole, number
        for path in sorted(out.rglob("*")):
            path.unlink()
    assert refused >= 6


def refusal(source, out):
    """What the job says that it can't do; None where it is done."""
    try:
        disk.job(source, out)
    except UnplateauError as error:
        return str(error)
    return None


def full_from(number, code):
    """A disk that is full from its ``number``-th change on: what is there can be removed, nothing can be added."""
    left = [number]

    def before(name, _raw, _data):
        left[0] -= 1
        if left[0] < 0 and name in disk.GROWS:
            raise OSError(code, os.strerror(code))

    return before


def parquet(path, column=None, **more):
    pq.write_table(pa.table({"text": TEXTS} if column is None else column), path, row_group_size=20, **more)
    return path


def damaged(path, place, data):
    whole = bytearray(path.read_bytes())
    whole[place : place + len(data)] = data
    path.write_bytes(whole)


def hurt_page(path):
    parquet(path, compression="none", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    damaged(path, column.data_page_offset, b"\xff" * 60)


def hurt_footer(path):
    parquet(path)
    damaged(path, path.stat().st_size - 60, b"\xff" * 40)


def line(data):
    return lambda path: path.write_bytes(b"\n".join([*GOOD.split(b"\n")[:30], data, *GOOD.split(b"\n")[30:]]))


def put(data):
    return lambda path: path.write_bytes(data)


def no_utf8(path):
    raw = [text.encode() for text in TEXTS]
    raw[7] = b"\xff\xfe"
    parquet(path, {"text": pa.array(raw, pa.binary())})


#: name, how it is made, words of its line, documents that are left with ``--on-error skip``; None for none at all
DAMAGED = [
    ("page.parquet", hurt_page, "row group 1 is damaged after 0 rows", 40),
    ("footer.parquet", hurt_footer, "is no parquet, or damaged", None),
    (
        "cut.parquet",
        lambda p: parquet(p).write_bytes(p.read_bytes()[:500]),
        "is no parquet, or damaged",
        None,
    ),
    ("other.parquet", put(GOOD), "is no parquet, or damaged", None),
    ("bytes.parquet", no_utf8, "row 8 is no UTF-8", 59),
    (
        "list.parquet",
        lambda p: parquet(p, {"text": [[t] for t in TEXTS]}),
        "holds text; found: text (list",
        None,
    ),
    ("null.parquet", lambda p: parquet(p, {"text": pa.nulls(9)}), "holds text; found: text (null)", None),
    ("id.parquet", lambda p: parquet(p, {"id": [1, 2]}), "holds text; found: id (int64)", None),
    ("two.parquet", lambda p: parquet(p, {"a": TEXTS, "b": TEXTS}), "name it with --text-column", None),
    ("line.jsonl", line(b'{"text": "abc'), "a line that is no JSON", 60),
    ("number.jsonl", line(b"42"), "no object with 'text'", 60),
    ("key.jsonl", line(b'{"body": "x"}'), "no object with 'text'", 60),
    ("kind.jsonl", line(b'{"text": 12}'), "'text' is no string", 60),
    ("bytes.jsonl", line(b'{"text": "\xff"}'), "a line that is no JSON", 60),
    ("deep.jsonl", line(b'{"text": ' + b"[" * 99_999), "a line that is no JSON", 60),
    ("zeros.jsonl", line(bytes(1000)), "a line that is no JSON", 60),
    ("array.json", put(b"[" + b",".join(GOOD.split(b"\n")) + b"]"), "is a JSON array", None),
    ("utf16.jsonl", put(GOOD.decode().encode("utf-16")), "begins like UTF-16", None),
    ("table.jsonl", parquet, "begins like parquet", None),
    ("cut.jsonl.gz", put(CUT), "it ends within its packed data", WHOLE_LINES),
    ("bytes.txt", put("\n\n".join(TEXTS).encode() + b"<|endoftext|>\xff"), "document 2: byte 0xff", 1),
    ("empty.jsonl", put(b""), "no documents: empty.jsonl: empty", None),
    ("blank.jsonl", put(b"\n \n"), "holds no JSON objects", None),
    ("link.jsonl", lambda p: p.symlink_to("nothing"), "is a link to nothing", None),
    ("loop.jsonl", lambda p: p.symlink_to(p.name), "is a link to nothing", None),
    ("pipe.jsonl", os.mkfifo, "is no file, but a pipe", None),
    ("nothing.jsonl", lambda _: None, "no such file or folder", None),
]


def ask(capsys, *args):
    code = main(["prepare", *map(str, args), "--tokenizer", "bytes", "--workers", "1", "--json"])
    told = capsys.readouterr()
    words = [one for one in told.err.splitlines() if not one.startswith("{")]
    return code, words, json.loads(told.out) if told.out else None


NAMES = [name for name, *_ in DAMAGED]
NO_DAMAGE = ("nothing.jsonl", "empty.jsonl", "blank.jsonl", "two.parquet")  # empty, or mistyped


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "make", "words", "_left"), DAMAGED, ids=NAMES)
def test_damage_is_one_line_and_an_exit_code(name, make, words, _left, here, capsys):
    make(here / name)

    code, told, _ = ask(capsys, name, "--out", "out")

    assert (code, len(told)) == (3, 1)
    assert words in told[0]
    assert len(told[0]) < WIDE


@pytest.mark.parametrize(("name", "make", "words", "left"), DAMAGED, ids=NAMES)
def test_damage_is_left_out_counted_and_named_where_asked(name, make, words, left, here, capsys):
    make(here / name)

    code, told, manifest = ask(capsys, name, "--out", "out", "--on-error", "skip")

    if left is None:
        assert (code, len(told)) == (3, 1)
    else:
        assert (code, manifest["documents"], manifest["read"]["skipped"]) == (0, left, 1)
        assert words in manifest["read"]["skipped_named"][0]


@pytest.mark.parametrize(("name", "make"), [d[:2] for d in DAMAGED if d[0] not in NO_DAMAGE])
def test_damage_beside_a_sound_file_costs_only_itself(name, make, here, capsys):
    make(here / name)
    (here / "good.jsonl").write_bytes(GOOD)

    code, _, manifest = ask(capsys, name, "good.jsonl", "--out", "out", "--on-error", "skip")

    assert code == 0
    assert manifest["documents"] >= len(TEXTS)
    assert manifest["read"]["skipped"] >= 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"document 7 ", b"document \\ud800 "),
        GOOD.replace(b'{"text"', b'{"score": NaN, "text"', 1),
        gzip.compress(GOOD),
    ],
    ids=["bom", "crlf", "lone surrogate", "nan", "gzip by another name"],
)
def test_what_others_write_is_read(data, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_bytes(data)

    code, told, manifest = ask(capsys, tmp_path / "a.jsonl", "--out", tmp_path / "out")

    assert (code, told, manifest["documents"]) == (0, [], len(TEXTS))


def test_strings_in_any_form_of_arrow_are_text(tmp_path, capsys):
    for number, kind in enumerate((pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary())):
        made = parquet(tmp_path / f"{number}.parquet", {"text": pa.array(TEXTS).cast(kind)})

        code, _, manifest = ask(capsys, made, "--out", tmp_path / f"out{number}")

        assert (code, manifest["documents"]) == (0, len(TEXTS))


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "text"])
def test_a_document_that_is_too_long_is_left_out_and_the_others_are_not(kind, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST", 4000)
    for module in ("_lines", "_tables", "_formats"):
        monkeypatch.setattr(f"unplateau.prepare.{module}.LARGEST", 4000)
    texts, path = [*TEXTS[:30], "long " * 5000, *TEXTS[30:]], tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps({"text": t}) for t in texts))
    elif kind == "parquet":
        parquet(path, {"text": texts})
    else:
        path = path.with_suffix(".txt")
        path.write_text("<|endoftext|>".join(texts))

    whole = ("--whole-files",) if kind == "text" else ()
    code, told, _ = ask(capsys, path, "--out", tmp_path / "a", *whole)
    assert (code, len(told)) == (3, 1)
    assert "4,000" in told[0] or "16,000" in told[0]

    code, _, manifest = ask(capsys, path, "--out", tmp_path / "b", "--on-error", "skip", *whole)
    assert (code, manifest["read"]["skipped"]) == (0, 1)
    assert manifest["documents"] == len(TEXTS)


def test_a_file_named_twice_is_read_once_and_the_manifest_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")

    _, _, manifest = ask(capsys, "a.jsonl", "./a.jsonl", "b.jsonl", "--out", "out")

    assert manifest["documents"] == len(TEXTS)
    assert any("named twice and read once" in note for note in manifest["notes"])


def test_a_source_that_was_written_between_two_runs_is_refused(tmp_path, monkeypatch):
    disk.small(monkeypatch.setattr)
    source, out = disk.corpus(tmp_path / "in"), tmp_path / "out"
    with monkeypatch.context() as patch:
        disk.watch(patch.setattr, full_from(200, errno.ENOSPC))
        with pytest.raises(UnplateauError):
            disk.job(source, out)
    other = (tmp_path / "in" / "a.jsonl").read_bytes().replace(b"w1", b"w2")
    (tmp_path / "in" / "a.jsonl").write_bytes(other)

    with pytest.raises(UnreadableError, match="was written since this run began"):
        disk.job(source, out)


def test_a_finished_folder_whose_source_changed_is_not_taken_for_done(tmp_path, monkeypatch):
    disk.small(monkeypatch.setattr)
    source, out = disk.corpus(tmp_path / "in"), tmp_path / "out"
    told, path = disk.job(source, out), tmp_path / "in" / "a.jsonl"
    os.utime(path, (2**31, 2**31))
    assert disk.job(source, out) == told  # touched, not changed
    path.write_bytes(path.read_bytes().replace(b"w1", b"w2"))
    os.utime(path, (2**31, 2**31))

    with pytest.raises(UsageError, match="has changed since"):
        disk.job(source, out)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["in", "--out", "in/out"], "lies in the source in"),
        (["in", "--out", "in/a.jsonl"], "is a file; expected a folder"),
        (["in/a.jsonl", "--out", "in"], "holds the source"),
        (["", "--out", "out"], "an empty SOURCE"),
        (["in", "--out", "out", "--seed", "-1"], "'--seed': -1"),
        (["in", "--out", "out", "--train-bpe", "99999999999"], "'--train-bpe'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_a_call_that_cannot_be_meant_is_refused(args, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    disk.corpus(tmp_path / "in")

    code, told, _ = ask(capsys, *args)

    assert (code, len(told)) == (2, 1)
    assert words in told[0]


def test_what_may_not_be_looked_at_is_one_line(here, capsys, monkeypatch):
    disk.corpus(here / "in")

    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "in")

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", forbidden)
        made = ask(capsys, "in", "--out", "out")
    with monkeypatch.context() as patch:
        patch.setattr("unplateau.prepare._files.open", forbidden, raising=False)
        read = ask(capsys, "in/a.jsonl", "--out", "out")

    assert [(code, len(told)) for code, told, _ in (made, read)] == [(3, 1), (3, 1)]
    assert "can't write out: Permission denied" in made[1][0]
    assert "can't open in/a.jsonl: Permission denied" in read[1][0]


class Counted(LocalFileSystem):
    """A file system that counts the bytes that are read; fsspec's cache lies before it, as before a URL."""

    protocol = "counted"
    read = 0
    cachable = False

    def _open(self, path, mode="rb", block_size=None, **_):
        return CountedFile(self, path, mode, block_size or "default")


class CountedFile(AbstractBufferedFile):
    def _fetch_range(self, start, end):
        with open(self.path, "rb") as file:  # noqa: PTH123
            file.seek(start)
            data = file.read(end - start)
        Counted.read += len(data)
        return data


def test_of_a_large_url_only_what_is_asked_for_is_fetched(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Counted, "read", 0)
    register_implementation("counted", Counted, clobber=True)
    rng = random.Random(0)
    texts = [rng.randbytes(5000).hex() for _ in range(4000)]
    made = parquet(tmp_path / "a.parquet", {"text": texts}, compression="none", use_dictionary=False)

    code, _, manifest = ask(capsys, f"counted://{made}", "--out", tmp_path / "out", "--limit-docs", "10")

    assert (code, manifest["documents"]) == (0, 10)
    assert 0 < Counted.read < made.stat().st_size / 10
