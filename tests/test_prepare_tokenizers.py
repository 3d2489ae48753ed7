"""Tokenizers: what is encoded comes back, engines agree, nothing is downloaded, and a damaged file is told.

Guards seen red once: the special tokens left in for gigatoken (``without_specials`` returning its argument) made
test_end_of_text_inside_a_text_is_text fail for the trained BPE; a merge swapped in vocab.bpe made all of GPT-2 fail
by its sha256; ``GROWN`` at a terabyte made test_what_gigatoken_remembers_is_bounded fail.
"""

import json
import pickle
import socket
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from unplateau.errors import UnreadableError, UsageError
from unplateau.prepare import _engines, _gpt2
from unplateau.prepare import tokenizers as t
from unplateau.prepare._bpe import loaded
from unplateau.prepare.embedded import TEXT, embedded_text, shipped

END = "<|endoftext|>"
ENCODER_SHA256 = (
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"  # of OpenAI's encoder.json
)
ODD = [
    "",
    " ",
    END,
    f"a{END}b",
    "\r\n\r \t\x0b\x0c\x85\u00a0\u2028\u3000",
    "🙂\U0010ffff\x00",
    "e\u0301 ﬁ ǅ 漢字かな",
    "don't DON'T we'll  it's",
    "\ufeffx",
    "1234567890 ١٢٣ ½ Ⅷ",
    "a" * 5000,
    " " * 5000,
    "\n" * 5000,
]
#: letters, digits, marks, spaces of all kinds, and what GPT-2's rule of splitting turns on
CLASSES = st.characters(codec="utf-8", categories=["L", "M", "N", "P", "S", "Z", "C"])
TURNS = st.sampled_from([*"'sdmtllvere \n\t\r\u00a0\u2003", " '", "'ll", "  ", "\n\n", END, "é", "漢", "🙂"])
TEXTS = st.one_of(st.text(), st.text(CLASSES), st.lists(st.one_of(TURNS, st.text(max_size=4))).map("".join))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    return t.train_bpe((text for _, text in embedded_text()[-4:]), 500, out)


@pytest.fixture(scope="module")
def every(trained):
    """Each kind with each of its engines, by what it is called; loaded once."""
    kinds = [t.tokenizer_of("gpt2", engine=e) for e in ("gigatoken", "tiktoken")]
    kinds += [trained, trained.reference(), t.tokenizer_of("bytes")]
    return {f"{k.name} {k.engine}": k for k in kinds}


def parts(tokens, counts):
    return np.split(tokens, np.cumsum(counts)[:-1])


@pytest.mark.parametrize("text", ODD)
def test_odd_text_comes_back(every, text):
    for name, tokenizer in every.items():
        tokens, _ = tokenizer.encode([text])
        assert tokenizer.decode(tokens) == text, name


@given(texts=st.lists(TEXTS, max_size=5))
@example(texts=["", "", ""])
def test_what_is_encoded_comes_back_document_by_document(every, texts):
    chars = t.tokenizer_of("chars", alphabet=t.alphabet_of(texts))
    for tokenizer in (*every.values(), chars):
        tokens, counts = tokenizer.encode(texts)

        assert (tokens.dtype, counts.dtype, len(counts)) == (np.uint32, np.int64, len(texts))
        assert counts.sum() == len(tokens)
        assert np.flatnonzero(tokens == tokenizer.eot).tolist() == (np.cumsum(counts) - 1).tolist()
        assert not len(tokens) or tokens.max() < tokenizer.vocab_size
        back = [tokenizer.decode(p) for p in parts(tokens, counts)] if texts else []
        assert back == texts, tokenizer.engine


@given(text=st.text(st.characters()))  # st.characters() holds surrogates, which st.text() alone leaves out
@example(text="a\ud800b")
@example(text="\udc00\ud83d\ude42\ud83d")
def test_lone_surrogates_become_the_replacement_character(every, text):
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    for tokenizer in (*every.values(), t.tokenizer_of("chars", alphabet=t.alphabet_of([text]))):
        assert tokenizer.decode(tokenizer.encode([text])[0]) == whole, tokenizer.engine


