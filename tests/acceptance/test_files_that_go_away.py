"""Files that go away beside a proxy: what was acknowledged reaches what is configured, or is told."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_commands import counts
from tests.conftest import BY_TENANT, MakeProxy
from tests.harness.clients import asking, fetch
from tests.harness.database import Database
from tests.harness.expected import assert_completed
from tests.harness.ingesters import frozen_ingester, kill_both
from tests.harness.proxy import Proxy, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.one_python

GONE = "is an older or a new one"


@pytest.fixture
def kept(make_proxy: MakeProxy, tmp_path: Path, tenant: str) -> Iterator[Proxy]:
    """A proxy with its journal in a folder of its own, that has written four exchanges."""
    config = BY_TENANT | {"journal": {"path": str(tmp_path / "journals")}}
    with make_proxy(config=config) as proxy:
        pass_through(proxy, f"{tenant}-before", 4)
        proxy.flush()
        yield proxy


def pass_through(proxy: Proxy, tenant: str, count: int) -> None:
    """So many exchanges, whole and streamed."""
    for number in range(count):
        assert fetch(proxy.port, asking(stream=number % 2 == 1), tenant).whole


def assert_arrived(proxy: Proxy, tenant: str, count: int, database: Database | None = None) -> None:
    """So many have arrived, once and whole; nothing of ours failed."""
    rows = (database or proxy.database).all_ended(tenant, count, timeout=20)
    for number, row in enumerate(rows):
        assert_completed(row, streamed=number % 2 == 1, model="gpt-5")
    assert "Traceback" not in proxy.output()
    assert not [name for name in counts(proxy) if name.startswith(("fault", "dropped"))]


def files(proxy: Proxy) -> list[Path]:
    """The database and what SQLite has beside it."""
    return sorted(proxy.folder.glob("responses.db*"))


def delete(proxy: Proxy) -> None:
    """Delete the database with all that belongs to it."""
    for path in files(proxy):
        path.unlink()


def move(proxy: Proxy) -> None:
    """Move the file alone away."""
    (proxy.folder / "responses.db").rename(proxy.folder / "archive.db")


def move_all(proxy: Proxy) -> None:
    """Move the file with what belongs to it."""
    for path in files(proxy):
        path.rename(path.with_name(path.name.replace("responses", "archive")))


def replace(proxy: Proxy) -> None:
    """Put an empty database in its place, and let what belonged to the other lie."""
    with closing(sqlite3.connect(proxy.folder / "new.db")) as new:
        new.execute("CREATE TABLE something_else (a)")
        new.commit()
    (proxy.folder / "new.db").rename(proxy.folder / "responses.db")


WAYS: dict[str, Callable[[Proxy], None]] = {
    "deleted": delete,
    "moved": move,
    "moved with all": move_all,
    "replaced": replace,
}


@pytest.mark.parametrize("way", WAYS)
def test_database_goes_away(kept: Proxy, tenant: str, way: str) -> None:
    """What passes from then on is in the file that is configured; the rest is told of."""
    WAYS[way](kept)
    pass_through(kept, tenant, 4)
    assert_arrived(kept, tenant, 4)
    before = Database(kept.folder / "archive.db") if "moved" in way else kept.database
    told = counts(kept).get("frames_gone", "0") != "0"
    assert told is (GONE in kept.output())
    rows = before.exchanges(f"{tenant}-before")
    assert len(rows) == 4 or told
    finished = kept.terminate()
    assert "0 lost" in finished.stderr
    assert integrity(kept) == "ok"


def integrity(proxy: Proxy) -> str:
    """What SQLite says of the file."""
    found: str = proxy.database.rows("PRAGMA integrity_check")[0]["integrity_check"]
    return found


def test_folder_is_replaced_while_the_ingester_is_away(kept: Proxy, tenant: str) -> None:
    """What waited in the journal meanwhile is all in the new file."""
    with frozen_ingester(kept):
        pass_through(kept, tenant, 4)
        delete(kept)
    pass_through(kept, f"{tenant}-after", 2)
    assert_arrived(kept, tenant, 4)
    assert_arrived(kept, f"{tenant}-after", 2)


def test_wal_is_removed(kept: Proxy, tenant: str) -> None:
    """A `-wal` that is removed takes nothing along that the journal still has."""
    with frozen_ingester(kept):
        pass_through(kept, tenant, 4)
        for name in ("responses.db-wal", "responses.db-shm"):
            (kept.folder / name).unlink(missing_ok=True)
    assert_arrived(kept, tenant, 4)
    pass_through(kept, f"{tenant}-after", 2)
    assert_arrived(kept, f"{tenant}-after", 2)
    has_all = len(kept.database.exchanges(f"{tenant}-before")) == 4
    assert has_all or counts(kept).get("frames_gone", "0") != "0"
    kept.terminate()
    assert integrity(kept) == "ok"


def test_older_backup(kept: Proxy, tenant: str) -> None:
    """Into a backup that is put in the database's place comes what the journal has, once."""
    backup = kept.folder / "backup.db"
    with (
        closing(sqlite3.connect(kept.database.path)) as source,
        closing(sqlite3.connect(backup)) as copy,
    ):
        source.backup(copy)
    pass_through(kept, tenant, 4)
    assert_arrived(kept, tenant, 4)
    delete(kept)
    backup.rename(kept.database.path)
    pass_through(kept, f"{tenant}-after", 4)
    assert_arrived(kept, f"{tenant}-after", 4)
    assert_arrived(kept, f"{tenant}-before", 4)
    between = len(kept.database.exchanges(tenant))
    assert between == 4 or GONE in kept.output()
    assert len(kept.database.rows("SELECT DISTINCT exchange_id FROM openai_exchanges")) == (
        8 + between
    )
    kept.terminate()
    assert integrity(kept) == "ok"


