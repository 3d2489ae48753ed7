"""Beyond one machine: shares of a job, tasks of Ray, and the same bytes however the work was divided."""

import contextlib
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from test_docs_prepare import TEXTS, fineweb
from test_prepare_job import contents, corpus, options, stop
from unplateau.errors import UnplateauError, UnreadableError, UsageError
from unplateau.prepare import _assemble, _locks, _shares, _stages, sources, work
from unplateau.prepare._executor import Local
from unplateau.prepare._shares import Share, share_of
from unplateau.prepare.job import prepare, prepare_share


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Many parts and many marks, though little data."""
    monkeypatch.setattr(sources, "SMALLEST_PART", 8_000)
    monkeypatch.setattr(_assemble, "MARK", 20_000)


@pytest.fixture
def source(tmp_path):
    corpus(tmp_path / "in")
    return [str(tmp_path / "in")]


def shares(source, out, of, asked=None, **more):
    return [prepare_share(source, out, Share(k, of), asked or options(), **more) for k in reversed(range(of))]


def merge(source, out, asked=None):
    return prepare(source, out, asked or options(), merge=True)


class TestShares:
    @pytest.mark.parametrize("of", [1, 3, 100])
    def test_shares_and_a_merge_give_the_bytes_of_one_run(self, of, source, tmp_path):
        prepare(source, tmp_path / "whole", options(format="nanogpt"))

        made = shares(source, tmp_path / "out", of, options(format="nanogpt"))
        merge(source, tmp_path / "out", options(format="nanogpt"))

        assert contents(tmp_path / "out") == contents(tmp_path / "whole")
        assert [len(one.left) for one in made] == sorted((len(one.left) for one in made), reverse=True)
        assert made[-1].left == ()

    def test_each_part_is_made_once_and_by_its_own_share(self, source, tmp_path, monkeypatch):
        made = []
        monkeypatch.setattr(
            work, "made", lambda w, part, real=work.made: made.append(part.number) or real(w, part)
        )

        shares(source, tmp_path / "out", 3)
        in_shares, made[:] = list(made), []
        merge(source, tmp_path / "out")

        assert [n % 3 for n in in_shares] == sorted((n % 3 for n in in_shares), reverse=True)
        assert len(in_shares) == len(set(in_shares)) > 10
        assert made == []

    @pytest.mark.parametrize("limit", [{"limit_docs": 90}, {"limit_tokens": 40_000}])
    def test_a_limit_holds_and_shares_don_t_read_far_beyond_it(self, limit, source, tmp_path):
        asked = options(**limit)
        told = prepare(source, tmp_path / "whole", asked)

        made = shares(source, tmp_path / "out", 3, asked)
        merge(source, tmp_path / "out", asked)

        assert contents(tmp_path / "out") == contents(tmp_path / "whole")
        assert told["read"]["parts"] <= sum(one.parts for one in made) < told["read"]["of_parts"]

    def test_of_shares_side_by_side_each_ends_where_the_others_have_enough(self, source, tmp_path):
        asked = options(limit_docs=90)
        needed = prepare(source, tmp_path / "whole", asked)["read"]["parts"]
        first = [prepare_share(source, tmp_path / "out", Share(k, 99), asked) for k in range(needed)]
        rest = [prepare_share(source, tmp_path / "out", Share(k, 99), asked) for k in (needed, needed + 1)]

        assert [one.parts for one in first] == [1] * needed
        assert [one.parts for one in rest] == [0, 0]
        assert rest[-1].left == ()

    @pytest.mark.parametrize("more", [{"train_bpe": 300}, {"tokenizer": "chars"}])
    def test_what_is_learnt_is_learnt_by_the_first_and_the_same_as_alone(
        self, more, source, tmp_path, monkeypatch
    ):
        asked = _stages.Options(**more)
        prepare(source, tmp_path / "whole", asked)
        prepare_share(source, tmp_path / "out", Share(1, 2), asked)
        monkeypatch.setattr("unplateau.prepare.job.train_bpe", stop)
        monkeypatch.setattr(work, "alphabet", stop)

        prepare_share(source, tmp_path / "out", Share(0, 2), asked)
        merge(source, tmp_path / "out", asked)

        assert contents(tmp_path / "out") == contents(tmp_path / "whole")

    def test_a_share_that_was_killed_goes_on_and_lets_others_work(self, source, tmp_path, monkeypatch):
        prepare(source, tmp_path / "whole", options())
        out, made = tmp_path / "out", []

        def one_of_many(w, part, real=work.made):
            if len(made) == 2:
                beside = out / ".work" / "pieces" / f".{part.number:06d}.0123456789abcdef"
                beside.mkdir()
                raise KeyboardInterrupt
            made.append(part.number)
            return real(w, part)

        with monkeypatch.context() as patch:
            patch.setattr(work, "made", one_of_many)
            with pytest.raises(KeyboardInterrupt):
                prepare_share(source, out, Share(0, 2), options())
        (left,) = (out / ".work" / "pieces").glob(".*")
        prepare_share(source, out, Share(1, 2), options())
        assert left.exists(), "it may be another share's, at work"

        again = prepare_share(source, out, Share(0, 2), options())
        assert not left.exists()
        assert again.left == ()
        merge(source, out)
        assert contents(out) == contents(tmp_path / "whole")

    def test_a_merge_that_was_killed_goes_on_and_shares_then_have_nothing_to_do(
        self, source, tmp_path, monkeypatch
    ):
        prepare(source, tmp_path / "whole", options())
        shares(source, tmp_path / "out", 2)
        with monkeypatch.context() as patch:
            patch.setattr(_assemble.Assembly, "close", stop)
            with pytest.raises(KeyboardInterrupt):
                merge(source, tmp_path / "out")

        assert prepare_share(source, tmp_path / "out", Share(1, 2), options()).merged
        merge(source, tmp_path / "out")
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")
        assert prepare_share(source, tmp_path / "out", Share(1, 2), options()).merged
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")

    def test_a_merge_names_the_shards_that_are_missing(self, source, tmp_path):
        with pytest.raises(UnplateauError, match="--merge found no shards: make them with --shard 0/N"):
            merge(source, tmp_path / "out")
        prepare_share(source, tmp_path / "out", Share(2, 4), options())

        with pytest.raises(
            UnplateauError, match=r"--merge lacks .* parts: first run --shard I/4 for I = 0, 1, 3$"
        ):
            merge(source, tmp_path / "out")

        with contextlib.suppress(KeyboardInterrupt):
            shares(source, tmp_path / "out", 4)
        (lost,) = (tmp_path / "out" / ".work" / "pieces").glob("000005")
        lost.rename(tmp_path / "lost")
        with pytest.raises(
            UnplateauError, match=r"--merge lacks 1 of \d+ parts: first run --shard I/4 for I = 1$"
        ):
            merge(source, tmp_path / "out")

    def test_a_second_process_at_a_share_and_a_run_beside_shares_are_refused(self, source, tmp_path):
        out = tmp_path / "out"
        prepare_share(source, out, Share(0, 2), options())
        with (
            _locks.together(out),
            _shares.taken(out / ".work", Share(1, 2)),
        ):
            with pytest.raises(UnplateauError, match="shard 1/2 is being made by another process"):
                prepare_share(source, out, Share(1, 2), options())
            prepare_share(source, out, Share(0, 2), options())
            with pytest.raises(UnplateauError, match="another run is working in"):
                merge(source, out)
        with _locks.alone(out), pytest.raises(UnplateauError, match="a run without --shard is working in"):
            prepare_share(source, out, Share(1, 2), options())

    def test_another_number_of_shares_or_other_options_are_refused(self, source, tmp_path):
        prepare_share(source, tmp_path / "out", Share(0, 2), options())

        with pytest.raises(UsageError, match="was begun in 2 shares; found --shard 1/3"):
            prepare_share(source, tmp_path / "out", Share(1, 3), options())
        with pytest.raises(UsageError, match="holds an unfinished run with other sources or options"):
            prepare_share(source, tmp_path / "out", Share(1, 2), options(seed=1))

    def test_one_run_finishes_what_shares_began(self, source, tmp_path):
        prepare(source, tmp_path / "whole", options())
        prepare_share(source, tmp_path / "out", Share(0, 2), options())

        prepare(source, tmp_path / "out", options(), executor=Local(2))

        assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "text", ["", "3", "20/20", "-1/4", "1/0", "0/0", "a/b", "1.5/3", "1/3/5", "0/9999999", "²/3"]
)
def test_nonsense_is_no_share(text):
    with pytest.raises(UsageError, match="--shard wants I/N with I from 0 to N-1"):
        share_of(text)


CHILD = """
import sys
from pathlib import Path
from unplateau.prepare import sources
from unplateau.prepare._plan import Options
from unplateau.prepare._shares import share_of
from unplateau.prepare.job import prepare_share
sources.SMALLEST_PART = 8_000
made = prepare_share([sys.argv[1]], Path(sys.argv[2]), share_of(sys.argv[3]), Options(train_bpe=300))
print(made.parts)
"""


def test_shares_that_begin_at_the_same_time_don_t_disturb_each_other(source, tmp_path):
    """Red without the lock around what is learnt and signed: they then write one file beside each other."""
    asked = _stages.Options(train_bpe=300)
    prepare(source, tmp_path / "whole", asked)

    args = [sys.executable, "-c", CHILD, source[0], str(tmp_path / "out")]
    children = [subprocess.Popen([*args, f"{k}/4"], stdout=subprocess.PIPE, text=True) for k in range(4)]
    made = [child.communicate()[0] for child in children]

    assert [child.returncode for child in children] == [0] * 4
    heads = list((tmp_path / "out" / ".work" / "pieces").glob("*/piece.json"))
    assert len(heads) == sum(map(int, made)) == len(list((tmp_path / "out" / ".work" / "pieces").iterdir()))
    merge(source, tmp_path / "out", asked)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


PAGE = (Path(__file__).parents[1] / "docs" / "prepare.md").read_text(encoding="utf-8")

SMALL = """
import sys
from unplateau.cli import main
from unplateau.prepare import sources
sources.SMALLEST_PART = 8_000
if __name__ == "__main__":
    sys.exit(main())