@given(text=TEXTS)
@example(text="\U00032a36\u69b4")  # a letter of Unicode 17, found by fuzzing 60,000 texts
@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
def test_gigatoken_gives_the_tokens_of_tiktoken(every, text):
    fast, slow = (k.encode([text])[0].tolist() for n, k in every.items() if n.startswith("gpt2"))

    assert fast == slow


@given(text=TEXTS)
@example(text="\U00032a36\u69b4")
def test_gigatoken_gives_the_tokens_of_tokenizers(every, text):
    fast, slow = (k.encode([text])[0].tolist() for n, k in every.items() if n.startswith("tokenizer.json"))

    assert fast == slow


def test_letters_newer_than_the_reference_are_encoded_by_it(every):
    newer = [c for c in map(chr, range(0x33480)) if _engines.NEWER.match(c)]
    fast, slow = (k for n, k in every.items() if n.startswith("gpt2"))
    texts = [f"a{c}\u69b4 {c}1{c}!{c}" for c in newer]

    assert len(newer) == 4657
    assert all(_engines.is_newer(c, c.encode()) for c in newer)
    assert np.array_equal(fast.encode(texts)[0], slow.encode(texts)[0])
    # else there would be nothing to guard against
    assert not np.array_equal(
        _engines.Gigatoken(_gpt2.gpt2_definition())("\U00032a36\u69b4"),
        slow.encode(["\U00032a36\u69b4"])[0][:-1],
    )


def test_documents_are_encoded_as_if_alone(every):
    texts = ["Hello ", " world", "", "\n"]
    for tokenizer in every.values():
        alone = [tokenizer.encode([text])[0] for text in texts]
        assert tokenizer.encode(texts)[0].tolist() == np.concatenate(alone).tolist()


def test_no_documents_give_no_tokens(every):
    for tokenizer in every.values():
        tokens, counts = tokenizer.encode([])
        assert (len(tokens), len(counts), tokenizer.decode(tokens)) == (0, 0, "")


def test_end_of_text_inside_a_text_is_text(every):
    for name, tokenizer in every.items():
        tokens, counts = tokenizer.encode([f"before{END}after"])
        assert counts.tolist() == [len(tokens)], name
        assert (tokens == tokenizer.eot).sum() == 1, name  # at its end only


def test_gpt2_is_the_published_one():
    vocabulary = {**_gpt2.vocabulary(_gpt2.merges()), END: _gpt2.GPT2_END}

    assert sha256(json.dumps(vocabulary).encode()).hexdigest() == ENCODER_SHA256
    gpt2 = t.tokenizer_of("gpt2")
    assert gpt2.encode(["Hello world"])[0].tolist() == [15496, 995, 50256]
    assert (gpt2.vocab_size, gpt2.eot, gpt2.fingerprint) == (50257, 50256, _gpt2.MERGES_SHA256)


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a tokenizer asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    loaded.cache_clear()
    for engine in ("gigatoken", "tiktoken"):
        assert len(t.Gpt2.of(engine).encode(["text"])[0]) == 2


def test_a_tokenizer_travels_without_what_it_has_loaded(every, trained):
    chars = t.tokenizer_of("chars", alphabet="abc")
    for tokenizer in (*every.values(), chars):
        before = tokenizer.encode(["abc"])[0].tolist()
        packed = pickle.dumps(tokenizer)
        assert len(packed) < 1000
        assert pickle.loads(packed).encode(["abc"])[0].tolist() == before
    assert trained.engine.startswith("gigatoken ")


def test_an_engine_is_loaded_once_though_its_tokenizer_is_unpacked_often():
    packed = pickle.dumps(t.tokenizer_of("gpt2"))
    loaded.cache_clear()
    for _ in range(3):
        pickle.loads(packed).encode(["text"])
    assert loaded.cache_info().misses == 1


