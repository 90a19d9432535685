"""A group of commands that knows their names and one-line helps without importing them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyCommands(click.Group):
    """Imports the module of a command when it is called.

    Args:
        commands: name → one line of help.
        prefix: of the modules' names; what follows is the command's name with underscores.
    """

    def __init__(self, *args: Any, commands: Mapping[str, str], prefix: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lines, self._prefix = commands, prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of first use."""
        return list(self._lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in self._lines:
            return None
        command: click.Command = importlib.import_module(self._prefix + cmd_name.replace("-", "_")).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Point to the list of commands when the name is wrong."""
        if args and args[0] not in self._lines:
            ctx.fail(f"There is no command {args[0]!r}. Commands: {', '.join(self._lines)}.")
        return super().resolve_command(ctx, args)
