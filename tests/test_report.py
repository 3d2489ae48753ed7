"""The report: text, chart and JSON of a diagnosis made by hand, so that words are tested apart from causes."""

import json
import re
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unplateau.contradictions import Contradiction
from unplateau.curve import Curve
from unplateau.diagnosis import Diagnosis
from unplateau.estimate import Estimate
from unplateau.hypotheses import Evidence, Finding, Remedy
from unplateau.report import facts, text
from unplateau.report import json as as_json
from unplateau.report.chart import chart
from unplateau.report.headline import headline
from unplateau.report.lines import NARROWEST, Line, render
from unplateau.run import Fact, Run
from unplateau.state import state_of

STEPS = np.arange(0, 20_001, 500)
LOSS = 3.2 + 7.7 * (1 + STEPS / 200) ** -0.6
ESCAPE = "\x1b]0;owned\x07\x1b[31m"


def a_run(**facts):
    rng = np.random.default_rng(0)
    val = Curve(STEPS, LOSS + 0.005 * rng.standard_normal(len(STEPS)), "nats")
    known = {
        "tokens_per_step": Fact(524_288, "tokens", "config.py:12"),
        "tokens_seen": Fact(20_000 * 524_288, "tokens"),
        "params": Fact(40_560_000, ""),
        "lr_now": Fact(1e-4, ""),
        "lr_share": Fact(0.1, ""),
        **facts,
    }
    return Run("demo", "nanogpt", {"val_loss": val, "train_loss": val.scaled(1.02, "nats")}, known)


def evidence(n, points="for"):
    return tuple(
        Evidence(f"fact {i} says {i}.5 of something that takes a while to say", points, "val_loss")
        for i in range(n)
    )


def a_finding(cause, verdict, n=4, **more):
    points = "against" if verdict == "refuted" else "for"
    return Finding(cause, verdict, evidence(n, points), **more)


REMEDY = Remedy(
    {"floor_lr": (1e-4, 0.0), "max_steps": (20_000, 24_000)}, "4,000 steps, 2.1 hours", "none known"
)
PROVED = a_finding(
    "lr-not-annealed", "supported", probability=0.83, effect=Estimate(0.08, 0.05, 0.12, "nats"), remedy=REMEDY
)


def a_diagnosis(*findings, run=None, **more):
    run = run or a_run()
    return Diagnosis(run, state_of(run), tuple(findings), more.get("contradictions", ()))


def everything():
    """As much as a report may ever have to say."""
    findings = [replace(PROVED, cause=f"proved-{i}") for i in range(4)]
    findings += [a_finding(f"undecided-{i}", "undecided", probability=0.4) for i in range(9)]
    findings += [a_finding(f"refuted-{i}", "refuted", probability=0.05) for i in range(12)]
    findings += [
        Finding(f"untestable-{i}", "untestable", missing=(f"fact_{i}", "unique_tokens")) for i in range(12)
    ]
    run = replace(a_run(), warnings=tuple(f"warning {i}: " + "long " * 40 for i in range(9)))
    found = tuple(Contradiction(f"contradiction {i} " + "x" * 200, "config.py:3") for i in range(9))
    return a_diagnosis(*findings, run=run, contradictions=found)


def schema(name):
    found = json.loads(files("unplateau").joinpath("schemas", f"{name}-1.json").read_text())
    return jsonschema.Draft202012Validator(found)


