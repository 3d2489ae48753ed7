"""A manifest of tokens that others prepared: what was planted in them is found, with its error."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from importlib.resources import files
from math import log

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unplateau.errors import UnreadableError
from unplateau.manifest import read_manifest
from unplateau.prepare._bigram import Bigram
from unplateau.prepare._fair import Text, divergence
from unplateau.prepare._windows import CHUNK, Hasher, repeats
from unplateau.prepare.embedded import embedded_text
from unplateau.prepare.manifest_only import make_manifest, write_manifest
from unplateau.prepare.shards import Writer, llmc_head, write_meta

EOT = 50256
ADDRESSES = [text for _, text in embedded_text()]
ALPHABET = {c: i for i, c in enumerate(sorted(set("".join(ADDRESSES))))}
#: pieces of the addresses: documents of one kind, so that a split at random by document is fair
PIECES = [text[i : i + 3000] for text in ADDRESSES for i in range(0, len(text), 3000)]

NUMBERS = {w: i for i, w in enumerate(sorted({w for text in PIECES for w in text.split(" ")}))}


def letters(texts):
    return np.array([ALPHABET[c] for text in texts for c in text], np.uint16)


def words(texts):
    """Tokens as a BPE would give: each word a number, documents ended by GPT-2's end-of-text."""
    found = [[NUMBERS[w] for w in text.split(" ")] + [EOT] for text in texts]
    return np.array([n for one in found for n in one], np.uint16)


def folder(path, train, val=None):
    path.mkdir(exist_ok=True)
    train.tofile(path / "train.bin")
    if val is not None:
        val.tofile(path / "val.bin")
    return path


def halves(seed=0, share=10):
    order = np.random.default_rng(seed).permutation(len(PIECES))
    n = len(PIECES) // share
    return [PIECES[i] for i in sorted(order[n:])], [PIECES[i] for i in sorted(order[:n])]


def numbers(size, seed=0, vocab=50000):
    return np.random.default_rng(seed).integers(0, vocab, size, dtype=np.uint16)


def schema():
    found = json.loads(files("unplateau").joinpath("schemas", "manifest-1.json").read_text())
    return jsonschema.Draft202012Validator(found)