def test_embedded_text_is_whole_and_of_the_years_told():
    names = [name for name, _ in embedded_text()]

    assert (names[0][:4], names[-1][:4], len(set(names))) == ("1965", "2021", 57)
    assert names == sorted(names)
    assert TEXT.stat().st_size < 600_000


def test_a_damaged_shipped_file_is_told(tmp_path, monkeypatch):
    with pytest.raises(UnreadableError, match="installed package is damaged"):
        shipped(b"merges", _gpt2.MERGES_SHA256, "vocab.bpe")
    (tmp_path / "vocab.bpe").write_bytes((_gpt2.DATA / "vocab.bpe").read_bytes()[:-1])
    monkeypatch.setattr(_gpt2, "DATA", tmp_path)
    loaded.cache_clear()
    with pytest.raises(UnreadableError, match="damaged"):
        t.Gpt2.of().encode(["x"])


class TestCheck:
    def test_agrees_on_the_first_megabyte(self):
        texts = [text for _, text in embedded_text()]
        found = t.check(t.tokenizer_of("gpt2"), iter(texts))

        assert found.agreed is True
        assert found.tokenizer.engine.startswith("gigatoken ")
        assert t.HEAD <= found.bytes < t.HEAD + 100
        assert "gigatoken 0.10.0 and tiktoken" in found.told
        assert "57 documents" not in found.told  # the head only

    def test_uses_the_reference_where_they_differ_and_says_so(self, monkeypatch):
        right = _engines.Gigatoken.__call__

        def wrong(self, text):
            ids = right(self, text)
            ids[7:8] += 1
            return ids

        monkeypatch.setattr(_engines.Gigatoken, "__call__", wrong)
        found = t.check(t.tokenizer_of("gpt2"), ["one", "two three four five six seven eight nine"])

        assert found.agreed is False
        assert found.tokenizer.engine.startswith("tiktoken ")
        assert "differs from tiktoken" in found.told
        assert "at token 9 " in found.told  # two of the first document, then the eighth

    def test_uses_the_reference_where_the_fast_one_fails(self, monkeypatch):
        def fails(_self, _text):
            raise RuntimeError("no such thing")

        monkeypatch.setattr(_engines.Gigatoken, "__call__", fails)
        found = t.check(t.tokenizer_of("gpt2"), ["one"])

        assert found.tokenizer.engine.startswith("tiktoken ")
        assert "fails" in found.told

    def test_an_engine_alone_has_nothing_to_be_checked_against(self):
        found = t.check(t.tokenizer_of("gpt2", engine="tiktoken"), ["one"])

        assert (found.agreed, found.bytes) == (None, 0)

    def test_surrogates_and_no_text_at_all(self):
        assert t.check(t.tokenizer_of("gpt2"), ["\ud800"]).agreed is True
        assert t.check(t.tokenizer_of("gpt2"), []).agreed is True


class TestTrained:
    def test_the_same_texts_give_the_same_bytes(self, tmp_path):
        texts = [text for _, text in embedded_text()[-2:]]
        for name in ("a.json", "b.json"):
            t.train_bpe(texts, 400, tmp_path / name)
        assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json"]

    def test_it_is_as_large_as_asked_and_ends_documents(self, trained):
        assert trained.vocab_size == 500
        assert trained.encode([""])[0].tolist() == [trained.eot]
        text = embedded_text()[-1][1]
        assert len(trained.encode([text])[0]) < len(text) / 1.8

    def test_a_corpus_of_nothing_leaves_the_bytes(self, tmp_path):
        found = t.train_bpe([], 1000, tmp_path / "tokenizer.json")
        assert found.vocab_size == 257
        assert found.decode(found.encode(["é🙂"])[0]) == "é🙂"

    def test_a_size_without_room_for_the_bytes_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="at least 257"):
            t.train_bpe([], 256, tmp_path / "tokenizer.json")

    def test_a_file_that_changed_under_the_work_is_told(self, tmp_path):
        out = tmp_path / "tokenizer.json"
        found = t.train_bpe(["one two"], 260, out)
        t.train_bpe(["three four"], 262, out)
        with pytest.raises(UnreadableError, match="changed since"):
            found.encode(["x"])


