"""`response-store completion`: the script with which a shell completes the command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from response_store.cli import output
from response_store.cli.source import note

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "response-store"
VARIABLE = "_RESPONSE_STORE_COMPLETE"
_INSTALL = {
    "bash": "echo 'eval \"$(response-store completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(response-store completion zsh)\"' >> ~/.zshrc",
    "fish": "response-store completion fish >> ~/.config/fish/config.fish",
}
HELP = f"""Print the script that completes commands, options and names in your shell.

Names are stored ids, models, hosts and tenants. They are read from the database of the command
line or the configuration; if it does not answer within half a second, none are offered.

The examples set it up for new shells. zsh needs compinit before that line, bash must be 4.4 or
later.

\b
Examples:
  {_INSTALL["bash"]}
  {_INSTALL["zsh"]}
  {_INSTALL["fish"]}
"""


@click.command("completion", help=HELP)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands, options and names."""
    completion = get_completion_class(shell)
    assert completion is not None, "click has these three"
    script = completion(context.find_root().command, {}, PROGRAM, VARIABLE).source()
    output.write_text(f"{script.rstrip()}\n")
    if output.is_terminal():
        note(f"To set it up for new shells: {_INSTALL[shell]}")
