"""The help of all verbs, also of those to come: it fits 80 columns, no line of the list is cut, one option has one form.

Each guard was seen red once:
- a first line of 67 characters (`compare`, "... equal tokens, equal time and equal FLOPs."): the list of verbs is cut;
- a line of 100 characters in what is not wrapped (`completion`): test_help_fits_80_columns;
- ``--json`` with other words in one verb: test_an_option_of_many_verbs_says_the_same_in_each.
"""

import click
import pytest

from unplateau.cli import group

COLUMNS = 80
#: what two verbs say in their own words, on purpose: of whom it is, or which way round
OWN_WORDS = {"--cause", "--config", "--out", "--seed", "--set", "--unit", "--map", "--fail-on"}


def help_of(command, name, parent=None):
    with click.Context(command, info_name=name, parent=parent, terminal_width=COLUMNS) as context:
        return command.get_help(context)


def options():
    for name, verb in group.commands.items():
        for parameter in verb.params:
            if isinstance(parameter, click.Option):
                yield name, parameter


@pytest.mark.parametrize("name", ["", *group.commands])
def test_help_fits_80_columns(name):
    with click.Context(group, info_name="unplateau") as parent:
        text = help_of(group.commands[name], name, parent) if name else help_of(group, "unplateau")

    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
    assert "Usage: unplateau" in text


def test_no_line_of_the_list_of_verbs_is_cut():
    rows = help_of(group, "unplateau").partition("Commands:")[2].splitlines()[1:]

    assert len(rows) == len(group.commands)
    assert [row for row in rows if row.endswith("...")] == []


def test_each_option_says_what_it_is():
    found = list(options())

    assert len(found) > 50
    assert [(verb, option.name) for verb, option in found if not option.help] == []
    assert [
        (verb, option.name)
        for verb, option in found
        if not option.is_flag and option.metavar is None and not isinstance(option.type, click.Choice)
    ] == []


def test_an_option_of_many_verbs_says_the_same_in_each():
    said = {}
    for verb, option in options():
        said.setdefault(option.opts[0], {}).setdefault((option.help, option.metavar), []).append(verb)

    assert {name: ways for name, ways in said.items() if len(ways) > 1 and name not in OWN_WORDS} == {}


def test_every_verb_that_shows_something_does_so_as_json_too():
    without = [
        name for name, verb in group.commands.items() if not any("--json" in p.opts for p in verb.params)
    ]

    assert sorted(without) == ["completion", "mcp"]  # a script for a shell, and a protocol of its own