class TestHuggingFace:
    def test_another_kind_than_bpe_is_encoded_by_tokenizers(self, tmp_path):
        told = {"version": "1.0", "added_tokens": [added("[SEP]", 3), added("[UNK]", 0)]}
        told |= {"pre_tokenizer": {"type": "Whitespace"}, "normalizer": {"type": "Lowercase"}}
        vocab = {"[UNK]": 0, "one": 1, "two": 2}
        told |= {"model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}}
        found = t.tokenizer_of(str(wrote(tmp_path, told)))

        assert found.engine.startswith("tokenizers ")
        assert found.encode(["One two", "[SEP]"])[0].tolist() == [1, 2, 3, 0, 0, 0, 3]
        assert (found.vocab_size, found.eot) == (4, 3)

    def test_a_folder_with_the_file_does(self, tmp_path, trained):
        (tmp_path / "tokenizer.json").write_text(trained.path.read_text())
        assert t.tokenizer_of(str(tmp_path)).fingerprint == trained.fingerprint

    def test_tokens_put_around_a_text_and_cuts_are_left_out(self, tmp_path, trained):
        told = json.loads(trained.path.read_text())
        told["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": END, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}},
        }
        told["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
        changed = t.tokenizer_of(str(wrote(tmp_path, told)))
        for tokenizer in (changed, changed.reference()):
            text = "a longer text than three tokens"
            assert tokenizer.encode([text])[0].tolist() == trained.encode([text])[0].tolist()

    def test_the_end_of_documents_can_be_named(self, tmp_path, trained):
        told = json.loads(trained.path.read_text())
        told["added_tokens"].append(added("<|halt|>", 500))
        path = str(wrote(tmp_path, told))

        assert t.tokenizer_of(path, eot="<|halt|>").eot == 500
        with pytest.raises(UsageError, match=r"no token <stop>.*<\|halt\|>"):
            t.tokenizer_of(path, eot="<stop>")

    def test_one_without_an_end_says_what_it_has(self, tmp_path, trained):
        told = json.loads(trained.path.read_text()) | {"added_tokens": []}
        with pytest.raises(UsageError, match="ends documents"):
            t.tokenizer_of(str(wrote(tmp_path, told)))

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "null", '{"model": 1}', '{"added_tokens": 3}', "\x00\xff", "[" * 9000]
    )
    def test_a_file_that_is_none_gets_one_line(self, tmp_path, text):
        path = tmp_path / "tokenizer.json"
        path.write_text(text, "latin-1")
        with pytest.raises(UnreadableError, match=r"is no tokenizer\.json") as told:
            t.tokenizer_of(str(path))
        assert "\n" not in str(told.value)


def added(content, number):
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": content, **flags, "special": True}


def wrote(folder, told):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(told))
    return path


