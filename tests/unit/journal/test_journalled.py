"""A journal before a database, as a session sees the two."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from response_store.config import Acknowledge, Durability, JournalConfig
from response_store.counts import Counts
from response_store.errors import PassingStoreError, PermanentStoreError
from response_store.faults import Faults
from response_store.store.journalled import Journalled
from tests.harness.proxy import wait_until
from tests.harness.records import record
from tests.unit.journal.bench import MEGABYTE, Target
from tests.unit.store.scripted import PATIENT, Payload

AWAY, WRONG = PassingStoreError("away"), PermanentStoreError("wrong")
MakeJournalled = Callable[..., Journalled[Payload]]


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def told() -> list[str]:
    """The names whose waiters were told."""
    return []


@pytest.fixture
def make(path: Path, target: Target, told: list[str]) -> Iterator[MakeJournalled]:
    """Makes journalled storages before the target; they end with the test."""
    made: list[Journalled[Payload]] = []

    def make(acknowledge: Acknowledge = Acknowledge.JOURNAL) -> Journalled[Payload]:
        counts = Counts()
        made.append(
            Journalled(
                target,
                JournalConfig(path, MEGABYTE),
                lambda payload: record(payload.name),
                acknowledge=acknowledge,
                durability=Durability.PROCESS,
                recorder_id="recorder",
                counts=counts,
                faults=Faults(counts),
                on_settled=lambda tickets: told.extend(one.payload.name for one in tickets),
            )
        )
        made[-1].start()
        return made[-1]

    yield make
    target.may_go_on.set()
    for storage in made:
        storage.close(PATIENT)


def submit(storage: Journalled[Payload], *names: str) -> None:
    for name in names:
        storage.writer.submit(Payload(name), Future())


def lines(storage: Journalled[Payload]) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in storage.status_lines())


def test_start(make: MakeJournalled) -> None:
    """Where both can be opened there is no error, and records are taken."""
    storage = make()
    assert storage.wait_opened(PATIENT) is None
    assert storage.unavailable_for() is None
    assert storage.acknowledges


@pytest.mark.parametrize(("error", "told"), [(AWAY, None), (WRONG, WRONG)])
def test_start_without_the_database(
    make: MakeJournalled, target: Target, error: Exception, told: Exception | None
) -> None:
    """What may pass is no error of the start; what has to be mended is. Neither takes requests."""
    target.openings.extend([error] * 100)
    storage = make()
    assert storage.wait_opened(PATIENT) is told
    assert storage.unavailable_for() is not None
    assert storage.acknowledges  # the journal does


def test_start_without_the_journal(make: MakeJournalled) -> None:
    """A journal that another proxy has is an error of the start."""
    first = make()
    assert first.wait_opened(PATIENT) is None
    error = make().wait_opened(PATIENT)
    assert "belongs to another proxy" in str(error)


def test_whose_commits_count(make: MakeJournalled, target: Target, told: list[str]) -> None:
    """With `acknowledge: database` the waiters, and what may be expected, are the database's."""
    storage = make(Acknowledge.DATABASE)
    assert storage.wait_opened(PATIENT) is None
    target.hang()
    submit(storage, "a")
    assert target.at_work.wait(PATIENT)
    assert storage.writer.drain(PATIENT)
    assert (storage.commits, told) == (0, [])
    target.may_go_on.set()
    wait_until(lambda: told == ["a"], "the waiter is told")
    assert storage.commits == 1
    target.down = AWAY
    submit(storage, "b")
    wait_until(lambda: told == ["a", "b"], "nobody waits for what is away")
    wait_until(lambda: storage.commits == storage.writer.health.commits, "the journal's count")
    assert storage.acknowledges


def test_a_pause_is_that_of_the_one_that_is_away(make: MakeJournalled, target: Target) -> None:
    """While the database fails the pause is its own; once it is back there is none."""
    storage = make()
    assert storage.wait_opened(PATIENT) is None
    target.down = AWAY
    submit(storage, "a")
    pause: Any = wait_until(storage.unavailable_for, "the database is away")
    assert 0 < pause <= 5
    target.down = None
    assert storage.drain(PATIENT)
    wait_until(lambda: storage.unavailable_for() is None, "the database is back")


def test_a_database_that_hangs_while_it_is_connected_to_is_away(
    make: MakeJournalled, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting anew may take as long as a commit; neither lets requests through meanwhile."""
    storage = make()
    assert storage.wait_opened(PATIENT) is None
    monkeypatch.setattr("response_store.store.storage.HUNG_AFTER", 0.01)
    may_go_on = threading.Event()
    monkeypatch.setattr(target, "open", lambda: may_go_on.wait(PATIENT))
    submit(storage, "a")
    wait_until(lambda: storage.unavailable_for() is not None, "it is away")
    may_go_on.set()
    wait_until(lambda: storage.unavailable_for() is None, "it is back")
    assert storage.drain(PATIENT)


def test_what_waits(make: MakeJournalled, target: Target) -> None:
    """Status and `waiting` count what the journal holds, until the database has it."""
    storage = make()
    assert storage.wait_opened(PATIENT) is None
    target.down = AWAY
    submit(storage, "a", "b")
    assert storage.writer.drain(PATIENT)
    wait_until(lambda: not lines(storage)["attempts"].startswith("0"), "an attempt fails")
    told = lines(storage)
    assert storage.waiting.records == 2
    assert (told["store"], told["last error"]) == ("a script, waiting", "away")
    assert told["journal holds"].startswith("2 records, ")
    assert told["oldest in the journal"].endswith(" s")
    assert not storage.drain(0.01)
    target.down = None
    assert storage.drain(PATIENT)
    assert storage.waiting.records == 0
    assert lines(storage)["oldest in the journal"] == "none"


def test_a_close_says_what_stays(make: MakeJournalled, target: Target) -> None:
    """What a database that is away does not get is told at the end, and comes with the next."""
    storage = make()
    assert storage.wait_opened(PATIENT) is None
    target.down = AWAY
    submit(storage, "a", "b")
    ending = storage.close(PATIENT)
    assert (ending.summary.written, ending.summary.lost) == (2, 0)
    assert str(ending.stays).startswith("2 records, ")
    target.down, target.opened = None, False
    assert make().drain(PATIENT)
    assert target.names == ["a", "b"]


def test_a_patient_close_waits_for_the_database(make: MakeJournalled, target: Target) -> None:
    """With patience a database that is away for the moment still gets all."""
    storage = make()
    assert storage.wait_opened(PATIENT) is None
    target.script.extend([AWAY] * 3)
    submit(storage, "a", "b")
    assert storage.close(PATIENT, patience=PATIENT).stays is None
    assert target.names == ["a", "b"]


def test_patience_ends(make: MakeJournalled, target: Target) -> None:
    """A database that takes nothing within the patience is not waited for."""
    storage = make()
    assert storage.wait_opened(PATIENT) is None
    target.down = AWAY
    submit(storage, "a")
    assert storage.close(PATIENT, patience=0.05).stays is not None
