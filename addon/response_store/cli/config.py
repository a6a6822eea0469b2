"""`response-store config check FILE`: what mitmproxy would say of it at start."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.cli import output
from response_store.cli.source import FilePath, find_config, json_option
from response_store.config import (
    Config,
    ConfigError,
    list_effective_settings,
    list_security_warnings,
    load_config,
)
from response_store.format.text import escape_controls, put_on_one_line

if TYPE_CHECKING:
    from response_store.queries.schema_state import Findings

_FAILED = 2


@click.group("config")
def config_group() -> None:
    """Check a configuration."""


@config_group.command("check")
@click.argument("file", required=False, type=FilePath())
@click.option("--config", type=FilePath(), metavar="FILE", help="The same as FILE.")
@click.option("--connect", is_flag=True, help="Also connect to the database; changes nothing.")
@json_option
def check_command(file: Path | None, config: Path | None, connect: bool, as_json: bool) -> None:
    """Check the configuration in FILE, without opening the database.

    Without FILE: the file that RESPONSE_STORE_CONFIG names, else the defaults.

    Prints the settings and exits with 0, or prints every problem and exits with 2. Unsafe settings
    give a warning.

    With --connect, also connect to the database as the proxy would, and show addresses, TLS,
    certificate, server, schema and rights. Exits with 2 if the proxy could not store records there.

    \b
    Examples:
      response-store config check
      response-store config check response-store.yaml
      response-store config check --connect response-store.yaml
    """
    try:
        checked = load_config(file or config or find_config())
    except ConfigError as error:
        click.echo(escape_controls(str(error)), err=True)
        raise click.exceptions.Exit(_FAILED) from None
    warnings, findings = list_security_warnings(checked), _connect(checked) if connect else None
    if as_json:
        checked_object = {
            "source": checked.source,
            "settings": list_effective_settings(checked),
            "warnings": warnings,
        }
        connection = findings and {"facts": findings.facts, "problems": findings.problems}
        output.write_json({**checked_object, "connection": connection})
    else:
        click.echo(f"{checked.source}: ok")
        _print(list_effective_settings(checked).items())
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    if findings is not None:
        _report_findings(findings, as_json)


def _connect(config: Config) -> Findings:
    from response_store.backends.registry import check_connection  # noqa: PLC0415 (slow)

    return check_connection(config)


def _report_findings(findings: Findings, as_json: bool) -> None:
    if not as_json:
        click.echo(f"connection: {'refused' if findings.problems else 'ok'}")
        _print(findings.facts)
    for problem in findings.problems:
        click.echo(escape_controls(problem), err=True)
    if findings.problems:
        raise click.exceptions.Exit(_FAILED)


def _print(facts: Iterable[tuple[str, str]]) -> None:
    for name, value in facts:
        click.echo(f"  {name:<22}  {put_on_one_line(value)}")