"""


def test_the_script_for_slurm_on_the_page_works_as_it_stands_there(tmp_path):
    """A loop stands for Slurm, which tells a task's number in its environment, and none to what runs alone."""
    (script,) = re.findall(r"^```bash\n(#!/bin/bash\n#SBATCH.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert "SHARDS=20" in script
    (tmp_path / "prepare.sbatch").write_text(script.replace("SHARDS=20", "SHARDS=3"))
    (tmp_path / "unplateau").write_text(f"#!{sys.executable}\n{SMALL}")
    (tmp_path / "unplateau").chmod(0o755)
    for number in range(20):
        fineweb.write(TEXTS[number::20], fineweb.place(tmp_path, number, sample="100BT"), seed=number)
    here = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "1"}

    def task(**number):
        how = {"cwd": tmp_path, "env": here | number, "text": True, "capture_output": True}
        return subprocess.run(["bash", "prepare.sbatch"], check=False, **how)

    early = task()
    made = [task(SLURM_ARRAY_TASK_ID=str(number)) for number in range(3)]
    done = task()

    assert (early.returncode, early.stderr.count("\n")) == (3, 1), early.stderr
    assert [(one.returncode, one.stdout[:9]) for one in made] == [(0, f"shard {n}/3") for n in range(3)], made
    assert " ".join(made[0].stdout.split()).endswith("; shards still to be made: 1, 2")
    assert " ".join(made[2].stdout.split()).endswith("; all are made: now the same with --merge")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "nanoGPT" / "data" / "fineweb20" / "train.bin").stat().st_size > 100_000


ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed: 240 MB")


