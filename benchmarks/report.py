"""The page of a run of a million points: seconds of the processor to make it, its size, seconds until a browser has it open.

Prints them against the bars of the project's plan (5 CPU seconds, 2 s, 700 kB) and against the usual run, the reference
run; the same for a CSV of as many rows, and of a page of five such runs the size alone. Without Chromium the page is made, and that it was not opened is said. The log is synthetic: a power law with noise, a batch loss
at each step, an evaluation at each thousandth, spikes that no thinning may lose.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
LOG = ROOT / "src" / "unplateau" / "examples" / "reference-run" / "train.log"
POINTS = 1_000_000
EVERY = 1000  # steps between evaluations
CPU_BAR, OPEN_BAR, SIZE_BAR = 5.0, 2.0, 700_000  # s, s, bytes
DRAWN = "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
RUNS = 3  # of each; the median counts
MANY = 5  # runs on one page


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=POINTS)
    points = parser.parse_args().points
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = folder / "large.log"
        write(large, points)
        kept = [
            told(title, log, folder)
            for title, log in (
                ("the reference run", LOG),
                (f"{points:,} points", large),
                (f"{points:,} rows", rows(large)),
            )
        ]
        kept.append(together(large, folder))
    return 0 if all(kept) else 1


def write(path: Path, points: int) -> None:
    """A log as nanoGPT writes it: a batch loss at each step, an evaluation at each ``EVERY``-th."""
    rng = np.random.default_rng(0)
    step = np.arange(points)
    loss = 2.5 + 6.0 * ((step + 1) / 100.0) ** -0.35
    batch = loss + 0.05 * rng.standard_normal(points)
    batch[:: points // 20] += 1.0
    val = loss + 0.005 * rng.standard_normal(points)
    with path.open("w", encoding="utf-8") as file:
        for s, mean, b, v in zip(step.tolist(), loss.tolist(), batch.tolist(), val.tolist(), strict=True):
            if s % EVERY == 0:
                file.write(f"step {s}: train loss {mean:.4f}, val loss {v:.4f}\n")
            file.write(f"iter {s}: loss {b:.4f}, time 120.00ms, mfu 30.00%\n")


def rows(log: Path) -> Path:
    """The batch losses of ``log`` as a CSV."""
    found = re.findall(r"^iter (\d+): loss (\S+),", log.read_text("utf-8"), re.MULTILINE)
    path = log.with_suffix(".csv")
    path.write_text("step,train_loss\n" + "".join(f"{step},{loss}\n" for step, loss in found), "utf-8")
    return path


def together(log: Path, folder: Path) -> bool:
    """Print a line on the page of ``MANY`` runs as long as ``log``; True where it is as small as it should be."""
    page = folder / "page.html"
    logs = [folder / f"{i}.log" for i in range(MANY)]
    for one in logs:
        one.write_bytes(log.read_bytes())
    cpu, size = made(logs, page), page.stat().st_size
    kept = size <= SIZE_BAR
    print(
        f"{f'{MANY} such runs':>18}: {cpu:.2f} CPU s, {size / 1000:.0f} kB (bar {SIZE_BAR / 1000:.0f}): "
        f"{'kept' if kept else 'MISSED'}"
    )
    return kept


def told(title: str, log: Path, folder: Path) -> bool:
    """Print a line on ``log``; True where it keeps to the bars."""
    page = folder / "page.html"
    cpu = sorted(made([log], page) for _ in range(RUNS))[RUNS // 2]
    opened = opening(page)
    size = page.stat().st_size
    kept = cpu <= CPU_BAR and size <= SIZE_BAR and (opened is None or opened[0] <= OPEN_BAR)
    browser = "not opened: no browser"
    if opened is not None:
        browser = f"open in {opened[0]:.2f} s (bar {OPEN_BAR:g}), {opened[1]:.2f} of them its own"
    print(
        f"{title:>18}: {cpu:.2f} CPU s (bar {CPU_BAR:g}), {size / 1000:.0f} kB (bar {SIZE_BAR / 1000:.0f}), {browser}"
        f": {'kept' if kept else 'MISSED'}"
    )
    return kept


def made(logs: Sequence[Path], page: Path) -> float:
    """CPU seconds of the whole process that makes the page."""
    before = used()
    words = [sys.executable, "-m", "unplateau", "report", *map(str, logs), "--html", str(page)]
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return used() - before


def used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def opening(page: Path) -> tuple[float, float] | None:
    """Seconds from asking for the page until it is drawn, its charts too, and CPU seconds of its own thread in them.

    None where no browser is. On a machine that is busy with other things the first are theirs.
    """
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import lacking, started

    if lacking():
        return None
    seconds: list[tuple[float, float]] = []
    with started() as chromium:
        for _ in range(RUNS):
            opened = chromium.open("<p>nothing")
            session = opened.page.context.new_cdp_session(opened.page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            began = time.perf_counter()
            opened.page.goto(page.as_uri())
            opened.page.evaluate(DRAWN)
            wall = time.perf_counter() - began
            told = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
            seconds.append((wall, told["TaskDuration"]))
            chromium.close()
    return sorted(seconds)[RUNS // 2]


if __name__ == "__main__":
    raise SystemExit(main())
