"""The command line of the benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks import report
from benchmarks.completion import completion
from benchmarks.first_event import first_event
from benchmarks.ingester import ingester
from benchmarks.instructions import instructions
from benchmarks.lag import lag
from benchmarks.lookup import lookup
from benchmarks.machine import describe
from benchmarks.memory import memory
from benchmarks.postgres_far import postgres_far
from benchmarks.postgres_ingester import postgres_ingester, postgres_lag
from benchmarks.postgres_outage import postgres_outage
from benchmarks.postgres_throughput import postgres_throughput
from benchmarks.profile import profile
from benchmarks.reading import reading_postgres, reading_sqlite
from benchmarks.reading_long import reading_pages
from benchmarks.results import Result, Results
from benchmarks.rig import Rig
from benchmarks.room import room
from benchmarks.serving import (
    serving_capture,
    serving_get,
    serving_indexing,
    serving_input_items,
)
from benchmarks.settings import Settings
from benchmarks.stall import stall
from benchmarks.throughput import json_throughput, sse_throughput
from benchmarks.websocket import websocket_completion, websocket_memory, websocket_throughput

BENCHMARKS: dict[str, Callable[[Rig, Settings], Results]] = {
    "json": json_throughput,
    "sse": sse_throughput,
    "first-event": first_event,
    "completion": completion,
    "stall": stall,
    "memory": memory,
    "websocket-throughput": websocket_throughput,
    "websocket-completion": websocket_completion,
    "websocket-memory": websocket_memory,
    "serving-get": serving_get,
    "serving-input-items": serving_input_items,
    "serving-capture": serving_capture,
    "serving-indexing": serving_indexing,
    "ingester": ingester,
    "lag": lag,
    "lookup": lookup,
    "instructions": instructions,
    "profile": profile,
    "reading": reading_sqlite,
    "reading-pages": reading_pages,
    "room": room,
    "postgres-reading": reading_postgres,
    "postgres-throughput": postgres_throughput,
    "postgres-ingester": postgres_ingester,
    "postgres-lag": postgres_lag,
    "postgres-far": postgres_far,
    "postgres-outage": postgres_outage,
}
GROUPS = {
    group: tuple(name for name in BENCHMARKS if name.startswith(f"{group}-"))
    for group in ("postgres", "serving", "websocket")
}
GROUPS["design"] = (  # what the project sets targets for
    *("json", "sse", "websocket-throughput", "first-event", "completion", "websocket-completion"),
    *("stall", "memory", "ingester", "postgres-ingester", "lag", "postgres-lag", "lookup"),
    "instructions",
)
ASKED_FOR = ("profile", *GROUPS["postgres"])  # left out unless they are named
DEFAULTS = Settings()

HELP = f"""Measure the addon beside a mitmproxy without it.

NAMES are of: {", ".join(BENCHMARKS)}. None: all of them but {", ".join(ASKED_FOR)}. "websocket",
"serving" and "postgres" stand for all that begin with them, "design" for all that have targets;
some need a PostgreSQL server's programs.

\b
Examples:
  python -m benchmarks
  python -m benchmarks json sse --windows 8 --seconds 0.5
  python -m benchmarks design --against ../before
  python -m benchmarks profile
  python -m benchmarks postgres --output benchmarks/results/postgres.json
