"""Whether gigatoken gives the tokens of tiktoken: for every code point of Unicode, and for fuzzed texts.

    python benchmarks/tokenizing.py [--texts 60000] [--seed 0]

Each code point but halves of pairs stands alone, after a space, within a word, and beside its neighbours of the same
block; fuzzed texts mix all classes of characters with what GPT-2's rule of splitting turns on. Prints how many differ as
``prepare`` uses the engines, and how many would if letters newer than Unicode 16 were not left to tiktoken.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np

from unplateau.prepare._engines import Encode, Gigatoken
from unplateau.prepare._gpt2 import Gpt2, gpt2_definition

HALVES = range(0xD800, 0xE000)  # no UTF-8 holds them
AROUND = ("{}", " {}", "a{}b", "{}{}", " {}'s 1{}\n{}")
NEIGHBOURS = 8  # code points in a row
TURNS = [
    *"'sdmtllvereSDMT \n\t\r\x0b\x85\u00a0\u2003\u3000.,!?-_=#<|>09",
    " '",
    "'ll",
    "  ",
    "\n\n",
    "<|endoftext|>",
]
BLOCKS = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x600), (0x900, 0x1100), (0x2000, 0x2C00), (0x3000, 0xA000)]
BLOCKS += [(0xAC00, 0xD7A4), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x34000), (0xE0000, 0x110000)]
LONGEST = 40  # pieces of a fuzzed text
NAMED = 5  # differences that are shown


def code_points() -> Iterator[str]:
    """Every code point by itself and among others."""
    points = [chr(p) for p in range(sys.maxunicode + 1) if p not in HALVES]
    yield from (around.replace("{}", c) for c in points for around in AROUND)
    yield from ("".join(points[i : i + NEIGHBOURS]) for i in range(0, len(points), NEIGHBOURS))


def fuzzed(seed: int) -> Iterator[str]:
    """Texts without end."""
    rng = random.Random(seed)
    while True:
        pieces = [
            rng.choice(TURNS) if rng.random() < 0.5 else chr(rng.randrange(*rng.choice(BLOCKS)))
            for _ in range(rng.randint(1, LONGEST))
        ]
        yield "".join(pieces)


def differing(texts: Iterable[str], one: Encode, other: Encode) -> tuple[int, list[str]]:
    """How many texts there are, and those on which two engines differ."""
    count, found = 0, []
    for text in texts:
        count += 1
        if not np.array_equal(one(text), other(text)):
            found.append(text)
    return count, found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--texts", type=int, default=60_000, help="fuzzed texts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points", type=int, help="texts of code points, from the first on; all by default")
    given = parser.parse_args()
    fast, slow = Gpt2.of("gigatoken"), Gpt2.of("tiktoken")
    print(f"{fast.engine} beside {slow.engine}")

    def compared(name: str, engine: Encode) -> int:
        texts = chain(islice(code_points(), given.points), islice(fuzzed(given.seed), given.texts))
        count, found = differing(texts, engine, slow.load())
        print(f"  {name}: {len(found):,} of {count:,} texts differ", *map(ascii, found[:NAMED]))
        return len(found)

    compared("gigatoken alone", Gigatoken(gpt2_definition()))
    sys.exit(1 if compared("as prepare uses it", fast.load()) else 0)


if __name__ == "__main__":
    main()
