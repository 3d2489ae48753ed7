"""Shards: what is written is read back, in every format, whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import pickle
import pickletools
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unplateau import durable
from unplateau._pickle import inert
from unplateau.errors import UnplateauError, UnreadableError, UsageError
from unplateau.prepare.mapped import is_whole
from unplateau.prepare.shards import FORMATS, Writer, write_meta
from unplateau.tokens import HEAD_BYTES, open_shard, split_of

EOT = 50256
GPT2 = {"vocab_size": 50257, "eot": EOT}


def documents(count=50, seed=0, vocab=50256, eot=EOT):
    """Tokens of ``count`` documents that end with ``eot``, and their lengths."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 60, count)
    tokens = rng.integers(0, vocab, lengths.sum(), dtype=np.uint32)
    tokens[np.cumsum(lengths) - 1] = eot
    return tokens, lengths.astype(np.int64)


def written(folder, fmt, tokens, lengths, *, split="train", batches=7, **settings):
    """Write the documents in batches, close, and give what was written."""
    with Writer(folder, split, fmt, **{**GPT2, **settings}) as writer:
        starts = np.concatenate(([0], np.cumsum(lengths)))
        for part in np.array_split(np.arange(len(lengths)), batches):
            if len(part):
                writer.add(tokens[starts[part[0]] : starts[part[-1] + 1]], lengths[part])
        return writer.close()


@pytest.mark.parametrize("fmt", FORMATS)
def test_what_was_written_is_read_back(tmp_path, fmt):
    tokens, lengths = documents()
    files = written(tmp_path, fmt, tokens, lengths, shard_tokens=300)
    shards = split_of(tmp_path, "train")
    read = np.concatenate([shard.tokens for shard in shards])
    expected = np.concatenate(([EOT], tokens[:-1])) if fmt == "llmc" else tokens

    assert np.array_equal(read, expected)
    assert len(shards) == len(files) == (1 if fmt == "nanogpt" else len(files))
    assert sum(f.tokens for f in files) == len(tokens)
    assert sum(f.documents for f in files) == len(lengths)
    assert all(is_whole(tmp_path, f) for f in files)
    assert not list(tmp_path.glob(".*"))


def test_a_shard_ends_with_the_document_that_fills_it(tmp_path):
    tokens, lengths = documents(200)
    files = written(tmp_path, "own", tokens, lengths, shard_tokens=500)

    assert all(500 <= f.tokens < 560 for f in files[:-1])
    for shard in split_of(tmp_path, "train"):
        assert shard.tokens[-1] == EOT
        assert np.array_equal(np.flatnonzero(shard.tokens == EOT) + 1, shard.ends)


def test_a_shard_of_llmc_begins_with_end_of_text_as_modded_nanogpt_expects(tmp_path):
    tokens, lengths = documents(200)
    written(tmp_path, "llmc", tokens, lengths, shard_tokens=500)
    shards = split_of(tmp_path, "train")

    assert len(shards) > 5
    assert all(shard.tokens[0] == EOT for shard in shards)


def test_llmc_reads_its_own_header(tmp_path):
    tokens, lengths = documents()
    written(tmp_path, "llmc", tokens, lengths)
    data = (tmp_path / "tokens_train_000000.bin").read_bytes()
    head = np.frombuffer(data[:HEAD_BYTES], "<i4")

    assert head[:3].tolist() == [20240520, 1, len(tokens)]
    assert not head[3:].any()
    assert len(data) == 1024 + 2 * len(tokens)  # llmc/dataloader.h refuses any other size


def test_nanogpt_files_are_raw_uint16(tmp_path):
    tokens, lengths = documents()
    written(tmp_path, "nanogpt", tokens, lengths, shard_tokens=100)  # nanoGPT has one file, however long

    assert [p.name for p in tmp_path.iterdir()] == ["train.bin"]
    assert np.array_equal(np.memmap(tmp_path / "train.bin", np.uint16, "r"), tokens)


@pytest.mark.parametrize("fmt", ["own", "llmc"])
def test_a_large_vocabulary_takes_four_bytes(tmp_path, fmt):
    tokens, lengths = documents(vocab=128_000, eot=128_001)
    written(tmp_path, fmt, tokens, lengths, vocab_size=128_256, eot=128_001)
    (shard,) = split_of(tmp_path, "train")

    assert shard.tokens.dtype == np.uint32
    assert shard.tokens.max() == 128_001


