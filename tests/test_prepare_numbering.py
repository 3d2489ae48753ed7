"""What a manifest counts beyond frequencies: val under other token numbers, and random tokens mixed into a text.

Mutations that these caught: the pair model not asked whether it knows a block that is set back (letters of another alphabet
were then called another tokenizer's); all numbers set back instead of those above one (a letter more was then not found);
the rarest followers counted on the text that chose them (noise was then half of what it is).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from unplateau.manifest import facts_of, read_manifest
from unplateau.prepare._bigram import counted, pairs_from, pairs_of
from unplateau.prepare._fair import Text
from unplateau.prepare._numbering import numbering
from unplateau.prepare.embedded import embedded_text
from unplateau.prepare.manifest_only import make_manifest

TEXT = "\n".join(text for _, text in embedded_text())[:1_600_000]
BLOCK = 4000
RNG = np.random.default_rng(3)


def split(text, share=0.1):
    """Blocks from all over a text as val, the rest as train."""
    blocks = [text[i : i + BLOCK] for i in range(0, len(text), BLOCK)]
    held = np.random.default_rng(0).random(len(blocks)) < share
    return ["".join(b for b, out in zip(blocks, held, strict=True) if out == want) for want in (False, True)]


def letters(*texts):
    alphabet = {c: i for i, c in enumerate(sorted(set("".join(texts))))}
    return [np.array([alphabet[c] for c in text], np.uint16) for text in texts]


def words(*texts):
    """A number for each of the 700 most frequent words and one for all others, in the order of their letters."""
    kinds, times = np.unique(" ".join(texts).split(" "), return_counts=True)
    known = {w: i + 1 for i, w in enumerate(sorted(kinds[np.argsort(-times)][:700].tolist()))}
    return [np.array([known.get(w, 0) for w in text.split(" ")], np.uint16) for text in texts]


def found(train, val):
    vocab = max(int(train.max()), int(val.max())) + 1
    pairs = counted(Text([train]), vocab, np.random.default_rng(0))
    return numbering(Text([train]), Text([val]), np.bincount(train, minlength=vocab), pairs)


class TestNumbers:
    @pytest.mark.parametrize("tokens", [letters, words])
    @pytest.mark.parametrize(("by", "share"), [(1, 1.0), (-1, 0.3), (3, 0.3), (40, 0.15)])
    def test_blocks_whose_numbers_are_off_are_found_with_their_offset(self, tokens, by, share):
        train, val = tokens(*split(TEXT))
        off = val.copy()
        end = round(share * len(val))
        off[:end] = np.maximum(off[:end].astype(int) + by, 0)
        told = found(train, off)

        assert told.share > told.chance
        assert told.offset == by
        assert told.share == pytest.approx(share, abs=0.2)

    @pytest.mark.parametrize("above", [5, 30])
    def test_numbers_that_are_off_above_one_are_found(self, above):
        """A vocabulary with a letter more: all after it are one further on."""
        train, val = letters(*split(TEXT))
        told = found(train, np.where(val >= above, val + 1, val).astype(np.uint16))

        assert told.share > told.chance
        assert told.offset == 1

    @pytest.mark.parametrize("tokens", [letters, words])
    def test_a_val_with_trains_numbers_is_cleared(self, tokens):
        told = found(*tokens(*split(TEXT)))

        assert told.share <= told.chance
        assert told.chance < 0.1

    def test_another_text_is_no_other_numbering(self):
        cyrillic = TEXT.translate(
            {ord(c): chr(0x410 + (ord(c) * 7) % 64) for c in "abcdefghijklmnopqrstuvwxyz"}
        )
        table = "\n".join(",".join(f"{x:.2f}" for x in row) for row in RNG.normal(50, 20, (3000, 6)))
        encoded = base64.encodebytes(RNG.bytes(80_000)).decode()
        source = "".join(Path(module.__file__).read_text("utf-8") for module in (json, pytest, np, base64))
        for other in (cyrillic[:100_000], table, encoded, source, TEXT[:100_000].upper()[::-1]):
            told = found(*letters(split(TEXT)[0], other))

            assert told.share <= told.chance

    def test_too_little_text_tells_nothing(self):
        train, val = letters(*split(TEXT[:40_000]))

        assert found(train, val) is None


def random_share(tokens):
    told = pairs_of(Text([tokens]), Text([tokens[:1]]), int(tokens.max()) + 1).rare
    return None if told is None or told.share is None else told.share


class TestRandomTokens:
    @pytest.mark.parametrize("tokens", [letters, words])
    @pytest.mark.parametrize("share", [0.1, 0.4])
    def test_their_share_is_told(self, tokens, share):
        (text,) = tokens(TEXT)
        noise = RNG.integers(0, int(text.max()) + 1, len(text))
        told = random_share(np.where(RNG.random(len(text)) < share, noise, text).astype(np.uint16))

        assert told.value == pytest.approx(share, abs=0.06)
        assert told.low < told.value < told.high

    def test_text_code_tables_and_base64_within_them_have_none(self):
        table = "\n".join("\t".join(map(str, row)) for row in RNG.integers(0, 10_000, (8000, 5)))
        encoded = base64.encodebytes(RNG.bytes(90_000)).decode()
        source = "".join(path.read_text("utf-8") for path in Path(np.__file__).parent.glob("lib/*.py"))
        mixture = "".join(TEXT[i : i + 3000] + encoded[i : i + 3000] for i in range(0, 120_000, 3000))
        for text in (TEXT, TEXT[:300_000] + table, source, mixture):
            assert random_share(letters(text)[0]).value < 0.02

    def test_of_an_alphabet_of_digits_nothing_is_said(self):
        assert random_share(RNG.integers(0, 12, 100_000).astype(np.uint16)) is None

    def test_it_is_kept_with_the_pairs(self):
        (text,) = letters(TEXT[:200_000])
        told = pairs_of(Text([text]), Text([text[:1]]), int(text.max()) + 1)

        assert pairs_from(json.loads(json.dumps(told.as_dict()))).rare == told.rare


class TestTheManifest:
    def test_it_holds_both_and_the_schema_knows_them(self, tmp_path):
        from importlib.resources import files

        train, val = letters(*split(TEXT))
        for name, tokens in (("train", train), ("val", val + np.uint16(1))):
            tokens.tofile(tmp_path / f"{name}.bin")
        told = make_manifest(tmp_path)
        (tmp_path / "manifest.json").write_text(json.dumps(told))
        facts = read_manifest(tmp_path)
        schema = json.loads((files("unplateau") / "schemas/manifest-1.json").read_text())
        jsonschema.validate(told, schema)

        assert facts["val_renumbered"].value > 0.8
        assert facts["val_offset"].value == 1
        assert facts["random_share"].value < 0.01
        assert any("numbers that are +1 off" in note for note in told["notes"])

    def test_an_offset_may_be_negative_and_what_is_no_share_is_left_out(self):
        facts = facts_of({"val_offset": -3, "val_renumbered": 1.5, "random_share": "much"}, "manifest.json")

        assert {name: fact.value for name, fact in facts.items()} == {"val_offset": -3}
