"""A group of commands that are imported when they are used, so that each starts quickly."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import click
from click.shell_completion import CompletionItem

from response_store.cli.guard import run_guarded

_CLICKS_LEAST = 52  # columns, below which click writes help as if there were so many
_LEAST = 20
_COMPLETING = "_RESPONSE_STORE_COMPLETE"


class LazyGroup(click.Group):
    """`commands_at` says for each command's name where it is: `package.module:attribute`.

    `sections` has the headings that commands stand under in help, each command with its line: so
    neither help nor completion imports them.
    """

    def __init__(
        self,
        *args: Any,
        commands_at: Mapping[str, str],
        sections: Mapping[str, Mapping[str, str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = dict(commands_at)
        self.sections = dict(sections or {})

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command; as a program it ends with a status and a line, whatever happens."""
        run: Any = super().main
        if not extra.get("standalone_mode", True) or os.environ.get(_COMPLETING):
            return run(*args, **extra)
        return run_guarded(lambda: run(*args, **{**extra, "standalone_mode": False}))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader that has enough ends it well, where click would end it with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise click.exceptions.Exit(0) from None

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context; in it and below, help is no wider than a narrow terminal."""
        columns = shutil.get_terminal_size().columns
        if columns < _CLICKS_LEAST:
            extra.setdefault("terminal_width", max(columns - 2, _LEAST))
        return super().make_context(info_name, args, parent, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, imported or not: in the
        order of the sections, then others.
        """
        names = [name for commands in self.sections.values() for name in commands]
        others = {*super().list_commands(ctx), *self._commands_at}.difference(names)
        return [*names, *sorted(others)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported now."""
        place = self._commands_at.get(cmd_name)
        return super().get_command(ctx, cmd_name) if place is None else _import(place)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant. Fails with the nearest one where there is none."""
        name = args[0]
        wrong = name[:1].isalnum() and self.get_command(ctx, name) is None
        if wrong and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}.{self._meant(ctx, name)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, in columns of one width."""
        if not self.sections:
            super().format_commands(ctx, formatter)
        width = max(map(len, self.list_commands(ctx)), default=0)
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), line) for name, line in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, or the options."""
        lines = {name: line for one in self.sections.values() for name, line in one.items()}
        return [
            *(
                CompletionItem(name, help=lines.get(name))
                for name in self.list_commands(ctx)
                if name.startswith(incomplete)
            ),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def _meant(self, ctx: click.Context, name: str) -> str:
        near = get_close_matches(name, self.list_commands(ctx))
        if near:
            return f" Did you mean {' or '.join(near)}?"
        if "run" in self._commands_at and shutil.which(name) is not None:
            return f" To capture what {name} receives: {ctx.command_path} run -- {name} ..."
        return ""


def _import(place: str) -> click.Command:
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{place} is not a click command")
    return command
