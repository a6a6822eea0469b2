"""The room that a long session of a stateless agent takes, and what it costs to take less.

684 turns, each of which sends the whole conversation again: a session that takes 150 MB where
`input` and `messages` are written and each body stands alone. Both ways are measured, by the
ingester's own builder and store: a row when a turn begins, and one when it has ended. What the
answers repeat of the request (its instructions, its tools) is stored as it comes, both ways.
"""

from __future__ import annotations

import io
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.settings import Settings
from benchmarks.spread import ratios, spread
from response_store.backends.registry import build_store
from response_store.backends.sqlite.store import SqliteStore
from response_store.cli import main
from response_store.config import InputColumns, load_config
from tests.harness.agent_session import Turn, build_records, take_turns

TURNS = 684
GROWTH = 85  # characters a turn, or so
TARGET = Target(10.0, 20.0)
COLUMNS = {
    "openai_responses": ("input", "messages", "response_object"),
    "openai_exchanges": ("request_body", "output_text"),
}
TIMES = 9


@dataclass
class Side:
    """A database of the session, and how it is filled."""

    folder: Path
    columns: InputColumns
    packs: bool

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.path = self.folder / "responses.db"
        self.config = self.folder / "config.yaml"
        self.config.write_text(
            f"database_url: sqlite://{self.path}\ncapture:\n  input_columns: {self.columns}\n"
        )
        self.milliseconds: list[float] = []  # of the processor, a turn

    def fill(self, turns: Sequence[Turn]) -> None:
        """Write all turns, one after the other."""
        store = build_store(load_config(self.config))
        assert isinstance(store, SqliteStore)
        with closing(store):
            store.open()
            records = build_records(turns, self.columns, begins=True)
            for _ in turns:
                start = time.process_time()
                for _ in range(2):
                    if not self.packs:
                        store._packer.clear()  # noqa: SLF001 - as if nothing were known
                    store.write([next(records)])
                self.milliseconds.append((time.process_time() - start) * 1e3)
                store.maintain()
            store.rest()

    def measure(self) -> dict[str, float]:
        """Megabytes of the file, and of each large column."""
        with closing(sqlite3.connect(self.path)) as connection:
            sizes = {
                column: connection.execute(
                    f"SELECT coalesce(sum(length(CAST({column} AS BLOB))), 0) FROM {table}"
                ).fetchone()[0]
                for table, columns in COLUMNS.items()
                for column in columns
            }
        sizes["file"] = self.path.stat().st_size
        return {name: size / 1e6 for name, size in sizes.items()}

    def run(self, *arguments: str) -> float:
        """Milliseconds that a command takes in this process."""
        out = io.TextIOWrapper(io.BytesIO())
        with redirect_stdout(out), redirect_stderr(out):
            start = time.perf_counter()
            main([*arguments, "--config", str(self.config)], standalone_mode=False)
            return (time.perf_counter() - start) * 1e3


def room(rig: Rig, _: Settings) -> Results:
    """How much less the session takes, and processor and reading times beside each other."""
    repeating = take_turns(TURNS, growth=GROWTH, repeats=True)
    yield _compare_sizes(*_fill_both(rig.folder / "repeating", repeating), "repeated in answers")
    turns = take_turns(TURNS, growth=GROWTH)
    full, less = _fill_both(rig.folder / "plain", turns)
    yield _compare_sizes(full, less, "not repeated")
    yield _compare("CPU time of a turn in the ingester", full.milliseconds, less.milliseconds)
    word = json.loads(turns[-1].body)["input"][-1]["output"].split()[0]
    filled = [[side.run("search", word)] for side in (full, less)]
    yield _compare("search, with the index to be made", *filled)
    last = f"resp_s1_{TURNS - 1}"
    for command in (("show", last), ("show", last, "--json"), ("search", word), ("export",)):
        yield _compare(" ".join(command), *zip(*_take_times(full, less, command), strict=True))
    sizes = [side.measure()["file"] for side in (full, less)]
    yield Result("file with its search index, in full / less", "x", spread([sizes[0] / sizes[1]]),
                 note=f"{sizes[0]:.1f} MB, {sizes[1]:.1f} MB")  # fmt: skip


def _take_times(full: Side, less: Side, command: Sequence[str]) -> Iterator[tuple[float, float]]:
    for _ in range(1 if command[0] == "export" else TIMES):
        yield full.run(*command), less.run(*command)


def _fill_both(folder: Path, turns: Sequence[Turn]) -> tuple[Side, Side]:
    folder.mkdir()
    full = Side(folder / "full", InputColumns.ALWAYS, packs=False)
    less = Side(folder / "less", InputColumns.STORED, packs=True)
    for side in (full, less):
        side.fill(turns)
    return full, less


def _compare_sizes(full: Side, less: Side, what: str) -> Result:
    before, after = full.measure(), less.measure()
    note = ", ".join(f"{name} {before[name]:.1f} MB, {after[name]:.1f} MB" for name in before)
    label = f"file of {TURNS} turns, settings {what}, in full / less"
    return Result(label, "x", spread([before["file"] / after["file"]]), TARGET, note)


def _compare(label: str, full: Sequence[float], less: Sequence[float]) -> Result:
    note = f"{spread(full).median:.2f} ms, {spread(less).median:.2f} ms"
    raw = {"full": [*full], "less": [*less]}
    return Result(f"{label}, less / in full", "x", spread(ratios(less, full)), note=note, raw=raw)