class TestTheFacts:
    def test_a_fair_split_is_found_fair_and_whole(self, tmp_path):
        train, val = halves()
        told = make_manifest(folder(tmp_path / "data", letters(train), letters(val)), batch_tokens=65_536)

        assert told["train_tokens"] == sum(map(len, train))
        assert told["val_tokens"] == sum(map(len, val))
        assert told["duplicate_share"] < 0.001
        assert told["val_overlap"] < 0.002
        assert told["val_divergence"] < 1.5 * told["val_divergence_chance"]
        assert abs(told["val_gap"]) < 3 * told["val_gap_error"]
        assert 2.2 < told["bigram_entropy"] < 2.65 < told["unigram_entropy"] < 3.2
        assert told["one_pass"] == "one pass = 27 steps at 65,536 tokens a step"

    def test_keeps_to_its_schema_and_is_read_by_the_diagnosis(self, tmp_path):
        train, val = halves()
        told = make_manifest(folder(tmp_path / "data", words(train), words(val)))
        schema().validate(told)
        write_manifest(told, tmp_path / "manifest.json")
        facts = read_manifest(tmp_path / "manifest.json")

        assert facts["unique_tokens"].value == told["unique_tokens"]
        assert {"val_gap", "val_gap_error", "val_divergence", "order_divergence", "data_order"} <= set(facts)
        assert facts["tokenizer"].value == "gpt2"

    def test_is_the_same_every_time(self, tmp_path):
        train, val = halves()
        data = folder(tmp_path / "data", letters(train), letters(val))

        assert make_manifest(data) == make_manifest(data)

    def test_counts_documents_where_the_end_of_text_is_known(self, tmp_path):
        train, val = halves()
        told = make_manifest(folder(tmp_path / "data", words(train), words(val)))

        assert told["documents"] == len(PIECES)
        assert told["val_documents"] == len(val)

    def test_tokens_without_order_have_a_bigram_entropy_as_high_as_the_unigram_one(self, tmp_path):
        tokens = letters(PIECES)
        np.random.default_rng(0).shuffle(tokens)
        told = make_manifest(folder(tmp_path / "data", tokens))

        assert told["bigram_entropy"] == pytest.approx(told["unigram_entropy"], abs=0.02)
        assert told["data_order"] == "shuffled"

    def test_noise_over_a_large_vocabulary_is_not_taken_for_text(self, tmp_path):
        """Most pairs stand once there: a counted entropy would say 5 nats of what has 10.8."""
        told = make_manifest(folder(tmp_path / "data", numbers(2_000_000)))

        assert told["unigram_entropy"] == pytest.approx(log(50000), abs=0.02)
        assert told["bigram_entropy"] > told["unigram_entropy"] - 0.25
        assert told["estimates"]["bigram_entropy"]["low"] < 5

    def test_text_in_the_order_of_its_source_is_told_from_shuffled_text(self, tmp_path):
        shuffled = [PIECES[i] for i in np.random.default_rng(0).permutation(len(PIECES))]
        told = make_manifest(folder(tmp_path / "a", letters(PIECES)))
        mixed = make_manifest(folder(tmp_path / "b", letters(shuffled)))

        assert told["data_order"] == "source"
        assert told["order_divergence"] > 2 * told["order_divergence_chance"]
        assert mixed["data_order"] == "shuffled"

    def test_a_split_by_position_is_seen(self, tmp_path):
        tokens = words(PIECES)
        cut = int(0.9 * len(tokens))
        told = make_manifest(folder(tmp_path / "data", tokens[:cut], tokens[cut:]))

        assert told["val_contiguous"] is True
        assert told["val_gap"] > 3 * told["val_gap_error"]
        assert any("cut by position" in note for note in told["notes"])

    def test_a_val_that_is_too_small_is_told(self, tmp_path):
        train, val = halves()
        told = make_manifest(folder(tmp_path / "data", letters(train), letters(val)[:5000]))

        assert any("val has 5,000 tokens: another draw" in note for note in told["notes"])

    @pytest.mark.parametrize("seed", range(6))
    def test_a_fair_val_is_not_accused(self, tmp_path, seed):
        train, val = halves(seed)
        told = make_manifest(folder(tmp_path / "data", words(train), words(val)), seed=seed)

        assert abs(told["val_gap"]) < 3 * told["val_gap_error"]
        assert told["val_divergence"] <= told["val_divergence_chance"]
        assert not told.get("val_contiguous")


