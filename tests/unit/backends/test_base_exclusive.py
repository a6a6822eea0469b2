"""Who of several ingesters on one database indexes and prunes."""

from __future__ import annotations

import multiprocessing
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from response_store.backends.base import ExclusiveRole
from response_store.backends.registry import build_role
from response_store.config import Config, TableNames, load_config
from tests.harness.proxy import wait_until
from tests.unit.queries.conftest import (
    Anywhere,
    anywhere,
    session_stored,
    stored,
    stored_in_postgres,
)
from tests.unit.queries.stored import NAMES, Stored
from tests.unit.queries.stored_in_postgres import StoredInPostgres

__all__ = ["anywhere", "session_stored", "stored", "stored_in_postgres"]

Build = Callable[..., "Ingester"]


class Ingester:
    """The role of one ingester, and a clock that stands."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.now = 50.0
        self.role: ExclusiveRole = build_role(config, folder, lambda: self.now)

    def is_held(self) -> bool:
        return self.role.is_held()

    def is_held_later(self) -> bool:
        """Whether it is held when the lock has been looked at again."""
        self.now = max(self.now, self.role.due())
        return self.role.is_held()


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Builds the role of one more ingester on a database."""
    made: list[Ingester] = []

    def build(stored: Anywhere, **settings: object) -> Ingester:
        stored.configure(tmp_path / "proxy.yaml", **settings)
        made.append(Ingester(load_config(tmp_path / "proxy.yaml", {}), tmp_path / "state"))
        return made[-1]

    (tmp_path / "state").mkdir()

    yield build
    for each in made:
        each.role.close()


def test_one_at_a_time(anywhere: Anywhere, build: Build) -> None:
    """The first has the role as long as it runs; the others ask again every half a minute."""
    first, second = build(anywhere), build(anywhere)
    assert (first.is_held(), second.is_held()) == (True, False)
    assert second.role.due() == second.now + 30.0
    first.now += 100.0
    assert (first.is_held(), second.is_held_later()) == (True, False)
    first.role.close()
    second.now += 29.0
    assert not second.is_held()
    wait_until(second.is_held_later, "the server has seen its end")
    assert not first.is_held_later()
    second.role.close()
    second.role.close()
    assert not second.is_held()


def test_tables_of_other_names(anywhere: Anywhere, build: Build) -> None:
    """They have an index of their own, so somebody else's role."""
    if isinstance(anywhere, StoredInPostgres):
        names = TableNames(NAMES.responses, NAMES.conversations, "other_exchanges")
        StoredInPostgres(anywhere.database, names).close()
    assert build(anywhere).is_held()
    assert build(anywhere, exchanges_table="other_exchanges").is_held()


def test_a_file_is_known_by_its_real_path(stored: Stored, build: Build, tmp_path: Path) -> None:
    """A link to it is the same database; another file is not."""
    (tmp_path / "linked").symlink_to(stored.path.parent)
    assert build(stored).is_held()
    original = stored.path
    stored.path = tmp_path / "linked" / original.name
    assert not build(stored).is_held()
    stored.path = original.with_name("other.db")
    assert build(stored).is_held()


def test_the_lock_is_its_owners(stored: Stored, build: Build, tmp_path: Path) -> None:
    """The file is private, says nothing of the database, and is not left open for a child."""
    role = build(stored)
    assert role.is_held()
    (lock,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert stored.path.stem not in lock.name
    assert lock.read_bytes() == b""
    fds = [fd for fd in Path("/proc/self/fd").iterdir() if Path(os.path.realpath(fd)) == lock]
    assert [os.get_inheritable(int(fd.name)) for fd in fds] == [False]


def test_a_process_that_was_killed(stored: Stored, build: Build, tmp_path: Path) -> None:
    """The role goes with it."""
    waiting = build(stored)
    held = multiprocessing.get_context("fork").Event()

    def hold() -> None:
        if build(stored).is_held():
            held.set()
            import signal

            signal.pause()

    child = multiprocessing.get_context("fork").Process(target=hold)
    child.start()
    assert held.wait(20)
    assert not waiting.is_held_later()
    child.kill()
    child.join()
    assert waiting.is_held_later()


def test_a_folder_that_can_not_be_written(stored: Stored, build: Build, tmp_path: Path) -> None:
    """Two that index do no harm; none that does would."""
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("a file")
    assert build(stored).is_held()
    assert build(stored).is_held()


def test_a_folder_that_is_gone(stored: Stored, build: Build, tmp_path: Path) -> None:
    """It is not made anew, or whoever moved it away could not move it back."""
    (tmp_path / "state").rmdir()
    ingester = build(stored)
    assert ingester.is_held()
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir()
    assert ingester.is_held_later()
    assert not build(stored).is_held()


def test_a_connection_that_is_lost(stored_in_postgres: StoredInPostgres, build: Build) -> None:
    """The lease outlives it, and is renewed on another one."""
    first, second = build(stored_in_postgres), build(stored_in_postgres)
    assert (first.is_held(), second.is_held()) == (True, False)
    stored_in_postgres.script(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert not second.is_held_later()
    assert first.is_held_later()


def test_a_lease_that_has_ended(stored_in_postgres: StoredInPostgres, build: Build) -> None:
    """Whoever has something to do takes it; its last holder sees that, and waits for its turn."""
    first, second = build(stored_in_postgres), build(stored_in_postgres)
    assert (first.is_held(), second.is_held()) == (True, False)
    leases = stored_in_postgres.names.exchanges_leases.lower()
    stored_in_postgres.database.execute(f'UPDATE "{leases}" SET expires_at = expires_at - 91')
    assert second.is_held_later()
    assert not first.is_held_later()
    second.role.close()
    assert first.is_held_later()


def test_who_waits_keeps_no_connection(stored_in_postgres: StoredInPostgres, build: Build) -> None:
    """Servers have few of them."""
    first, second = build(stored_in_postgres), build(stored_in_postgres)
    assert (first.is_held(), second.is_held()) == (True, False)
    assert second.role._lock._connection is None  # type: ignore[attr-defined]


def test_a_server_that_is_away(
    stored_in_postgres: StoredInPostgres, build: Build, tmp_path: Path
) -> None:
    """Nobody has the role; nothing is raised."""
    stored_in_postgres.configure(tmp_path / "x.yaml")
    text = (tmp_path / "x.yaml").read_text().replace(stored_in_postgres.database.name, "missing")
    (tmp_path / "x.yaml").write_text(text)
    away = Ingester(load_config(tmp_path / "x.yaml", {}), tmp_path)
    assert not away.is_held()
    away.role.close()
