"""Axes and edges of the pictures: labels that differ, whole steps, no axis from nowhere, headings that are not cut.

Mutations that went red here: ``labels`` by ``short`` alone; ``least`` left at 0; the strip of a run of nan from 1e-12; a
heading on one line; the power law drawn at the level of an annealed end.
"""

import re
from dataclasses import replace

import numpy as np
import pytest

from synthetic import healthy_run, with_values, without_series
from unplateau.curve import Curve
from unplateau.diagnosis import diagnose
from unplateau.report.figures import figures_of
from unplateau.report.figures.curve import curve_plot
from unplateau.report.figures.health import pieces_of, strip
from unplateau.report.figures.measure import Amounts
from unplateau.report.figures.paint import NARROW, WIDE
from unplateau.report.figures.scale import Axis
from unplateau.run import Run

RUN = healthy_run(0, done=0.6, extras=True)


@pytest.mark.parametrize("ends", [(1_295, 1_297), (610_020, 610_240), (29_020, 29_090), (3, 9)])
def test_labels_of_an_axis_differ_and_count_whole_steps(ends):
    labels = [label for _, label in Axis(*ends, 0, 700, log=True, least=1.0).labelled(13)]

    assert len(labels) > 1
    assert len(set(labels)) == len(labels)
    assert all(float(label.replace(",", "").replace("k", "")) > 0 for label in labels)
    assert not any("." in label for label in labels if "k" not in label)


def test_labels_stay_inside_the_picture():
    steps = np.arange(610_000, 610_201, 10)
    run = Run("tail", series={"val_loss": Curve(steps, np.linspace(2.9, 2.7, len(steps)), "nats")})

    for figure in figures_of(diagnose(run)):
        for drawn in (figure.wide, figure.narrow):
            for place, label in re.findall(r'x="([\d.]+)"[^>]*text-anchor="middle">([^<]+)<', drawn.body):
                half = 0.56 * 12 * len(label) / 2
                assert half - 2 <= float(place) <= drawn.width - half + 2


def test_the_strip_of_a_run_of_nan_begins_where_its_log_does():
    lost = with_values(
        without_series(RUN, "lr", "grad_norm"),
        **dict.fromkeys(("val_loss", "train_loss", "batch_loss"), lambda step, _: np.full(len(step), np.nan)),
    )
    found = diagnose(lost)
    amounts = Amounts.of(found.run)

    drawn = strip(pieces_of(found, amounts), found, amounts, WIDE, log=True)

    assert "e-" not in drawn.body
    assert "diverged" in drawn.body


def test_a_heading_too_long_for_a_phone_goes_on_in_a_second_line():
    figure = next(one for one in figures_of(diagnose(RUN)) if one.name == "remedies")
    phone = replace(figure, wide=figure.narrow).svg

    bold = re.findall(r'font-size="16"[^>]*>([^<]+)<', phone)
    assert " ".join(bold) == figure.title
    assert len(bold) == 2
    assert all(0.56 * 16 * len(line) <= NARROW.width for line in bold)


def test_a_power_law_is_drawn_where_it_was_fitted_not_where_annealing_ended():
    steps = np.arange(50, 5_001, 50)
    value = 3 + 20 * steps**-0.5 - 0.4 * np.clip((steps - 4_000) / 1_000, 0, 1)
    noisy = value + np.random.default_rng(0).normal(0, 0.005, len(steps))
    found = diagnose(Run("annealed", series={"val_loss": Curve(steps, noisy, "nats")}))
    tracks = {track.key: track for track in curve_plot(found, None).panels[0].tracks}

    law = tracks["law"]
    assert "sees no schedule" in law.label
    middle = (law.x > 800) & (law.x < 3_500)
    off = np.interp(law.x[middle], steps, value) - law.y[middle]
    assert abs(off).max() < 0.2


def test_a_loss_without_a_unit_is_not_called_nats():
    steps = np.arange(1, 40)
    found = diagnose(Run("boxes", series={"val_loss": Curve(steps, 9 - steps / 20, "")}))

    assert "nats" not in curve_plot(found, None).panels[0].label
