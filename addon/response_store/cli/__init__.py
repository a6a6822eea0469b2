"""The `response-store` command. A subcommand's module is imported when it is called, no sooner."""

from __future__ import annotations

import click

from response_store import __version__

from .lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    commands_at={
        "config": "response_store.cli.config:config_group",
        "list": "response_store.cli.list:list_command",
        "script-path": "response_store.cli.script_path:script_path_command",
        "show": "response_store.cli.show:show_command",
        "status": "response_store.cli.status:status_command",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="response-store")
def main() -> None:
    """Look at the OpenAI responses that mitmproxy captured.

    To capture them: mitmdump -s "$(response-store script-path)"
    """
