"""Files that go away beside a proxy: what is acknowledged arrives all the same, or is told of."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from response_store.cli import main
from tests.acceptance.test_commands import counters
from tests.conftest import BY_TENANT, MakeProxy
from tests.harness.clients import asking, fetch
from tests.harness.database import Database
from tests.harness.expected import assert_completed
from tests.harness.ingesters import frozen_ingester, kill_both
from tests.harness.proxy import Proxy, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PATIENCE = 1.5  # seconds that no answer takes, on a machine that is busy
GONE = "is an older copy or a new database"


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


def slowest(proxy: Proxy, tenant: str, count: int) -> float:
    """Seconds that the slowest of so many exchanges took."""
    took = []
    for _ in range(count // 2):
        begun = monotonic()
        pass_through(proxy, tenant, 2)
        took.append(monotonic() - begun)
    return max(took)


def assert_arrived(proxy: Proxy, tenant: str, count: int, database: Database | None = None) -> None:
    """So many have arrived, once and whole; nothing of ours failed."""
    rows = (database or proxy.database).all_ended(tenant, count, timeout=20)
    for number, row in enumerate(rows):
        assert_completed(row, streamed=number % 2 == 1, model="gpt-5")
    assert "Traceback" not in proxy.output()
    assert not [name for name in counters(proxy) if name.startswith(("fault", "dropped"))]


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
    kept.flush()
    told = counters(kept).get("frames_gone", "0") != "0"
    assert told is (GONE in kept.output())
    rows = before.exchanges(f"{tenant}-before")
    assert len(rows) == 4 or told
    finished = kept.terminate()
    assert "0 lost" in finished.stderr
    assert integrity(kept) == "ok"


def test_the_journal_has_it_no_more(kept: Proxy, tenant: str) -> None:
    """What was in a database that is deleted, and is in no journal any more, is counted."""
    wait_until(
        lambda: counters(kept)["journal holds"].startswith("0 bytes"), "the journal is empty"
    )
    delete(kept)
    pass_through(kept, tenant, 2)
    assert_arrived(kept, tenant, 2)
    assert kept.database.exchanges(f"{tenant}-before") == []
    wait_until(lambda: counters(kept).get("frames_gone") == "4", "what is gone is counted")
    assert GONE in kept.output()
    assert "frames_gone" in kept.terminate().stderr


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
    kept.flush()  # until then the file is repaired under whoever reads it
    assert_arrived(kept, tenant, 4)
    pass_through(kept, f"{tenant}-after", 2)
    assert_arrived(kept, f"{tenant}-after", 2)
    has_all = len(kept.database.exchanges(f"{tenant}-before")) == 4
    assert has_all or counters(kept).get("frames_gone", "0") != "0"
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
    """The file alone, copied or moved, is whole, once the proxy had nothing to do for a moment."""
    pass_through(kept, tenant, 20)
    assert_arrived(kept, tenant, 20)
    log = kept.database.path.with_name(f"{kept.database.path.name}-wal")
    wait_until(lambda: time.time() > log.stat().st_mtime + 1.5, "nothing is written", timeout=20)
    shutil.copy(kept.database.path, tmp_path / "copy.db")
    assert len(Database(tmp_path / "copy.db").exchanges(tenant)) == 20
    assert len(Database(tmp_path / "copy.db").responses(tenant)) == 20
    assert counted(tmp_path / "copy.db", tenant) == 20
    move(kept)
    pass_through(kept, f"{tenant}-after", 4)
    assert_arrived(kept, f"{tenant}-after", 4)
    assert counted(kept.folder / "archive.db", tenant) == 20
    assert counted(kept.database.path, f"{tenant}-after") == 4


def counted(path: Path, tenant: str) -> int:
    """The exchanges that `stats` counts in a file."""
    arguments = ["stats", "--database", str(path), "--tenant", tenant, "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return sum(group["count"] for group in json.loads(result.stdout)["groups"])


def journal_of(tmp_path: Path) -> Path:
    """The one journal that there is."""
    (journal,) = [path for path in (tmp_path / "journals").iterdir() if path.is_dir()]
    return journal


def test_segments_are_deleted(kept: Proxy, tmp_path: Path, tenant: str) -> None:
    """What was in segments that are deleted beside the proxy, and what comes later, arrives."""
    with frozen_ingester(kept):
        pass_through(kept, tenant, 4)
        for segment in journal_of(tmp_path).glob("*.seg"):
            segment.unlink()
        asked = 4 + until_it_is_noticed(kept, tenant)
    assert_arrived(kept, tenant, asked)
    assert "0 lost" in kept.terminate().stderr
    assert list((tmp_path / "journals").glob("*-*-*")) == []


def until_it_is_noticed(proxy: Proxy, tenant: str) -> int:
    """Let exchanges pass until the proxy has noticed that its segment has gone; their number.

    It is even, as every second one is streamed.
    """
    asked = 0

    def noticed() -> bool:
        nonlocal asked
        pass_through(proxy, tenant, 2)
        asked += 2
        return counters(proxy).get("journal.segment_gone") == "1"

    wait_until(noticed, "it is noticed")
    return asked


@pytest.mark.parametrize("way", ["moved", "deleted"])
def test_journal_goes_away(kept: Proxy, tmp_path: Path, tenant: str, way: str) -> None:
    """Where its folder goes away for good nobody waits for it, and what is lost is told of."""
    if way == "moved":
        journal_of(tmp_path).rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(tmp_path / "journals")
    until_it_is_noticed(kept, tenant)
    assert slowest(kept, tenant, 4) < PATIENCE
    assert "can't be written" in counters(kept)["journal"]
    wait_until(lambda: "can't be written" in kept.output(), "the log says why")
    assert kept.process is not None
    kept.process.send_signal(signal.SIGTERM)  # its ingester goes on looking for a while
    finished = kept.wait()
    assert kept.database.exchanges(tenant) == []
    assert "are in memory alone, and lost with this process" in finished.stderr


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