"""


@click.command(help=HELP)
@click.argument("names", nargs=-1, type=click.Choice([*BENCHMARKS, *GROUPS]), metavar="[NAMES]...")
@click.option("--windows", default=DEFAULTS.windows, show_default=True, help="Windows a side.")
@click.option("--seconds", default=DEFAULTS.seconds, show_default=True, help="Length of a window.")
@click.option(
    "--exchanges",
    default=DEFAULTS.exchanges,
    show_default=True,
    help="Exchanges after which memory is looked at.",
)
@click.option(
    "--turns",
    default=DEFAULTS.turns,
    show_default=True,
    help="Turns on one WebSocket after which memory is looked at.",
)
@click.option(
    "--sockets", default=DEFAULTS.sockets, show_default=True, help="WebSockets open at once."
)
@click.option(
    "--rows",
    default=DEFAULTS.rows,
    show_default=True,
    help="Rows of the large database of lookup, serving and reading.",
)
@click.option(
    "--freezes",
    default=DEFAULTS.freezes,
    show_default=True,
    help="How often the database is frozen, each way.",
)
@click.option(
    "--freeze-seconds",
    default=DEFAULTS.freeze_seconds,
    show_default=True,
    help="How long the database is frozen.",
)
@click.option(
    "--instructions",
    "counts",
    nargs=2,
    type=int,
    default=DEFAULTS.instructions,
    show_default=True,
    help="Exchanges under valgrind, the fewer and the more.",
)
@click.option(
    "--far-ms",
    default=DEFAULTS.far_ms,
    show_default=True,
    help="Milliseconds to a far PostgreSQL server and back.",
)
@click.option(
    "--outage-seconds",
    default=DEFAULTS.outage_seconds,
    show_default=True,
    help="How long PostgreSQL is away.",
)
@click.option(
    "--outage-rate",
    default=DEFAULTS.outage_rate,
    show_default=True,
    help="Responses a second meanwhile.",
)
@click.option(
    "--large-mb",
    default=DEFAULTS.large_mb,
    show_default=True,
    help="Megabytes of a large body beside streams.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
    help="An older checkout, whose addon is measured beside this one; it runs in this environment.",
)
@click.option("--baseline", is_flag=True, help="Only what needs no addon, to judge the machine.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where the databases go, on a real disk. Default: the checkout's own disk.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="benchmarks/results/latest.json",
    show_default=True,
    help="The JSON file with every value; the table goes beside it, in Markdown.",
)
def main(
    *,
    names: tuple[str, ...],
    windows: int,
    seconds: float,
    exchanges: int,
    turns: int,
    sockets: int,
    rows: int,
    freezes: int,
    freeze_seconds: float,
    counts: tuple[int, int],
    far_ms: float,
    outage_seconds: float,
    outage_rate: float,
    large_mb: int,
    against: Path | None,
    baseline: bool,
    folder: Path | None,
    output: Path,
) -> None:
    """Measure the addon beside a mitmproxy without it."""
    settings = Settings(
        windows=windows,
        seconds=seconds,
        exchanges=exchanges,
        turns=turns,
        sockets=sockets,
        rows=rows,
        freezes=freezes,
        freeze_seconds=freeze_seconds,
        instructions=counts,
        far_ms=far_ms,
        outage_seconds=outage_seconds,
        outage_rate=outage_rate,
        large_mb=large_mb,
        against=against,
        addon=not baseline,
    )
    wanted = wanted_of(names)
    output.parent.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    with Rig(folder) as rig:
        machine = describe(rig.folder)
        click.echo(report.machine_line(machine), err=True)
        for name in wanted:
            results += run(name, rig, settings)
            report.write_json(output, results, machine, settings)
        complaints = rig.complaints
    report.show(results, machine)
    output.with_suffix(".md").write_text(report.page(results, machine))
    if complaints:
        raise click.ClickException("rows are missing: " + "; ".join(complaints))


def wanted_of(names: tuple[str, ...]) -> list[str]:
    """The benchmarks to run, each once."""
    if not names:
        return [name for name in BENCHMARKS if name not in ASKED_FOR]
    asked = [one for name in names for one in GROUPS.get(name, (name,))]
    return list(dict.fromkeys(asked))


def run(name: str, rig: Rig, settings: Settings) -> list[Result]:
    """One benchmark, with a line for whoever waits."""
    click.echo(f"{name} ...", err=True)
    start, found = time.monotonic(), []
    for result in BENCHMARKS[name](rig, settings):
        found.append(result)
        click.echo(f"  {' | '.join(text for text in report.cells(result) if text)}", err=True)
    click.echo(f"{name}: {time.monotonic() - start:.0f} s", err=True)
    return found
