"""Journals that nobody owns any more: found, applied with their own settings, removed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from response_store.backends.registry import build_store
from response_store.config import Config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import TransientStoreError
from response_store.ingest.applier import Applier
from response_store.ingest.takeover import Fate, FoundJournal, take_over
from response_store.journal.directory import HEADER_NAME, POSITION, JournalDirectory, build_target
from response_store.journal.private_files import prepare_folder
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.proxy_side import (
    ProxyJournal,
    exchanges,
    id_of,
    make_config,
    rows,
    stream_start,
)
from tests.unit.ingest.test_delivery import REFUSE, question


def sweep(config: Config, *, rule: str | None = None, **how: Any) -> list[FoundJournal]:
    """Take over what is there, as a command does; meanwhile the database gets a rule of its own."""
    assert config.journal.path is not None
    store, counters = build_store(config), Counters()
    if rule is not None:
        store.open()
        with closing(sqlite3.connect(config.database.path)) as connection:
            connection.executescript(rule)
    try:
        return take_over(
            config.journal.path, config, store, build_target(config),
            counters=counters, errors=ErrorReporter(counters), **how,
        )  # fmt: skip
    finally:
        store.close()


def fates(found: list[FoundJournal]) -> list[Fate]:
    """Return what became of each."""
    return [one.fate for one in found]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with a SQLite file."""
    return make_config(tmp_path)


@pytest.fixture
def orphan(config: Config) -> Path:
    """The folder of a journal with an exchange that ended and one that is open."""
    proxy = ProxyJournal(config)
    proxy.exchange(1)
    proxy.open(2)
    proxy.part(2, stream_start(2), first=True)
    proxy.close()
    return proxy.directory.path


def test_an_orphan_is_applied_and_removed(config: Config, orphan: Path, tmp_path: Path) -> None:
    """What it holds is in the database, what is open is interrupted, and its folder is gone."""
    assert sweep(config) == [FoundJournal(orphan, Fate.APPLIED, records=3)]
    assert exchanges(tmp_path / "responses.db") == {id_of(1): "completed", id_of(2): "interrupted"}
    assert not orphan.exists()
    known = "SELECT count(*) FROM openai_exchanges_journals WHERE journal_id <> ''"
    assert rows(tmp_path / "responses.db", known) == [(0,)]
    assert sweep(config) == []


