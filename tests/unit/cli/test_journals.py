"""What commands make of journals: those of killed proxies, of running ones, of other databases."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest

from response_store.cli import journals
from response_store.ingest.applier import Applier
from response_store.journal.directory import HEADER_NAME
from tests.harness.ports import free_port
from tests.harness.postgres import PostgresDatabase
from tests.unit.cli.conftest import Command
from tests.unit.cli.proxied import (
    configure,
    journal_folders,
    killed_proxy,
    listed,
    loaded,
    proxy_journal,
    running_proxy,
)
from tests.unit.ingest.proxy_side import ProxyJournal, id_of
from tests.unit.queries.stored_in_postgres import StoredInPostgres

CANARY = "c4n4ry-p4ssword"
READING = [
    ("list",), ("show", "resp_1"), ("show", "--thread", "resp_1"), ("search", "answer"), ("stats",),
    ("tail",), ("export",), ("copy", "--to", "copy.db"),
    ("prune", "--older-than", "1d", "--dry-run"),
    ("status",),
]  # fmt: skip


@pytest.fixture(autouse=True)
def configured_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands and the proxies have one configuration, of a SQLite file."""
    configure(place)
    monkeypatch.setenv("RESPONSE_STORE_CONFIG", str(place / "proxy.yaml"))


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, place: Path) -> str:
    """Either database, configured; the commands and the proxies use it."""
    if request.param == "postgres":
        stored: StoredInPostgres = request.getfixturevalue("stored_in_postgres")
        stored.configure(place / "proxy.yaml", journal=f"{{path: {place / 'journals'}}}")
    return str(request.param)


def test_a_list_after_a_double_kill_shows_everything(
    database: str, place: Path, run: Command
) -> None:
    """What two proxies had acknowledged that were killed with their ingesters is there."""
    killed_proxy(place, range(3))
    killed_proxy(place, range(3, 5))
    result = run("list")
    assert result.exit_code == 0
    assert sorted(listed(result)) == [f"resp_{key}" for key in range(5)]
    assert journal_folders(place) == []
    assert "2 records of a proxy that has ended were applied" in result.stderr
    assert run("list").stderr == ""


@pytest.mark.parametrize("command", READING)
def test_every_command_applies_what_was_left(
    place: Path, run: Command, command: tuple[str, ...]
) -> None:
    """Whatever reads the database sees what a killed proxy has left, though there was no file."""
    killed_proxy(place, range(3))
    result = run(*command)
    assert result.exit_code == 0
    assert journal_folders(place) == []
    assert len(listed(run("list"))) == 3


def test_what_is_open_is_interrupted(place: Path, run: Command) -> None:
    """An exchange whose proxy was killed is stored as far as it came."""
    journal = proxy_journal(place)
    journal.open(1)
    journal.close()
    assert run("list", "--state", "interrupted").stdout.split("\t")[7] == id_of(1)


def test_a_database_that_is_named(place: Path, run: Command) -> None:
    """--database finds the journals of that file, by whatever path it is named."""
    configure(place, "database_url: sqlite://other.db\n")
    killed_proxy(place, range(1))
    configure(place)
    (place / "link.db").symlink_to(place / "other.db")
    result = run("list", "--database", "link.db")
    assert listed(result) == ["resp_0"]
    assert (place / "other.db").exists()
    assert not (place / "responses.db").exists()


def test_a_database_that_was_moved(place: Path, run: Command) -> None:
    """A file that was moved keeps its journals, as they know its own id."""
    with running_proxy(place, range(1)) as ingester:
        ingester.flush()
        journal = ingester.journal
        ingester.kill()
        journal.exchange(1)
    for end in ("", "-wal", "-shm"):
        (place / f"responses.db{end}").rename(place / f"moved.db{end}")
    configure(place, "database_url: sqlite://moved.db\n")
    assert sorted(listed(run("list"))) == ["resp_0", "resp_1"]
    assert journal_folders(place) == []


