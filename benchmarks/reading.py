"""The commands that people read with: how long each takes, and beside plain SQL."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from benchmarks.postgres import postgres_server
from benchmarks.reading_pages import PAGES, web_pages
from benchmarks.reading_pages import RUNS as RUNS_OF_PAGES
from benchmarks.reading_places import PostgresRows, SqliteRows
from benchmarks.reading_rows import COMMON, RARE
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.spread import ratios, spread
from response_store.cli import main

ROWS = 100_000
TARGET = Target(1.0, 0.5, higher_is_better=False)  # seconds, of a whole process
FIRST_PAGE, FIRST_PAGE_OF_MANY = 0.15, 0.3  # seconds, of the smaller and the larger database
FEWEST, LONGEST = 3, 20.0  # pairs that are timed, and seconds after which that is enough
RUNS = 10  # of a process, with windows of a second
PROGRAM = (sys.executable, "-c", "from response_store.cli import main; main()")
SUMMARY = """
SELECT exchange_id, response_id, started_at, state, status_code, model, input_tokens, output_tokens,
    duration_ms, host, substr(output_text, 1, 200)
FROM openai_exchanges WHERE tenant_id = 'default'"""
NEWEST = "ORDER BY started_at DESC, exchange_id DESC LIMIT 20"
GROUPED = """
SELECT {by}, count(*), sum(input_tokens), sum(cached_tokens), sum(output_tokens),
    sum(reasoning_tokens), sum(total_tokens), avg(first_event_ms), avg(duration_ms)
FROM openai_exchanges WHERE tenant_id = 'default' GROUP BY 1"""
DAY = {
    "SQLite": "date(started_at, 'unixepoch')",
    "PostgreSQL": "date_trunc('day', to_timestamp(started_at))",
}
FOUND = {
    "SQLite": "SELECT rowid FROM openai_exchanges_search_words"
    " WHERE openai_exchanges_search_words MATCH ? ORDER BY rank LIMIT 20",
    "PostgreSQL": "SELECT exchange_id FROM openai_exchanges_search_words, to_tsquery('simple', ?) q"
    " WHERE words @@ q ORDER BY ts_rank(words, q) DESC LIMIT 20",
}


@dataclass(frozen=True)
class Asked:
    """A command, and the plain SQL that answers about the same."""

    arguments: tuple[str, ...]
    sql: str
    values: tuple[object, ...] = ()

    @property
    def label(self) -> str:
        """The command, without its identifiers."""
        shown = (one[:5] + "…" if one.startswith("resp_") else one for one in self.arguments)
        return " ".join(shown)


def reading_sqlite(rig: Rig, settings: Settings) -> Results:
    """The commands on SQLite."""
    yield from _compared(settings, *(SqliteRows(rig.folder, n) for n in (ROWS, settings.rows)))


def reading_postgres(rig: Rig, settings: Settings) -> Results:
    """The commands on PostgreSQL."""
    with postgres_server(rig) as server:
        sizes = (ROWS, settings.rows)
        places = (PostgresRows(rig.folder, rows, server.database()) for rows in sizes)
        yield from _compared(settings, *places)


Rows = SqliteRows | PostgresRows


def _compared(settings: Settings, small: Rows, large: Rows) -> Results:
    for place in (small, large):
        label = f"search, {place.name}: exchanges/s indexed, with {place.rows:,}"
        yield Result(label, "/s", spread([place.fill()]))
    for place, seconds in ((small, FIRST_PAGE), (large, FIRST_PAGE_OF_MANY)):
        yield from _pages(place, Target(seconds, seconds, higher_is_better=False))
    for asked in _asked(small):
        yield _process(small, asked, max(3, int(RUNS * settings.seconds)))
    for asked in _asked(large):
        yield _beside_sql(large, asked, settings.windows)


def _asked(place: Rows) -> list[Asked]:
    """The commands, with an id out of the middle."""
    with place.plain() as plain:
        middle = plain.rows(
            f"SELECT response_id FROM openai_exchanges LIMIT 1 OFFSET {place.rows // 2}"
        )
    identifier = str(middle[0][0])
    by_id = """
SELECT * FROM openai_exchanges e JOIN openai_responses r
    ON r.tenant_id = e.tenant_id AND r.id = e.response_id"""
    one_host = "AND host = 'openrouter.ai' AND started_at >= 1764000000"
    return [
        Asked(("list",), f"{SUMMARY} {NEWEST}"),
        Asked(("list", "--host", "openrouter.ai", "--since", "2025-11-25"),
              f"{SUMMARY} {one_host} {NEWEST}"),
        Asked(("show", identifier), f"{by_id} WHERE e.response_id = ?", (identifier,)),
        Asked(("tail", "-n", "20"), f"{SUMMARY} {NEWEST}"),
        Asked(("stats",), GROUPED.format(by="model")),
        Asked(("stats", "--by", "day"), GROUPED.format(by=DAY[place.name])),
        Asked(("search", RARE), FOUND[place.name], (RARE,)),
        Asked(("search", COMMON), FOUND[place.name], (COMMON,)),
    ]  # fmt: skip


def _pages(place: Rows, target: Target) -> Results:
    """Seconds that the first page takes, as a browser gets it."""
    with web_pages(place.config) as visitor:
        for name, path in PAGES:
            taken = [visitor.measure(path) for _ in range(RUNS_OF_PAGES)]
            label = f"web: {name}, {place.name}, {place.rows:,} rows"
            yield Result(label, "s", spread(taken), target, raw={"seconds": taken})


def _process(place: Rows, asked: Asked, runs: int) -> Result:
    """Seconds that the command takes, from its start to its end."""
    command = [*PROGRAM, *_arguments(place, asked)]
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        ran = subprocess.run(command, capture_output=True, check=False)
        taken.append(time.perf_counter() - start)
        if ran.returncode or not ran.stdout:
            raise RuntimeError(f"{asked.label}: {ran.stderr.decode(errors='replace')}")
    label = f"{asked.label}, {place.name}, {place.rows:,} rows"
    return Result(label, "s", spread(taken), TARGET, raw={"seconds": taken})


def _beside_sql(place: Rows, asked: Asked, windows: int) -> Result:
    """How many times longer than plain SQL; connecting is in both, loading the program in none."""
    above: list[float] = []
    below: list[float] = []
    began = time.monotonic()
    for number in range(windows):
        if number >= FEWEST and time.monotonic() - began > LONGEST:
            break
        for ours in (True, False) if number % 2 == 0 else (False, True):
            (above if ours else below).append(_ours(place, asked) if ours else _plain(place, asked))
    times = f"{spread(above).median * 1e3:.1f} ms, {spread(below).median * 1e3:.1f} ms"
    label = f"{asked.label}, {place.name}, {place.rows:,} rows / plain SQL"
    raw = {"ours": above, "plain": below}
    return Result(label, "x", spread(ratios(above, below)), note=times, raw=raw)


def _ours(place: Rows, asked: Asked) -> float:
    said = io.TextIOWrapper(io.BytesIO())
    with redirect_stdout(said), redirect_stderr(said):
        start = time.perf_counter()
        main(_arguments(place, asked), standalone_mode=False)
        return time.perf_counter() - start


def _plain(place: Rows, asked: Asked) -> float:
    start = time.perf_counter()
    with place.plain() as plain:
        found = plain.rows(asked.sql, asked.values)
    seconds = time.perf_counter() - start
    assert found, asked.label
    return seconds


def _arguments(place: Rows, asked: Asked) -> Sequence[str]:
    return [*asked.arguments, "--config", str(place.config)]
