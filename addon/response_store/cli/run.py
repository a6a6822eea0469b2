"""`response-store run`: a command with a proxy of its own, and what that has captured."""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.cli import output
from response_store.cli import source as completion_values
from response_store.cli.apply_journals import apply_journals
from response_store.cli.output import ERROR, choose_style
from response_store.cli.source import (
    CliError,
    Source,
    config_option,
    find_config,
    find_source,
    handle_errors,
    note,
)
from response_store.config.load import LABEL_VARIABLE, load_config
from response_store.errors import StoreError
from response_store.format.text import (
    NONE,
    escape_controls,
    format_cost,
    format_number,
    format_time,
    format_usd,
    put_on_one_line,
)
from response_store.pricing.cost import CostSum, sum_costs
from response_store.queries.captured import (
    NO_COSTS,
    CapturedGroup,
    Costs,
    compute_captured_costs,
    count_unseen_turns,
    list_captured,
    list_captured_tenants,
)
from response_store.run.command import (
    RunError,
    StoppedBySignal,
    choose_label,
    require_command,
    require_safe_mitmweb,
)
from response_store.run.proxy_urls import (
    FROM_ENVIRONMENT,
    choose_base_url,
    find_company_proxy,
    find_hidden,
)

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from response_store.run.run import RunOutcome

