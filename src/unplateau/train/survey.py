"""Which windows of a split are evaluated, the same for the whole run; and what their losses say of the split. No torch.

The windows are a sample without replacement. Its mean is corrected by regression on a cheap model's losses
(``ngrams``), which are known for many more windows (two-phase sampling: Särndal, Swensson and Wretman 1992, "Model
Assisted Survey Sampling", chapters 6 and 9). Where the whole split is read, nothing is left to estimate.

Two errors are told apart. ``error``: how far the whole split's mean may be; two evaluations of a run differ by far
less than that. ``text_error``: how far the mean over other text of the kind may be, by whole documents, for windows of
one document go together; reading all of a small split does not make it smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from . import ngrams
from .data import Stream
from .order import I64, keys, shuffled

ERROR = 0.002  # nats; of the split's mean loss
SEARCHED = 2_000_000  # tokens; of a split that the cheap model reads, once a run
LEFT = 0.7  # of the spread of the cheap model of pairs, what a network has beyond the correction; measured .46 and .56
FEW = 50  # windows; with fewer no regression
PIECES = 20  # of a text without documents, taken as if each were one
KEY = 0x756E706C61746561  # of the order of windows: the same for all runs, so that they can be compared

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimated:
    """A split's mean loss as estimated, nats; ``mean`` is that of the windows alone.

    ``error`` and ``text_error`` are standard errors (see above; None where it can't be told).
    """

    loss: float
    error: float
    text_error: float | None
    mean: float


@dataclass(frozen=True, eq=False)
class Survey:
    """A split, cut into windows of ``length``: those of the text as a whole, side by side, in a fixed random order.

    Samples are the first ones of that order, so a larger one holds every smaller.
    """

    stream: Stream
    length: int

    @property
    def windows(self) -> int:
        """Of the whole split."""
        return (len(self.stream) - 1) // self.length

    @property
    def searched(self) -> int:
        """Windows that the cheap model reads."""
        return min(self.windows, max(1, SEARCHED // self.length))

    def starts(self, first: int, stop: int) -> I64:
        """Where windows number ``first`` to ``stop`` of the order begin."""
        number = np.arange(first, stop)
        return shuffled(number, self.windows, keys(KEY, np.zeros(len(number), np.int64))) * self.length

    @cached_property
    def control(self) -> F64:
        """The cheap model's loss on each searched window, by order (searched, orders)."""
        start_N = self.starts(0, self.searched)
        place = np.argsort(start_N)
        text = self.stream.windows(start_N[place], self.length).ravel()
        by_order = ngrams.losses(text, self.stream.vocab_size)
        out = np.empty((self.searched, len(by_order)))
        out[place] = by_order.reshape(len(by_order), self.searched, self.length).mean(2).T
        return out

    def needed(self, error: float = ERROR) -> int:
        """Windows for that standard error, by the cheap model's spread; with half of the searched ones, all."""
        if self.searched < FEW:
            return self.windows
        spread = LEFT * float(self.control[:, 1].std())
        wanted = 1 / (error**2 / spread**2 + 1 / self.windows) if spread else FEW
        return self.windows if wanted > self.windows / 2 else max(FEW, round(wanted))

    def sample(self, windows: int) -> Sample:
        """The first ``windows`` of the order."""
        return Sample(self, min(windows, self.windows))


@dataclass(frozen=True, eq=False)
class Sample:
    """The windows of a survey that are evaluated: ``count`` of them, in the order of the text."""

    survey: Survey
    count: int

    @cached_property
    def starts(self) -> I64:
        """The first token of each window, rising (count,)."""
        return np.sort(self.survey.starts(0, self.count))

    @property
    def whole(self) -> bool:
        return self.count == self.survey.windows

    @property
    def tokens(self) -> int:
        return self.count * self.survey.length

    @cached_property
    def groups(self) -> I64:
        """The document of each window's first token, or the piece of a text without documents (count,)."""
        if self.survey.stream.numbered:
            return self.survey.stream.document_of(self.starts)
        return self.starts * PIECES // len(self.survey.stream)

    @cached_property
    def fit(self) -> tuple[F64, F64] | None:
        """The cheap model's losses on the sample (count, orders), and its mean over the searched windows less that.

        None where nothing is corrected: all is read, or the windows are too few, or most of the searched ones.
        """
        if self.whole or self.count < FEW or 2 * self.count > self.survey.searched:
            return None
        order = np.argsort(self.survey.starts(0, self.count))
        mine = self.survey.control[: self.count][order]
        return mine, self.survey.control.mean(0) - mine.mean(0)

    def estimate(self, losses_M: F64) -> Estimated:
        """What the windows' mean losses (count,) say of the split.

        It is linear in them: the estimate of the differences of two evaluations is the difference of the estimates.
        """
        mean, all_of = float(losses_M.mean()), self.survey.windows
        if not np.isfinite(mean):
            return Estimated(mean, float("nan"), None, mean)
        text_error = self._by_groups(losses_M - mean)
        if self.whole:
            return Estimated(mean, 0.0, text_error, mean)
        spread = float(losses_M.var(ddof=1)) if self.count > 1 else float("nan")
        if self.fit is None:
            return Estimated(mean, _error(spread, self.count, all_of), text_error, mean)
        control, shift = self.fit
        centred = control - control.mean(0)
        slope, *_ = np.linalg.lstsq(centred, losses_M - mean, rcond=None)
        left = losses_M - mean - centred @ slope
        rest = float(left @ left) / (self.count - 1 - len(slope))
        searched = self.survey.searched
        error = np.hypot(_error(rest, self.count, searched), _error(spread, searched, all_of))
        return Estimated(mean + float(slope @ shift), float(error), text_error, mean)

    def _by_groups(self, from_mean_M: F64) -> float | None:
        """Standard error of the mean where what goes together is drawn together (Cochran 1977, section 6: a ratio)."""
        _, group = np.unique(self.groups, return_inverse=True)
        sums = np.bincount(group, from_mean_M)
        if len(sums) < 2:
            return None
        return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums @ sums))) / len(from_mean_M)


def _error(variance: float, drawn: int, of: int) -> float:
    """Standard error of a mean of ``drawn`` of ``of``, without replacement."""
    return float(np.sqrt(variance / drawn * (1 - drawn / of)))
