"""Every kind of source gives its documents, whatever it is cut into; what is damaged is named."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from unplateau.errors import UnreadableError, UsageError
from unplateau.prepare import _formats, _lines, embedded, sources
from unplateau.prepare._text import documents_of
from unplateau.prepare._where import where
from unplateau.prepare.sources import Reading, Skipped, documents, parts_of, survey

ROWS = [
    {"text": f"document {i} " + "wörd " * (i % 7), "score": i % 5, "language": "en", "id": str(i)}
    for i in range(300)
]
TEXTS = [row["text"] for row in ROWS]


def table():
    return pa.Table.from_pylist(ROWS)


def as_parquet(path):
    pq.write_table(table(), path / "a.parquet", row_group_size=20)
    return path / "a.parquet"


def as_folder(path):
    for i in range(3):
        pq.write_table(table().slice(100 * i, 100), path / f"part-{i:02}.parquet")
    (path / "README.md").write_text("no document")
    return path


def as_jsonl(path):
    (path / "a.jsonl").write_text("\n".join(json.dumps(r) for r in ROWS) + "\n\n")
    return path / "a.jsonl"


def as_gzip(path):
    (path / "a.jsonl.gz").write_bytes(gzip.compress(as_jsonl(path).read_bytes()))
    return path / "a.jsonl.gz"


def as_zstd(path):
    (path / "a.jsonl.zst").write_bytes(zstandard.compress(as_jsonl(path).read_bytes()))
    return path / "a.jsonl.zst"


def as_glob(path):
    as_folder(path)
    return path / "part-*.parquet"


def as_saved_dataset(path):
    (path / "train").mkdir()
    with pa.ipc.new_stream(path / "train" / "data-00000-of-00001.arrow", table().schema) as out:
        out.write_table(table(), max_chunksize=30)
    (path / "dataset_dict.json").write_text("{}")
    return path


def as_url(path):
    return f"file://{as_jsonl(path)}"


KINDS = [as_parquet, as_folder, as_glob, as_jsonl, as_gzip, as_zstd, as_saved_dataset, as_url]


def read(source, reading=None, skipped=None):
    found = survey([str(source)], reading)
    return [d for part in found.parts for batch in documents(part, found.reading, skipped) for d in batch]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_documents_in_order(kind, tmp_path):
    found = read(kind(tmp_path))

    assert [d.text for d in found] == TEXTS
    assert found[8].meta == {"score": 3, "language": "en"}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_any_size_give_the_same_documents(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SMALLEST_PART", 1)
    monkeypatch.setattr(sources, "PARTS", 37)

    found = read(kind(tmp_path))

    assert [d.text for d in found] == TEXTS


def test_a_large_file_is_cut_into_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SMALLEST_PART", 1)

    assert len(parts_of([str(as_jsonl(tmp_path))])) > 30
    assert len(parts_of([str(as_parquet(tmp_path))])) == 15  # its row groups


@given(
    st.lists(st.binary(max_size=12).map(lambda b: b.translate(None, b"\n\x1f\x28")), max_size=30),
    st.integers(1, 40),
)
def test_each_line_stands_in_one_slice(lines, size):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        data = b"\n".join(lines)
        path.write_bytes(data)
        cuts = [
            sources.Slice(str(path), "jsonl", a, min(a + size, len(data))) for a in range(0, len(data), size)
        ]
        found = [line for c in cuts for _, line in _lines.lines(c, Skipped(skip=False))]

    assert found == (data.removesuffix(b"\n").split(b"\n") if data else [])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("score >= 3", [3, 4]),
        ("1 <= score < 3", [1, 2]),
        ("score in (0, 4) and language == 'en'", [0, 4]),
        ("not score == 2 and score > -1", [0, 1, 3, 4]),
        ("language == 'de' or score == 1", [1]),
    ],
)
def test_a_condition_keeps_what_meets_it(text, kept, tmp_path):
    assert sorted({d.meta["score"] for d in read(as_parquet(tmp_path), Reading(where=text))}) == kept


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "score.real > 3",
        "score",
        "3 > 2",
        "score >=",
        "[s for s in score]",
        "(lambda: 1)()",
        "score is 3",
        "score ** 99999999 > 1",
        "(" * 300 + "score" + ")" * 300,
        "a" * 2000,
    ],
)
def test_what_is_no_condition_is_refused(text):
    if text == "score":
        assert where(text)({"score": 1})  # a flag by itself
        return
    with pytest.raises(UsageError, match="--where"):
        where(text)


def test_the_text_column_is_found_named_or_asked_for(tmp_path):
    pq.write_table(pa.table({"content": ["a"], "id": ["1"], "n": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": ["a"], "y": ["b"]}), tmp_path / "b.parquet")

    assert survey([str(tmp_path / "a.parquet")]).reading.text == "content"
    with pytest.raises(UnreadableError, match=r"can't tell which column .* x, y; name it with --text-column"):
        survey([str(tmp_path / "b.parquet")])
    assert read(tmp_path / "b.parquet", Reading(text="y"))[0].text == "b"
    with pytest.raises(UnreadableError, match="has no column 'z'; found: x, y"):
        survey([str(tmp_path / "b.parquet")], Reading(text="z"))
    with pytest.raises(UnreadableError, match="holds no text"):
        survey([str(tmp_path / "a.parquet")], Reading(text="n"))
    with pytest.raises(UsageError, match="no preset"):
        survey([str(tmp_path / "b.parquet")], Reading(preset="fine"))


def test_only_the_train_split_of_a_data_set_is_read(tmp_path):
    for name in ("train-00000-of-00001", "test-00000-of-00001"):
        pq.write_table(pa.table({"text": [name]}), tmp_path / f"{name}.parquet")

    found = survey([str(tmp_path)])

    assert len(found.files) == 1
    assert any("left out: test" in note for note in found.notes)


def damaged_json(path):
    (path / "a.jsonl").write_bytes(
        b'{"text": "one"}\n{"text": \n{"txt": 1}\n{"text": 3}\n[]\n{"text": "\xff"}\n{"text": "two"}\n'
    )
    return path / "a.jsonl", ["one", "two"], 5


def cut_gzip(path):  # the line that it cut is lost with the rest
    data = gzip.compress("\n".join(json.dumps(r) for r in ROWS).encode())
    (path / "a.jsonl.gz").write_bytes(data[: len(data) * 2 // 3])
    return path / "a.jsonl.gz", None, 1


def damaged_parquet(path):
    pq.write_table(table(), path / "a.parquet", row_group_size=100, compression="gzip")
    data = bytearray((path / "a.parquet").read_bytes())
    meta = pq.ParquetFile(path / "a.parquet").metadata.row_group(1).column(0)
    data[meta.data_page_offset + 60 : meta.data_page_offset + 160] = bytes(100)
    (path / "a.parquet").write_bytes(data)
    return path / "a.parquet", TEXTS[:100] + TEXTS[200:], 1


def bad_text(path):
    (path / "a.txt").write_bytes(b"good\n\xff\xfe bad")
    return path / "a.txt", [], 1


@pytest.mark.parametrize("damage", [damaged_json, cut_gzip, damaged_parquet, bad_text])
def test_damage_stops_with_one_line_or_is_counted(damage, tmp_path):
    path, texts, count = damage(tmp_path)

    with pytest.raises(UnreadableError, match=path.name) as told:
        read(path)
    assert "\n" not in str(told.value)

    skipped = Skipped(skip=True)
    found = [d.text for d in read(path, Reading(skip=True), skipped)]
    assert skipped.count == len(skipped.named) == count
    assert found == texts if texts is not None else TEXTS[: len(found)] == found and len(found) > 20


def test_a_document_that_is_too_large_is_named(tmp_path, monkeypatch):
    for reader in (_formats, _lines):
        monkeypatch.setattr(reader, "LARGEST", 1000)
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": "x" * 2000}) + "\n" + "y" * 9_000_000 + '\n{"text": "good"}\n'
    )

    with pytest.raises(UnreadableError, match=r"2,000 characters; expected 1,000 at most"):
        read(tmp_path / "a.jsonl")
    skipped = Skipped(skip=True)
    assert [d.text for d in read(tmp_path / "a.jsonl", Reading(skip=True), skipped)] == ["good"]
    assert skipped.count == 2


@pytest.mark.parametrize("source", ["nothing.parquet", "no/*.jsonl", "empty", "zzz://bucket/a.parquet"])
def test_what_is_not_there_is_one_line(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()

    with pytest.raises(UnreadableError):
        survey([source])


def test_a_json_array_is_told_what_to_do(tmp_path):
    (tmp_path / "a.json").write_text('[{"text": "a"}]')

    with pytest.raises(UnreadableError, match=r"jq -c"):
        survey([str(tmp_path / "a.json")])


@given(
    st.text(st.sampled_from("ab\n é<"), max_size=400).map(lambda t: t.replace("<", "<|endoftext|>")),
    st.integers(1, 20),
    st.integers(1, 9),
)
def test_text_is_cut_alike_whatever_the_blocks(text, length, size):
    data = text.encode()
    whole = list(documents_of([data], length, 10**6))
    pieces = list(documents_of((data[i : i + size] for i in range(0, len(data), size)), length, 10**6))

    assert pieces == whole
    assert "".join("".join(whole).split()) == "".join(text.replace("<|endoftext|>", "").split())


def test_a_long_text_is_cut_at_blank_lines_or_kept_whole(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join("line\n" * 500 for _ in range(40)))

    assert len(read(tmp_path / "a.txt")) > 5
    assert len(read(tmp_path / "a.txt", Reading(whole=True))) == 1
    assert "".join(d.text for d in read(tmp_path / "a.txt")) == (tmp_path / "a.txt").read_text()


def test_a_limit_ends_a_part_early(tmp_path):
    assert [d.text for d in read(as_jsonl(tmp_path), Reading(limit=7))] == TEXTS[:7]


def test_the_text_in_the_package_is_a_source_by_name_wherever_it_is_installed(tmp_path, monkeypatch):
    found = survey([embedded.SOURCE])

    texts = [d.text for part in found.parts for batch in documents(part, found.reading) for d in batch]
    assert texts == [text for _, text in embedded.embedded_text()]
    assert [f.path for f in found.files] == ["embedded:sotu"]
    (tmp_path / "sotu").write_bytes(embedded.TEXT.read_bytes()[:-1])
    monkeypatch.setattr(embedded, "TEXT", tmp_path / "sotu")
    with pytest.raises(UnreadableError, match="installed package is damaged"):
        survey([embedded.SOURCE])


def test_a_name_that_begins_with_an_underscore_is_text_and_what_is_hidden_is_named(tmp_path):
    """Meant to go red where ``_walk`` left out files that begin with ``_``, and where it did not say what it left out."""
    (tmp_path / "_temporary").mkdir()
    for name in ("_decimal.txt", "decimal.txt", "cache-notes.txt", ".kept.txt", "_temporary/half.txt"):
        (tmp_path / name).write_text(name)

    found = survey([str(tmp_path)])

    names = [file.path.rpartition("/")[2] for file in found.files]
    assert sorted(names) == ["_decimal.txt", "cache-notes.txt", "decimal.txt"]
    assert any("hidden, left out: _temporary/, .kept.txt" in note for note in found.notes)
