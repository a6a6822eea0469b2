"""What a run prints, and the JSON file that it writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.results import Result, Verdict
from benchmarks.settings import Settings
from benchmarks.spread import Spread

STYLES = {Verdict.AIM: "green", Verdict.LEAST: "yellow", Verdict.SHORT: "red", Verdict.NONE: ""}


def table(results: Sequence[Result], machine: dict[str, Any]) -> Table:
    """One line a figure."""
    shown = Table(title="Response Store, measured", caption=machine_line(machine))
    shown.add_column("what", max_width=44)
    for name in ("median", "quartiles", "n", "at least", "aim"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("verdict", no_wrap=True)
    shown.add_column("beside it", overflow="fold")
    for result in results:
        shown.add_row(*cells(result), style=STYLES[result.verdict])
    return shown


def cells(result: Result) -> list[str]:
    """The texts of a line."""
    found, target, unit = result.spread, result.target, result.unit
    bounds = (target.least, target.aim) if target else (None, None)
    return [
        result.what,
        f"{figure(found.median)} {unit}",
        quartiles(found),
        str(found.count),
        *("" if bound is None else f"{bound:g}" for bound in bounds),
        result.verdict.value,
        result.note,
    ]


def quartiles(found: Spread) -> str:
    return f"{figure(found.low)} .. {figure(found.high)}" if found.count > 1 else ""


def page(results: Sequence[Result], machine: dict[str, Any]) -> str:
    """Both tables in Markdown: what has a target, then everything."""
    asked_for = [result for result in results if result.target]
    tables = [markdown(asked_for), markdown(results)]
    return "\n\n".join([*tables, machine_line(machine)]) + "\n"


def markdown(results: Sequence[Result]) -> str:
    """The same table for a page."""
    rows: list[tuple[str, ...]] = [
        ("what", "median", "quartiles", "n", "at least", "aim", "verdict", "beside it")
    ]
    rows += [("---", *("---:",) * 5, "---", "---")]
    rows += [tuple(cells(result)) for result in results]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figure(value: float) -> str:
    """Three digits or so, whatever the size."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def machine_line(machine: dict[str, Any]) -> str:
    """The machine, in one sentence."""
    sync = machine["fdatasync_ms"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, mitmproxy {machine['mitmproxy']}, "
        f"SQLite {machine['sqlite']}; {machine['disk']}, fdatasync {sync['p50']} ms "
        f"(p95 {sync['p95']})"
    )


def write_json(
    path: Path, results: Sequence[Result], machine: dict[str, Any], settings: Settings
) -> None:
    """Everything, raw values included."""
    found = [{**asdict(result), "verdict": result.verdict.value} for result in results]
    whole = {"machine": machine, "settings": asdict(settings), "results": found}
    path.write_text(json.dumps(whole, indent=1, default=str) + "\n")


def show(results: Sequence[Result], machine: dict[str, Any]) -> None:
    """Print the table; as wide as it needs to be where nobody watches."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table(results, machine))
