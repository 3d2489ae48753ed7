"""Train one case of the loop, in a process of its own: ``python loop_train.py NAME STAGE``, in the folder of all runs.

Standard output is the log, as nanoGPT prints it. What no config can plant is put into the trainer's modules of this
process alone; the faults of ``looking_parts/plant.py``, and two more.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from looking_parts.plant import plant
from loop_cases import LOOP, Planted

from unplateau.train import batches, session
from unplateau.train.configure import resolve
from unplateau.train.loop import train

WORDS = ("--log_style=nanogpt", "--sampling=nanogpt", "--attention=explicit", "--matmul=highest")
TRUTH_TOKENS = 80_000  # of val, on which a run and the one without its cause are held against each other


def forget() -> None:
    """Adam's moments are lost when a run is resumed, as with a trainer that saves the model alone."""
    build = session.optimizer_of

    def optimizer_of(settings, model):
        found = build(settings, model)

        def before_the_first_step(*_: object) -> None:
            found.state.clear()
            hook.remove()

        hook = found.register_step_pre_hook(before_the_first_step)
        return found

    session.optimizer_of = optimizer_of


def order(width: float, draws: int) -> None:
    """Batches come from a part of train, ``width`` of it, that moves from its start to its end."""
    done = iter(range(draws + 1))

    def drawn(stream, settings):
        span = len(stream) - settings.block_size
        first = next(done) / draws * (1 - width) * span
        starts = torch.randint(int(width * span), (settings.batch_size,)) + int(first)
        return batches.batch_at(stream, starts.clamp(max=span - 1).numpy(), settings)

    batches.drawn = drawn


def broken(one: Planted, stage: int) -> None:
    """Put the case's fault into the trainer."""
    kind, _, word = one.fault.partition("-")
    if kind == "moments":
        if stage == 1:
            forget()
    elif kind == "order":
        order(float(word), int(one.case.config["max_iters"]) + 1)
    else:
        plant(one.fault)


def trained(one: Planted, stage: int) -> None:
    """One stage; then, after the last, the evaluation that tells the truth: fixed windows, far more of them."""
    broken(one, stage)
    folder = Path("runs") / one.case.name
    words = [*WORDS, f"--seed={one.seed}", f"--out_dir={folder / 'run'}"]
    stages = 1 if one.case.first is None else 2
    resume = ["--init_from=resume"] if stage else []
    train(resolve(folder / f"config{stage}.py", [*words, *resume]))
    if stage == stages - 1:
        exact = ("--eval_only", "--sampling=permutation", "--eval_iters=0", f"--eval_tokens={TRUTH_TOKENS}")
        last = f"--init_from={folder / 'run/checkpoints/last'}"
        train(resolve(None, [last, f"--out_dir={folder / 'truth'}", *exact, "--log_style=none"]), sys.stderr)


if __name__ == "__main__":
    torch.set_num_threads(1)
    trained(next(one for one in LOOP if one.case.name == sys.argv[1]), int(sys.argv[2]))
