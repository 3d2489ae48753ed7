"""A prepared folder can be turned into text again by whoever finds it: from what stands in it, and nothing else.

Each guard was seen red once, see the docstrings.
"""

import json
import pickle
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers

import unplateau
from unplateau.prepare._beside import words
from unplateau.prepare._plan import Options
from unplateau.prepare.embedded import SOURCE, embedded_text
from unplateau.prepare.job import prepare
from unplateau.prepare.manifest_only import make_manifest
from unplateau.prepare.tokenizers import tokenizer_of
from unplateau.tokens import open_shard

SCHEMA = json.loads((Path(unplateau.__file__).parent / "schemas" / "manifest-1.json").read_text())
FIRST = {"own": "train-00000.bin", "nanogpt": "train.bin", "llmc": "tokens_train_000000.bin"}
PROMPT = "\nMy fellow Americans"


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A tokenizer.json of 400 tokens."""
    folder = tmp_path_factory.mktemp("learnt")
    prepare([SOURCE], folder, Options(train_bpe=400, limit_docs=4))
    return str(folder / "tokenizer.json")


@pytest.fixture(params=["gpt2", "bytes", "chars", "tokenizer.json"])
def tokenizer(request):
    return request.getfixturevalue("learnt") if request.param == "tokenizer.json" else request.param


def tokenizer_in(folder, told):
    """The tokeniser of a folder, from the folder alone."""
    file = folder / "tokenizer.json"
    return tokenizer_of(str(file) if file.exists() else told["tokenizer"], alphabet=told.get("alphabet"))


@pytest.mark.parametrize("form", FIRST)
def test_the_documents_can_be_read_again_from_the_folder_alone(tokenizer, form, tmp_path):
    """Red where the letters of chars, or the file of a tokeniser, were left out of the folder."""
    prepare([SOURCE], tmp_path, Options(tokenizer=tokenizer, format=form, limit_docs=6))

    told = json.loads((tmp_path / "manifest.json").read_text())
    jsonschema.validate(told, SCHEMA)
    reader = tokenizer_in(tmp_path, told)
    shard = open_shard(tmp_path / FIRST[form])
    texts = [text for _, text in embedded_text()[:6]]
    ends = np.flatnonzero(np.asarray(shard.tokens) == told["eot"])
    found = [reader.decode(part) for part in np.split(np.asarray(shard.tokens), ends) if len(part) > 1]
    assert len(found) == told["splits"]["train"]["documents"] >= 4
    assert [text for text in texts if text in found] == found
    assert int(shard.tokens.max()) < told["vocab_size"] <= np.iinfo(told["dtype"]).max + 1


def test_samples_of_nanogpt_are_text(tokenizer, tmp_path):
    """As nanoGPT's sample.py does it. Red where meta.pkl named only the size: KeyError 'stoi'."""
    prepare([SOURCE], tmp_path, Options(tokenizer=tokenizer, format="nanogpt", limit_docs=6))
    if tokenizer == "gpt2":
        assert not (tmp_path / "meta.pkl").exists()
        return

    meta = pickle.loads((tmp_path / "meta.pkl").read_bytes())
    tokens = np.fromfile(tmp_path / "train.bin", np.uint16)[:300]
    reader = tokenizer_in(tmp_path, json.loads((tmp_path / "manifest.json").read_text()))
    assert "".join(meta["itos"][i] for i in tokens.tolist()) == reader.decode(tokens)
    assert "".join(meta["itos"][meta["stoi"][c]] for c in PROMPT) == PROMPT
    assert meta["vocab_size"] == len(meta["itos"]) == reader.vocab_size


def test_letters_are_told_from_words_in_a_folder_of_ours_too(tmp_path):
    prepare([SOURCE], tmp_path, Options(tokenizer="chars", format="nanogpt", limit_docs=6))

    ours, counted = json.loads((tmp_path / "manifest.json").read_text()), make_manifest(tmp_path)
    assert ours["char_level"] is counted["char_level"] is True
    assert counted["bytes_per_token"] == pytest.approx(ours["bytes_per_token"], rel=1e-9)


def test_a_space_that_begins_a_word_is_kept_where_the_decoder_drops_the_first(tmp_path):
    """SentencePiece's decoder. Red where each token was decoded by itself: words ran together."""
    vocabulary = {"</s>": 0, "▁a": 1, "a": 2, "▁": 3, "b": 4, "▁b": 5}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[("▁", "a"), ("▁", "b")]))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Metaspace()
    made.add_special_tokens(["</s>"])
    made.save(str(tmp_path / "tokenizer.json"))

    assert words(tokenizer_of(str(tmp_path / "tokenizer.json"))) == [
        "<|endoftext|>",
        " a",
        "a",
        " ",
        "b",
        " b",
    ]
