"""What the commands tell of a journal, and of a database that is away."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from response_store.config import Durability
from response_store.store.journal.file import JournalFile
from response_store.store.journal.inlet import Journal
from response_store.store.journal.outlet import Outlet
from response_store.store.records import ExchangeRow, Record, ResponseRow
from tests.harness.ports import free_port
from tests.harness.postgres_shared import target_of
from tests.unit.cli.conftest import Command
from tests.unit.query.stored import REQUIRED, RESPONSE, packed
from tests.unit.query.stored_in_postgres import StoredInPostgres

CANARY = "c4n4ry-p4ssword"
COMMANDS = [("list",), ("show", "resp_1"), ("status",), ("status", "--dead-letters")]


class JournalEnds:
    """Both ends of the journal that the configuration names by default."""

    def __init__(self, place: Path) -> None:
        self.path = place / "response-store-journal.db"
        file = JournalFile(self.path, max_bytes=1024 * 1024, durability=Durability.PROCESS)
        self._journal = Journal(file, wall=lambda: 1767225600.0)
        self._outlet = Outlet(file, wall=lambda: 1767225700.0)

    def write(self, *records: Record) -> None:
        self._journal.open()
        self._journal.write(records)

    def bury(self, reason: str) -> None:
        self._outlet.open()
        self._outlet.bury(self._outlet.take(1, 1)[0], reason)

    def close(self) -> None:
        self._journal.close()
        self._outlet.close()


@pytest.fixture
def journal(place: Path) -> Iterator[JournalEnds]:
    """A journal that holds nothing, and is not there yet."""
    with closing(JournalEnds(place)) as ends:
        yield ends


@pytest.fixture
def away(configured: StoredInPostgres, place: Path) -> str:
    """The configured database does not answer; what the commands call it."""
    url = configured.database.url(port=free_port(), password=CANARY)
    configured.configure(place / "proxy.yaml", database_url=url)
    return target_of(url).describe()


def a_record(
    exchange_id: str = "e1", response_id: str | None = "resp_1", **columns: object
) -> Record:
    """A record of an exchange that ended well, with its response where it names one."""
    more = {"output_text": "From the journal", "request_body": packed(b'{"input":"Hello"}')}
    row = REQUIRED | more | {"exchange_id": exchange_id, "response_id": response_id} | columns
    answer = ResponseRow(**{**RESPONSE, "id": response_id}) if response_id else None
    return Record(ExchangeRow(**row), answer)


@pytest.mark.parametrize("identifier", ["resp_1", "e1", "resp_", "e"])
@pytest.mark.parametrize("server", ["up", "down"])
def test_what_waits_is_shown(
    journal: JournalEnds,
    run: Command,
    request: pytest.FixtureRequest,
    identifier: str,
    server: str,
) -> None:
    """By either id or a beginning of it, whether the database answers or not."""
    request.getfixturevalue("configured" if server == "up" else "away")
    journal.write(a_record())
    result = run("show", identifier)
    assert result.exit_code == 0
    assert result.stdout.startswith("response\tresp_1\nexchange\te1\n")
    assert result.stdout.endswith("--- assistant\nFrom the journal\n")
    assert ("in the journal" in result.stderr) == (server == "down")
    assert ("is the server up" in result.stderr) == (server == "down")


def test_the_newest_state_wins(
    configured: StoredInPostgres, journal: JournalEnds, run: Command
) -> None:
    """A row that waits replaces a stored one as it will in the database, and no other way."""
    configured.exchange("e1", state="open")
    configured.exchange("e2", response_id="resp_2", output_text="Stored")
    journal.write(a_record("e1"), a_record("e2", None, state="open"))
    assert "state\tcompleted\n" in run("show", "e1").stdout
    assert "From the journal" in run("show", "resp_1").stdout
    assert run("show", "e2").stdout.endswith("--- assistant\nStored\n")


def test_a_beginning_of_both_is_ambiguous(
    configured: StoredInPostgres, journal: JournalEnds, run: Command
) -> None:
    """What is stored and what waits are candidates alike."""
    configured.exchange("e-stored")
    journal.write(a_record("e-waiting", None))
    result = run("show", "e-")
    assert result.exit_code == 1
    assert "  e-stored\n  e-waiting\n" in result.stderr


def test_what_is_nowhere(away: str, journal: JournalEnds, run: Command) -> None:
    """With the database away, an unknown id is an error that says so, and what was looked at."""
    journal.write(a_record())
    result = run("show", "resp_9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"PostgreSQL {away}: no connection" in result.stderr
    assert "\njournal response-store-journal.db: nothing is stored" in result.stderr


@pytest.mark.parametrize(("count", "said"), [(1, "1 record still waits"), (3, "3 records still")])
def test_a_list_says_what_is_missing(
    configured: StoredInPostgres, journal: JournalEnds, run: Command, count: int, said: str
) -> None:
    """How many records wait is said beside the list, in which nothing changes."""
    configured.exchange("e-stored")
    journal.write(*(a_record(f"e{at}") for at in range(count + 1)))
    journal.bury("why")
    for form in ([], ["--json"]):
        result = run("list", *form)
        assert result.exit_code == 0
        assert said in result.stderr
        assert result.stdout.count("\n") == 1
    assert len(json.loads(result.stdout)["exchanges"]) == 1


def test_an_empty_journal_is_not_worth_a_word(
    configured: StoredInPostgres, journal: JournalEnds, run: Command
) -> None:
    """Where nothing waits, nothing is said."""
    journal.write()
    journal.write(a_record())
    journal.bury("why")
    assert run("list").stderr == ""


def test_the_status_of_a_journal(
    configured: StoredInPostgres, journal: JournalEnds, run: Command
) -> None:
    """Depth in records and bytes, the file's size, the oldest one's age, and the last reasons."""
    journal.write(*(a_record(f"e{at}") for at in range(6)))
    for reason in ("first", "second", "second", "third\x1b[2J"):
        journal.bury(reason)
    lines = dict(line.split("\t") for line in run("status").stdout.splitlines())
    assert re.fullmatch(rf"{re.escape(str(journal.path))}, [\d.]+ KiB", lines["journal"])
    assert re.fullmatch(r"2 records, [\d.]+ KiB, the oldest for \d+ d \d\d h", lines["waiting"])
    assert re.fullmatch(r"4, [\d.]+ (Ki)?B: third␛\[2J; second; first", lines["dead letters"])
    found = json.loads(run("status", "--json").stdout)
    assert found["error"] is None
    told = found["journal"]
    assert (told["records"], told["dead_letters"], told["oldest_at"]) == (2, 4, 1767225600.0)
    assert told["oldest_age_seconds"] > 0
    assert told["last_reasons"] == ["third\x1b[2J", "second", "first"]
    assert 0 < told["bytes"] < told["file_bytes"]
    assert told["max_bytes"] == 1024**3


def test_the_status_while_the_database_is_away(
    away: str, journal: JournalEnds, run: Command
) -> None:
    """The error stands in the database's place, the journal is there as always, and 1 ends it."""
    journal.write(a_record())
    result = run("status")
    assert result.exit_code == 1
    database, error, _, waiting, _ = result.stdout.splitlines()
    assert database == f"database\t{away}"
    assert error.startswith(f"error\tPostgreSQL {away}: no connection")
    assert waiting.startswith("waiting\t1 record, ")
    result = run("status", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert "no connection" in found["error"]
    assert found["journal"]["records"] == 1


def test_dead_letters_say_when_what_and_why(away: str, journal: JournalEnds, run: Command) -> None:
    """A line each, the newest first, without asking the database."""
    journal.write(a_record("e1"), a_record("e2", None, tenant_id="team"))
    journal.bury("it does not fit")
    journal.bury("a rule\tis broken")
    result = run("status", "--dead-letters")
    assert (result.exit_code, result.stderr) == (0, "")
    newest, oldest = (line.split("\t") for line in result.stdout.splitlines())
    assert newest[:4] == ["2026-01-01 02:01:40", "-", "e2", "team"]
    assert newest[5] == "a rule is broken"
    assert oldest[1:4] == ["resp_1", "e1", "default"]
    letters = json.loads(run("status", "--dead-letters", "--json").stdout)["dead_letters"]
    assert [letter["reason"] for letter in letters] == ["a rule\tis broken", "it does not fit"]
    assert letters[1]["response_id"] == "resp_1"
    assert letters[1]["buried_at"] == 1767225700.0


def test_no_dead_letters(configured: StoredInPostgres, run: Command) -> None:
    """Where there is no journal yet, nothing is dead."""
    assert run("status", "--dead-letters").stdout == ""
    assert json.loads(run("status", "--dead-letters", "--json").stdout) == {"dead_letters": []}


def test_a_journal_that_is_none(configured: StoredInPostgres, place: Path, run: Command) -> None:
    """It keeps nobody from what the database holds, and `status` ends with 1."""
    configured.exchange("e1", response_id="resp_1")
    (place / "response-store-journal.db").write_text("no database\n" * 1000)
    for command in (("list",), ("show", "resp_1")):
        result = run(*command)
        assert result.exit_code == 0
        assert "resp_1" in result.stdout
        assert result.stderr.startswith("Note: ")
        assert "journal response-store-journal.db" in result.stderr
    result = run("status")
    assert result.exit_code == 1
    assert "exchanges\t1: 1 completed" in result.stdout
    assert "journal error\t" in result.stdout
    assert run("status", "--dead-letters").exit_code == 1


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_password_is_shown_nowhere(
    away: str, journal: JournalEnds, run: Command, command: tuple[str, ...], form: tuple[str, ...]
) -> None:
    """Not while the database is away, either, when there is most to say."""
    journal.write(a_record(), a_record("e2"))
    journal.bury("why")
    result = run(*command, *form)
    assert CANARY not in result.output + result.stderr
    assert "owner" not in result.output + result.stderr
    assert result.exit_code == (0 if "show" in command or "--dead-letters" in command else 1)


def test_another_file_has_no_journal(
    away: str, journal: JournalEnds, place: Path, run: Command
) -> None:
    """--database means SQLite alone: neither the database nor the journal is looked at."""
    journal.write(a_record())
    result = run("show", "resp_1", "--database", "other.db")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {place / 'other.db'}: there is no database.")
