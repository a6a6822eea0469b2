"""The options that say which exchanges are meant; every command that takes them has all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from response_store.cli import completion_values
from response_store.cli.times import PastTime
from response_store.store.records import State
from response_store.store.selection import Selection

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--model", "models", multiple=True, metavar="NAME",
        shell_complete=completion_values.complete_models,
        help="Only this model; * stands for anything. Several: any of them.",
    ),
    click.option(
        "--state", "states", multiple=True, metavar="STATE",
        type=click.Choice([state.value for state in State], case_sensitive=False),
        help=f"Only this state: {', '.join(State)}. Several: any of them.",
    ),
    click.option(
        "--host", "hosts", multiple=True, metavar="HOST",
        shell_complete=completion_values.complete_hosts,
        help="Only this upstream host, or this port of it (HOST:PORT); * stands for anything.",
    ),
    click.option(
        "--client", "clients", multiple=True, metavar="NAME",
        help="Only this client, as stats --by client has it; * stands for anything.",
    ),
    click.option(
        "--since", type=PastTime(), metavar="TIME",
        help="Begun at this time or later: 2h, yesterday, '3 days ago', 2026-11-01.",
    ),
    click.option("--until", type=PastTime(), metavar="TIME", help="Begun before this time."),
)  # fmt: skip


def limit_option(
    what: str = "", *, least: int = 1, maximum: int, default: int | None
) -> Callable[[Command], Command]:
    """Return the option that says how many are shown; the command gets `limit`."""
    return click.option(
        "--limit", "-n", type=click.IntRange(least, maximum), metavar="N", default=default,
        show_default=default is not None, help=f"How many {what}at most.",
    )  # fmt: skip


def add_selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options. The command gets `selection`, a `Selection` without a tenant."""

    @functools.wraps(command)
    def selecting(
        *,
        models: tuple[str, ...],
        states: tuple[str, ...],
        hosts: tuple[str, ...],
        clients: tuple[str, ...],
        since: float | None,
        until: float | None,
        **others: Any,
    ) -> Any:
        if since is not None and until is not None and since >= until:
            raise click.UsageError(
                "--since must be earlier than --until: nothing can begin between them."
            )
        selection = Selection(
            models=models, states=states, hosts=hosts, clients=clients, since=since, until=until
        )
        return command(selection=selection, **others)

    for option in reversed(_OPTIONS):
        option(selecting)
    return selecting