def test_copy_beside_a_proxy_at_rest(kept: Proxy, tmp_path: Path, tenant: str) -> None:
    """A copy of the file alone is whole, once the proxy had nothing to do for a moment."""
    pass_through(kept, tenant, 20)
    assert_arrived(kept, tenant, 20)
    whole = f"{tenant}, twenty"

    def copied() -> Any:
        shutil.copy(kept.database.path, tmp_path / "copy.db")
        return len(Database(tmp_path / "copy.db").exchanges(tenant)) == 20

    wait_until(copied, whole, timeout=4)
    assert len(Database(tmp_path / "copy.db").responses(tenant)) == 20


def journal_of(tmp_path: Path) -> Path:
    """The one journal that there is."""
    (journal,) = [path for path in (tmp_path / "journals").iterdir() if path.is_dir()]
    return journal


JOURNAL_WAYS = ["folder moved", "folder deleted", "journal moved", "segments gone"]


@pytest.mark.parametrize("way", JOURNAL_WAYS)
def test_journal_goes_away(kept: Proxy, tmp_path: Path, tenant: str, way: str) -> None:
    """What passes later arrives, or it is said that it does not; nobody waits for it."""
    journal = journal_of(tmp_path)
    match way:
        case "folder moved":
            (tmp_path / "journals").rename(tmp_path / "elsewhere")
        case "folder deleted":
            shutil.rmtree(tmp_path / "journals")
        case "journal moved":
            journal.rename(tmp_path / "elsewhere")
        case "segments gone":
            for segment in journal.glob("*.seg"):
                segment.unlink()
    asked = 0
    from time import monotonic

    ends = monotonic() + 4
    while monotonic() < ends:
        pass_through(kept, f"{tenant}-first", 1)
        asked += 1
        import time

        time.sleep(0.1)
    print(asked, len(kept.database.exchanges(f"{tenant}-first")))
    pass_through(kept, tenant, 4)
    time.sleep(1)
    print(kept.command("response_store.status"))
    print([l for l in kept.output().splitlines() if "response_store:" in l])
    t = monotonic()
    finished = kept.terminate()
    print(monotonic() - t, finished.stderr)
    print(
        len(kept.database.exchanges(f"{tenant}-first")), len(kept.database.exchanges(f"{tenant}"))
    )
    assert 0


def test_journal_goes_away_and_comes_back(kept: Proxy, tmp_path: Path, tenant: str) -> None:
    """What waits in memory meanwhile is written once the folder is back in its place."""
    (tmp_path / "journals").rename(tmp_path / "elsewhere")
    pass_through(kept, tenant, 4)
    (tmp_path / "elsewhere").rename(tmp_path / "journals")
    assert_arrived(kept, tenant, 4)
    kept.terminate()
    assert list((tmp_path / "journals").glob("*-*-*")) == []


def test_database_goes_away_between_two_proxies(
    kept: Proxy, make_proxy: MakeProxy, tenant: str
) -> None:
    """A journal whose database is gone fills the new one that has its name."""
    with frozen_ingester(kept):
        pass_through(kept, tenant, 4)
        kill_both(kept)
    delete(kept)
    with kept.open():
        assert_arrived(kept, tenant, 4)
