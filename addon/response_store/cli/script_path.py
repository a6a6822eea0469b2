"""`response-store script-path`: where the script is that mitmproxy loads."""

from __future__ import annotations

import click

from response_store.resources import find_script


@click.command("script-path")
def script_path_command() -> None:
    """Print the path of the script that mitmproxy loads.

    \b
    Example:
      mitmweb -s "$(response-store script-path)"
    """
    click.echo(str(find_script()))
