"""Of every sample log, of every format: watched while it is written, it is read in the end as it is read as a whole.

Seen red: without the reading of what has settled (spots.py, ``_unread`` not looked at), tables of several runs and logs
that end in words lack their end.
"""

from pathlib import Path

import pytest

from unplateau.errors import UnplateauError
from unplateau.reading import read_runs
from unplateau.watch.judging import Judge
from unplateau.watch.ledger import Ledger
from unplateau.watch.seen import Watched
from unplateau.watch.spots import SETTLED
from unplateau.watch.watching import Watcher

LOGS = Path(__file__).parent / "logs"
PIECES = 5
LARGEST = 1 << 20  # bytes


class Reader(Judge):
    """Judges nothing; keeps the runs that it is given."""

    def turn(self, run, before, look, **how):  # noqa: ARG002 - it judges nothing
        read[look.key] = run
        return Watched(look.key, run.name, look.path, step=0), []


read: dict = {}


def samples():
    found = [p for p in sorted(LOGS.glob("*/*")) if p.is_file() and "expected" not in p.name]
    return [pytest.param(p, id=f"{p.parent.name}-{p.name}") for p in found if p.stat().st_size < LARGEST]


@pytest.mark.parametrize("sample", samples())
def test_a_log_that_was_watched_is_read_as_a_whole_in_the_end(sample, tmp_path):
    log, data, now = tmp_path / sample.name, sample.read_bytes(), [1e9]
    read.clear()
    watcher = Watcher(log, clock=lambda: now[0])
    watcher.judge = Reader(Ledger(log))
    for i in range(PIECES):
        with log.open("ab") as file:
            file.write(data[len(data) * i // PIECES : len(data) * (i + 1) // PIECES])
        for _ in range(2):
            now[0] += 100
            watcher.poll()
    now[0] = log.stat().st_mtime + 2 * SETTLED
    for _ in range(2):
        watcher.poll()
        now[0] += 100

    try:
        whole = read_runs(log)
    except UnplateauError:
        assert read == {}
        assert watcher.last.waiting
        return
    assert {run.key for run in watcher.last.runs} == {run.name for run in whole}
    for run in whole:
        assert read[run.name].series == run.series
        assert read[run.name].facts == run.facts
