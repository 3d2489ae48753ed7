"""``unplateau read`` in words: what changes the meaning of numbers first, and no digit too many."""

import pytest

from unplateau import cli
from unplateau.curve import Curve
from unplateau.report.facts import measured, ordered, text
from unplateau.run import Fact, Run

HEAD = "the log has no steps: numbers of its records stand for them"
UNIT = "losses are converted to nats from bits, as --unit says"
DAMAGE = "x.log.gz is damaged after 1,000 unpacked bytes: it ends within its packed data"
SEVERAL = "a.log holds most and is read; also logs of this run: b.log (give its own path to read it)"
RESUMED = "steps go backwards 2 times, first after step 900: the run was resumed"
SMALL = "read 'nll' as val_loss"


def test_warnings_that_change_how_numbers_are_understood_come_first():
    assert ordered([SMALL, RESUMED, SEVERAL, DAMAGE, UNIT, HEAD]) == [
        *(HEAD, UNIT, DAMAGE, SEVERAL, RESUMED, SMALL),
    ]


def test_the_others_stay_as_they_came():
    assert ordered(["b", "a", "c"]) == ["b", "a", "c"]


def test_read_prints_them_in_that_order():
    shown = text([Run("x", "table", {"val_loss": Curve([0], [3.0], "nats")}, warnings=(SMALL, HEAD))])

    assert shown.index("the log has no steps") < shown.index("read 'nll'")


@pytest.mark.parametrize(
    ("value", "unit", "source", "said"),
    [
        (0.0033712345, "h", "counted", "0.00337 h"),
        (16.07219, "h", "counted", "16.1 h"),
        (2_211_840.0, "bytes", "counted: Korthikanti", "2.21 MB"),
        (85_899_345_920, "bytes", "log line 3", "85.9 GB"),
        (999.6e6, "bytes", "counted", "1 GB"),
        (4.4, "bytes", "manifest.json", "4.4 bytes"),
        (0, "bytes", "counted", "0 bytes"),
        (2.32771e18, "FLOP", "counted", "2.33e+18 FLOP"),
        (1_234_567.0, "tokens", "counted: as logged", "1,234,567 tokens"),
        (0.9995, "", "config.py:3", "0.9995"),
        (float("inf"), "", "counted", "inf"),
        (True, "", "config.py:3", "true"),
        ("cosine", "", "config.py:3", "cosine"),
        (524_288, "tokens", "counted", "524,288 tokens"),
        (-3.14159, "nats", "counted", "-3.14 nats"),
    ],
)
def test_a_fact_has_the_digits_that_it_is_good_for(value, unit, source, said):
    assert measured(Fact(value, unit, source)) == said


def test_a_name_that_is_the_series_is_not_worth_a_line(tmp_path, capsys):
    log = tmp_path / "a.log"
    log.write_text(
        "".join(f"at step {n} train_loss={9 - n / 10:.3f} val_loss={9.1 - n / 10:.3f}\n" for n in range(9))
    )
    cli.main(["read", str(log)])

    assert "as train_loss" not in capsys.readouterr().out
