"""How hard windows of text are, by a cheap model that has read other windows of train: one yardstick for all splits. No torch.

A network loses more on val than on train where it has learnt train by heart, and also where val is harder text. The
cheap model (counts of up to ``ngrams.LONGEST`` tokens) has seen none of the windows that it judges, so what it loses more
on val than on train is the second alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import ngrams
from .data import Corpus
from .ngrams import LONGEST
from .order import I64
from .survey import F64, SEARCHED, Sample, Survey

HELD = 2  # at most 1/2 of train's windows are judged; the others are read
SPLITS = ("train", "val", "fresh")  # seen is a part of train, so the cheap model would have read it


def samples_of(corpus: Corpus, length: int, count: int) -> dict[str, Sample]:
    """Of each split, the first ``count`` windows of its fixed order; of train at most half of all, for the rest is read."""
    found = {}
    for split in (name for name in SPLITS if name in corpus.splits):
        survey = Survey(corpus.splits[split], length)
        most = survey.windows // HELD if split == "train" else survey.windows
        if most:
            found[split] = survey.sample(min(count, most))
    return found


def difficulty(samples: Mapping[str, Sample]) -> dict[str, F64]:
    """By split, the cheap model's loss on each window, nats (windows, orders); in the order of ``Sample.starts``."""
    train = samples["train"]
    survey = train.survey
    stop = min(survey.windows, train.count + max(1, SEARCHED // survey.length))
    read_N = _text(survey, np.sort(survey.starts(train.count, stop)))
    return {split: _judged(read_N, one) for split, one in samples.items()}


def _text(survey: Survey, start_N: I64) -> I64:
    text: I64 = survey.stream.windows(start_N, survey.length).ravel()
    return text


def _judged(read_N: I64, sample: Sample) -> F64:
    """With the tokens before each window, which are no part of it."""
    stream, length = sample.survey.stream, sample.survey.length
    start_N = np.maximum(sample.starts - LONGEST, 0)
    text_N = stream.windows(start_N, LONGEST + length).ravel()
    by_order = ngrams.losses(np.concatenate([read_N, text_N]), stream.vocab_size, read=len(read_N))
    windows: F64 = (
        by_order[:, len(read_N) :].reshape(len(by_order), sample.count, -1)[:, :, LONGEST:].mean(2).T
    )
    return windows