def test_its_position_is_no_hint(
    config: Config, orphan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is dropped before the end: what the journal lacks then, it lacked before."""
    monkeypatch.setattr(Applier, "finish", raise_away)
    assert fates(sweep(config)) == [Fate.UNFINISHED]
    assert not (orphan / POSITION).exists()


def raise_away(_: object) -> bool:
    """Stand for a database that goes away just before the end."""
    raise TransientStoreError("the database is away")


def test_a_journal_with_an_owner_or_a_reader_is_left_alone(config: Config, tmp_path: Path) -> None:
    """Who lives applies its own journal."""
    proxy = ProxyJournal(config)
    proxy.exchange(1)
    assert fates(sweep(config)) == [Fate.BUSY]
    proxy.close()
    reader = JournalDirectory.open(proxy.directory.path)
    assert reader.lock_reader()
    assert fates(sweep(config)) == [Fate.BUSY]
    reader.close()
    assert fates(sweep(config)) == [Fate.APPLIED]


def test_frames_that_were_applied_before_are_not_applied_again(
    config: Config, tmp_path: Path
) -> None:
    """Where its ingester got so far, the rest alone is applied."""
    bench = Bench(tmp_path)
    bench.proxy.exchange(1)
    bench.apply()
    bench.proxy.exchange(2)
    bench.close()
    bench.execute("DELETE FROM openai_exchanges")
    assert fates(sweep(config)) == [Fate.APPLIED]
    assert exchanges(tmp_path / "responses.db") == {id_of(2): "completed"}


def test_it_is_applied_with_the_settings_that_it_was_written_with(tmp_path: Path) -> None:
    """`capture` and `redact` of the proxy count, not those of who takes over."""
    theirs = make_config(tmp_path, "capture: {store_false: skip, raw_bodies: always}\n")
    proxy = ProxyJournal(theirs)
    proxy.exchange(1, request=b'{"model":"m","input":"x","store":false}')
    proxy.exchange(2)
    proxy.close()
    ours = make_config(tmp_path, "capture: {raw_bodies: never}\n")
    assert fates(sweep(ours)) == [Fate.APPLIED]
    found = rows(tmp_path / "responses.db", "SELECT exchange_id, raw_response IS NULL "
                 "FROM openai_exchanges")  # fmt: skip
    assert found == [(id_of(2), 0)]


def test_a_journal_of_another_database_is_left_alone(orphan: Path, tmp_path: Path) -> None:
    """It waits for its own; an empty one of another database goes all the same."""
    other = make_config(tmp_path, url=f"sqlite:{tmp_path / 'other.db'}")
    ProxyJournal(make_config(tmp_path)).close()
    assert fates(sweep(other)) == [Fate.FOREIGN, Fate.FOREIGN]
    assert [path.name for path in orphan.parent.iterdir() if path.is_dir()] == [orphan.name]
    assert exchanges(tmp_path / "other.db") == {}


def test_a_database_that_was_moved_is_known_by_its_id(config: Config, tmp_path: Path) -> None:
    """A journal finds its database under another name, but not a mere copy of it."""
    bench = Bench(tmp_path)
    bench.proxy.exchange(1)
    bench.apply()
    header = bench.proxy.directory.header
    bound = msgspec.structs.replace(header, database_id=bench.store.database_id)
    bench.proxy.directory.write_header(bound)
    bench.proxy.exchange(2)
    bench.close()
    shutil.copy(tmp_path / "responses.db", tmp_path / "copy.db")
    copy = make_config(tmp_path, url=f"sqlite:{tmp_path / 'copy.db'}")
    assert fates(sweep(copy)) == [Fate.FOREIGN]
    (tmp_path / "responses.db").rename(tmp_path / "moved.db")
    moved = make_config(tmp_path, url=f"sqlite:{tmp_path / 'moved.db'}")
    assert fates(sweep(moved)) == [Fate.APPLIED]
    assert set(exchanges(tmp_path / "moved.db")) == {id_of(1), id_of(2)}


def test_other_tables_are_another_database(orphan: Path, tmp_path: Path) -> None:
    """A journal of other tables in the same file is not ours."""
    other = make_config(tmp_path, "exchanges_table: others\n")
    assert fates(sweep(other)) == [Fate.FOREIGN]


def test_a_newer_format_is_left_alone_and_told(config: Config, orphan: Path, caplog: Any) -> None:
    """What a later release has written is not touched."""
    header = msgspec.json.decode((orphan / HEADER_NAME).read_bytes())
    (orphan / HEADER_NAME).write_bytes(msgspec.json.encode({**header, "format": 99}))
    [found] = sweep(config)
    assert found.fate is Fate.UNUSABLE
    assert "format is 99" in (found.problem or "")
    assert "format is 99" in caplog.text
    assert orphan.exists()


@pytest.mark.parametrize("settings", [{}, {"capture": 1}, None])
def test_settings_that_make_no_sense_are_refused(
    config: Config, orphan: Path, settings: Any
) -> None:
    """A header is input: where it can't be used the journal is left alone."""
    header = msgspec.json.decode((orphan / HEADER_NAME).read_bytes())
    if settings is None:
        settings = {**header["settings"], "redact": {"patterns": ["no such"], "custom": 7}}
    (orphan / HEADER_NAME).write_bytes(msgspec.json.encode({**header, "settings": settings}))
    [found] = sweep(config)
    assert found.fate is Fate.UNUSABLE
    assert orphan.exists()


def test_a_journal_of_a_database_in_memory_goes(tmp_path: Path) -> None:
    """Its database is gone with its process: there is nowhere to apply it."""
    proxy = ProxyJournal(make_config(tmp_path, url="sqlite::memory:"))
    proxy.exchange(1)
    proxy.close()
    assert fates(sweep(make_config(tmp_path))) == [Fate.APPLIED]
    assert not proxy.directory.path.exists()
    assert exchanges(tmp_path / "responses.db") == {}


def test_only_the_journal_that_is_named(config: Config, orphan: Path) -> None:
    """With `only` others are left alone, and a folder that is none is said."""
    other = ProxyJournal(config)
    other.exchange(3)
    other.close()
    found = sweep(config, only=orphan)
    assert found == [FoundJournal(orphan, Fate.APPLIED, records=3)]
    assert other.directory.path.exists()
    [none] = sweep(config, only=orphan)
    assert none.fate is Fate.UNUSABLE
    assert "is no journal" in (none.problem or "")


def test_refused_rows_keep_the_folder(config: Config, tmp_path: Path) -> None:
    """What the database refuses stays with the journal, and is no reason to apply it again."""
    proxy = ProxyJournal(config)
    proxy.exchange(1, request=question("bad"))
    proxy.close()
    rule = REFUSE.format(when="WHEN NEW.requested_model = 'bad'")
    assert fates(sweep(config, rule=rule)) == [Fate.DEAD_LETTERS]
    assert proxy.directory.path.exists()
    with closing(sqlite3.connect(tmp_path / "responses.db")) as connection:
        connection.execute("DROP TRIGGER refuse_insert")
    assert fates(sweep(config)) == [Fate.DEAD_LETTERS]


def test_a_database_that_is_away_leaves_everything(config: Config, orphan: Path) -> None:
    """Until the deadline it is tried again; then the problem says why the journal stays."""
    (orphan.parent.parent / "responses.db").mkdir()
    began = time.monotonic()
    found = sweep(config, deadline=began + 0.5)
    assert fates(found) == [Fate.UNFINISHED]
    assert found[0].problem
    (orphan.parent.parent / "responses.db").rmdir()
    assert fates(sweep(config)) == [Fate.APPLIED]


def test_open_rows_of_nobody_are_interrupted(config: Config, tmp_path: Path) -> None:
    """Rows that a killed proxy of an earlier release left open are closed on the way."""
    bench = Bench(tmp_path)
    bench.proxy.open(1)
    bench.apply()
    bench.execute("UPDATE openai_exchanges SET recorder_id = 'of an earlier release'")
    assert bench.end()
    bench.close()
    proxy = ProxyJournal(config)
    proxy.exchange(2)
    proxy.close()
    sweep(config)
    assert exchanges(tmp_path / "responses.db") == {id_of(1): "interrupted", id_of(2): "completed"}


def test_ids_in_rows_are_no_paths(config: Config, tmp_path: Path) -> None:
    """Whatever a found database says of recorders and journals, no file is touched for it."""
    proxy = ProxyJournal(config)
    proxy.open(1)
    proxy.close()
    sweep(config)
    victims = [tmp_path / name for name in ("victim", "victim.lock", "journals/victim/header")]
    for victim in victims:
        victim.parent.mkdir(exist_ok=True, mode=0o700)
        victim.write_text("precious")
    for made in ("../victim", "x/../../victim", str(tmp_path / "victim"), "victim", ".."):
        with closing(sqlite3.connect(tmp_path / "responses.db")) as connection, connection:
            connection.execute(
                "UPDATE openai_exchanges SET state = 'open', recorder_id = ?", (made,)
            )
            connection.execute(
                "INSERT OR REPLACE INTO openai_exchanges_journals "
                "(journal_id, position, changed_at) VALUES (?, 9, 1)",
                (f"{made}/",),
            )
        proxy = ProxyJournal(config)
        proxy.exchange(2)
        proxy.close()
        assert Fate.APPLIED in fates(sweep(config))
        assert exchanges(tmp_path / "responses.db")[id_of(1)] == "interrupted"
    assert [victim.read_text() for victim in victims] == ["precious"] * 3


def plant_in_working_folder(orphan: Path, tmp_path: Path) -> Path:
    """Put a journal of the right shape below the folder in which a command works."""
    planted = tmp_path / "work" / "response-store" / "journals" / orphan.name
    planted.parent.mkdir(parents=True, mode=0o700)
    shutil.copytree(orphan, planted)
    return planted


def test_a_journal_in_the_working_folder_is_never_read(
    config: Config, orphan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the user's state folder counts, wherever a journal of the right shape is planted."""
    planted = plant_in_working_folder(orphan, tmp_path)
    for again in (tmp_path / "work" / "journals", tmp_path / "work" / "responses.db-journals"):
        shutil.copytree(planted.parent, again)
    shutil.rmtree(orphan)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = sorted(path for path in (tmp_path / "work").rglob("*"))
    store, counters = build_store(config), Counters()
    try:
        assert not take_over(
            prepare_folder(None, {}), config, store, build_target(config),
            counters=counters, errors=ErrorReporter(counters),
        )  # fmt: skip
    finally:
        store.close()
    assert sorted(path for path in (tmp_path / "work").rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files away")
@pytest.mark.parametrize("what", ["folder", "header", "segment"])
def test_a_journal_that_somebody_else_planted_is_not_applied(
    config: Config, orphan: Path, tmp_path: Path, what: str
) -> None:
    """One in the right place, of the right target, but of another owner, forges no row."""
    segment = next(path for path in orphan.iterdir() if path.name.startswith("m-"))
    planted = {"folder": orphan, "header": orphan / HEADER_NAME, "segment": segment}[what]
    os.chown(planted, 65534, 65534)
    found = sweep(config)
    assert Fate.APPLIED not in fates(found)
    assert id_of(1) not in exchanges(tmp_path / "responses.db")
    assert orphan.exists()