def test_nanogpt_refuses_a_vocabulary_that_it_would_cut(tmp_path):
    with pytest.raises(UsageError, match=r"128,256 does not fit; choose --format own or llmc"):
        Writer(tmp_path, "train", "nanogpt", vocab_size=128_256)


def test_an_unknown_format_is_named_with_those_that_are_known(tmp_path):
    with pytest.raises(UsageError, match="there is no format webdataset; known: own, nanogpt, llmc"):
        Writer(tmp_path, "train", "webdataset", vocab_size=9)


def test_a_token_beyond_the_vocabulary_is_never_cut_to_two_bytes(tmp_path):
    with (
        Writer(tmp_path, "train", vocab_size=50257) as writer,
        pytest.raises(UnplateauError, match=r"70,000"),
    ):
        writer.add(np.array([70_000], np.uint32), np.array([1]))


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=6),
    full=st.integers(1, 200),
    fmt=st.sampled_from(list(FORMATS)),
)
@settings(max_examples=40, deadline=None)
def test_the_bytes_do_not_depend_on_the_batches(tmp_path_factory, sizes, cuts, full, fmt):
    lengths = np.array(sizes)
    tokens = np.arange(lengths.sum(), dtype=np.uint32) % 50000
    tokens[np.cumsum(lengths) - 1] = EOT
    ends = np.concatenate(([0], np.cumsum(lengths)))
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    a = written(one, fmt, tokens, lengths, batches=1, shard_tokens=full)
    with Writer(other, "train", fmt, shard_tokens=full, **GPT2) as writer:
        edges = sorted({0, len(sizes), *(c for c in cuts if c < len(sizes))})
        for start, stop in pairwise(edges):
            writer.add(tokens[ends[start] : ends[stop]], lengths[start:stop])
        b = writer.close()

    assert a == b
    assert all((one / p.name).read_bytes() == p.read_bytes() for p in other.iterdir())


def test_no_token_is_dropped_where_a_document_has_no_end(tmp_path):
    with (
        Writer(tmp_path, "train", "llmc", **GPT2) as writer,
        pytest.raises(ValueError, match="does not end with token 50256"),
    ):
        writer.add(np.array([5, 6], np.uint32), np.array([2]))


