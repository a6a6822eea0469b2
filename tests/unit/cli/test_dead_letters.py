"""`response-store dead-letters`: what the database refused, and another attempt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from response_store.cli.journals import CommandDatabase, PendingJournal
from response_store.cli.source import find_source
from tests.harness.choosy import admit_triggers
from tests.unit.cli.conftest import Anywhere, Command
from tests.unit.cli.proxied import (
    configure,
    journal_folders,
    killed_proxy,
    listed,
    proxy_journal,
)
from tests.unit.ingest.proxy_side import Ingester, ProxyJournal, id_of
from tests.unit.queries.stored import Stored

BAD = ("resp_1", "resp_3")
REFUSES = """
CREATE TRIGGER refuses BEFORE INSERT ON {exchanges} WHEN NEW.response_id IN ('resp_1', 'resp_3')
BEGIN SELECT RAISE(ABORT, 'not these'); END"""


@pytest.fixture
def refusing(stored: Stored, place: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """A database that refuses two of the rows."""
    configure(place)
    monkeypatch.setenv("RESPONSE_STORE_CONFIG", str(place / "proxy.yaml"))
    admit_triggers(monkeypatch)
    stored.script(REFUSES)
    return stored


@contextmanager
def refused_by(stored: Stored, journal: ProxyJournal) -> Iterator[Ingester]:
    """An ingester with a refused row: the trigger came once it had opened the file."""
    stored.script("DROP TRIGGER refuses")
    with closing(Ingester(journal)) as ingester:
        ingester.verdict()
        stored.script(REFUSES)
        for key in range(2):
            journal.exchange(key)
        ingester.wake()
        yield ingester


def test_nothing_was_refused(run: Command, anywhere: Anywhere) -> None:
    """No line, an empty list, and nothing to try again."""
    assert run("dead-letters").stdout == ""
    assert json.loads(run("dead-letters", "--json").stdout) == {"dead_letters": []}
    result = run("dead-letters", "--retry")
    assert (result.exit_code, result.stdout) == (0, "written\t0\nleft\t0\n")


def test_what_was_refused_is_listed(refusing: Stored, place: Path, run: Command) -> None:
    """When, which, whose, how large and why; the other rows are stored, the journal stays."""
    path = killed_proxy(place, range(5))
    assert sorted(listed(run("list"))) == ["resp_0", "resp_2", "resp_4"]
    lines = [line.split("\t") for line in run("dead-letters").stdout.splitlines()]
    assert sorted(line[1] for line in lines) == [*BAD]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line[0])
        assert line[2] == id_of(int(line[1][-1]))
        assert line[3] == "default"
        assert re.fullmatch(r"[\d.]+ (Ki)?B", line[4])
        assert "not these" in line[5] or "SQLITE_CONSTRAINT" in line[5]
    letters = json.loads(run("dead-letters", "--json").stdout)["dead_letters"]
    assert {letter["journal"] for letter in letters} == {str(path)}
    assert journal_folders(place) == [path.name]
    status = run("status").stdout
    assert re.search(r"^dead letters\t2, [\d.]+ KiB: ", status, re.MULTILINE)


def test_another_attempt(refusing: Stored, place: Path, run: Command) -> None:
    """What is refused again stays; once the reason is gone all are stored, the journal goes."""
    killed_proxy(place, range(5))
    result = run("dead-letters", "--retry")
    assert (result.exit_code, result.stdout) == (1, "written\t0\nleft\t2\n")
    refusing.script("DROP TRIGGER refuses")
    result = run("dead-letters", "--retry", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"written": 2, "left": 0})
    assert len(listed(run("list"))) == 5
    assert journal_folders(place) == []
    assert run("dead-letters").stdout == ""


def test_they_are_exported(refusing: Stored, place: Path, run: Command, tmp_path: Path) -> None:
    """A file that `import` takes, of all of them; or one row alone, with all that it holds."""
    killed_proxy(place, range(5))
    run("list")
    shown = [json.loads(line) for line in run("dead-letters", "resp_3").stdout.splitlines()]
    assert [one["row"] for one in shown] == ["response", "exchange"]
    assert shown[1]["exchange_id"] == id_of(3)
    assert shown[1]["request_body"]["model"] == shown[1]["requested_model"]
    file = tmp_path / "refused.jsonl"
    assert run("dead-letters", "--output", str(file)).exit_code == 0
    assert run("import", "--database", str(tmp_path / "new.db"), str(file)).exit_code == 0
    stored = run("list", "--database", str(tmp_path / "new.db"))
    assert sorted(listed(stored)) == [*BAD]
    assert len(run("dead-letters").stdout.splitlines()) == 2
    assert len(run("dead-letters", "-n", "1").stdout.splitlines()) == 1
    for wrong in (["resp_0"], ["--retry", "resp_1"]):
        assert run("dead-letters", *wrong).exit_code == 2


def test_those_of_several_journals(refusing: Stored, place: Path, run: Command) -> None:
    """All journals of the database are looked at."""
    killed_proxy(place, range(1, 2))
    killed_proxy(place, range(3, 4))
    run("list")
    assert len(run("dead-letters").stdout.splitlines()) == 2
    refusing.script("DROP TRIGGER refuses")
    assert run("dead-letters", "--retry").stdout == "written\t2\nleft\t0\n"


def test_those_of_a_running_proxy(refusing: Stored, place: Path, run: Command) -> None:
    """They are listed; its ingester has them, so that trying again is for later."""
    with closing(proxy_journal(place)) as journal, refused_by(refusing, journal) as ingester:
        ingester.flush()
        assert "resp_1" in run("dead-letters").stdout
        refusing.script("DROP TRIGGER refuses")
        result = run("dead-letters", "--retry")
        assert (result.exit_code, result.stdout) == (1, "written\t0\nleft\t1\n")
        assert f"Note: {journal.directory.path} is in use by its proxy" in result.stderr
        file = place / "refused.jsonl"
        assert run("dead-letters", "--output", str(file)).exit_code == 0
        assert run("import", str(file)).exit_code == 0
        assert "resp_1" in listed(run("list"))


def test_a_journal_that_stays_for_them_is_not_waited_for(refusing: Stored, place: Path) -> None:
    """All the rest of it is in the database, which then knows nothing of the journal any more."""
    journal = proxy_journal(place)
    with refused_by(refusing, journal) as ingester:
        ingester.flush()
        pending = PendingJournal.of(journal.directory)
        journal.close()
        ingester.leave()
        ingester.wait()
    assert (pending.last_seq, pending.directory.exists()) == (2, True)
    with closing(CommandDatabase(find_source(None, None))) as database:
        assert pending.lag(database) == 0