def test_a_copy_of_a_database(place: Path, run: Command) -> None:
    """A copy has the id of its original; the journals belong to that, as long as it is there."""
    with running_proxy(place, range(1)) as ingester:
        ingester.flush()
        journal = ingester.journal
        ingester.kill()
        journal.exchange(1)
    for end in ("", "-wal"):
        shutil.copy(place / f"responses.db{end}", place / f"copy.db{end}")
    assert listed(run("list", "--database", "copy.db")) == ["resp_0"]
    assert len(journal_folders(place)) == 1
    assert "other journal\t" in run("status", "--database", "copy.db").stdout
    assert sorted(listed(run("list"))) == ["resp_0", "resp_1"]


def test_the_journals_of_others_are_left_alone(place: Path, run: Command) -> None:
    """A journal of another database stays as it is, also beside one that is applied."""
    configure(place, "database_url: sqlite://other.db\n")
    theirs = killed_proxy(place, range(1))
    before = sorted((path.name, path.stat().st_size) for path in theirs.iterdir())
    configure(place)
    killed_proxy(place, range(1, 2))
    assert listed(run("list")) == ["resp_1"]
    assert journal_folders(place) == [theirs.name]
    after = sorted((path.name, path.stat().st_size) for path in theirs.iterdir())
    assert [one for one in after if one[0] != "reader.lock"] == before
    assert not (place / "other.db").exists()


def test_a_running_proxy_is_waited_for(database: str, place: Path, run: Command) -> None:
    """What was acknowledged before the command is in its output, and nothing is said."""
    with running_proxy(place, range(3)) as ingester:
        for key in range(3, 60):
            ingester.journal.exchange(key)
        ingester.wake()
        result = run("list", "--limit", "100")
        assert len(listed(result)) == 60
        assert result.stderr == ""


