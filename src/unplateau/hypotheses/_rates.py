"""What peak learning rates published rules give a model of this size, for Adam from scratch."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

from ..planned import is_share
from ..run import Run

ADAMS = ("adam", "adamw", "fusedadam", "adamw_torch", "adamw_torch_fused", "")
KAPLAN = (0.003239, -0.0001395)  # LR(N) = a + b ln N, N without embeddings (Kaplan et al. 2020, eq. D.1)
KAPLAN_N = (1e3, 1e10)  # parameters; the range that the rule is stated for
DEEPSEEK = (0.3118, -0.125)  # LR(C) = a C^b, C in FLOP (DeepSeek LLM 2024, arXiv 2401.02954, eq. 1)
SCRATCH = 0.5  # nats; a first loss further than this below ln(vocabulary) is no fresh model


@dataclass(frozen=True, slots=True)
class Rates:
    """The configured peak beside the lower and the upper rule."""

    peak: float
    low: float
    high: float

    @property
    def above(self) -> float:
        """How many times the peak is above the upper rule."""
        return self.peak / self.high

    @property
    def below(self) -> float:
        """How many times the peak is below the lower rule."""
        return self.low / self.peak

    @property
    def middle(self) -> float:
        """A peak as far above the lower rule as below the upper."""
        return sqrt(self.low * self.high)

    def __str__(self) -> str:
        return (
            f"the peak learning rate is {self.peak:.2e}; published rules give {self.low:.1e} to {self.high:.1e} "
            "for this size and compute (Kaplan 2020, DeepSeek 2024)"
        )


def rates_of(run: Run) -> Rates | None:
    """The rules for ``run``, or None where its size, peak or optimiser is unknown, or it did not start fresh."""
    size = run.get("params_non_embedding") or run.get("params")
    tokens = run.get("tokens_seen")
    peak = run.schedule.peak if run.schedule is not None else run.get("peak_lr")
    if is_share(run.facts, run.series):  # nanochat logs what multiplies its rates
        peak = run.get("peak_lr")
    if not size or not tokens or not peak or not from_scratch(run):
        return None
    if str(run.get("optimizer", "")).lower() not in ADAMS:
        return None
    n = min(max(float(size), KAPLAN_N[0]), KAPLAN_N[1])
    kaplan = KAPLAN[0] + KAPLAN[1] * log(n)
    deepseek = DEEPSEEK[0] * (6 * n * float(tokens)) ** DEEPSEEK[1]
    return Rates(float(peak), min(kaplan, deepseek), max(kaplan, deepseek))


def from_scratch(run: Run) -> bool:
    """True where the config or the first loss says that the weights were fresh, and neither says otherwise."""
    start, vocab, loss = run.get("init_from"), run.get("vocab_size"), run.loss
    if start is not None and str(start) != "scratch":
        return False
    if not (vocab and vocab > 1) or loss is None or loss.step[0] > 0:
        return start is not None
    return bool(float(loss.value[0]) > log(vocab) - SCRATCH)