class TestErrors:
    def test_an_unknown_name(self):
        with pytest.raises(UsageError, match=r"unknown tokenizer gpt5: expected gpt2, bytes, chars"):
            t.tokenizer_of("gpt5")

    def test_an_unknown_engine(self):
        with pytest.raises(UsageError, match="expected gigatoken or tiktoken"):
            t.tokenizer_of("gpt2", engine="tokenizers")

    def test_characters_without_an_alphabet(self):
        with pytest.raises(UsageError, match="alphabet"):
            t.tokenizer_of("chars")

    def test_a_character_that_the_alphabet_lacks(self):
        with pytest.raises(UnreadableError, match=r"U\+00E9 is not in the alphabet of 3"):
            t.tokenizer_of("chars", alphabet="abc").encode(["abé"])

    @pytest.mark.parametrize("token", [-1, 50257, 2**31])
    def test_a_token_of_another_vocabulary(self, token):
        with pytest.raises(UnreadableError, match="none of the 50,257 of gpt2"):
            t.tokenizer_of("gpt2").decode([1, token])

    def test_a_library_that_is_missing_names_the_extra(self, monkeypatch, trained):
        monkeypatch.setattr("unplateau.prepare._bpe.installed", lambda _: False)
        with pytest.raises(UnreadableError, match=r"gigatoken or tiktoken.*unplateau\[prepare\]"):
            t.tokenizer_of("gpt2")
        monkeypatch.setattr("unplateau.prepare._huggingface.installed", lambda _: False)
        with pytest.raises(UnreadableError, match=r"needs tokenizers.*unplateau\[prepare\]"):
            t.tokenizer_of(str(trained.path))

    def test_without_gigatoken_tiktoken_encodes(self, monkeypatch):
        monkeypatch.setattr("unplateau.prepare._bpe.installed", lambda package: package == "tiktoken")
        assert t.tokenizer_of("gpt2").engine.startswith("tiktoken ")


class TestCharacters:
    def test_numbers_are_those_of_nanogpt(self):
        """data/shakespeare_char/prepare.py: chars = sorted(set(data)); stoi = {c: i}."""
        text = embedded_text()[-1][1]
        chars = sorted(set(text))
        ours = t.tokenizer_of("chars", alphabet=t.alphabet_of([text]))

        assert ours.encode([text])[0].tolist() == [*map(chars.index, text), len(chars)]
        assert ours.vocab_size == len(chars) + 1

    @given(texts=st.lists(TEXTS), cut=st.integers(0, 5))
    def test_alphabets_of_parts_add_up(self, texts, cut):
        apart = [t.alphabet_of(texts[:cut]), t.alphabet_of(texts[cut:])]
        assert t.alphabet_of(apart) == t.alphabet_of(texts)


def test_what_gigatoken_remembers_is_bounded():
    """Words that never return: 40 MiB of them take some 400 MB in one engine."""
    code = (
        "import random\n"
        "letters = bytes(97 + b % 26 for b in range(256))\n"
        "from unplateau.prepare import tokenizers, _engines\n"
        "gpt2 = tokenizers.Gpt2.of('gigatoken')\n"
        "gpt2.encode(['x'])\n"
        "before, most = _engines.resident(), 0\n"
        "for seed in range(10):\n"
        "    text = random.Random(seed).randbytes(4 << 20).translate(letters).decode()\n"
        "    gpt2.encode([' '.join(text[i:i + 10] for i in range(0, len(text), 10))])\n"
        "    most = max(most, _engines.resident())\n"
        "print((most - before) >> 20)\n"
    )
    if _engines.resident() is None:
        pytest.skip("this system does not tell a process its memory in /proc")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert 10 < int(done.stdout) < 280


def test_tokens_are_the_same_when_the_engine_is_made_anew(monkeypatch):
    text = embedded_text()[0][1]
    expected = t.Gpt2.of("gigatoken").encode([text] * 3)[0]
    monkeypatch.setattr(_engines, "LOOK", 1000)
    monkeypatch.setattr(_engines, "BLIND", 2000)
    monkeypatch.setattr(_engines, "GROWN", -(1 << 40))
    for resident in (lambda: None, _engines.resident):
        monkeypatch.setattr(_engines, "resident", resident)
        loaded.cache_clear()
        assert np.array_equal(t.Gpt2.of("gigatoken").encode([text] * 3)[0], expected)


def test_importing_loads_no_library():
    code = (
        "import sys\n"
        "from unplateau.prepare import tokenizers\n"
        "assert tokenizers.tokenizer_of('gpt2').engine\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    words = done.stdout.split()

    assert "unplateau.prepare.tokenizers" in words
    assert {"gigatoken", "tiktoken", "tokenizers", "awkward"}.isdisjoint(words)