def test_a_proxy_that_lags_is_said(
    place: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its ingester does not get there in time, the command says how much is lacking."""
    monkeypatch.setattr(journals, "WAIT", 0.1)
    with running_proxy(place, range(1)) as ingester:
        ingester.flush()
        ingester.kill()
        ingester.journal.exchange(1)
        ingester.journal.exchange(2)
        result = run("list")
        assert listed(result) == ["resp_0"]
        said = "Note: the newest 2 frames of a running proxy are not in the database yet.\n"
        assert result.stderr == said
        assert len(journal_folders(place)) == 1


def test_waiting_has_an_end(place: Path, run: Command) -> None:
    """A proxy whose ingester hangs holds a command up for a second, no longer."""
    with running_proxy(place, range(1)) as ingester:
        ingester.flush()
        ingester.kill()
        ingester.journal.exchange(1)
        began = time.monotonic()
        assert "the newest frame of a running proxy is not" in run("stats").stderr
        assert journals.WAIT <= time.monotonic() - began < 5 * journals.WAIT


def test_a_journal_that_somebody_reads_is_waited_for(
    place: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingester that outlives its proxy, or another command, is left to its work."""
    monkeypatch.setattr(journals, "WAIT", 0.1)
    (place / "responses.db").unlink(missing_ok=True)
    killed_proxy(place, range(1))
    run("list")
    path = killed_proxy(place, range(1, 2))
    reader = journals.JournalDirectory.open(path)
    assert reader.lock_reader()
    try:
        result = run("list")
        assert listed(result) == ["resp_0"]
        assert "the newest frame of a running proxy is not" in result.stderr
    finally:
        reader.close()
    assert sorted(listed(run("list"))) == ["resp_0", "resp_1"]


def test_a_database_that_is_away(
    place: Path, run: Command, stored_in_postgres: StoredInPostgres
) -> None:
    """The usual error, once, without the password; the journal stays for later."""
    url = stored_in_postgres.database.url(port=free_port(), password=CANARY)
    stored_in_postgres.configure(
        place / "proxy.yaml", database_url=url, journal=f"{{path: {place / 'journals'}}}"
    )
    killed_proxy(place, range(2))
    result = run("list")
    assert result.exit_code == 1
    assert result.stderr.count("no connection") == 1
    assert result.stderr.startswith("Error: ")
    assert CANARY not in result.output + result.stderr
    assert len(journal_folders(place)) == 1
    result = run("status")
    assert result.exit_code == 1
    assert "waiting\t2 frames" in result.stdout
    assert CANARY not in result.output + result.stderr


@pytest.mark.parametrize("granted", ["rows", "everything"])
def test_a_role_that_may_only_read(
    place: Path, run: Command, plain_database: PostgresDatabase, granted: str
) -> None:
    """It sees the rows; that a journal waits is said, with the reason."""
    with closing(StoredInPostgres(plain_database)) as stored:
        stored.exchange("e1")
        role = plain_database.server.create_role(f"reads_{plain_database.name}")
        plain_database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        if granted == "rows":
            plain_database.execute(f"REVOKE SELECT ON openai_exchanges_journals FROM {role}")
        stored.configure(
            place / "proxy.yaml", database_url=plain_database.url(user=role),
            journal=f"{{path: {place / 'journals'}}}",
        )  # fmt: skip
    left = killed_proxy(place, range(1))
    result = run("list")
    assert (result.exit_code, listed(result)) == (0, ["e1"])
    assert f"Note: the journal {left} of a proxy that has ended is not applied: " in result.stderr
    assert left.exists()


def test_a_role_that_does_not_see_how_far_the_database_is(
    place: Path, run: Command, plain_database: PostgresDatabase
) -> None:
    """That is said, and nothing is waited for in vain."""
    with closing(StoredInPostgres(plain_database)) as stored:
        stored.exchange("e1")
        role = plain_database.server.create_role(f"looks_{plain_database.name}")
        plain_database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        plain_database.execute(f"REVOKE SELECT ON openai_exchanges_journals FROM {role}")
        stored.configure(
            place / "proxy.yaml", database_url=plain_database.url(user=role),
            journal=f"{{path: {place / 'journals'}}}",
        )  # fmt: skip
    with closing(proxy_journal(place, range(1))):
        result = run("list")
    assert (result.exit_code, listed(result)) == (0, ["e1"])
    assert "in the database can't be seen: " in result.stderr


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that other users reach, as pytest's is not, with a configuration in it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        configure(folder)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("RESPONSE_STORE_CONFIG", str(folder / "proxy.yaml"))
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
def test_files_that_can_only_be_read(run: Command, open_folder: Path) -> None:
    """Rows are shown, the journal is not applied, and a note says why."""
    place = open_folder
    killed_proxy(place, range(1))
    run("list")
    folder = killed_proxy(place, range(1, 2))
    nobody = 65534
    for path in (folder.parent, folder, *folder.iterdir()):
        os.chown(path, nobody, nobody)
    with closing(sqlite3.connect(place / "responses.db")) as writer:
        writer.execute("SELECT count(*) FROM openai_exchanges").fetchone()
        for path in place.glob("responses.db*"):
            path.chmod(0o644)
        code, out, err = in_child(lambda: run("list"), user=nobody)
    assert (code, out.split("\t")[7:8]) == (0, ["resp_0"])
    assert f"Note: the journal {folder} of a proxy that has ended is not applied: " in err
    assert folder.exists()


def in_child(work: Callable[[], Any], *, user: int | None = None) -> tuple[int, str, str]:
    """Return the exit code and the output of a command, of another user or of this one."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if user is not None:
                os.setgid(user)
                os.setuid(user)
            result = work()
            data = msgspec.json.encode([result.exit_code, result.stdout, result.stderr])
        except BaseException as error:  # noqa: BLE001 - the parent is to see it
            data = msgspec.json.encode([99, "", repr(error)])
        os.write(writing, data)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    code, out, err = msgspec.json.decode(data) if data else (99, "", "killed")
    return code, out, err


def test_a_folder_that_is_not_safe(place: Path, run: Command) -> None:
    """Journals that another user may have put there are not looked at; the rows are."""
    killed_proxy(place, range(1))
    run("list")
    killed_proxy(place, range(1, 2))
    (place / "journals" / "strange").mkdir()
    (place / "journals").chmod(0o777)
    result = run("list")
    assert (result.exit_code, listed(result)) == (0, ["resp_0"])
    assert "Note: the journals of proxies can't be looked at: journal.path" in result.stderr


def test_a_newer_journal_is_left_alone(place: Path, run: Command) -> None:
    """One of a newer release is for that release: it is neither applied nor in the way."""
    path = killed_proxy(place, range(1))
    header = path / HEADER_NAME
    header.write_text(header.read_text().replace('"format":1', '"format":2'))
    killed_proxy(place, range(1, 2))
    result = run("list")
    assert (result.exit_code, listed(result)) == (0, ["resp_1"])
    assert journal_folders(place) == [path.name]
    status = run("status")
    assert status.exit_code == 0
    assert f"other journal\tjournal {path}: its format is 2, this program knows 1" in status.stdout


def test_a_crash_in_between_loses_nothing(
    place: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is broken off leaves the journal to the next one, and nothing comes twice."""
    killed_proxy(place, range(3))
    whole = Applier.finish
    monkeypatch.setattr(Applier, "finish", lambda _: os._exit(1))
    assert in_child(lambda: run("list"))[0] == 99
    monkeypatch.setattr(Applier, "finish", whole)
    assert len(journal_folders(place)) == 1
    assert len(listed(run("list"))) == 3
    assert journal_folders(place) == []


def test_the_status_tells_of_each_journal(place: Path, run: Command) -> None:
    """Position, size, age and owner of those of the database; a command for those of others."""
    configure(place, "database_url: sqlite://other file.db\n")
    theirs = killed_proxy(place, range(1))
    configure(place)
    with running_proxy(place, range(2)) as ingester:
        ingester.flush()
        ingester.kill()
        ingester.journal.exchange(2, started_at=time.time() - 100)
        ours = ingester.journal.directory.path
        result = run("status", "--json")
        found = msgspec.json.decode(result.stdout)
        (state,) = found["journals"]
        assert (state["path"], state["owner_alive"]) == (str(ours), True)
        assert (state["position"], state["last_seq"], state["waiting"]) == (2, 3, 1)
        assert 99 < state["oldest_age_seconds"] < 150
        assert state["bytes"] > 100
        assert (state["dead_letters"], state["last_reasons"]) == (0, [])
        (other,) = found["other_journals"]
        assert (other["path"], other["place"]) == (str(theirs), str(place / "other file.db"))
        lines = run("status").stdout.splitlines()
    assert any(line.startswith(f"journal\t{ours}, ") and "its proxy runs" in line for line in lines)
    assert any(line.startswith("waiting\t1 frame (2 of 3 are in the database), ") for line in lines)
    assert any(
        f"response-store flush --journal {theirs} --database '{place / 'other file.db'}'" in line
        for line in lines
    )


def test_a_journal_that_can_not_be_read(place: Path, run: Command) -> None:
    """The status says which and why, shows the rest, and ends with 1."""
    killed_proxy(place, range(1))
    run("list")
    with closing(proxy_journal(place, range(1, 2))) as journal:
        (segment,) = journal.directory.path.glob("*.seg")
        segment.chmod(0o644)
        result = run("status")
        assert result.exit_code == 1
        assert f"other journal\tjournal.path: {segment} is open to other users" in result.stdout
        assert "exchanges\t1: 1 completed" in result.stdout
        assert run("list").exit_code == 0


def test_the_command_of_the_status_applies_the_other_journal(place: Path, run: Command) -> None:
    """What `status` says of a journal of another database can be done."""
    configure(place, "database_url: sqlite://other.db\n")
    theirs = killed_proxy(place, range(2))
    configure(place)
    run("status")
    result = run("flush", "--journal", str(theirs), "--database", str(place / "other.db"))
    assert (result.exit_code, theirs.exists()) == (0, False)
    assert len(listed(run("list", "--database", "other.db"))) == 2


def test_a_journal_in_memory(place: Path, run: Command) -> None:
    """It goes with its proxy: nobody applies it."""
    configure(place, "database_url: 'sqlite::memory:'\n")
    journal = ProxyJournal(loaded(place))
    journal.exchange(1)
    try:
        result = run("list")
        assert result.exit_code == 1
        assert "in-memory" in result.stderr
        assert "it goes with its proxy" in run("status").stdout
        assert journal.directory.path.exists()
    finally:
        journal.close()