HELP = """Run a command, and store every OpenAI response that it receives.

Starts a mitmproxy for this command, on a free port of this machine, and ends it with the command.
Environment variables make the command use and trust the proxy; it does not get the database's
URL. Input, output, signals and exit status are the command's. At the end standard error has a
table of what was captured.

Some clients ignore proxies. With --base-url, OPENAI_BASE_URL leads them to this machine, which
forwards to URL.

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
    help="Forward from OPENAI_BASE_URL to this server; without a URL, to the one that"
    " OPENAI_BASE_URL names now, else OpenAI's.",
)  # fmt: skip
@click.option("--local", is_flag=True, help="Also capture requests to this machine itself.")
@click.option(
    "--web",
    is_flag=True,
    help="Run mitmweb, and the page of what is stored, meanwhile.",
)
@click.option("--open", "open_browser", is_flag=True, help="With --web: open the page.")
@click.option(
    "--no-wait",
    is_flag=True,
    help="With --web: end the page with the command, not when you press Enter.",
)
@click.option(
    "--label", metavar="NAME",
    help="The label of its exchanges, to find them again; else that of the configuration, else"
    " the command's name, the time and an id.",
)  # fmt: skip
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
    no_wait: bool,
    label: str | None,
    quiet: bool,
    command: tuple[str, ...],
) -> None:
    """Run a command, and keep every OpenAI response that it receives."""
    from response_store.run.run import Plan, run_with_proxy  # noqa: PLC0415

    if not command:
        raise click.UsageError("No command. Write it after --: response-store run -- COMMAND")
    if open_browser and not web:
        raise click.UsageError("--open opens the page of mitmweb: add --web")
    if no_wait and not web:
        raise click.UsageError("--no-wait is about the page of mitmweb: add --web")
    with handle_errors():
        source = find_source(config, None)
        _check_label(label, config)
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
                wait=web and not no_wait and sys.stdin.isatty() and sys.stderr.isatty(),
                label=choose_label(label or source.settings.capture.label, command[0]),
                database_url=source.default_url,
            )
            source.prepare_folder()
            _note_ways(plan.base_url is not None, plan.company_proxy is not None)
            if plan.base_url is None and (hidden := find_hidden(os.environ)):
                note(
                    f"Note: NO_PROXY keeps {', '.join(hidden)} from the proxy: what is asked there"
                    " is not captured. Take it out of NO_PROXY, or use --base-url."
                )
            with ExitStack() as stack:
                if web:
                    _offer_page(source, stack)
                outcome = run_with_proxy(command, plan, note)
        except RunError as error:
            CliError(error).show()
            context.exit(error.status)
        except StoppedBySignal as stopped:
            context.exit(stopped.status)
        _tell_failures(outcome)
        if not quiet:
            summarize(source, outcome, config)
    context.exit(outcome.status)


def _offer_page(source: Source, stack: ExitStack) -> None:
    """Serve the page of `response-store web` as well, until the stack is closed."""
    from response_store.web.beside import serve_beside  # noqa: PLC0415 (rarely needed)

    if not source.target.is_in_memory:
        with suppress(OSError):  # mitmweb's page is there all the same
            access = stack.enter_context(serve_beside(source))
            note(f"Response Store: {access.url}")


def _check_label(label: str | None, config: Path | None) -> None:
    """Raise ConfigError where a label is none that may be configured."""
    if label is not None:
        load_config(config or find_config(), {**os.environ, LABEL_VARIABLE: label})


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


_TOKENS_FROM = 50
_COST_FROM = 60
_ERROR_FROM = 70


def build_table(groups: Sequence[CapturedGroup], width: int, costs: Costs = NO_COSTS) -> Table:
    """Return a table that fits into `width` cells; a row is one line; costs if there are any."""
    from rich.table import Table  # noqa: PLC0415 (slow to load)

    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    drawn.add_column("state", no_wrap=True, min_width=11, overflow="ellipsis", max_width=11)
    drawn.add_column("model", no_wrap=True, overflow="ellipsis", max_width=24)
    drawn.add_column("count", no_wrap=True, min_width=5, justify="right")
    if width >= _TOKENS_FROM:
        widest = max((len(_format_tokens(one)) for one in groups), default=0)
        drawn.add_column("in/out", no_wrap=True, justify="right", min_width=widest)
    texts = [_format_cost(one, costs) for one in groups]
    has_costs = any(texts) and width >= _COST_FROM
    if has_costs:
        drawn.add_column("cost", no_wrap=True, justify="right", min_width=max(map(len, texts)))
    if width >= _ERROR_FROM:
        drawn.add_column("error", no_wrap=True, overflow="ellipsis", ratio=1)
    for one, cost in zip(groups, texts, strict=True):
        drawn.add_row(*_build_cells(one, cost if has_costs else None)[: len(drawn.columns)])
    return drawn


def _build_cells(one: CapturedGroup, cost: str | None) -> tuple[Text, ...]:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    return (
        Text(put_on_one_line(one.state), style=choose_style(one.state)),
        Text(put_on_one_line(one.model or NONE)),
        Text(format_number(one.exchanges)),
        Text(_format_tokens(one)),
        *(() if cost is None else (Text(cost),)),
        Text(put_on_one_line(one.error or NONE), style=ERROR if one.error else ""),
    )


def _format_cost(one: CapturedGroup, costs: Costs) -> str:
    """Return what a group cost; empty where nothing in it costs anything."""
    cost = costs.get(one.key)
    return "" if cost is None or cost == CostSum() else format_cost(*cost)


def _format_tokens(one: CapturedGroup) -> str:
    return f"{format_number(one.input_tokens)}/{format_number(one.output_tokens)}"


NOTHING = (
    "nothing captured: no request to a model passed through the proxy."
    " For a client that ignores proxies: --base-url; for a server on this machine: --local."
    " Clients that ignore proxies: Node before 24, its ws, aiohttp without trust_env, urllib3"
)
DISTRUST = (
    "the command has certificates of its own and does not trust the proxy's: name"
    ' SSL_CERT_FILE in its own setting (wget: --ca-certificate="$SSL_CERT_FILE"), or use --base-url'
)
BYPASSED = (
    "the command connected to {hosts} without the proxy: what it asked that way is not captured."
    " Clients that ignore proxies come through with --base-url"
)
UNSEEN_TURNS = (
    "{number} of the responses that it went on from are not stored: they went past the proxy,"
    " or were made before it. Clients that ignore proxies come through with --base-url"
)
_MAX_WARNINGS = 5
_MAX_TENANTS = 3
_CLOSING = re.compile(
    r"^response_store: \d+ written, (?P<lost>\d+) lost(?P<rest>.*)$", re.MULTILINE
)

# mitmproxy's own, as its tasks end with connections that a job in the background still holds.
_TRACEBACK = re.compile(
    r"^(?:[^\n]*(?:Task |[Ee]xception |Error in)[^\n]*\n)?Traceback \(most recent call last\):\n"
    r"(?:[ \t]+[^\n]*\n|\n)*[^\n]*\n?",
    re.MULTILINE,
)
_DISTRUSTED = "The client does not trust the proxy's certificate"


def summarize(source: Source, outcome: RunOutcome, config: Path | None) -> None:
    """Say what was captured, what the proxy warned of, and how to see more."""
    log = "" if outcome.proxy_lost else outcome.log  # which is shown already
    for line in _list_warnings(log):
        note(f"proxy: {line}")
    if _DISTRUSTED in log:
        note(f"response-store: {DISTRUST}")
    if outcome.bypassed:
        note(f"response-store: {BYPASSED.format(hosts=', '.join(outcome.bypassed))}")
    try:
        groups, costs, tenants, unseen = _read_captured(source, outcome)
    except StoreError as error:
        note(f"response-store: what was captured can't be counted now: {error}")
        return
    for line in _find_closing(log, nothing=not groups):
        note(f"proxy: {line}")
    if groups is None:
        note("response-store: the database was in memory, and is gone with its proxy")
    elif not groups:
        note(f"response-store: {NOTHING}")
    else:
        if unseen:
            note(f"response-store: {UNSEEN_TURNS.format(number=unseen)}")
        others = [one if one != source.tenant else None for one in tenants]
        commands = [build_next_command(outcome, config, one) for one in others]
        _write(groups, costs, source.shown_as, commands)


def build_next_command(outcome: RunOutcome, config: Path | None, tenant: str | None = None) -> str:
    """Return the command that lists what was captured, of a tenant other than the configuration's.

    A label that other runs may have as well goes with the time.
    """
    options = [] if config is None else ["--config", str(config)]
    options += [] if tenant is None else ["--tenant", tenant]
    options += [] if outcome.label is None else ["--label", outcome.label.name]
    if outcome.label is None or not outcome.label.is_unique:
        options += ["--since", format_time(outcome.since, "%Y-%m-%dT%H:%M:%S")]
    return f"response-store list {shlex.join(options)}"


def format_headline(groups: Sequence[CapturedGroup], costs: Costs = NO_COSTS) -> str:
    """Return all groups in one line."""
    count = sum(one.exchanges for one in groups)
    failed = sum(one.exchanges for one in groups if one.error_code is not None)
    text = f"response-store: {count} captured"
    tokens = [sum(getattr(one, f"{kind}_tokens") or 0 for one in groups) for kind in _KINDS]
    if any(tokens):
        read, cached, written = tokens
        text += f", {read} tokens in ({cached} cached), {written} out"
    if (total := sum_costs(costs.values())) != CostSum():
        text += f", {format_cost(*total)}"
    return text + (f", {failed} with errors" if failed else "")


_KINDS = ("input", "cached", "output")


def format_plain(groups: Sequence[CapturedGroup], costs: Costs = NO_COSTS) -> str:
    """Return a line a group, tabs between state, model, exchanges, tokens in and out, error, cost.

    Cost is the known part of it in USD, and of how many exchanges it is not known.
    """
    return "".join("\t".join(_list_fields(one, costs.get(one.key))) + "\n" for one in groups)


def _list_fields(one: CapturedGroup, cost: CostSum | None) -> tuple[str, ...]:
    return (
        put_on_one_line(one.state),
        put_on_one_line(one.model or NONE),
        format_number(one.exchanges),
        format_number(one.input_tokens),
        format_number(one.output_tokens),
        put_on_one_line(one.error or NONE),
        format_usd(cost and cost.usd),
        format_number(cost and cost.unknown),
    )


def _write(
    groups: Sequence[CapturedGroup], costs: Costs, database: str, commands: Sequence[str]
) -> None:
    then = "\n".join([*_list_next(commands), f"database: {escape_controls(database)}"])
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if not sys.stderr.isatty():
        click.echo(
            f"{format_headline(groups, costs)}\n{format_plain(groups, costs)}{then}", err=True
        )
        return
    console = output.open_console(stderr=True)
    console.print(format_headline(groups, costs), style="bold", soft_wrap=True)
    console.print(build_table(groups, console.width, costs))
    console.print(then, soft_wrap=True)


def _list_next(commands: Sequence[str]) -> Iterator[str]:
    """Yield a line for each tenant, because `list` lists one."""
    for command in commands[:_MAX_TENANTS]:
        yield f"next: {escape_controls(command)}"
    if len(commands) > _MAX_TENANTS:
        yield f"and the same with {len(commands) - _MAX_TENANTS} more tenants"


def _read_captured(
    source: Source, outcome: RunOutcome
) -> tuple[list[CapturedGroup] | None, Costs, list[str], int]:
    """Return what was captured, its cost, whose it is, and how many turns before are not stored.

    None for a database in memory.
    """
    if source.target.is_in_memory:
        return None, NO_COSTS, [], 0
    apply_journals(source)
    ours = outcome.recorder_id, outcome.since
    with source.open() as query:
        return (
            list_captured(query.reader, *ours),
            compute_captured_costs(query.reader, *ours, source.load_prices()),
            list_captured_tenants(query.reader, *ours),
            count_unseen_turns(query.reader, *ours),
        )


def _list_warnings(log: str) -> Iterator[str]:
    """Yield what the proxy warned of, each line once, the last ones if there are many."""
    text = _TRACEBACK.sub("", _CLOSING.sub("", log))
    lines = dict.fromkeys(line.strip() for line in text.splitlines())
    warnings = [line for line in lines if line]
    if len(warnings) > _MAX_WARNINGS:
        yield f"{len(warnings) - _MAX_WARNINGS} more lines before these"
    yield from warnings[-_MAX_WARNINGS:]


def _find_closing(log: str, *, nothing: bool) -> Iterator[str]:
    """Yield what the proxy said at its end if something was lost, left waiting, or not captured."""
    for closing in _CLOSING.finditer(log):
        if closing["lost"] != "0" or ";" in closing["rest"] or (nothing and closing["rest"]):
            yield closing[0]
