"""`response-store stats`: captured exchanges in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.selecting import add_selection_options, limit_option
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.store.statistics import By
from response_store.telling.figures import NONE, format_number
from response_store.telling.printable import put_on_one_line

if TYPE_CHECKING:
    from pathlib import Path

    from response_store.store.selection import Selection
    from response_store.store.statistics import Statistics, StatisticsGroup

HELP = """Count exchanges, tokens, times and errors, by model unless --by names something else.

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
@limit_option("groups ", maximum=100_000, default=None)
@add_selection_options
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
        source = find_source(config, database, tenant)
        chosen = msgspec.structs.replace(selection, tenant=source.tenant)
        apply_journals(source)
        with source.open() as query:
            statistics = query.statistics(chosen, By(by))
        groups = (
            statistics.groups[-limit:]
            if limit and statistics.by is By.DAY
            else statistics.groups[:limit]
        )
        statistics = msgspec.structs.replace(statistics, groups=groups)
        _write(statistics, as_json)


def _write(statistics: Statistics, as_json: bool) -> None:
    if as_json:
        output.write_json(build_object(statistics))
    elif output.is_terminal():
        from response_store.cli.stats_view import show  # noqa: PLC0415 (rich only here)

        show(output.open_terminal(), statistics)
    else:
        output.write_text(format_plain(statistics))


def build_object(statistics: Statistics) -> dict[str, object]:
    """Return the statistics as one JSON object: `by`, `groups` and `course`."""
    groups = [
        msgspec.Raw(output.encode_object(_build_group_object(one))) for one in statistics.groups
    ]
    return {"by": statistics.by.value, "groups": groups, "course": statistics.course}


def _build_group_object(one: StatisticsGroup) -> dict[str, object]:
    shares = {"cached_share": one.cached_share, "error_share": one.error_share}
    return msgspec.structs.asdict(one) | shares


def format_plain(statistics: Statistics) -> str:
    """Return a line a group, tabs between the columns."""
    return "".join("\t".join(_list_fields(one)) + "\n" for one in statistics.groups)


def _list_fields(one: StatisticsGroup) -> tuple[str, ...]:
    return (
        put_on_one_line(one.key or NONE),
        format_number(one.count),
        format_number(one.input_tokens),
        format_number(one.cached_tokens),
        format_number(one.output_tokens),
        format_number(one.reasoning_tokens),
        format_number(one.total_tokens),
        format_share(one.cached_share),
        _format_milliseconds(one.first_event_ms_p50),
        _format_milliseconds(one.first_event_ms_p95),
        _format_milliseconds(one.duration_ms_p50),
        _format_milliseconds(one.duration_ms_p95),
        format_number(one.errors),
        format_share(one.error_share),
    )


def format_share(part: float | None) -> str:
    """Return a part of a whole in percent."""
    return NONE if part is None else f"{100 * part:.1f}%"


def _format_milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}"
