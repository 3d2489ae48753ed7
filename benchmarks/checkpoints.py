"""What checkpoints of 124M parameters cost a run: the stall of its loop, and reading one again.

    python benchmarks/checkpoints.py [--parameters 124e6] [--rounds 5] [--folder DIR]

Weights and Adam's two moments, float32 (1.5 GB at 124M). By turns with the peers: ``torch.save`` in the loop's own
thread, and a plain copy of as many bytes, which says what the machine does just now. The file system is that of
--folder. Medians; the bars of the issue are .3 s for the stall and .2 s for the mapped read.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch

from unplateau.train import checkpoints
from unplateau.train.checkpoints import State, read
from unplateau.train.saver import Saver

LAYERS = 100  # tensors that the parameters are dealt to


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=124e6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", default=None, help="where to write; a temporary one by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        table(measured(Path(folder), int(args.parameters), args.rounds), args)


def state_of(parameters: int) -> State:
    """Weights and Adam's moments."""
    size = parameters // LAYERS
    weights = {f"{i}.weight": torch.randn(size) for i in range(LAYERS)}
    moments = {f"{n}.{key}": torch.rand(size) for n in weights for key in ("exp_avg", "exp_avg_sq")}
    return State(1, {"model": weights, "optimizer": moments})


def measured(folder: Path, parameters: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, round by round."""
    state, found = state_of(parameters), dict[str, list[float]]()
    saver = Saver(folder / "checkpoints", 0, print)
    spare = {n: t.clone() for part in state.tensors.values() for n, t in part.items()}

    def timed(name: str, work: Callable[[], object]) -> None:
        begun = time.perf_counter()
        work()
        found.setdefault(name, []).append(time.perf_counter() - begun)

    def taken() -> None:
        saver.ready(state.tensors)
        saver.poll(wait=True)

    timed("memory taken, in the background", taken)
    for number in range(1, rounds + 1):
        whole = State(number, state.tensors)
        timed("a copy of as many bytes in memory", lambda: copied(state, spare))
        timed("stall of the loop", partial(saver.save, whole))
        timed("until it is durable, in the background", saver.close)
        place = checkpoints.found_at(folder)
        timed("read, mapped", partial(read, place, proved=False))
        timed("read, every byte hashed", partial(read, place))
        timed("torch.save in the loop", lambda: torch.save(dict(state.tensors), folder / "peer.pt"))
        (folder / "peer.pt").unlink()
    shutil.rmtree(saver.folder)
    return found


def copied(state: State, spare: dict[str, torch.Tensor]) -> None:
    """What a snapshot is at least."""
    for part in state.tensors.values():
        for name, tensor in part.items():
            spare[name].copy_(tensor)


def table(found: dict[str, list[float]], args: argparse.Namespace) -> None:
    """A line for each, with its ratios to ``torch.save`` and to a plain copy in the same round."""
    peer, copy = found["torch.save in the loop"], found["a copy of as many bytes in memory"]
    print(f"{args.parameters:,.0f} parameters, {args.rounds} rounds, seconds: median (least to most)")
    for name, values in found.items():
        ratios = [median(v / p for v, p in zip(values, by, strict=False)) for by in (peer, copy)]
        told = f"{median(values):6.3f} ({min(values):.3f} to {max(values):.3f})"
        print(f"{name:40} {told:26} x{ratios[0]:.2f} of torch.save  x{ratios[1]:.2f} of a copy")


if __name__ == "__main__":
    main()
