"""CPU seconds to read a TensorBoard event file of 975,000 points (50 MB), against tbparse where installed.

Run: ``python benchmarks/tensorboard.py [--points 975000] [--peer PYTHON]``; PYTHON is an interpreter that
has tensorboard and tbparse, by default this one.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

TAGS = (b"train/loss", b"train/lr__", b"grad_norm_")  # of one length: the hardest case for a reader by length
OURS = """
import resource, sys
from pathlib import Path
from unplateau.readers import Options
from unplateau.readers.tensorboard import READER
from unplateau.source import Source
(run,) = READER.read(Source(Path(sys.argv[1])), Options())
print(sum(len(c) for c in run.series.values()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
EVENTS = """
import resource, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
acc = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
acc.Reload()
print(sum(len(acc.Scalars(t)) for t in acc.Tags()["scalars"]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
TBPARSE = """
import resource, sys
from tbparse import SummaryReader
print(len(SummaryReader(sys.argv[1]).scalars), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def masked(data: bytes) -> int:
    from crc32c import crc32c

    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def record(event: bytes) -> bytes:
    size = struct.pack("<Q", len(event))
    return size + struct.pack("<I", masked(size)) + event + struct.pack("<I", masked(event))


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def scalar(tag: bytes, step: int, value: float, wall: float) -> bytes:
    inner = b"\x0a" + bytes([len(tag)]) + tag + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(inner)]) + inner
    return record(
        b"\x09" + struct.pack("<d", wall) + b"\x10" + varint(step) + b"\x2a" + bytes([len(summary)]) + summary
    )


def generate(path: Path, points: int) -> None:
    chance = random.Random(0)
    with path.open("wb") as file:
        file.write(record(b"\x09" + struct.pack("<d", 1.7e9) + b"\x1a\x0dbrain.Event:2"))
        for i in range(points):
            step, tag = divmod(i, len(TAGS))
            file.write(scalar(TAGS[tag], step + 1, 3.0 + chance.gauss(0, 0.1), 1.7e9 + i * 0.3))


def measure(name: str, python: str, code: str, path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "upb"}
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, str(path)], capture_output=True, text=True, env=env, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        print(f"{name:18s} not run: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return
    points, peak = done.stdout.split()[-2:]
    print(f"{name:18s} {cpu:6.2f} CPU s  {int(points):>9,} points  peak {int(peak) / 1024:6.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=975_000)
    parser.add_argument("--peer", default=sys.executable)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.out.tfevents.1700000000.host"
        generate(path, options.points)
        print(f"{path.stat().st_size / 1e6:.1f} MB, {options.points:,} points")
        measure("unplateau", sys.executable, OURS, path)
        measure("EventAccumulator", options.peer, EVENTS, path)
        measure("tbparse", options.peer, TBPARSE, path)


if __name__ == "__main__":
    main()
