"""The page of commands, the help texts and the Makefile tell of the same commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from test_generated_pages import ROOT

from lakehouse.cli import main, serve

PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def _sections() -> dict[str, str]:
    """Command → the text below its heading; one heading may name several commands."""
    found = {}
    for section in PAGE.split("\n### ")[1:]:
        heading, _, text = section.partition("\n")
        found |= dict.fromkeys(re.findall(r"lakehouse ([a-z-]+)", heading), text)
    return found


def _commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    with click.Context(group, info_name=name) as context:
        for child in group.list_commands(context):
            command = group.get_command(context, child)
            yield f"{name} {child}", command
            if isinstance(command, click.Group):
                yield from _commands(command, f"{name} {child}")


COMMANDS = dict(_commands(main.cli, "lakehouse"))


def test_every_command_has_its_section_and_every_section_its_command():
    assert set(_sections()) == set(main.COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example(name):
    command = COMMANDS[name]
    text = command.get_help(click.Context(command, info_name=name))
    assert re.search(rf"Examples?:\n\s+.*({name}|docker compose)", text), text


def test_every_option_in_the_table_of_a_command_exists_and_none_is_missing():
    for name, text in _sections().items():
        command = COMMANDS[f"lakehouse {name}"]
        if "| option | |" not in text:
            continue
        table = text.partition("| option | |")[2].partition("\n\n")[0]
        told = set(re.findall(r"`(--[a-z-]+)", table))
        assert told == {option for item in command.params for option in item.opts if option.startswith("--")}, name


def test_the_services_that_can_run_alone_are_named():
    assert f"alone: {', '.join(serve.NAMES)}\n" in _sections()["serve"]


def test_every_target_of_make_is_in_its_table():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()) - {"help"}
    table = PAGE.partition("| target | does |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`make ([a-z-]+)`", table)) >= targets