class TestMeta:
    def test_is_a_plain_dict_that_nanogpt_reads(self, tmp_path):
        write_meta(tmp_path, ["a", "b", "\n"])
        data = (tmp_path / "meta.pkl").read_bytes()
        meta = pickle.loads(data)

        assert meta == {"vocab_size": 3, "itos": {0: "a", 1: "b", 2: "\n"}, "stoi": {"a": 0, "b": 1, "\n": 2}}
        assert inert(data) == meta

    def test_has_nothing_to_import_or_to_call(self, tmp_path):
        write_meta(tmp_path, [chr(i) for i in range(300)])
        codes = {op.name for op, _, _ in pickletools.genops((tmp_path / "meta.pkl").read_bytes())}

        assert "SETITEMS" in codes
        assert codes.isdisjoint({"GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "INST", "OBJ"})


def _add_and_fail(writer, tokens, lengths):
    writer.add(tokens, lengths)
    writer.add(tokens, lengths[:-1])


class TestFaults:
    """Nothing half-written is taken for whole."""

    def test_an_error_leaves_nothing(self, tmp_path):
        tokens, lengths = documents()
        with pytest.raises(ValueError, match="documents of"), Writer(tmp_path, "train", **GPT2) as writer:
            _add_and_fail(writer, tokens, lengths)

        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("fmt", FORMATS)
    def test_a_full_disk_is_one_line_and_keeps_what_was_finished(self, tmp_path, fmt, monkeypatch):
        tokens, lengths = documents()
        monkeypatch.setattr(
            durable.os,
            "fsync",
            lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")),
        )
        with pytest.raises(UnplateauError, match="No space left on device; what was finished before is kept"):
            written(tmp_path, fmt, tokens, lengths)

        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_there_is_one_line(self, tmp_path):
        tokens, lengths = documents()
        with pytest.raises(UnplateauError, match=r"can't write .*/no/train-00000\.bin: No such file"):
            written(tmp_path / "no", "own", tokens, lengths)

    @pytest.mark.parametrize("fmt", FORMATS)
    def test_a_killed_writer_leaves_no_shard_and_can_begin_anew(self, tmp_path, fmt):
        code = (
            "import os, numpy as np, sys; from pathlib import Path\n"
            "from unplateau.prepare.shards import Writer\n"
            f"w = Writer(Path({str(tmp_path)!r}), 'train', {fmt!r}, vocab_size=50257)\n"
            "w.add(np.arange(9999, dtype=np.uint32), np.array([9999])); os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", code], check=False)
        left = [p.name for p in tmp_path.iterdir()]

        assert left
        assert all(name.startswith(".") for name in left)
        assert split_of(tmp_path, "train") == []
        tokens, lengths = documents()
        written(tmp_path, fmt, tokens, lengths)
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []

    @pytest.mark.parametrize("fmt", FORMATS)
    def test_every_flipped_bit_and_every_cut_is_seen(self, tmp_path, fmt):
        tokens, lengths = documents()
        (file,) = written(tmp_path, fmt, tokens, lengths)
        path, rng = tmp_path / file.path, np.random.default_rng(0)
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 20):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            assert not is_whole(tmp_path, file)
            path.write_bytes(whole[:place])
            assert not is_whole(tmp_path, file)
        path.write_bytes(whole)
        assert is_whole(tmp_path, file)

    def test_ends_or_header_that_do_not_fit_are_seen(self, tmp_path):
        tokens, lengths = documents()
        (file,) = written(tmp_path, "own", tokens, lengths)
        ends, head = tmp_path / "train-00000.ends", tmp_path / "train-00000.json"
        whole = ends.read_bytes()
        ends.write_bytes(whole[:-8] + bytes(8))
        assert not is_whole(tmp_path, file)
        ends.write_bytes(whole[:-8])
        with pytest.raises(UnreadableError, match="not as long as its header says"):
            open_shard(tmp_path / file.path)
        head.write_text("{")
        assert not is_whole(tmp_path, file)
        with pytest.raises(UnreadableError, match=r"train-00000\.json can't be read"):
            open_shard(tmp_path / file.path)
        head.write_text(json.dumps({"schema": "unplateau.shard/1", "dtype": "float64"}))
        with pytest.raises(UnreadableError, match="lacks a sound"):
            open_shard(tmp_path / file.path)

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "is empty"),
            (b"abc", "3 bytes, no whole number of uint16"),
            (np.array([20240520, 1, 5] + [0] * 253, "<i4").tobytes(), "says that it holds 5 tokens"),
            (np.array([20240520, 9, 0] + [0] * 253, "<i4").tobytes(), "version 9; expected 1"),
            (np.array([20240520, 1, -5] + [0] * 253, "<i4").tobytes(), "cut or damaged"),
        ],
    )
    def test_a_damaged_file_is_one_line(self, tmp_path, data, said):
        (tmp_path / "train.bin").write_bytes(data)
        with pytest.raises(UnreadableError, match=said):
            open_shard(tmp_path / "train.bin")


def test_memory_is_one_batch_and_not_the_split(tmp_path):
    """64 MB of tokens in 64 batches: the peak of what Python holds stays at a few batches."""
    import tracemalloc

    batch, lengths = np.arange(500_000, dtype=np.uint32) % 50_000, np.full(500, 1000)
    tracemalloc.start()
    with Writer(Path(tmp_path), "train", "nanogpt", **GPT2) as writer:
        for _ in range(64):
            writer.add(batch, lengths)
        (file,) = writer.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert file.tokens == 32_000_000
    assert peak < 8 << 20


def test_the_header_of_an_own_shard_is_the_last_to_be_written(tmp_path, monkeypatch):
    order = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: order.append(to.suffix) or replace(self, to))
    written(tmp_path, "own", *documents())

    assert order == [".bin", ".ends", ".json"]


def test_no_reader_ever_unpickles(monkeypatch, tmp_path):
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "loads", None)
    write_meta(tmp_path, ["a", "b", "c"])
    (tmp_path / "train.bin").write_bytes(io.BytesIO(b"\0\0" * 9).read())

    assert len(split_of(tmp_path, "train")[0].tokens) == 9
