"""What `run` says at the end, on standard error: a table, or lines for a pipe."""

from __future__ import annotations

import io
import re
import shlex
import sys
from typing import TYPE_CHECKING

import click

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.source import note
from response_store.errors import StoreError
from response_store.running.captured import CapturedGroup, list_captured, list_captured_tenants
from response_store.telling.figures import NONE, format_number, format_time
from response_store.telling.printable import escape_controls, put_on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from response_store.cli.source import Source
    from response_store.running.run import RunOutcome

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
        groups, whose = _read_captured(source, outcome)
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
        others = [one if one != source.tenant else None for one in whose]
        _write(groups, [build_next_command(outcome.since, config, one) for one in others])


def build_next_command(since: float, config: Path | None, tenant: str | None = None) -> str:
    """Return the command that lists what was captured, of a tenant
    other than the configuration's.
    """
    named = f" --config {shlex.quote(str(config))}" if config is not None else ""
    named += f" --tenant {shlex.quote(tenant)}" if tenant is not None else ""
    return f"response-store list{named} --since {format_time(since, '%Y-%m-%dT%H:%M:%S')}"


def format_headline(groups: Sequence[CapturedGroup]) -> str:
    """Return all groups in one line."""
    count = sum(one.exchanges for one in groups)
    failed = sum(one.exchanges for one in groups if one.error_code is not None)
    text = f"response-store: {count} captured"
    tokens = [sum(getattr(one, f"{kind}_tokens") or 0 for one in groups) for kind in _KINDS]
    if any(tokens):
        read, cached, made = tokens
        text += f", {read} tokens in ({cached} cached), {made} out"
    return text + (f", {failed} with errors" if failed else "")


_KINDS = ("input", "cached", "output")


def format_plain(groups: Sequence[CapturedGroup]) -> str:
    """Return a line a group, tabs between state, model, exchanges, tokens in and out, and error."""
    return "".join("\t".join(_list_fields(one)) + "\n" for one in groups)


def _list_fields(one: CapturedGroup) -> tuple[str, ...]:
    return (
        put_on_one_line(one.state),
        put_on_one_line(one.model or NONE),
        format_number(one.exchanges),
        format_number(one.input_tokens),
        format_number(one.output_tokens),
        put_on_one_line(one.error or NONE),
    )


def _write(groups: Sequence[CapturedGroup], commands: Sequence[str]) -> None:
    then = "\n".join(_list_next(commands))
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if not sys.stderr.isatty():
        click.echo(f"{format_headline(groups)}\n{format_plain(groups)}{then}", err=True)
        return
    from response_store.cli.run_table import build_table  # noqa: PLC0415 (rich only here)

    console = output.open_console(stderr=True)
    console.print(format_headline(groups), style="bold", soft_wrap=True)
    console.print(build_table(groups, console.width))
    console.print(then, soft_wrap=True)


def _list_next(commands: Sequence[str]) -> Iterator[str]:
    """Yield a line for each tenant, because `list` lists one."""
    for command in commands[:_MAX_TENANTS]:
        yield f"next: {escape_controls(command)}"
    if len(commands) > _MAX_TENANTS:
        yield f"and the same with {len(commands) - _MAX_TENANTS} more tenants"


def _read_captured(
    source: Source, outcome: RunOutcome
) -> tuple[list[CapturedGroup] | None, list[str]]:
    """Return what was captured, and of which tenants; None for a database in memory."""
    if source.target.is_in_memory:
        return None, []
    apply_journals(source)
    ours = outcome.recorder_id, outcome.since
    with source.open() as query:
        return list_captured(query.reader, *ours), list_captured_tenants(query.reader, *ours)


def _list_warnings(log: str) -> Iterator[str]:
    """Yield what the proxy warned of, each line once, the last ones if there are many."""
    text = _TRACEBACK.sub("", _CLOSING.sub("", log))
    lines = dict.fromkeys(line.strip() for line in text.splitlines())
    found = [line for line in lines if line]
    if len(found) > _MAX_WARNINGS:
        yield f"{len(found) - _MAX_WARNINGS} more lines before these"
    yield from found[-_MAX_WARNINGS:]


def _find_closing(log: str, *, nothing: bool) -> Iterator[str]:
    """Yield what the proxy said at its end if something was lost, left waiting, or not captured."""
    for found in _CLOSING.finditer(log):
        if found["lost"] != "0" or ";" in found["rest"] or (nothing and found["rest"]):
            yield found[0]