class TestRay:
    @ray
    def test_tasks_of_ray_give_the_bytes_of_one_process(self, source, tmp_path):
        from unplateau.prepare._ray import Ray

        prepare(source, tmp_path / "whole", options(), executor=Local(1))
        with Ray(tmp_path / "out", 2) as executor:
            prepare(source, tmp_path / "out", options(), executor=executor)

        assert contents(tmp_path / "out") == contents(tmp_path / "whole")

    @ray
    def test_results_come_in_order_errors_as_they_are_and_a_lost_worker_is_replaced(self, tmp_path):
        from unplateau.prepare._ray import Ray

        with Ray(tmp_path, 2) as executor:
            assert list(executor.map(abs, range(-20, 0))) == list(range(20, 0, -1))
            with pytest.raises(UsageError, match="--shard wants I/N"):
                list(executor.map(share_of, ["1/2", "2/1"]))
            assert list(executor.map(dying_once, [tmp_path / "mark", tmp_path / "mark"])) == [1, 1]
            executor.out = tmp_path / "gone"
            with pytest.raises(UnreadableError, match="gone: all machines need the same folders"):
                list(executor.map(abs, [1]))

    def test_without_ray_one_line_names_the_extra(self, tmp_path, monkeypatch):
        from unplateau.prepare._ray import Ray

        monkeypatch.setitem(sys.modules, "ray", None)
        with (
            Ray(tmp_path) as executor,
            pytest.raises(UnreadableError, match=r"--executor ray needs Ray.*unplateau\[ray\]"),
        ):
            executor.map(abs, [1])


def dying_once(mark):
    """Ends its process at the first call, as the system does for want of memory."""
    if not mark.exists():
        mark.touch()
        os._exit(9)
    return 1