class TestCopies:
    def test_what_stands_twice_is_counted(self, tmp_path):
        train, val = halves()
        a = letters(train)
        told = make_manifest(folder(tmp_path / "data", np.concatenate((a, a[: len(a) // 4])), letters(val)))

        assert told["duplicate_share"] == pytest.approx(0.2, abs=0.002)
        assert told["unique_tokens"] == pytest.approx(len(a), rel=0.002)
        assert "val_gap" not in told  # nothing of train is held out where it holds its own copies

    def test_val_text_in_train_is_counted(self, tmp_path):
        train, val = halves()
        share = 4
        told = make_manifest(folder(tmp_path / "data", letters([*train, *val[::share]]), letters(val)))

        assert told["val_overlap"] == pytest.approx(len(val[::share]) / len(val), abs=0.02)
        assert told["notes"][-1].endswith("of val's windows stand in train")

    @pytest.mark.parametrize("seed", range(8))
    def test_a_sample_holds_the_truth_within_its_interval(self, seed):
        rng = np.random.default_rng(seed)
        tokens = numbers(400_000, seed)
        for start in rng.integers(0, 350_000, 40):
            tokens[start + 1000 : start + 3000] = tokens[start % 7 : start % 7 + 2000]
        whole, some = (repeats([tokens], [], 32, 50000, kept=n).copies for n in (1 << 22, 1 << 12))

        assert whole.low == whole.value == whole.high
        assert some.low < some.value < some.high
        slack = 1.3 * (some.high - some.low) / 2  # 8 seeds of a 90 % interval: one may just miss it
        assert abs(some.value - whole.value) < slack

    def test_intervals_hold_the_truth_nine_times_in_ten(self):
        """Copies of many sizes; 60 texts, sampled one window in 32."""
        held = 0
        for seed in range(60):
            rng = np.random.default_rng(seed)
            tokens = numbers(130_000, seed)
            for start, size in zip(rng.integers(0, 60_000, 60), rng.integers(50, 1500, 60), strict=True):
                tokens[start + 65_000 : start + 65_000 + size] = tokens[start : start + size]
            whole, some = (repeats([tokens], [], 32, 50000, kept=n).copies for n in (1 << 22, 1 << 12))
            held += some.low <= whole.value <= some.high

        assert 47 <= held <= 60

    @given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(2, 4))
    @settings(max_examples=80, deadline=None)
    def test_agrees_with_counting_by_hand(self, tokens, length):
        windows = [tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)]
        found = repeats([np.array(tokens)], [np.array(tokens[:length])], length, 4)

        assert found.copies.value == pytest.approx(1 - len(set(windows)) / len(windows) if windows else 0)
        assert found.counts.tolist() == np.bincount(tokens, minlength=4).tolist()

    def test_pieces_that_are_hashed_apart_give_the_same_hashes(self):
        tokens = numbers(2 * CHUNK + 777)
        tokens[CHUNK - 20 : CHUNK + 20] = tokens[:40]  # a copy across the edge of two pieces
        found = repeats([tokens], [tokens[CHUNK - 20 : CHUNK + 20]], 32, 50000)
        hasher = Hasher.of(32)

        assert np.array_equal(hasher(tokens[:40]), hasher(tokens[CHUNK - 20 : CHUNK + 20]))
        assert found.overlap.value == 1.0
        assert found.copies.value == pytest.approx(9 / (len(tokens) - 31))

    def test_windows_shorter_than_a_window_are_none(self):
        found = repeats([np.arange(5)], [np.arange(3)], 32, 5)

        assert found.overlap is None
        assert found.copies.value == 0.0

    def test_tokens_of_four_bytes_are_all_told_apart(self):
        hasher = Hasher.of(2)
        tokens = np.array([1, 2, 65_537, 2, 131_073, 2], np.uint32)

        assert len(set(hasher(tokens).tolist())) == 5


class TestWhatLiesThere:
    def test_llmc_shards(self, tmp_path):
        for split, count in (("train", 3), ("val", 1)):
            for k in range(count):
                tokens = numbers(20_000, k + 10 * (split == "val"))
                head = llmc_head(len(tokens), np.dtype("<u2"))
                (tmp_path / f"fineweb_{split}_{k:06d}.bin").write_bytes(head + tokens.tobytes())
        told = make_manifest(tmp_path)

        assert (told["format"], told["train_tokens"], told["val_tokens"]) == ("llmc", 60_000, 20_000)
        assert next(s["path"] for s in told["sources"]) == "fineweb_train_000000.bin"
        schema().validate(told)

    def test_build_nanogpts_numpy_shards(self, tmp_path):
        for split in ("train", "val"):
            np.save(tmp_path / f"edufineweb_{split}_000001.npy", numbers(20_000))

        assert make_manifest(tmp_path)["val_overlap"] == 1.0

    def test_our_own_shards(self, tmp_path):
        tokens = words(PIECES[:50])
        lengths = np.diff(np.concatenate(([0], np.flatnonzero(tokens == EOT) + 1)))
        with Writer(tmp_path, "train", vocab_size=50257, eot=EOT) as writer:
            writer.add(tokens.astype(np.uint32), lengths)
            writer.close()
        told = make_manifest(tmp_path)

        assert (told["format"], told["vocab_size"], told["documents"]) == ("own", 50257, 50)

    def test_one_raw_file(self, tmp_path):
        numbers(10_000).tofile(tmp_path / "corpus.bin")
        told = make_manifest(tmp_path / "corpus.bin")

        assert told["train_tokens"] == 10_000
        assert "val_tokens" not in told
        assert any("no val split" in note for note in told["notes"])

    def test_a_path_to_train_bin_is_its_folder(self, tmp_path):
        data = folder(tmp_path / "data", numbers(10_000), numbers(5_000, 1))

        assert make_manifest(data / "train.bin") == make_manifest(data)

    def test_uint32_is_told_from_uint16(self, tmp_path):
        tokens = np.random.default_rng(0).integers(0, 128_000, 10_000, dtype=np.uint32)
        folder(tmp_path / "data", tokens)
        told = make_manifest(tmp_path / "data")

        assert (told["dtype"], told["train_tokens"]) == ("uint32", 10_000)

    def test_letters_of_a_meta_pkl_tell_bytes_and_vocabulary(self, tmp_path, monkeypatch):
        train, val = halves()
        data = folder(tmp_path / "data", letters(train), letters(val))
        write_meta(data, list(ALPHABET))
        monkeypatch.setattr(pickle, "load", None)
        monkeypatch.setattr(pickle, "loads", None)
        told = make_manifest(data)

        assert told["vocab_size"] == len(ALPHABET)
        assert told["char_level"] is True
        text = "".join(train)
        assert told["bytes_per_token"] == pytest.approx(len(text.encode()) / len(text))

    @pytest.mark.parametrize(
        "data", [b"", b"not a pickle", pickle.dumps({"itos": {5: "a"}}), pickle.dumps([1])]
    )
    def test_a_damaged_meta_pkl_is_passed_over(self, tmp_path, data):
        (folder(tmp_path / "data", numbers(9000)) / "meta.pkl").write_bytes(data)

        assert "vocab_size" not in make_manifest(tmp_path / "data")

    def test_a_few_tokens_are_enough(self, tmp_path):
        for size in (1, 2, 31, 33, 3000):
            data = folder(tmp_path / f"data{size}", numbers(size), numbers(size, 1))
            schema().validate(make_manifest(data))

    @pytest.mark.parametrize(
        ("name", "data", "said"),
        [
            ("readme.md", b"hello", "holds no tokens; expected nanoGPT's train.bin"),
            ("train.bin", b"", "train.bin is empty"),
            ("train.bin", b"abc", "3 bytes, no whole number"),
            ("x_train_000001.npy", b"\x93NUMPY\x01\x00", "no numpy file of tokens"),
        ],
    )
    def test_what_holds_no_tokens_is_one_line(self, tmp_path, name, data, said):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableError, match=said):
            make_manifest(tmp_path)

    def test_a_numpy_file_of_objects_is_never_unpickled(self, tmp_path):
        np.save(tmp_path / "x_train_000001.npy", np.array([{"a": 1}], object), allow_pickle=True)
        with pytest.raises(UnreadableError, match="no numpy file of tokens"):
            make_manifest(tmp_path)


def test_memory_does_not_grow_with_the_data(tmp_path):
    """What Python holds at its most, for 4 and for 16 million tokens, with as many windows kept."""
    peaks = []
    for size in (4_000_000, 16_000_000):
        data = np.resize(numbers(1_000_000), size)
        data.tofile(tmp_path / "train.bin")
        mapped = np.memmap(tmp_path / "train.bin", np.uint16, "r")
        tracemalloc.start()
        repeats([mapped], [], 32, 50000, kept=1 << 16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.3 * peaks[0] < 40 << 20


def test_the_divergence_is_symmetric_and_bounded():
    a, b = np.array([5, 0, 3]), np.array([1, 7, 3])

    assert divergence(a, b) == divergence(b, a)
    assert 0 < divergence(a, b) < log(2)
    assert divergence(np.array([3, 0]), np.array([0, 9])) == pytest.approx(log(2))


def test_a_stretch_goes_over_the_edges_of_its_files():
    text = Text([np.arange(5), np.arange(0), np.arange(5, 9)])

    assert len(text) == 9
    assert text.take(3, 4).tolist() == [3, 4, 5, 6]
    assert text.take(8, 4).tolist() == [8]


def test_a_model_of_pairs_gives_probabilities():
    model = Bigram.of([np.array([0, 1, 0, 1, 0, 2])], 4)
    rows = [np.exp(-model(np.array([a, b]))[0]) for a in range(4) for b in range(4)]

    assert np.sum(np.reshape(rows, (4, 4)), axis=1) == pytest.approx(np.ones(4))


def test_llmc_files_that_begin_with_end_of_text_are_not_cut(tmp_path):
    """Documents begin with the token there, so that train does not end with one."""
    train, val = halves()
    for split, texts in (("train", train), ("val", val)):
        tokens = words(texts).astype(np.uint32)
        lengths = np.diff(np.concatenate(([0], np.flatnonzero(tokens == EOT) + 1)))
        with Writer(tmp_path, split, "llmc", vocab_size=50257, eot=EOT) as writer:
            writer.add(tokens, lengths)
            writer.close()
    told = make_manifest(tmp_path)

    assert not told.get("val_contiguous")
    assert told["documents"] == len(PIECES)
    assert not any("cut by position" in note for note in told["notes"])
