"""`response-store flush`: until the database has what was acknowledged, or why it has not."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from response_store.cli import flush
from tests.harness.ports import free_port
from tests.unit.cli.conftest import Command
from tests.unit.cli.proxied import (
    configure,
    journal_folders,
    killed_proxy,
    listed,
    proxy_journal,
    running_proxy,
)
from tests.unit.ingest.proxy_side import Ingester
from tests.unit.ingest.test_earlier_journals import entry, make
from tests.unit.queries.stored import Stored
from tests.unit.queries.stored_in_postgres import StoredInPostgres

DONE = "All that was acknowledged so far is in the database.\n"
CANARY = "c4n4ry-p4ssword"


@pytest.fixture(autouse=True)
def configured_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands and the proxies have one configuration, of a SQLite file."""
    configure(place)
    monkeypatch.setenv("RESPONSE_STORE_CONFIG", str(place / "proxy.yaml"))


def test_nothing_to_do(run: Command) -> None:
    """Without a journal there is nothing to wait for, and no database is made."""
    result = run("flush")
    assert (result.exit_code, result.stdout, result.stderr) == (0, DONE, "")
    assert not Path("responses.db").exists()


def test_what_was_left_is_applied(place: Path, run: Command) -> None:
    """Journals of killed proxies are applied and gone."""
    killed_proxy(place, range(3))
    killed_proxy(place, range(3, 5))
    result = run("flush")
    assert (result.exit_code, result.stdout) == (0, DONE)
    assert journal_folders(place) == []
    assert len(listed(run("list"))) == 5


def test_a_running_proxy_is_waited_for(place: Path, run: Command) -> None:
    """As long as it takes: also for an ingester that comes late."""
    with closing(proxy_journal(place, range(50))) as journal:
        started: list[Ingester] = []
        timer = threading.Timer(1.5, lambda: started.append(Ingester(journal)))
        timer.start()
        try:
            result = run("flush")
            assert (result.exit_code, result.stdout) == (0, DONE)
            assert len(listed(run("list", "--limit", "100"))) == 50
        finally:
            timer.join()
            started[0].close()


def test_a_proxy_that_ends_meanwhile(place: Path, run: Command) -> None:
    """One that is killed while it is waited for is applied then."""
    journal = proxy_journal(place, range(5))
    timer = threading.Timer(0.5, journal.close)
    timer.start()
    result = run("flush")
    timer.join()
    assert (result.exit_code, result.stdout) == (0, DONE)
    assert journal_folders(place) == []


def test_it_gives_up_in_time(place: Path, run: Command) -> None:
    """With --timeout, whatever happens: the journal, how much and why are named."""
    with closing(proxy_journal(place, range(2))) as journal:
        began = time.monotonic()
        result = run("flush", "--timeout", "0.3")
        assert 0.3 <= time.monotonic() - began < 5
    assert (result.exit_code, result.stdout) == (1, "")
    path = journal.directory.path
    assert f"Error: journal {path}: 2 frames are not in the database: " in result.stderr
    assert "there is no database" in result.stderr


def test_json_names_what_is_missing(place: Path, run: Command) -> None:
    """An object for each journal that is not in the database; none once all is."""
    with closing(proxy_journal(place, range(2))) as journal:
        result = run("flush", "--timeout", "0.1", "--json")
        (unfinished,) = json.loads(result.stdout)["unfinished"]
        assert (result.exit_code, unfinished["frames"]) == (1, 2)
        assert unfinished["journal"] == str(journal.directory.path)
        assert "there is no database" in unfinished["reason"]
    assert json.loads(run("flush", "--json").stdout) == {"unfinished": []}


