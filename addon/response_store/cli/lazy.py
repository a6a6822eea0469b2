"""Import each command when it is used, and end it with a status and a line, never a traceback.

Streams that are closed, a full disk, a reader that has gone, a working directory that was removed;
and errors of our own, which are named by their place. URLs in any message lose their credentials.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from response_store.config.secret import mask_urls
from response_store.format.text import escape_controls

FAILED = 1
OWN_ERROR = 70
_TRACEBACK = "RESPONSE_STORE_TRACEBACK"
_STREAMS = ("stdin", "stdout", "stderr")


def run_guarded(command: Callable[[], Any]) -> NoReturn:
    """Run a command that click does not end by itself, and end the process with its status."""
    _open_closed_streams()
    sys.exit(_flush_streams(_run(command)))


def _run(command: Callable[[], Any]) -> int:
    try:
        status = command()
    except click.ClickException as error:
        error.message = mask_urls(error.message)  # type: ignore[misc]
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Aborted!", err=True)
        return FAILED
    except OSError as error:
        return _report_os_error(error)
    except Exception as error:  # noqa: BLE001 - nobody is to see a traceback
        return _report_own_error(error)
    return status if isinstance(status, int) else 0


def _report_os_error(error: OSError) -> int:
    if error.errno == errno.EPIPE:
        return 0  # whoever read has enough
    _say(f"Error: {_explain(error)}")
    return FAILED


def _explain(error: OSError) -> str:
    try:
        os.getcwd()  # noqa: PTH109 - whether there is one is what is asked
    except OSError:
        return "the working directory has been removed. Change to one that exists: cd"
    reason = error.strerror or type(error).__name__
    path = f"{error.filename}: " if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"{path}the disk is full ({reason}). Make room, and run the command again."
        case errno.EBADF:
            return f"{path}standard output is closed ({reason}). Open it, or send it to a file."
        case _:
            return f"{path}{reason}. Check the path, the disk and the permissions."


def _report_own_error(error: Exception) -> int:
    if os.environ.get(_TRACEBACK):
        traceback.print_exception(error)
        return OWN_ERROR
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" in {os.path.basename(at.filename)}:{at.lineno}" for at in last)  # noqa: PTH119
    _say(
        f"Error: an error of Response Store's own ({type(error).__name__}{place})."
        f" {_TRACEBACK}=1 shows where it comes from; please report it."
    )
    return OWN_ERROR


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(escape_controls(mask_urls(text)), err=True)


def _flush_streams(status: int) -> int:
    """Write out what is left; what can't be written any more counts, but for a reader's end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            status = status or _report_os_error(error)
            # Python would try again at its end, and complain.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status


def _open_closed_streams() -> None:
    """Have every standard stream: the number of a closed one would go to the next file.

    Writing to one that was closed stays an error.
    """
    for number, name in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            flags = os.O_WRONLY if name == "stderr" else os.O_RDONLY
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - a number


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
            ctx.fail(f"No such command {name!r}.{self._suggest_command(ctx, name)}")
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

    def _suggest_command(self, ctx: click.Context, name: str) -> str:
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
