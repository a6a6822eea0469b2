"""`response-store run`: a command with a proxy of its own."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING

import click

from response_store.cli import completion_values
from response_store.cli.source import CliError, config_option, find_source, handle_errors, note
from response_store.running.base_url import FROM_ENVIRONMENT, choose_base_url
from response_store.running.command import require_command
from response_store.running.company_proxy import find_company_proxy
from response_store.running.errors import RunError, StoppedBySignal, require_safe_mitmweb
from response_store.running.hidden import find_hidden
from response_store.telling.printable import escape_controls

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.running.run import RunOutcome

HELP = """Run a command, and keep every OpenAI response that it receives.

A mitmproxy is started on a free port of this machine for the command alone, and ends with it. The
command gets the variables that make it use and trust that proxy, and never the database's URL.
Input, output, signals and the exit status are the command's; at the end standard error has a
table of what was captured.

Some clients ignore proxies. With --base-url they are sent to this machine by OPENAI_BASE_URL, and
from here to the server that you name.

\b
Examples:
  response-store run -- python agent.py
  response-store run -- codex
  response-store run --config proxy.yaml -- make evaluate
  response-store run --base-url -- node agent.js
  response-store run --base-url http://localhost:11434/v1 -- llm "Why?"
  response-store run --web -- aider
"""


@click.command("run", help=HELP, context_settings={"allow_interspersed_args": False})
@config_option
@click.option(
    "--base-url", is_flag=False, flag_value=FROM_ENVIRONMENT, metavar="[URL]",
    help="Also stand in for this server at OPENAI_BASE_URL; without a URL for the one that"
    " OPENAI_BASE_URL names now, else OpenAI's.",
)  # fmt: skip
@click.option("--local", is_flag=True, help="Also capture what is asked of this machine itself.")
@click.option("--web", is_flag=True, help="Show the traffic on a page of mitmweb while it lasts.")
@click.option("--open", "open_browser", is_flag=True, help="With --web: open the page.")
@click.option("--quiet", is_flag=True, help="No table at the end.")
@click.argument(
    "command", nargs=-1, type=click.UNPROCESSED, shell_complete=completion_values.complete_programs
)
@click.pass_context
def run_command(
    context: click.Context,
    *,
    config: Path | None,
    base_url: str | None,
    local: bool,
    web: bool,
    open_browser: bool,
    quiet: bool,
    command: tuple[str, ...],
) -> None:
    """Run a command, and keep every OpenAI response that it receives."""
    from response_store.running.run import Plan, run_with_proxy  # noqa: PLC0415 (--help needs none of it)

    if not command:
        raise click.UsageError("No command. Write it after --: response-store run -- COMMAND")
    if open_browser and not web:
        raise click.UsageError("--open opens the page of mitmweb: add --web")
    with handle_errors():
        source = find_source(config, None)
        try:
            require_command(command[0], os.environ)
            if web:
                require_safe_mitmweb(importlib.metadata.version("mitmproxy"))
            plan = Plan(
                environ=dict(os.environ),
                config=config,
                base_url=choose_base_url(base_url, os.environ),
                company_proxy=find_company_proxy(os.environ),
                local=local,
                web=web,
                open_browser=open_browser,
            )
            _note_ways(plan.base_url is not None, plan.company_proxy is not None)
            if plan.base_url is None and (hidden := find_hidden(os.environ)):
                note(
                    f"Note: NO_PROXY keeps {', '.join(hidden)} from the proxy: what is asked there"
                    " is not captured. Take it out of NO_PROXY, or use --base-url."
                )
            outcome = run_with_proxy(command, plan, note)
        except RunError as error:
            CliError(error).show()
            context.exit(error.status)
        except StoppedBySignal as stopped:
            context.exit(stopped.status)
        _tell_failures(outcome)
        if not quiet:
            from response_store.cli.run_summary import summarize  # noqa: PLC0415 (not for all)

            summarize(source, outcome, config)
    context.exit(outcome.status)


def _note_ways(stands_in: bool, goes_on: bool) -> None:
    if stands_in and goes_on:
        note(
            "Note: what comes by OPENAI_BASE_URL goes to its server directly, without the proxy"
            " that your environment names."
        )


def _tell_failures(outcome: RunOutcome) -> None:
    if outcome.proxy_lost and outcome.log:
        click.echo(escape_controls(outcome.log), err=True)
    if outcome.proxy_killed:
        note("response-store: the proxy did not end in time and was killed")
