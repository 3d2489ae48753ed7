"""How a run, a diagnosis and a forecast show themselves in a notebook.

Went red while it was made: ``install`` in one module with the faces, which loads all that a page needs.
"""

import subprocess
import sys

import pytest

from payloads import hostile_run
from synthetic import healthy_run
from unplateau.diagnosis import diagnose
from unplateau.futures import forecast
from unplateau.report.notebook import install

RUN = healthy_run(0, done=0.6)
PIECES = 40_000  # bytes of a face; a notebook of fifty is then two megabytes


@pytest.fixture(scope="module")
def shown():
    """Each value as IPython shows it."""
    formatters = pytest.importorskip("IPython.core.formatters", reason="IPython is not installed")
    install()
    found = diagnose(RUN)
    shower = formatters.HTMLFormatter()
    return {
        "run": shower(RUN),
        "diagnosis": shower(found),
        "forecast": shower(forecast(found.run)),
    }


def test_a_run_shows_its_losses_and_its_series(shown):
    assert "<svg" in shown["run"]
    assert "val_loss" in shown["run"]
    assert "supported" not in shown["run"]  # a run has no verdict


def test_a_diagnosis_shows_verdict_picture_and_budget(shown):
    assert "The loss is" in shown["diagnosis"]
    assert shown["diagnosis"].count("<svg xmlns") == 2
    assert "unexplained" in shown["diagnosis"]
    assert "still-learning" in shown["diagnosis"]


def test_a_forecast_shows_its_futures(shown):
    assert "as planned" in shown["forecast"]
    assert "<svg" in shown["forecast"]


def test_a_face_needs_nothing_from_elsewhere(shown):
    for html in shown.values():
        assert "<script" not in html
        assert "src=" not in html
        assert "prefers-color-scheme" in html  # the picture has its style with it
        assert len(html) < PIECES


def test_foreign_words_stay_words():
    install()
    run = hostile_run()
    for value in (run, diagnose(run)):
        html = value._repr_html_()
        assert "onerror=" in html  # else no payload came so far
        assert "<script" not in html
        assert "<img" not in html
        assert "<iframe" not in html


def test_what_is_not_loaded_stays_so():
    code = (
        "import sys\n"
        "import unplateau.run\n"
        "from unplateau.report import notebook\n"
        "print(notebook.METHOD in dir(unplateau.run.Run))\n"
        "notebook.install()\n"
        "print(notebook.METHOD in dir(unplateau.run.Run), 'IPython' in sys.modules, 'unplateau.futures' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)

    assert done.stdout.split() == ["False", "True", "False", "False"]
