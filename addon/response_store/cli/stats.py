"""`response-store stats`: captured exchanges in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.selecting import limit_option, selection_options
from response_store.cli.source import (
    config_option,
    database_option,
    handle_errors,
    json_option,
    source,
    tenant_option,
)
from response_store.store.statistics import By
from response_store.telling.figures import NONE, number
from response_store.telling.printable import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.store.selection import Selection
    from response_store.store.statistics import Statistics, StatisticsGroup

HELP = """Count exchanges, tokens, times and errors, by model unless told otherwise.

A pipe gets a line a group with tabs between: the group, exchanges, tokens of input, cached, output,
reasoning and total, the cached part of the input, the time to the first event that half of all and
95 % stay below, the same of the whole duration, both in milliseconds, errors, and their part.

Errors are exchanges that failed, were refused or interrupted, or whose answer was unreadable or too
large to keep. Of a response that came in several exchanges the tokens count once. A client is what
its User-Agent names first. Days are local.

\b
Examples:
  response-store stats
  response-store stats --by day --since '30 days ago'
  response-store stats --by client --model 'gpt-5*'
  response-store stats --by state --since today | cut -f 1,2
  response-store stats --json | jq '.groups[] | {key, total_tokens}'
"""


@click.command("stats", help=HELP)
@config_option
@database_option
@tenant_option
@click.option(
    "--by", type=click.Choice([by.value for by in By], case_sensitive=False), metavar="GROUP",
    default=By.MODEL.value, show_default=True, help=f"What to group by: {', '.join(By)}.",
)  # fmt: skip
@limit_option("groups ", most=100_000, default=None)
@selection_options
@json_option
def stats_command(
    *,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    by: str,
    limit: int | None,
    selection: Selection,
    as_json: bool,
) -> None:
    """Count exchanges, tokens, times and errors."""
    with handle_errors():
        asked = source(config, database, tenant)
        chosen = msgspec.structs.replace(selection, tenant=asked.tenant)
        apply_journals(asked)
        with asked.open() as query:
            found = query.statistics(chosen, By(by))
        groups = found.groups[-limit:] if limit and found.by is By.DAY else found.groups[:limit]
        found = msgspec.structs.replace(found, groups=groups)
        _write(found, as_json)


def _write(found: Statistics, as_json: bool) -> None:
    if as_json:
        output.write_json(as_object(found))
    elif output.to_terminal():
        from response_store.cli.stats_view import show  # noqa: PLC0415 (rich only here)

        show(output.terminal(), found)
    else:
        output.write_text(plain(found))


def as_object(found: Statistics) -> dict[str, object]:
    """Return the statistics as one JSON object: `by`, `groups` and `course`."""
    groups = [msgspec.Raw(output.encoded(_group_object(one))) for one in found.groups]
    return {"by": found.by.value, "groups": groups, "course": found.course}


def _group_object(one: StatisticsGroup) -> dict[str, object]:
    shares = {"cached_share": one.cached_share, "error_share": one.error_share}
    return msgspec.structs.asdict(one) | shares


def plain(found: Statistics) -> str:
    """Return a line a group, tabs between the columns."""
    return "".join("\t".join(_fields(one)) + "\n" for one in found.groups)


def _fields(one: StatisticsGroup) -> tuple[str, ...]:
    return (
        one_line(one.key or NONE),
        number(one.count),
        number(one.input_tokens),
        number(one.cached_tokens),
        number(one.output_tokens),
        number(one.reasoning_tokens),
        number(one.total_tokens),
        share(one.cached_share),
        _milliseconds(one.first_event_ms_p50),
        _milliseconds(one.first_event_ms_p95),
        _milliseconds(one.duration_ms_p50),
        _milliseconds(one.duration_ms_p95),
        number(one.errors),
        share(one.error_share),
    )


def share(part: float | None) -> str:
    """Return a part of a whole in percent."""
    return NONE if part is None else f"{100 * part:.1f}%"


def _milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}"
