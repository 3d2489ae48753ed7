"""What the trainer reads: three kinds of folder as one text a split, across shards; and what it refuses in one line."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from unplateau.errors import UnreadableError, UsageError
from unplateau.prepare.shards import Writer, write_meta
from unplateau.train.data import open_corpus, open_data
from unplateau.train.settings import Settings

LENGTHS = np.array([5, 300, 1, 120, 44, 77, 253, 200])  # tokens of the documents
EOT = 96


def documents():
    tokens = np.random.default_rng(0).integers(0, EOT, LENGTHS.sum()).astype(np.uint32)
    tokens[np.cumsum(LENGTHS) - 1] = EOT
    return tokens


def write(folder, layout="own", shard_tokens=10**6, splits=("train", "val"), vocab_size=97):
    for split in splits:
        with Writer(
            folder, split, layout, vocab_size=vocab_size, eot=EOT, tokenizer="toy", shard_tokens=shard_tokens
        ) as writer:
            writer.add(documents(), LENGTHS)
            writer.close()
    return folder


@pytest.mark.parametrize("layout", ["own", "nanogpt", "llmc"])
def test_every_layout_gives_the_tokens_that_were_written(tmp_path, layout):
    corpus = open_corpus(write(tmp_path, layout))
    laid = documents() if layout != "llmc" else np.concatenate([[EOT], documents()[:-1]])

    assert list(corpus.splits) == ["train", "val"]
    assert corpus.train.window(0, len(corpus.train)).tolist() == laid.tolist()
    assert corpus.train.window(0, 3).dtype == np.int64


@pytest.mark.parametrize("shard_tokens", [50, 200, 400])
def test_a_window_over_borders_of_shards_is_that_of_one_text(tmp_path, shard_tokens):
    train = open_corpus(write(tmp_path, shard_tokens=shard_tokens)).train
    starts = np.array([0, 3, 290, 300, 305, 306, 500, len(train) - 400])

    assert len(train.shards) > 1
    for start, row in zip(starts, train.windows(starts, 400), strict=True):
        assert row.tolist() == documents()[start : start + 400].tolist()


def test_a_window_past_the_end_is_never_short(tmp_path):
    train = open_corpus(write(tmp_path)).train

    with pytest.raises(ValueError, match="of 1000 in train"):
        train.window(990, 11)
    assert len(train.window(990, 10)) == 10


@pytest.mark.parametrize("shard_tokens", [50, 10**6])
def test_each_token_has_the_number_of_its_document(tmp_path, shard_tokens):
    train = open_corpus(write(tmp_path, shard_tokens=shard_tokens)).train
    truth = np.repeat(np.arange(len(LENGTHS)), LENGTHS)

    assert train.documents(0, 1000).tolist() == truth.tolist()
    assert train.documents(304, 130).tolist() == truth[304:434].tolist()


@pytest.mark.parametrize("layout", ["nanogpt", "llmc"])
def test_documents_are_told_apart_by_their_end_where_they_have_no_number(tmp_path, layout):
    folder = write(tmp_path, layout)
    (folder / "manifest.json").write_text(json.dumps({"eot": EOT, "vocab_size": 97}))
    train = open_corpus(folder).train
    truth = np.repeat(np.arange(len(LENGTHS)), LENGTHS)

    assert not train.numbered
    for start in (0, 304, 305, 306):
        found = train.documents(start, 500)
        assert np.diff(found).tolist() == np.diff(truth[start : start + 500]).tolist()


def test_a_text_without_documents_says_so(tmp_path):
    write(tmp_path, "nanogpt")
    write_meta(tmp_path, [chr(65 + i) for i in range(97)])

    with pytest.raises(UsageError, match="does not tell where documents end"):
        open_corpus(tmp_path).train.documents(0, 10)


def test_the_vocabulary_is_what_the_folder_says_and_nanogpts_where_it_says_nothing(tmp_path):
    own, bare, meta = (tmp_path / name for name in ("own", "bare", "meta"))
    for folder in (own, bare, meta):
        folder.mkdir()
        write(folder, "own" if folder == own else "nanogpt")
    write_meta(meta, [chr(65 + i) for i in range(97)])
    told = {f.name: open_corpus(f) for f in (own, bare, meta)}

    assert {name: c.vocab_size for name, c in told.items()} == {"own": 97, "bare": 50304, "meta": 97}
    assert told["own"].vocab_origin == "the header of train-00000.bin"
    assert told["meta"].vocab_origin == "meta.pkl"
    assert told["bare"].vocab_origin.startswith("assumed")
    assert told["own"].tokenizer == "toy"
    assert told["meta"].words[:3] == ("A", "B", "C")


def test_more_rows_than_words_are_allowed_and_fewer_are_not(tmp_path):
    write(tmp_path)

    assert open_corpus(tmp_path, 128).vocab_size == 128
    with pytest.raises(UsageError, match="vocab_size is 96, but the header"):
        open_corpus(tmp_path, 96)


def test_a_token_beyond_the_vocabulary_is_named_with_its_file_and_place(tmp_path):
    tokens = np.zeros(1000, "<u2")
    tokens[700] = 60_000
    tokens.tofile(tmp_path / "train.bin")
    train = open_corpus(tmp_path).train

    train.window(0, 700)
    with pytest.raises(UnreadableError, match=r"token 700 of train\.bin is 60,000"):
        train.window(650, 100)


def test_shards_are_those_that_the_manifest_names_whole(tmp_path):
    write(tmp_path, shard_tokens=300)
    files = [
        {"path": p.name, "size": p.stat().st_size} for p in sorted(Path(tmp_path).glob("train-0000[01].bin"))
    ]
    manifest = {"vocab_size": 97, "splits": {"train": {"tokens": 1, "files": files}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    assert len(open_corpus(tmp_path).train.shards) == 2
    (tmp_path / files[1]["path"]).unlink()
    with pytest.raises(UnreadableError, match=r"has no bytes, manifest\.json says"):
        open_corpus(tmp_path)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("[]", "expected an object"),
        ("{", "can't be read"),
        ('{"dtype": "int8"}', "tokens are int8"),
        ('{"splits": {"train": {"files": [{"path": "../x", "size": 2}]}}}', "not in its folder"),
        ('{"splits": {"train": {"files": [{"size": 2}]}}}', "without 'path'"),
    ],
)
def test_a_bad_manifest_is_one_line(tmp_path, told, says):
    write(tmp_path)
    (tmp_path / "manifest.json").write_text(told)

    with pytest.raises(UnreadableError, match=says):
        open_corpus(tmp_path)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_meta_pkl_that_is_code_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "nanogpt")
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": 97, "itos": Bomb()}))

    assert open_corpus(tmp_path).vocab_size == 97
    assert not Path("ran").exists()
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnreadableError, match="expected a dict with vocab_size"):
        open_corpus(tmp_path)
    assert not Path("ran").exists()


def test_a_folder_without_tokens_says_what_was_expected(tmp_path):
    with pytest.raises(UnreadableError, match="holds no tokens to train on; expected"):
        open_corpus(tmp_path)


def test_other_tokens_have_another_fingerprint_and_other_names_have_not(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    for folder in (a, b, c):
        folder.mkdir()
        write(folder)
    data = bytearray((c / "train-00000.bin").read_bytes())
    data[10] ^= 1
    (c / "train-00000.bin").write_bytes(data)

    assert open_corpus(a).fingerprint == open_corpus(b).fingerprint != open_corpus(c).fingerprint


def test_data_sets_of_other_tokens_are_not_mixed(tmp_path):
    for name, vocab in (("a", 97), ("b", 98)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, vocab_size=vocab)

    with pytest.raises(UsageError, match="a and b have other tokens"):
        open_data(Settings(dataset=f"{tmp_path / 'a'}=3,{tmp_path / 'b'}=1"))
    ((corpus, weight),) = open_data(Settings(dataset=str(tmp_path / "a")))
    assert (corpus.vocab_size, weight) == (97, 1.0)


def test_a_context_longer_than_the_text_is_refused_before_anything_is_built(tmp_path):
    write(tmp_path)
    longest = len(open_corpus(tmp_path).train)

    assert open_data(Settings(dataset=str(tmp_path), block_size=longest - 1))
    with pytest.raises(UsageError, match="wants more than"):
        open_data(Settings(dataset=str(tmp_path), block_size=longest))
