"""From documents to shards and a manifest: the same bytes however often it is killed, and by how many workers.

Each guard was seen red once, see the docstrings.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import unplateau
from unplateau.errors import UnplateauError, UnreadableError, UsageError
from unplateau.prepare import _assemble, _locks, _stages, sources
from unplateau.prepare._executor import Local
from unplateau.prepare._plan import Options
from unplateau.prepare.filters import Filters
from unplateau.prepare.job import prepare
from unplateau.prepare.sources import Reading
from unplateau.tokens import open_shard

WORDS = [f"w{i}" for i in range(500)]
SCHEMA = json.loads((Path(unplateau.__file__).parent / "schemas" / "manifest-1.json").read_text())


def corpus(folder, documents=400, copies=40, seed=0):
    """JSONL in two files: random texts, some of them standing twice, some nearly so."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(20, 200))) for _ in range(documents)]
    texts += [texts[i] for i in range(copies)]
    texts += [texts[i] + " and one more" for i in range(copies, 2 * copies) if len(texts[i]) > 500]
    rng.shuffle(texts)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"text": t, "score": i % 5, "language": "en"}) for i, t in enumerate(texts)]
    (folder / "a.jsonl").write_text("\n".join(rows[: len(rows) // 2]))
    (folder / "b.jsonl").write_text("\n".join(rows[len(rows) // 2 :]))
    return texts


@pytest.fixture
def small(monkeypatch):
    """Many parts and many marks, though little data; syncs are counted, not waited for: power does not fail here."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(sources, "SMALLEST_PART", 8_000)
    monkeypatch.setattr(_assemble, "MARK", 20_000)


def contents(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def shard(out, name):
    return open_shard(out / name)


def options(**more):
    return Options(tokenizer="bytes", **more)


@pytest.mark.usefixtures("small")
class TestPrepare:
    def test_every_document_stands_in_one_split_in_its_order(self, tmp_path):
        texts = corpus(tmp_path / "in")

        told = prepare([str(tmp_path / "in")], tmp_path / "out", options())

        found = {}
        for split in ("train", "val", "fresh", "seen"):
            made = shard(tmp_path / "out", f"{split}-00000.bin")
            cuts = np.split(np.asarray(made.tokens), np.asarray(made.ends, np.int64)[:-1])
            found[split] = [bytes(c[:-1].astype(np.uint8)).decode() for c in cuts]
        assert sorted(found["train"] + found["val"] + found["fresh"]) == sorted(texts)
        places = [texts.index(t) for t in found["train"] if texts.count(t) == 1]
        assert places == sorted(places)
        assert set(found["seen"]) <= set(found["train"])
        assert not set(found["val"]) & set(found["train"])
        assert told["train_tokens"] == sum(len(t) + 1 for t in found["train"])
        assert told["documents"] == len(texts)

    def test_the_manifest_is_of_its_schema_and_counts_copies(self, tmp_path):
        texts = corpus(tmp_path / "in")

        told = prepare([str(tmp_path / "in")], tmp_path / "out", options(batch_tokens=1000))

        jsonschema.validate(told, SCHEMA)
        assert told == json.loads((tmp_path / "out" / "manifest.json").read_text())
        assert told["exact_duplicate_share"] == pytest.approx(40 / len(texts))
        assert told["near_duplicate_share"] == pytest.approx((len(texts) - 440) / len(texts), abs=0.01)
        assert told["one_pass"].startswith("one pass = ")
        assert sum(s["documents"] for s in told["sources"]) == len(texts)
        assert [len(s["sha256"]) for s in told["sources"]] == [64, 64]
        assert str(tmp_path / "out") not in json.dumps(told)
        assert not (tmp_path / "out" / ".work").exists()

    def test_copies_are_dropped_where_asked(self, tmp_path):
        texts = corpus(tmp_path / "in")

        told = prepare([str(tmp_path / "in")], tmp_path / "out", options(dedup="drop"))

        assert told["documents"] < len(set(texts))
        assert told["unique_tokens"] == told["train_tokens"]

    @pytest.mark.parametrize("form", ["own", "nanogpt", "llmc"])
    def test_two_workers_give_the_bytes_of_one(self, form, tmp_path):
        corpus(tmp_path / "in")
        for workers in (1, 2) if form == "own" else (1, 1):
            out = tmp_path / f"out{workers}"
            prepare([str(tmp_path / "in")], out, options(format=form), executor=Local(workers))

        assert contents(tmp_path / "out1")
        if form == "own":
            assert contents(tmp_path / "out1") == contents(tmp_path / "out2")

    def test_a_limit_takes_the_first_documents(self, tmp_path):
        texts = corpus(tmp_path / "in")
        source = [str(tmp_path / "in")]

        docs = prepare(source, tmp_path / "docs", options(limit_docs=150))
        tokens = prepare(source, tmp_path / "tokens", options(limit_tokens=20_000))

        assert docs["documents"] == 150
        assert docs["tokens"] == sum(len(t) + 1 for t in texts[:150])
        assert 20_000 <= tokens["tokens"] < 20_000 + max(map(len, texts)) + 1

    def test_filters_count_and_remove_only_where_asked(self, tmp_path):
        texts = corpus(tmp_path / "in")
        short = sum(len(t) < 200 for t in texts)
        source = [str(tmp_path / "in")]

        counted = prepare(source, tmp_path / "a", options())
        removed = prepare(source, tmp_path / "b", options(filters=Filters(active=("too-short",))))

        assert counted["filters"]["would_remove"]["too-short"] == short > 0
        assert counted["documents"] == len(texts)
        assert removed["documents"] == len(texts) - short

    def test_a_condition_on_metadata(self, tmp_path):
        texts = corpus(tmp_path / "in")

        told = prepare([str(tmp_path / "in")], tmp_path / "out", options(reading=Reading(where="score >= 3")))

        assert told["documents"] == sum(i % 5 >= 3 for i in range(len(texts)))
        assert set(told["fairness"]) >= {"tokens", "lengths", "score"}

    def test_run_again_it_does_nothing_and_changed_options_are_refused(self, tmp_path):
        corpus(tmp_path / "in")
        source, out = [str(tmp_path / "in")], tmp_path / "out"
        told = prepare(source, out, options())
        before = {p: p.stat().st_mtime_ns for p in out.iterdir()}

        assert prepare(source, out, options()) == told
        assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before
        with pytest.raises(UsageError, match="prepared otherwise"):
            prepare(source, out, options(seed=1))
        (out / "train-00000.bin").write_bytes(b"\0" * 100)
        with pytest.raises(UnreadableError, match=r"train-00000.bin is not as it was written"):
            prepare(source, out, options())

    def test_a_folder_with_something_else_is_refused(self, tmp_path):
        corpus(tmp_path / "in")
        corpus(tmp_path / "other")
        with pytest.raises(UsageError, match=r"is not empty \(it holds"):
            prepare([str(tmp_path / "in")], tmp_path / "other", options())

    def test_a_second_run_in_the_folder_is_refused(self, tmp_path):
        corpus(tmp_path / "in")
        with (
            _locks.alone(tmp_path / "out"),
            pytest.raises(UnplateauError, match="another run is working in"),
        ):
            prepare([str(tmp_path / "in")], tmp_path / "out", options())

    def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(self, tmp_path):
        corpus(tmp_path / "in")
        source = [str(tmp_path / "in")]
        prepare(source, tmp_path / "whole", options())
        for limit in (500, 5_000, 30_000):
            code = limited(source, tmp_path / "out", limit)
            assert code.returncode == 3, code.stderr
            assert "can't write" in code.stderr
            assert code.stderr.count("\n") == 1

        prepare(source, tmp_path / "out", options())
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")

    def test_a_piece_that_is_damaged_is_made_again(self, tmp_path, monkeypatch):
        corpus(tmp_path / "in")
        source = [str(tmp_path / "in")]
        prepare(source, tmp_path / "whole", options())
        with monkeypatch.context() as patch:
            patch.setattr(_stages, "choose", stop)
            with pytest.raises(KeyboardInterrupt):
                prepare(source, tmp_path / "out", options())
        hurt = sorted((tmp_path / "out" / ".work" / "pieces").iterdir())[3] / "tokens"
        hurt.write_bytes(hurt.read_bytes()[:-3] + b"abc")

        prepare(source, tmp_path / "out", options())
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")

    def test_shards_that_are_damaged_while_it_is_stopped_are_made_again(self, tmp_path, monkeypatch):
        corpus(tmp_path / "in")
        source = [str(tmp_path / "in")]
        prepare(source, tmp_path / "whole", options())
        with monkeypatch.context() as patch:
            patch.setattr(_assemble.Assembly, "close", stop)
            with pytest.raises(KeyboardInterrupt):
                prepare(source, tmp_path / "out", options())
        hurt = tmp_path / "out" / ".work" / "shards" / ".train-00000.bin.tmp"
        hurt.write_bytes(b"x" + hurt.read_bytes()[1:])

        prepare(source, tmp_path / "out", options())
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def stop(*_args, **_more):
    raise KeyboardInterrupt


CHILD = """
import resource, sys
from unplateau.cli import complain
from unplateau.errors import UnplateauError
from unplateau.prepare import _assemble, sources
from unplateau.prepare._executor import Local
from unplateau.prepare._plan import Options
from unplateau.prepare.job import prepare
from pathlib import Path
sources.SMALLEST_PART, _assemble.MARK = 8_000, 20_000
if limit := int(sys.argv[3]):
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    prepare([sys.argv[1]], Path(sys.argv[2]), Options(tokenizer="bytes", format=sys.argv[4], shard_tokens=30_000))
except UnplateauError as error:
    sys.exit(complain(str(error), error.exit_code))
"""


def limited(source, out, limit, form="own"):
    """A run whose files may not grow beyond ``limit`` bytes: what a full disk does, for one process."""
    code = CHILD.replace(", format=sys.argv[4], shard_tokens=30_000", "")
    return subprocess.run(
        [sys.executable, "-c", code, source[0], str(out), str(limit), form],
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("form", ["own", "nanogpt", "llmc"])
def test_killed_at_random_instants_it_goes_on_to_the_same_bytes(form, tmp_path):
    """Red with ``is_whole`` always true and writes in place; see ``benchmarks`` for two hundred instants."""
    corpus(tmp_path / "in")
    args = [sys.executable, "-c", CHILD, str(tmp_path / "in")]
    begin = time.monotonic()
    subprocess.run([*args, str(tmp_path / "whole"), "0", form], check=True)
    took = time.monotonic() - begin
    rng = random.Random(form)

    kills = 0
    for _ in range(6):
        child = subprocess.Popen([*args, str(tmp_path / "out"), "0", form])
        try:
            child.wait(rng.uniform(0.3, 1.0) * took)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
        else:  # it was done before: once more from the start, and sooner
            shutil.rmtree(tmp_path / "out")
            took *= 0.6
    subprocess.run([*args, str(tmp_path / "out"), "0", form], check=True)

    assert kills
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def verb(*args):
    code = "import sys; from unplateau.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], text=True, capture_output=True, check=False
    )


def test_the_verb_prepares_and_prints_the_manifest(tmp_path):
    corpus(tmp_path / "in")

    done = verb("prepare", tmp_path / "in", "--out", tmp_path / "out", "--tokenizer", "bytes", "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert json.loads(done.stderr.splitlines()[-1])["stage"] == "write"


@pytest.mark.parametrize(
    ("args", "code", "line"),
    [
        (["nothing.jsonl", "--out", "out"], 3, "no such file or folder: nothing.jsonl"),
        (["in"], 2, "prepare wants SOURCE... --out DIR"),
        (["in", "--out", "out", "--format", "npy"], 2, "--format wants one of own, nanogpt, llmc"),
        (["in", "--out", "out", "--tokenizer", "word2vec"], 2, "unknown tokenizer word2vec"),
        (["in", "--out", "out", "--where", "import os"], 2, "--where 'import os' is no condition"),
        (["in", "--out", "out", "--where", "stars > 3"], 3, "has no column 'stars'; found:"),
        (
            ["in", "--out", "out", "--workers", "0"],
            2,
            "Invalid value for '--workers': 0 is not in the range x>=1",
        ),
        (["in", "--out", "out", "--filter", "boring"], 2, "no filter is called 'boring'"),
        (["--manifest-only", "nothing"], 3, "nothing"),
        (["in", "--manifest-only", "in"], 2, "--manifest-only counts in alone"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_a_wrong_call_is_one_line_with_its_exit_code(args, code, line, tmp_path, monkeypatch):
    corpus(tmp_path / "in")
    monkeypatch.chdir(tmp_path)

    done = verb("prepare", *args)

    assert done.returncode == code, done.stderr
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


INSTANTS = ("replace", "fsync", "rename", "unlink", "mkdir")


@pytest.mark.parametrize("form", ["own", "llmc"])
@pytest.mark.usefixtures("small")
def test_stopped_before_each_change_of_the_disk_it_goes_on_to_the_same_bytes(form, tmp_path, monkeypatch):
    """Every rename, sync and removal of a small job is a place to be killed at: here an exception that nobody catches."""
    corpus(tmp_path / "in", documents=60, copies=6)
    source, asked = [str(tmp_path / "in")], options(format=form, shard_tokens=8_000)
    prepare(source, tmp_path / "whole", asked)
    whole = contents(tmp_path / "whole")
    total = count_changes(lambda: prepare(source, tmp_path / "count", asked), monkeypatch)

    assert total > 50
    for instant in range(0, total, max(1, total // 40)):
        out = tmp_path / f"out{instant}"
        with monkeypatch.context() as patch:
            dying(patch, instant)
            with pytest.raises(Killed):
                prepare(source, out, asked)
        prepare(source, out, asked)
        assert contents(out) == whole, instant


class Killed(BaseException):
    pass


def dying(patch, instant):
    """From the ``instant``-th change on, every change of the disk raises: nothing is tidied up, as by SIGKILL."""
    seen = [0]

    def guard(real):
        def change(*args, **more):
            seen[0] += 1
            if seen[0] > instant:
                raise Killed
            return real(*args, **more)

        return change

    for name in INSTANTS:
        patch.setattr(os, name, guard(getattr(os, name)))
    patch.setattr("shutil.rmtree", guard(__import__("shutil").rmtree))
    return seen


def count_changes(function, monkeypatch):
    with monkeypatch.context() as patch:
        seen = dying(patch, 10**9)
        function()
    return seen[0]
