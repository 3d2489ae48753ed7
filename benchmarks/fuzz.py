"""Hostile inputs through ``choose()`` and ``read``: the slowest, what was raised, and the peak of memory.

Run: ``python benchmarks/fuzz.py [--inputs 100000] [--seed 0] [--limit 10]``. Each input is a golden sample of
``tests/logs`` that was cut, flipped, repeated or spliced with another, or bytes made up. It goes to the reader that
claims it and to one that doesn't. Anything raised but an ``UnplateauError`` is printed with the seed of its input
(``--only SEED`` runs that one again), and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from unplateau.errors import UnplateauError
from unplateau.plugins import discover
from unplateau.readers import Options, Reader, choose
from unplateau.source import Source

LOGS = Path(__file__).parents[1] / "tests" / "logs"
LARGEST = 200_000  # bytes of a mutated input
JUNK = (
    *(
        b"nan",
        b"-nan",
        b"inf",
        b"1e400",
        b"-1e400",
        b"1" + b"0" * 18,
        b"9" * 400,
        b"-1",
        b"0",
        b"",
        b"1_0",
        b"\xd9\xa3",
    ),
    *(
        b"\x1b[31m",
        b"\x1b[2K\r",
        b"\x1b]0;title\x07",
        b"\x1b[" + b"9" * 99,
        b"\0",
        b"\r",
        b"\r\n",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"'",
        b"|",
        b"=",
        b",",
        b":",
        b"\t",
        b" " * 300,
        b"%s{}",
        b"\xe2\x80\xa8",
        b"null",
    ),
)
CHARACTERS = b"a0 {[\"|=,:.-e\t'/"


class TooSlow(BaseException):
    """The limit for one input is over; no reader catches it."""


def seeds() -> list[bytes]:
    """The golden samples of all readers."""
    return [
        p.read_bytes()[:LARGEST] for p in sorted(LOGS.glob("*/*")) if p.is_file() and "expected" not in p.name
    ]


def mutated(chance: random.Random, samples: list[bytes]) -> bytes:
    """One hostile input."""
    if chance.random() < 0.05:
        return made_up(chance)
    data = chance.choice(samples)
    for _ in range(chance.randint(1, 6)):
        data = chance.choice(MUTATIONS)(chance, data, samples)[:LARGEST]
    return data


def made_up(chance: random.Random) -> bytes:
    kind, size = chance.randrange(3), chance.randint(0, 20_000)
    if kind == 0:
        return chance.randbytes(size)
    if kind == 1:
        return bytes([chance.choice(CHARACTERS)]) * size
    return b"".join(chance.choice((*JUNK, b"step 1", b"loss: ", b" 3.5", b"\n")) for _ in range(size // 10))


def _flip(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:  # noqa: ARG001
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8) if data else 0):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:  # noqa: ARG001
    a, b = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    return chance.choice((data[a:b], data[:b], data[a:], data[:a] + data[b:]))


def _repeat(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:  # noqa: ARG001
    a = chance.randint(0, len(data))
    part = data[a : a + chance.randint(1, 2000)]
    return data[:a] + part * chance.randint(1, 20) + data[a:]


def _splice(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:
    other = chance.choice(samples)
    a, b = chance.randint(0, len(data)), chance.randint(0, len(other))
    return data[:a] + other[b : b + chance.randint(1, 5000)] + data[a:]


def _shuffle(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:
    lines = data.split(b"\n") + chance.choice(samples).split(b"\n")[:50]
    chance.shuffle(lines)
    return b"\n".join(lines)


def _insert(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:  # noqa: ARG001
    for _ in range(chance.randint(1, 10)):
        a = chance.randint(0, len(data))
        data = data[:a] + chance.choice(JUNK) + data[a:]
    return data


def _number(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:  # noqa: ARG001
    """A digit somewhere becomes another number."""
    places = [i for i in range(len(data)) if 48 <= data[i] <= 57]
    for i in sorted(chance.sample(places, min(len(places), 5)), reverse=True):
        data = data[:i] + chance.choice(JUNK[:11]) + data[i + 1 :]
    return data


def _join(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:  # noqa: ARG001
    return data.replace(b"\n", chance.choice((b" ", b"", b"\r", b"\0")))


def _pack(chance: random.Random, data: bytes, samples: list[bytes]) -> bytes:  # noqa: ARG001
    packed = gzip.compress(data, 1)
    return packed[: chance.randint(1, len(packed))] if chance.random() < 0.5 else packed


Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]
MUTATIONS: tuple[Mutation, ...] = (_flip, _cut, _repeat, _splice, _shuffle, _insert, _number, _join, _pack)


def check(path: Path, also: Reader | None = None) -> int:
    """Read ``path`` by the reader that claims it, and by ``also``; points read. Only errors of others are raised."""
    points = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reader in (choose_quietly(path), also):
            if reader is None:
                continue
            with contextlib.suppress(UnplateauError):
                runs = reader.read(Source(path), Options())
                points += sum(len(c) for run in runs for c in run.series.values())
    return points


def choose_quietly(path: Path) -> Reader | None:
    try:
        return choose(Source(path))
    except UnplateauError:
        return None


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise ``TooSlow`` inside after so many seconds."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise TooSlow

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the one input of this seed, with its traceback")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for one input")
    options = parser.parse_args()
    samples, readers = seeds(), list(discover("readers").values())
    slowest, failed, points = (0.0, -1), 0, 0
    numbers = (
        [options.only] if options.only is not None else range(options.seed, options.seed + options.inputs)
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.log"
        for number in numbers:
            chance = random.Random(number)
            path.write_bytes(mutated(chance, samples))
            start = time.process_time()
            try:
                with limited(options.limit):
                    points += check(path, chance.choice(readers))
            except (Exception, TooSlow) as error:  # noqa: BLE001 - whatever it is, it is a finding
                failed += 1
                where = traceback.extract_tb(error.__traceback__)[-1]
                print(
                    f"seed {number}: {type(error).__name__}: {error} at {Path(where.filename).name}:{where.lineno}"
                )
                if options.only is not None:
                    traceback.print_exc()
            slowest = max(slowest, (time.process_time() - start, number))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(numbers):,} inputs in {time.process_time() - began:.0f} CPU s, {points:,} points read")
    print(
        f"{failed} raised what no reader may; slowest {slowest[0]:.2f} s (seed {slowest[1]}); peak {peak:.0f} MiB"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
