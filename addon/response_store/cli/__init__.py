"""The `response-store` command. A subcommand's module is imported when it is called, no sooner."""

from __future__ import annotations

import click

from response_store import __version__
from response_store.cli.lazy import LazyGroup

HELP = """Keep the OpenAI responses that your tools receive, and look at them.

\b
Examples:
  response-store run -- python agent.py
  response-store list --since today
  response-store show --thread resp_68a1
"""


@click.group(
    help=HELP,
    cls=LazyGroup,
    commands_at={
        "backup": "response_store.cli.backup:backup_command",
        "completion": "response_store.cli.completion:completion_command",
        "config": "response_store.cli.config:config_group",
        "copy": "response_store.cli.copy_:copy_command",
        "dead-letters": "response_store.cli.dead_letters:dead_letters_command",
        "diff": "response_store.cli.diff:diff_command",
        "export": "response_store.cli.export:export_command",
        "flush": "response_store.cli.flush:flush_command",
        "import": "response_store.cli.import_:import_command",
        "list": "response_store.cli.list:list_command",
        "run": "response_store.cli.run:run_command",
        "redact": "response_store.cli.redact:redact_command",
        "prune": "response_store.cli.prune:prune_command",
        "script-path": "response_store.cli.script_path:script_path_command",
        "search": "response_store.cli.search:search_command",
        "show": "response_store.cli.show:show_command",
        "stats": "response_store.cli.stats:stats_command",
        "status": "response_store.cli.status:status_command",
        "tail": "response_store.cli.tail:tail_command",
        "web": "response_store.cli.web:web_command",
    },
    sections={
        "Capture": {
            "run": "Run a command, and store every response that it receives.",
            "script-path": "Print the path of the script that mitmproxy loads.",
        },
        "Look": {
            "list": "List exchanges, newest first.",
            "show": "Show one exchange, or a whole conversation.",
            "diff": "Show what changed between two exchanges, and why a cache missed.",
            "search": "Find words in what was asked and answered.",
            "stats": "Count exchanges, tokens, times and errors.",
            "tail": "Show the last exchanges; with -f also new ones, live.",
            "web": "Show all of this on a page in your browser, live.",
            "status": "Show what the database holds, and what waits for it.",
        },
        "Keep": {
            "export": "Write what is stored as JSON Lines.",
            "import": "Load an export into the database.",
            "backup": "Write everything into one SQLite file.",
            "copy": "Copy to another database: SQLite, PostgreSQL.",
            "prune": "Remove exchanges by age, size, id or filters.",
            "redact": "Remove secrets from stored rows.",
            "flush": "Wait until the database has all acknowledged records.",
            "dead-letters": "List rows that the database refused, or retry them.",
        },
        "Set up": {
            "config": "Check a configuration, and its database.",
            "completion": "Let your shell complete commands, options and names.",
        },
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="response-store")
def main() -> None:
    """Keep the OpenAI responses that your tools receive, and look at them."""
