"""What is long on the page: a session of a thousand turns, and bodies of 40 MB."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from benchmarks import journals
from benchmarks.reading_pages import Visitor, web_pages
from benchmarks.results import Result, Results, Target
from benchmarks.rig import Rig
from benchmarks.rows import records
from benchmarks.settings import Settings
from benchmarks.spread import spread
from response_store.backends.registry import build_store
from response_store.config import load_config
from response_store.model.records import Record
from response_store.model.zstd import build_raw_frame
from tests.harness.agent_session import build_records, take_turns

TURNS = 1000
GROWTH = 85  # characters a turn, or so
BODY = 40_000_000  # bytes
PAGE, EXPORT = Target(1.0, 0.3, higher_is_better=False), Target(5.0, 2.5, higher_is_better=False)
BYTES = Target(2_500.0, 500.0, higher_is_better=False)  # thousands, of a page
RUNS = 5


def reading_pages(rig: Rig, _: Settings) -> Results:
    """Seconds and bytes of pages that have much to show."""
    config = rig.folder / "long.yaml"
    path = rig.folder / "long.db"
    config.write_text(
        f"database_url: {json.dumps(f'sqlite://{path}')}\n" + journals.configuration(rig.folder)
    )
    fill(config)
    with web_pages(config) as visitor:
        session = f"a session of {TURNS:,} turns"
        yield from _measure(visitor, f"{session}: first part", "session/long", PAGE)
        last = f"session/long/turns?start={TURNS - 30}"
        yield from _measure(visitor, f"{session}: last 30 turns", last, PAGE)
        yield from _measure(visitor, f"{session}: export", "session/long/export.html", EXPORT, None)
        for part in ("", "/request", "/answer"):
            name = f"a body of {BODY // 10**6} MB: exchange{part}"
            yield from _measure(visitor, name, f"exchange/large{part}", None)


def _measure(
    visitor: Visitor, name: str, path: str, seconds: Target | None, size: Target | None = BYTES
) -> Results:
    """How long a page takes, and how many bytes of it reach a browser."""
    taken = [visitor.fetch(path) for _ in range(RUNS)]
    times, sizes = [one for one, _ in taken], [len(page) / 1e3 for _, page in taken]
    yield Result(f"web: {name}", "s", spread(times), seconds, raw={"seconds": times})
    yield Result(f"web: {name}, size", "kB", spread(sizes), size)


def fill(config: Path) -> None:
    """Write the session and the large exchange."""
    with closing(build_store(load_config(config))) as store:
        store.open()
        for record in (*_list_turns(), _build_large()):
            store.write([record])


def _list_turns() -> Iterator[Record]:
    before = None
    for record in build_records(take_turns(TURNS, growth=GROWTH)):
        exchange = msgspec.structs.replace(
            record.exchange, session_id="long", parent_exchange_id=before
        )
        yield msgspec.structs.replace(record, exchange=exchange)
        before = exchange.exchange_id


def _build_large() -> Record:
    """An exchange whose request and answer are as large: a hundred texts, and one."""
    text = "many words " * (BODY // 11)
    parts = [{"role": "user", "content": text[: BODY // 100]}] * 100
    item = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
    }
    record = next(records(1, seed=1))
    exchange = msgspec.structs.replace(
        record.exchange,
        exchange_id="large",
        request_body=build_raw_frame(json.dumps({"input": parts}).encode()),
        result=json.dumps({"output": [item]}),
        output_text=text,
    )
    return Record(exchange)
