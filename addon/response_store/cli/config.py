"""`response-store config check FILE`: what mitmproxy would say of it at start."""

from __future__ import annotations

from pathlib import Path

import click

from response_store.config import ConfigError, in_force, load_config


@click.group("config")
def config_group() -> None:
    """Check a configuration."""


@config_group.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_command(file: Path) -> None:
    """Check the configuration in FILE, without opening the database.

    Prints what is in force and exits with 0, or prints every problem and exits with 2.

    \b
    Example:
      response-store config check response-store.yaml
    """
    try:
        config = load_config(file)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(2) from None
    click.echo(f"{config.source}: ok")
    for key, value in in_force(config).items():
        click.echo(f"  {key:<22}  {value}")
