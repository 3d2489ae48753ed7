"""What a job holds in memory does not grow with what it reads.

Seen red once: all pieces' tokens kept until the shards are closed (grows by 89 MB, where it grows by 5).
"""

import json
import random
import subprocess
import sys

import pytest

CHILD = """
import resource, sys
from pathlib import Path
from unplateau.prepare._plan import Options
from unplateau.prepare.job import prepare
told = prepare([sys.argv[1]], Path(sys.argv[2]), Options(tokenizer="bytes", dedup="off"))
print(told["tokens"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
DOCUMENT = 20_000  # characters: so few documents that what is kept of each counts for nothing
SMALL, TIMES = 500, 8  # documents, in each of the files
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes that ru_maxrss counts in


def prepared(folder, files):
    """Tokens, and bytes resident at most, of a process that prepares so many files."""
    rng = random.Random(0)
    (folder / "in").mkdir(parents=True)
    words = [f"w{i}" for i in range(5000)]
    base = [" ".join(rng.choices(words, k=DOCUMENT // 6)) for _ in range(50)]
    for file in range(files):
        texts = (f"{file} {k} {base[k % 50]}" for k in range(SMALL))
        (folder / "in" / f"{file}.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
    args = [sys.executable, "-c", CHILD, str(folder / "in"), str(folder / "out")]
    done = subprocess.run(args, capture_output=True, text=True, check=True)
    tokens, most = map(int, done.stdout.split())
    return tokens, most * UNIT


@pytest.mark.skipif(sys.platform == "win32", reason="no resource usage there")
def test_memory_does_not_grow_with_the_input(tmp_path):
    tokens, most = prepared(tmp_path / "small", 1)
    more_tokens, more = prepared(tmp_path / "large", TIMES)

    grown = 2 * (more_tokens - tokens)  # bytes of the tokens alone
    assert more_tokens > (TIMES - 0.5) * tokens
    assert more - most < grown / 3