class TestText:
    def test_the_first_lines_hold_the_verdict_and_the_cause(self):
        head = " ".join(text.text(a_diagnosis(PROVED)).splitlines()[1:5])

        assert "The loss is" in head
        assert "val_loss" in head
        assert "Cause: lr-not-annealed (83%)" in head

    def test_the_remedy_is_written_in_the_users_own_keys(self):
        run = a_run(config_dialect=Fact("nanogpt", "", "config.py"))
        found = a_diagnosis(PROVED, run=run)

        said = text.text(found)

        assert "Set min_lr to 0 and max_iters to 24000." in " ".join(said.splitlines()[1:6])
        assert "min_lr = 0    # was 0.0001" in said
        assert "max_iters = 24000    # was 20000" in said
        assert as_json.diagnosis(found)["findings"][0]["remedy"]["patch"]["min_lr"] == [1e-4, 0.0]

    def test_a_setting_of_an_unknown_trainer_keeps_its_canonical_name(self):
        assert "floor_lr = 0    # was 0.0001" in text.text(a_diagnosis(PROVED))

    def test_without_a_proved_cause_it_asks_for_what_would_settle_most(self):
        unsure = a_finding("capacity", "undecided", probability=0.3, missing=("unique_tokens",))
        unknown = Finding("repetition", "untestable", missing=("unique_tokens",))

        configured = a_run().with_facts(config_dialect=Fact("nanogpt"))
        said = headline(a_diagnosis(unsure, unknown, run=configured))

        assert "undecided: capacity (30%)" in said
        assert "--unique-tokens N" in said

    def test_a_run_that_still_learns_is_told_to_go_on(self):
        said = headline(a_diagnosis(a_finding("still-learning", "supported", probability=0.9)))

        assert "Not a plateau: it is still learning" in said
        assert "Cause:" not in said

    def test_an_empty_run_is_too_short_to_judge(self):
        said = text.text(a_diagnosis(run=Run("empty")))

        assert "too short to judge" in said
        assert "parameters unknown" in said

    def test_the_short_form_fits_a_screen_and_a_half(self):
        assert len(text.text(everything()).splitlines()) <= text.SHORT

    def test_the_long_form_leaves_nothing_out(self):
        said = text.text(everything(), verbose=True)

        for word in (
            "refuted-11",
            "undecided-8",
            "untestable-11",
            "fact_11",
            "warning 8",
            "contradiction 8",
            "fact 3",
        ):
            assert word in said

    @pytest.mark.parametrize("width", [NARROWEST, 57, 80])
    @pytest.mark.parametrize("verbose", [False, True])
    def test_no_line_is_wider_than_asked(self, width, verbose):
        rows = text.text(everything(), width=width, verbose=verbose).splitlines()

        assert max(map(len, rows)) <= width

    def test_no_colour_is_written_unless_asked_for(self):
        assert "\x1b" not in text.text(everything())
        assert "\x1b[1m" in text.text(everything(), colour=True)

    def test_colours_add_nothing_but_escapes(self):
        plain, coloured = text.text(everything()), text.text(everything(), colour=True)

        assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain

    def test_escapes_of_a_foreign_log_are_never_echoed(self):
        run = replace(a_run(dataset=Fact(ESCAPE, "", ESCAPE)), name=ESCAPE, format=ESCAPE, warnings=(ESCAPE,))
        run = replace(run, series={**run.series, ESCAPE: run.series["val_loss"]})
        bad = Finding(ESCAPE, "supported", (Evidence(ESCAPE, "for", ESCAPE),), missing=(ESCAPE,))
        found = a_diagnosis(bad, run=run, contradictions=(Contradiction(ESCAPE, ESCAPE),))

        for said in (
            text.text(found),
            text.text(found, verbose=True),
            facts.text([run]),
            as_json.dumps(as_json.diagnosis(found)),
            as_json.dumps(as_json.reading([run])),
        ):
            assert "owned" in said
            assert "\x1b" not in said
            assert "\x07" not in said

    def test_a_loss_has_no_more_digits_than_its_error_allows(self):
        rng = np.random.default_rng(1)
        noisy = Curve(STEPS, LOSS + 0.2 * rng.standard_normal(len(STEPS)), "nats")

        said = headline(a_diagnosis(run=replace(a_run(), series={"val_loss": noisy})))

        assert re.search(r"val_loss \d\.\d{1,2} nats", said), said


class TestChart:
    def test_every_row_is_as_wide_as_asked(self):
        rows = chart(a_run().series["val_loss"], width=70)

        assert {len(row) for row in rows[:-1]} == {70}
        assert len(rows[-1]) <= 70

    def test_the_highest_loss_is_in_the_first_row_and_the_lowest_in_the_last(self):
        rows = chart(Curve([1, 10, 100], [4.0, 3.0, 2.0]), width=40, height=5)

        assert rows[0].strip().startswith("4.00")
        assert rows[0][9] != " "
        assert rows[4].strip().startswith("2.00")
        assert rows[4][-1] != " "

    def test_points_that_are_not_finite_are_left_out(self):
        nan = float("nan")

        assert chart(Curve([0, 1, 2, 3], [5.0, nan, nan, 3.0])) == []

    def test_a_constant_lies_in_the_middle(self):
        rows = chart(Curve([1, 10, 100], [3.0, 3.0, 3.0]), width=40)

        assert rows[5].strip().startswith("3.00")

    @given(
        st.lists(st.integers(0, 10**15), min_size=1, max_size=30, unique=True).map(sorted),
        st.floats(-1e6, 1e6),
        st.floats(0, 1e6),
        st.integers(40, 80),
    )
    def test_any_curve_can_be_drawn(self, steps, low, span, width):
        values = low + span * np.linspace(1, 0, len(steps))

        rows = chart(Curve(steps, values), Curve(steps, values - 1), 1e9, "tokens", width=width)

        assert all(len(row) <= width for row in rows)


