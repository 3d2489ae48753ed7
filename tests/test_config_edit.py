"""A config's text with other settings: only what is asked for changes, in any syntax and however it is written.

Each guard was seen red once:
- columns of the syntax tree counted as characters (``_edit_python._offset``): test_only_what_is_asked_for_changes;
- no round that holds what follows (``ROUNDS = 1``): test_what_follows_from_a_changed_setting_is_held;
- the first of two equal keys edited, in JSON and in Python: test_the_last_of_two_equal_keys_is_the_one_that_holds.
"""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unplateau.config import parse
from unplateau.config.edit import alike, edited, headed
from unplateau.errors import UsageError

PYTHON = (
    "steps = 5000\ndecay = steps # same\nlr = 1e-3; low = lr / 10\nname = 'é # x'\nlr = 2e-3\n",
    "# -*- coding: utf-8 -*-\r\nsteps = 5000\r\nx = (1 +\r\n  2)\r\ns = '''a\r\nb # c'''\r\nlr=\t1e-3",
    "if True:\n\tlr = 3\nsteps: int = 7\nlow = -1e-4\napi_key = 's3cret'\nq = 'ü'; lr = 5  # ü\n",
    "\ufeffsteps = 100\nname = 'a' 'b'\nsteps = 1_000 * \\\n  3 # trailing\n",
    "lr = 1e-3",
    "",
)
JSON = (
    '{"steps": 3, "lr": 1e-3, "a": {"b": [1, 2], "steps": 4}}',
    '{\r\n\t"steps": 3,\r\n\t"lr": 2,\r\n\t"steps": 5\r\n}',
    '{"é\\u00e9": "# \\" x", "lr": 1, "hub_token": "s3cret"}',
    "{}",
)
YAML = (
    "steps: 3 # c\nlr: 1e-3\na:\n  b: [1, 2]\n  'steps': 4\nl:\n- 1\n# c\nlow: 4\n",
    "steps: &m 3\r\nlr: *m\r\nq: *m\r\n",
    "base: &b\n  lr: 1\n  n: 2\na:\n  <<: *b\n  n: 3\nsteps:\nname: 'é # x'\n",
    "{steps: 3, é: ü, lr: 1.0}",
    "---\nsteps: 3\nfoo: |\n  bla # x\n  lr: 3\nlr: !!float 3",
    "é: ü\nsteps: 3\npassword: s3cret\nlr: 0.1\n...",
)
TOML = (
    "steps = 3 # x\n[a]\nlr = 1e-3\nb = [1, 2, # in\n 3]\n[[other]]\nsteps = 3\n",
    '[a]\r\nlr = \'é # x\'\r\ns = """\r\nsteps = 4\r\n"""\r\n',
    "a.lr = 1\nb = {lr = 2, steps = 3}\nd = 2020-01-01 10:00:00\ntoken = 's3cret'",
    "steps = 3",
)
FLAGS = (
    "#!/bin/sh\n# --lr 3\nrun --steps 3 \\\n  --lr=1e-3 --bf16 -e d12 --neg -1e-3 --hub_token=s3cret\n",
    "run --steps 3 --steps=4 --name 'a b # d'",
    "run -l 0.1 -q .5",
)
TEXTS = [
    (name, text)
    for name, texts in (
        ("a.py", PYTHON),
        ("a.json", JSON),
        ("a.yaml", YAML),
        ("a.toml", TOML),
        ("a.sh", FLAGS),
    )
    for text in texts
]
KEYS = ("steps", "lr", "low", "new", "name", "decay", "q")
DOTTED = ("a.steps", "a.lr", "a.b", "a.n", "n.m", "other_table.x")
SWITCHES = ("-e", "-l", "-q", "bf16", "neg")
VALUES = (1e-05, 3, 0.25, 12_345_678, 0.0, True, False, "é # 'x'", "word")


@st.composite
def changes(draw):
    name, text = draw(st.sampled_from(TEXTS))
    more = {"a.py": (), "a.sh": SWITCHES}.get(name, DOTTED)
    keys = draw(st.lists(st.sampled_from([*KEYS, *more]), min_size=1, max_size=3, unique=True))
    return name, text, {key: draw(st.sampled_from(VALUES)) for key in keys}


