"""What a user did not ask for, or asked for in vain, he is told. Each was seen red before it was mended."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from test_prepare_job import corpus, options
from unplateau.cli import main
from unplateau.errors import UnreadableError, UsageError
from unplateau.prepare import sources
from unplateau.prepare.job import prepare
from unplateau.prepare.sources import Reading, survey

TEXTS = [f"document {i} " + "some words of it " * (i % 9) for i in range(60)]
ROWS = [{"text": text, "score": i % 5, "url": f"u{i}"} for i, text in enumerate(TEXTS)]


def jsonl(path, rows=ROWS):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


class TestFolders:
    @pytest.mark.parametrize(
        ("names", "kind", "told"),
        [
            (
                ["z.parquet", "a.jsonl", "000.txt", "b.py"],
                "parquet",
                "only parquet is read; left out: 000.txt, a.jsonl, b.py",
            ),
            (["a.jsonl", "000.txt"], "jsonl", "only JSONL is read; left out: 000.txt"),
            (
                ["a.txt", "r.md", "b.py", "c.py", "LICENSE"],
                "text",
                "only text is read; left out: LICENSE, 2 .py",
            ),
        ],
    )
    def test_files_of_a_folder_that_are_left_out_are_named(self, names, kind, told, tmp_path):
        for name in names:
            (tmp_path / name).write_text("some text")
        if "a.jsonl" in names:
            jsonl(tmp_path / "a.jsonl")
        if "z.parquet" in names:
            pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "z.parquet")

        found = survey([str(tmp_path)])

        assert {file.kind for file in found.files} == {kind}
        (note,) = (note for note in found.notes if "left out" in note)
        assert note.endswith(f": {told}")

    def test_a_folder_of_which_all_is_read_has_no_note(self, tmp_path):
        jsonl(tmp_path / "a.jsonl")

        assert not any("left out" in note for note in survey([str(tmp_path)]).notes)

    def test_a_file_named_twice_is_noted(self, tmp_path):
        one = str(jsonl(tmp_path / "a.jsonl"))

        assert "a.jsonl: named twice and read once" in survey([one, one]).notes


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"text,score\nwords,3\n", "a.csv is a table of CSV"),
        ("a.pdf", b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", "begins like PDF"),
        ("a.bin", b"words\0and words", "is binary"),
    ],
)
def test_what_is_no_text_is_not_taken_for_prose(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(UnreadableError, match=said):
        survey([str(tmp_path / name)])


class TestWhere:
    @pytest.mark.parametrize(
        ("condition", "said"),
        [
            ("url", "url alone is no comparison"),
            ("not url", "url alone is no comparison"),
            ("score >= 3 and url", "url alone is no comparison"),
            ("score > 'a'", "'score' holds numbers; compared with 'a'"),
            ("score in ('1', '2')", "'score' holds numbers; compared with '1'"),
            ("url == 3", "'url' holds text; compared with 3"),
        ],
    )
    @pytest.mark.parametrize("kind", ["jsonl", "parquet"])
    def test_a_condition_that_no_document_can_meet_or_fail_is_refused(self, kind, condition, said, tmp_path):
        place = jsonl(tmp_path / "a.jsonl")
        if kind == "parquet":
            place = tmp_path / "a.parquet"
            pq.write_table(pa.Table.from_pylist(ROWS), place)

        with pytest.raises(UsageError, match=said):
            survey([str(place)], Reading(where=condition))

    @pytest.mark.parametrize("text", ["", " "])
    def test_an_empty_condition_is_refused(self, text, tmp_path, capsys):
        one = jsonl(tmp_path / "a.jsonl")

        assert main(["prepare", str(one), "--out", str(tmp_path / "out"), "--where", text]) == 2
        assert "--where" in capsys.readouterr().err


class TestInVain:
    def test_a_tokenizer_beside_train_bpe_is_refused(self, tmp_path, capsys):
        one = jsonl(tmp_path / "a.jsonl")
        args = ["prepare", str(one), "--out", str(tmp_path / "out"), "--train-bpe", "300"]

        assert main([*args, "--tokenizer", "gpt2"]) == 2
        assert "--train-bpe learns a tokenizer; --tokenizer gpt2 names one" in capsys.readouterr().err

    def test_a_preset_whose_columns_are_not_there_is_noted(self, tmp_path):
        one = jsonl(tmp_path / "a.jsonl")

        notes = survey([str(one)], Reading(preset="fineweb-edu")).notes

        assert "preset fineweb-edu: no columns dump, date, language, language_score, int_score" in notes

    def test_languages_without_their_filter_are_noted(self, tmp_path):
        from unplateau.prepare.filters import Filters

        one = jsonl(tmp_path / "a.jsonl")

        told = prepare([str(one)], tmp_path / "out", options(filters=Filters(languages=("de",))))

        assert "--language counts what it would remove; --filter language removes it" in told["notes"]

    def test_a_vocabulary_smaller_than_asked_for_is_noted(self, tmp_path):
        from unplateau.prepare._plan import Options

        one = jsonl(tmp_path / "a.jsonl")

        told = prepare([str(one)], tmp_path / "out", Options(train_bpe=5000))

        size = told["vocab_size"]
        assert size < 5000
        assert f"the text gives a vocabulary of {size:,}, not of the 5,000 asked for" in told["notes"]

    def test_a_val_too_large_is_refused_before_copies_are_looked_for(self, tmp_path):
        stages = set()
        one = jsonl(tmp_path / "a.jsonl")

        with pytest.raises(UsageError, match="val of 99,999,999 tokens"):
            prepare(
                [str(one)],
                tmp_path / "out",
                options(val_tokens=99_999_999),
                progress=lambda stage, *_: stages.add(stage),
            )

        assert stages == {"tokenise"}


class TestCounts:
    def test_copies_and_sources_are_counted_of_the_documents_in_the_data(self, tmp_path):
        corpus(tmp_path / "in")
        source = [str(tmp_path / "in")]
        by_tokens = prepare(source, tmp_path / "tokens", options(limit_tokens=100_000))
        documents = by_tokens["documents"]

        by_docs = prepare(source, tmp_path / "docs", options(limit_docs=documents))

        assert by_tokens["read"]["read"] > documents
        for key in ("documents", "tokens", "exact_duplicate_share", "near_duplicate_share", "duplicates"):
            assert by_tokens[key] == by_docs[key], key
        assert by_tokens["duplicates"]["documents"] == documents
        for told in (by_tokens, by_docs):
            assert sum(source["tokens"] for source in told["sources"]) == told["tokens"]
            assert sum(source["documents"] for source in told["sources"]) == documents

    def test_batch_tokens_alone_mends_a_finished_folder(self, tmp_path):
        corpus(tmp_path / "in")
        source = [str(tmp_path / "in")]
        prepare(source, tmp_path / "new", options(batch_tokens=2000))
        prepare(source, tmp_path / "old", options(batch_tokens=1000))

        prepare(source, tmp_path / "old", options(batch_tokens=2000))

        new, old = (tmp_path / name / "manifest.json" for name in ("new", "old"))
        assert old.read_bytes() == new.read_bytes()
        prepare(source, tmp_path / "old", options())
        assert "one_pass" not in json.loads(old.read_bytes())


@pytest.mark.parametrize(
    ("how", "said"), [("score >= 3", "24 of 60 read; 36 left out by --where"), ("", "60 of 60 read")]
)
def test_what_a_condition_leaves_out_is_told(how, said, tmp_path, capsys):
    one = jsonl(tmp_path / "a.jsonl")
    args = ["prepare", str(one), "--out", str(tmp_path / "out"), "--tokenizer", "bytes", "--workers", "1"]

    assert main([*args, *(["--where", how] if how else [])]) == 0

    assert capsys.readouterr().out.splitlines()[1] == f"documents        {said}"


def test_one_damaged_table_of_several_is_left_out_where_asked_and_the_hint_says_so(tmp_path):
    for i in range(3):
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / f"{i}.parquet")
    first = tmp_path / "0.parquet"
    first.write_bytes(first.read_bytes()[:-100])

    with pytest.raises(UnreadableError, match="--on-error skip leaves it out"):
        survey([str(tmp_path)])
    found = survey([str(tmp_path)], Reading(skip=True))

    assert len(found.damaged) == 1
    assert sources.documents(found.parts[0], found.reading)


def test_a_share_is_told_in_lines_that_fit_and_in_right_numbers():
    from unplateau.report.prepare import share_text

    made = {"shard": 3, "of": 99, "merged": False, "parts": 1, "documents": 1, "tokens": 14_000_000}
    told = share_text(made | {"left": list(range(1, 60, 2))})

    assert told.startswith("shard 3/99: 1 part, 1 document, 14,000,000 tokens; ")
    assert max(map(len, told.splitlines())) <= 80