class TestJson:
    @pytest.mark.parametrize(
        "make", [everything, lambda: a_diagnosis(run=Run("empty")), lambda: a_diagnosis(PROVED)]
    )
    def test_a_diagnosis_keeps_to_its_schema(self, make):
        said = json.loads(as_json.dumps(as_json.diagnosis(make())))

        schema("diagnosis").validate(said)
        assert list(said)[:5] == ["schema", "run", "facts", "state", "findings"]

    def test_several_runs_come_as_a_list(self):
        said = json.loads(as_json.dumps(as_json.diagnoses([everything(), a_diagnosis()])))

        schema("diagnosis").validate(said)
        assert [d["run"] for d in said["diagnoses"]] == ["demo", "demo"]

    def test_the_schema_refuses_what_the_contract_does_not_allow(self):
        said = json.loads(as_json.dumps(as_json.diagnosis(a_diagnosis(PROVED))))
        said["findings"][0]["verdict"] = "maybe"

        assert not schema("diagnosis").is_valid(said)

    def test_a_reading_keeps_to_its_schema(self):
        val = Curve([0, 1, 2], [3.0, float("nan"), float("inf")], "nats")
        said = json.loads(as_json.dumps(as_json.reading([replace(a_run(), series={"val_loss": val})])))

        schema("read").validate(said)
        assert said["runs"][0]["series"]["val_loss"] == {
            "step": [0, 1, 2],
            "value": [3.0, None, None],
            "unit": "nats",
            "non_finite_steps": [1, 2],
        }

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=8,
        )
    )
    def test_any_fact_makes_honest_json(self, value):
        run = replace(a_run(), facts={"odd": Fact(value, "", "log line 1")})

        said = as_json.dumps(as_json.reading([run]))

        assert "NaN" not in re.sub(r'"[^"]*"', "", said)
        schema("read").validate(json.loads(said))

    def test_numpys_scalars_are_numbers(self):
        assert as_json.plain({"a": np.float32(0.5), "b": np.int64(3), "c": np.array([1.0, np.nan])}) == {
            "a": 0.5,
            "b": 3,
            "c": [1.0, None],
        }


class TestSecrets:
    ECHO = "wandb_api_key = 'verysecret'\nhf_token: \"verysecret\"\ntokens = 12\nmax_iters = 5\npassword=verysecret"

    def test_no_output_shows_a_secret(self):
        run = a_run(
            config_echo=Fact(self.ECHO, "", "log line 1"),
            hub_token=Fact("verysecret", "", "config.py:3"),
            args=Fact({"api_key": "verysecret", "nested": [{"password": "verysecret"}]}, "", "config.json"),
        )
        found = a_diagnosis(run=run)

        for said in (
            text.text(found, verbose=True),
            facts.text([run]),
            as_json.dumps(as_json.diagnosis(found)),
        ):
            assert "[hidden]" in said
            assert "verysecret" not in said

    def test_numbers_and_known_facts_are_no_secrets(self):
        run = a_run(tokenizer=Fact("gpt2", "", "config.py:2"), tokens_seen=Fact(7, "tokens"))

        said = as_json.facts(run.facts)

        assert said["tokenizer"]["value"] == "gpt2"
        assert said["tokens_seen"]["value"] == 7


class TestLines:
    def test_a_whole_line_is_cut_not_wrapped(self):
        assert render([Line("x" * 200, whole=True)], 50) == "x" * 50 + "\n"

    def test_a_cut_line_says_that_it_was_cut(self):
        assert render([Line("word " * 40, most=1)], 40).endswith(" …\n")

    def test_names_are_not_broken_at_hyphens(self):
        assert "lr-not-annealed" in render([Line("a " * 16 + "lr-not-annealed")], 40).splitlines()[1]