def values(text, name):
    return {key: setting.value for key, setting in parse(text.removeprefix("\ufeff"), name)[0].found.items()}


@given(changes())
@example(("a.py", PYTHON[2], {"lr": 0.25}))
def test_only_what_is_asked_for_changes(case):
    name, text, wanted = case

    new = headed(edited(text, name, wanted), name, ["why", "ü"])

    before, after = values(text, name), values(new, name)
    off = {key for key, value in wanted.items() if value is False and name == "a.sh"}
    assert all(alike(after[key], value) for key, value in wanted.items() if key not in off)
    assert {k: v for k, v in after.items() if k not in wanted} == {
        k: v for k, v in before.items() if k not in wanted
    }
    assert ("s3cret" in new) == ("s3cret" in text)
    assert new.startswith("\ufeff") == text.startswith("\ufeff")
    assert set(re.findall(r"# ?(?:same|x|c|ü|trailing)\b", text)) <= set(re.findall(r"# ?\w+\b", new))


@given(changes())
def test_lines_end_as_they_did(case):
    name, text, wanted = case

    new = headed(edited(text, name, wanted), name, ["why"])

    if "\r\n" in text:
        assert not re.search(r"(?<!\r)\n", new)
    else:
        assert "\r" not in new


def test_what_follows_from_a_changed_setting_is_held():
    new = edited("a = 2\nb = a * 3  # three\nc = b + a\n", "config.py", {"a": 5})

    assert new == "a = 5  # was 2\nb = 6  # three  # was a * 3\nc = 8  # was b + a\n"


def test_the_last_of_two_equal_keys_is_the_one_that_holds():
    assert edited('{"a": 1, "a": 2}', "a.json", {"a": 3}) == '{"a": 1, "a": 3}'
    assert edited("a = 1\na = 2\n", "a.py", {"a": 3}) == "a = 1\na = 3  # was 2\n"
    assert edited("x --a 1 --a 2", "a.sh", {"a": 3}) == "x --a 1 --a 3"


def test_what_code_sets_is_set_again_at_the_end():
    new = edited("import os\nif os:\n    lr = 1\nlow = 2", "config.py", {"lr": 0.5}, {"lr": 1})

    assert new.endswith("\nlow = 2\nlr = 0.5  # was 1\n")


def test_an_expression_over_lines_with_comments_stays_and_is_set_again():
    text = "lr = (1  # one\n  + 2)\n"

    assert edited(text, "config.py", {"lr": 7}) == text + "lr = 7\n"


def test_what_stands_there_already_changes_nothing():
    text = "steps = 100_0\nlow = 1e-3"

    assert edited(text, "config.py", {"steps": 1000, "low": 0.001}) == text


@pytest.mark.parametrize(
    ("name", "text", "key"), [("a.toml", "[[b]]\nx = 1\n", "b.x"), ("a.yaml", "- 1\n- 2\n", "lr")]
)
def test_a_text_with_no_place_for_a_setting_is_refused_in_one_line(name, text, key):
    with pytest.raises((UsageError, Exception), match=r"^[^\n]+$") as refused:
        edited(text, name, {key: 1})

    assert refused.type.__name__ in ("UsageError", "UnreadableError")


def test_a_list_over_lines_becomes_one_of_one_line():
    text = "betas:  \n  - 0.9\n  - 0.95\n# next\nlr: 1\n"

    assert edited(text, "a.yaml", {"betas": [0.9, 0.99]}) == "betas: [0.9, 0.99]\n# next\nlr: 1\n"


def test_a_comment_stands_below_lines_that_must_be_first():
    assert headed("#!/bin/sh\nrun --lr 1\n", "a.sh", ["why"]) == "#!/bin/sh\n# why\nrun --lr 1\n"
    assert headed("# coding: latin-1\nlr = 1\n", "a.py", ["why"]) == "# coding: latin-1\n# why\nlr = 1\n"
    assert headed('{"lr": 1}', "a.json", ["why"]) == '{"lr": 1}'