def test_it_gives_up_where_nothing_moves(
    place: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --timeout it waits as long as something moves, and no longer."""
    monkeypatch.setattr(flush, "STALLED", 0.3)
    with running_proxy(place, range(1)) as ingester:
        ingester.flush()
        ingester.kill()
        ingester.journal.exchange(1)
        result = run("flush")
    assert result.exit_code == 1
    assert ": 1 frame is not in the database: its ingester does not go on" in result.stderr


def test_it_waits_as_long_as_something_moves(
    place: Path, run: Command, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Much that is applied slowly takes as long as it takes."""
    monkeypatch.setattr(flush, "STALLED", 1.2)
    with closing(proxy_journal(place, range(4))) as journal:
        row = {"journal_id": journal.directory.journal_id, "position": 0, "changed_at": 0.0}
        stored.insert("{exchanges_journals}", row)

        def advance() -> None:
            for _ in range(4):
                time.sleep(0.5)
                stored.script("UPDATE {exchanges_journals} SET position = position + 1")

        slow = threading.Thread(target=advance)
        slow.start()
        result = run("flush")
        slow.join()
    assert (result.exit_code, result.stdout) == (0, DONE)


def test_a_database_that_is_away(
    place: Path, run: Command, stored_in_postgres: StoredInPostgres
) -> None:
    """The reason is that of the database, without the password; the journal stays."""
    url = stored_in_postgres.database.url(port=free_port(), password=CANARY)
    stored_in_postgres.configure(
        place / "proxy.yaml", database_url=url, journal=f"{{path: {place / 'journals'}}}"
    )
    path = killed_proxy(place, range(2))
    result = run("flush", "--timeout", "0.5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"journal {path}: 2 frames are not in the database: " in result.stderr
    assert "no connection" in result.stderr
    assert CANARY not in result.stderr
    assert path.exists()


def test_one_journal(place: Path, run: Command) -> None:
    """--journal applies that one, and leaves the others of the same database."""
    first, second = killed_proxy(place, range(1)), killed_proxy(place, range(1, 2))
    assert run("flush", "--journal", str(first)).exit_code == 0
    assert journal_folders(place) == [second.name]


def test_a_journal_of_another_database_is_refused(place: Path, run: Command) -> None:
    """Both databases are named, and what to give; neither is touched."""
    configure(place, "database_url: sqlite://other.db\n")
    path = killed_proxy(place, range(1))
    configure(place)
    result = run("flush", "--journal", str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"belongs to SQLite {place / 'other.db'} (tables openai_responses, " in result.stderr
    assert f"the configuration names SQLite {place / 'responses.db'} (tables " in result.stderr
    assert f"--database {place / 'other.db'}" in result.stderr
    assert path.exists()
    assert not list(place.glob("*.db"))


def test_other_tables_are_another_database(place: Path, run: Command) -> None:
    """The same file with other table names is refused as well."""
    configure(place, "database_url: sqlite://responses.db\nexchanges_table: others\n")
    path = killed_proxy(place, range(1))
    configure(place)
    result = run("flush", "--journal", str(path))
    assert result.exit_code == 2
    assert "others" in result.stderr


@pytest.mark.parametrize("journal", ["nowhere", "journals/0e1c5a0e-8f43-4a51-9d0e-0b7f3f3c1d52"])
def test_no_such_journal(run: Command, journal: str) -> None:
    """A folder that is none is an error, not a traceback."""
    result = run("flush", "--journal", journal)
    assert result.exit_code == 1
    assert "journal.path" in result.stderr


def test_a_newer_journal_is_said(place: Path, run: Command) -> None:
    """One of a newer release is left alone: nobody knows whose it is."""
    path = killed_proxy(place, range(1))
    header = path / "journal.json"
    header.write_text(header.read_text().replace('"format":1', '"format":2'))
    result = run("flush")
    assert result.exit_code == 0
    assert f"Note: journal {path}: its format is 2" in result.stderr
    assert run("flush", "--journal", str(path)).exit_code == 1


def test_memory_is_its_proxy_s(place: Path, run: Command) -> None:
    """There is nothing to wait for from outside."""
    configure(place, "database_url: 'sqlite::memory:'\n")
    result = run("flush")
    assert result.exit_code == 1
    assert "In-memory" in result.stderr or "in-memory" in result.stderr


def test_a_journal_of_an_earlier_release(place: Path, run: Command) -> None:
    """A file is applied where it is named, and set aside; what is no journal is left alone."""
    earlier = make(place / "response-store-journal.db", [entry("e1")])
    result = run("flush", "--journal", str(earlier))
    assert (result.exit_code, "1 records of the earlier journal" in result.stderr) == (0, True)
    assert not earlier.exists()
    other = place / "other.db"
    other.write_bytes(b"SQLite format 3\0")
    result = run("flush", "--journal", str(other))
    assert (result.exit_code, "it was not applied" in result.stderr) == (1, True)
    assert other.exists()
