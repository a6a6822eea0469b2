"""Journals of earlier releases: drained once, in order, and set aside."""

from __future__ import annotations

import base64
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget, TableNames, load_config
from response_store.diagnostics import Counters
from response_store.errors import TransientStoreError
from response_store.ingest.earlier_journals import (
    drain_earlier,
    list_earlier_journals,
    move_aside,
    warn_of_unnamed,
)
from response_store.journal.errors import JournalError
from response_store.model.records import Change
from response_store.resources import read_schema

NAMES = TableNames("openai_responses", "openai_conversations", "openai_exchanges")
# As release 945446f has encoded them: a whole record, an open one, a deletion.
WHOLE = (
    "f~aM9V`yP+XJy_1A**G0V`yP+XJub$WTIs;sdQy-VQzF^X=J2yWnpcra%FRHZ*FsCUuk5fa%FRHUoo_Ba%FaDZ*_BDa"
    "%FRHZ*FsCUuk5fa%FRHUofv@Z*F#Fa&uvHX>V>{X=J8jZ*F#9F{5E{X{mB$b8v5Nb7ga>baG*Cb8v5Rbfa@~Wu<d;VR"
    "U7wV{dJ6Y-Mz1WT<6sWMyPuVtKA~WpZt4ZeeU+Wp-t5bgOf8VRUtKUt@1%Wz5K`WpZ+Fa$jR_WM#muWpZ+Fa$jv_b8}&"
    "5Wx%R)bYXIIWn^Drbjv~7Rc=5K006FLX>xOPUuAY>ZggL5bIU*}000000066Gb#h^JX>V>{ZF9>&Q~&?~00025a%FLKW"
    "pi|8WM6G>WMyopXK-{aH7+rwZEs{{Y^-N+bS*V5F)cDMGBvDeZg6#UUvzJ4Wo~l=tz%(hXk}zybZ={AZgT;xZ*_EVb#"
    "z~JZ);_4a{{n(Wnpt~ZfS03UvzJ4Wo~l-taNX5VQgP?Z);_4a|NbtWprq7WTa3}Q&gsNV`yb<Wu<6zbZ~Q|Xm4|Lu3>O#"
    "E^lyUZeeLIV{dJwaA9<4tuJ;lFLGsbaBpsNWpk=^b7gX0VP|D-bfa`HF|&1Wb98cLVQpV>WpQ<7b97&6WTkRtabGd4a%"
    "FLKWpi|2VsB)5!~!U_rgCL-b!>FNt8aC5aCLNFbY*ySqDX11a$$F0a%FRHZ*FsC!~y{St8!&yZ*pX1a$jj=qH-~)a%FR"
    "HZ*FsCiK%pDZeeb8Uuk5dbY)>}qG@ENa%FRHUoom<a%Ew3Wn^Drbk1p2xd5eYZ)9a`tY>g^Ej2DNEiy1NHLr4Ib8v5Nb7"
    "fy|Vrpe$bgz3NX=EZgB64MOa9=SZeWht`aCLN|TV1GaWpi_3XJvDuTV17QX>MU`!>MRtb6;t0aCLOU"
)
OPEN = (
    "f~aM9V`yP+XJy_1A**G0V`yP+XJub$WTIs<sdQy-VQzF^X=JBlWoBV@Y;>z~Wpi+EZgXW{X=K2(aB^jKX>WCNUvg!0aB"
    "psNWnXDzz^`L(ZgypIb76F8Z*E^{WWb|gaA~k(Xkm0;V{dJ6Y-Mz5Z*Fs`baG*Cb8v5Rbfjo>ba16}bYXO5q;GI#Zm4B"
    "$WMyPuVtK%;b97;Jb#q^1Z)9b_s%3I=Z*pH_Z)9b_tz~j@Z*pI4Wpi_3XJx>ub97;HbY)~;VRXwu+Es2qKmY))W@&PB"
    "bYEq5Wo~p|ZF9h@WOZ_3bZKvHUu|>1uX1H^b!BsOWn^D%Z)9a`z@=?(WMyo?tZ8m=b#z~JZ);_4bHJ@*VPj}zWM6b|Yh"
    "`Y8z^!j}bZ~WaUvzJ4Wo~o8uySQ#b8l{GZf9R~Z);_4bHJ>0Z**a7UvzJ4Wo~o8rfp?(Xm4bsP)}1-rgLLxWo>1pXmoU"
    "NbEIf*b9A9-q;O$$XreE0s&#W^a$jL*Wo~r9vvqKDbaG{3ZC`R_adl;LbYE#?z^rm*adl;LbYEg`WO=}*a%FRMY;?e@Z"
    "*_EVb#z~JWq5SJta4#@Uvg!0aBpsNWx%U)Wn*u0WMy(+X=I{uF{pB7b8v5Nb7jB"
)
DELETION = "f~j<6Zeeb8Uuk5dbY)>}qG@ENa%FRHUoZ"


def payload(text: str) -> bytes:
    return base64.b85decode(text)


def entry(exchange_id: str, **columns: Any) -> tuple[str, bytes]:
    """A record that waits, with the columns that a row must have and these."""
    row = {
        "exchange_id": exchange_id, "tenant_id": "default", "api": "responses",
        "transport": "http", "state": "completed", "started_at": 1.0, "method": "POST",
        "scheme": "https", "host": "h", "path": "/p", "recorder_id": "r1",
    } | columns  # fmt: skip
    return "record", msgspec.msgpack.encode({"exchange": row, "response": None})


def make(path: Path, entries: Sequence[tuple[str, bytes]] = (), *, version: int = 1) -> Path:
    """Make a journal as an earlier proxy leaves it that was killed: with what is in its WAL."""
    scratch = path.with_name("scratch.db")
    with closing(sqlite3.connect(scratch, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.executescript(read_schema("journal/journal_001.sql"))
        connection.execute(f"PRAGMA application_id = {0x52534A4C}")
        connection.execute(f"PRAGMA user_version = {version}")
        for kind, data in entries:
            connection.execute(
                "INSERT INTO waiting (kind, queued_at, size, tenant_id, exchange_id, payload)"
                " VALUES (?, 1.0, ?, 't', 'e', ?)",
                (kind, len(data), data),
            )
        for end in ("", "-wal", "-shm"):
            copy = path.with_name(path.name + end)
            copy.write_bytes(scratch.with_name(scratch.name + end).read_bytes())
            copy.chmod(0o600)
    for end in ("", "-wal", "-shm"):
        scratch.with_name(scratch.name + end).unlink(missing_ok=True)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A database, open."""
    target = SqliteTarget(tmp_path / "responses.db")
    with closing(SqliteStore(target, NAMES, Durability.PROCESS)) as opened:
        opened.open()
        yield opened


def stored(tmp_path: Path, what: str = "exchange_id") -> list[Any]:
    """A column of the exchanges, in the order of time."""
    with closing(sqlite3.connect(tmp_path / "responses.db")) as connection:
        rows = connection.execute(f"SELECT {what} FROM openai_exchanges ORDER BY started_at")
        return [value for (value,) in rows]


def names(folder: Path) -> set[str]:
    """The files of a folder, but for the database's own."""
    return {path.name for path in folder.iterdir() if not path.name.startswith("responses.db")}


def test_what_an_earlier_release_wrote_is_stored(tmp_path: Path, store: SqliteStore) -> None:
    """Records and deletions, byte for byte as they were encoded then; the file is set aside."""
    entries = [
        ("record", payload(WHOLE)),
        ("record", payload(OPEN)),
        ("deletion", payload(DELETION)),
    ]
    path = make(tmp_path / "j.db", entries)
    counters = Counters()
    assert drain_earlier(path, store, counters)
    assert stored(tmp_path) == ["e1", "e2"]
    assert stored(tmp_path, "output_text")[0] == "Hi"
    assert stored(tmp_path, "raw_response")[0] == b"\x00\xff"
    assert counters.get("written") == 3
    assert names(tmp_path) == {"j.db.drained", "j.db-owner.lock"}


def test_rows_of_other_columns_are_read(tmp_path: Path, store: SqliteStore) -> None:
    """A row that lacks what came later, or has what is gone, is stored."""
    kind, data = entry("e1", of_a_release_to_come="x")
    make(tmp_path / "j.db", [(kind, data)])
    assert drain_earlier(tmp_path / "j.db", store, Counters())
    assert stored(tmp_path) == ["e1"]


def test_the_order_is_kept(tmp_path: Path, store: SqliteStore) -> None:
    """What came last counts, over more than one batch."""
    open_rows = [entry(f"e{n}", state="open", started_at=float(n)) for n in range(400)]
    ends = [entry(f"e{n}", state="failed", started_at=float(n)) for n in range(400)]
    make(tmp_path / "j.db", [*open_rows, *ends])
    assert drain_earlier(tmp_path / "j.db", store, Counters())
    assert stored(tmp_path, "state") == ["failed"] * 400


def test_a_drain_that_fails_goes_on_later(tmp_path: Path, store: SqliteStore) -> None:
    """What the database has left the file; the rest comes with the next attempt, nothing twice."""
    path = make(tmp_path / "j.db", [entry(f"e{n}", started_at=float(n)) for n in range(600)])
    failing = Failing(store, at=2)
    with pytest.raises(TransientStoreError):
        drain_earlier(path, failing, Counters())
    assert len(stored(tmp_path)) == 256
    with closing(sqlite3.connect(tmp_path / "responses.db")) as connection, connection:
        connection.execute("DELETE FROM openai_exchanges")  # as a prune does
    assert drain_earlier(path, store, Counters())
    assert len(stored(tmp_path)) == 344


class Failing:
    """A store whose connection breaks at one of its writes."""

    def __init__(self, store: SqliteStore, at: int) -> None:
        self._store = store
        self._left = at

    def write(self, changes: Sequence[Change], checkpoint: None = None) -> None:
        self._left -= 1
        if not self._left:
            raise TransientStoreError("away")
        self._store.write(changes, checkpoint)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_what_the_database_refuses_stays_in_the_file(
    tmp_path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are stored, and how many stay is said."""
    with closing(sqlite3.connect(tmp_path / "responses.db")) as connection:
        connection.executescript(
            "CREATE TRIGGER refuses BEFORE INSERT ON openai_exchanges WHEN NEW.exchange_id = 'e2'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    broken = ("record", b"no msgpack")
    unknown = ("riddle", b"")
    path = make(tmp_path / "j.db", [entry("e1"), entry("e2"), broken, unknown, entry("e3")])
    counters = Counters()
    assert drain_earlier(path, store, counters)
    assert sorted(stored(tmp_path)) == ["e1", "e3"]
    assert (counters.get("written"), counters.get("dead_letters")) == (2, 3)
    assert "3 that it refuses stay in that file" in caplog.text
    with closing(sqlite3.connect(tmp_path / "j.db.drained")) as connection:
        reasons = [r for (r,) in connection.execute("SELECT reason FROM dead_letters")]
    assert len(reasons) == 3


def test_a_table_that_takes_nothing_is_no_fault_of_rows(tmp_path: Path, store: SqliteStore) -> None:
    """All waits then, for the next attempt."""
    with closing(sqlite3.connect(tmp_path / "responses.db")) as connection:
        connection.executescript(
            "CREATE TRIGGER refuses BEFORE INSERT ON openai_exchanges"
            " BEGIN SELECT RAISE(ABORT, 'nothing'); END"
        )
    path = make(tmp_path / "j.db", [entry("e1")])
    with pytest.raises(TransientStoreError, match="takes no rows"):
        drain_earlier(path, store, Counters())
    assert path.exists()


def test_an_older_proxy_keeps_its_journal(
    tmp_path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A journal whose lock is held is left alone, and that is said."""
    path = make(tmp_path / "j.db", [entry("e1")])
    lock = tmp_path / "j.db-owner.lock"
    with lock.open("w") as file:
        lock.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not drain_earlier(path, store, Counters())
        with pytest.raises(JournalError, match="older proxy that runs"):
            move_aside(path)
    assert "belongs to an older proxy that runs" in caplog.text
    assert stored(tmp_path) == []
    assert drain_earlier(path, store, Counters())
    assert stored(tmp_path) == ["e1"]


def garbage(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    path.chmod(0o600)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE waiting (sequence)")
    path.chmod(0o600)


def newer(path: Path) -> None:
    make(path, [entry("e1")], version=2)


def readable_by_others(path: Path) -> None:
    make(path, [entry("e1")]).chmod(0o644)


def linked(path: Path) -> None:
    path.symlink_to(make(path.with_name("elsewhere.db"), [entry("e1")]))


def linked_wal(path: Path) -> None:
    make(path, [entry("e1")])
    wal = path.with_name(path.name + "-wal")
    wal.rename(path.with_name("elsewhere"))
    wal.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("plant", [garbage, foreign, newer, readable_by_others, linked, linked_wal])
def test_a_file_that_is_not_ours_is_left_alone(
    tmp_path: Path,
    store: SqliteStore,
    caplog: pytest.LogCaptureFixture,
    plant: Callable[[Path], None],
) -> None:
    """Damaged, of something else, of a newer release, open to others, or a link: it stays."""
    path = tmp_path / "j.db"
    plant(path)
    before = path.lstat()
    assert not drain_earlier(path, store, Counters())
    assert "the journal of an earlier release stays" in caplog.text
    assert (path.lstat().st_ino, path.lstat().st_mtime) == (before.st_ino, before.st_mtime)
    assert stored(tmp_path) == []


def test_nothing_is_overwritten(tmp_path: Path, store: SqliteStore) -> None:
    """A file that was set aside before stays."""
    (tmp_path / "j.db.drained").write_text("kept")
    make(tmp_path / "j.db", [entry("e1")])
    assert drain_earlier(tmp_path / "j.db", store, Counters())
    assert (tmp_path / "j.db.drained").read_text() == "kept"
    assert (tmp_path / "j.db.drained-2").exists()


def test_where_earlier_journals_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At journal.path, and nowhere else: what lies in the working directory is not believed."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "response-store-journal.db")
    named = make(tmp_path / "named.db")
    postgres = "postgres://u:p@127.0.0.1:1/d"

    def found(text: str, url: str) -> list[str]:
        file = tmp_path / "config.yaml"
        file.write_text(text)
        config = load_config(file, {"RESPONSE_STORE_DATABASE_URL": url})
        return [path.name for path in list_earlier_journals(config)]

    private = "allow_private_database_url: true\nssl_mode: disable\n"
    assert found(private, postgres) == []
    assert found("", "sqlite://responses.db") == []
    assert found(f"{private}journal: {{path: {named}}}\n", postgres) == ["named.db"]
    assert found(f"{private}journal: {{path: {tmp_path}/folder}}\n", postgres) == []


@pytest.mark.parametrize("planted", ["response-store-journal.db", "elsewhere.db"])
def test_one_that_lies_in_the_folder_is_named_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, planted: str
) -> None:
    """An ingester says that such a file is there and how it is applied, and opens nothing else."""
    monkeypatch.chdir(tmp_path)
    path = make(tmp_path / planted, [entry("forged")])
    before = path.read_bytes()
    (tmp_path / "config.yaml").write_text("allow_private_database_url: true\nssl_mode: disable\n")
    config = load_config(
        tmp_path / "config.yaml", {"RESPONSE_STORE_DATABASE_URL": "postgres://u:p@127.0.0.1:1/d"}
    )
    assert list_earlier_journals(config) == []
    warn_of_unnamed(config)
    assert ("flush --journal response-store-journal.db" in caplog.text) is ("response" in planted)
    assert path.read_bytes() == before


def test_the_folder_of_journals_takes_its_place(tmp_path: Path, store: SqliteStore) -> None:
    """Where journal.path named the file it makes way, and is drained from where it is then."""
    path = make(tmp_path / "journal", [entry("e1")])
    move_aside(path)
    move_aside(path)
    path.mkdir()
    (tmp_path / "config.yaml").write_text(f"journal: {{path: {path}}}\n")
    (aside,) = list_earlier_journals(load_config(tmp_path / "config.yaml", {}))
    assert drain_earlier(aside, store, Counters())
    assert stored(tmp_path) == ["e1"]
    assert names(tmp_path) == {
        "journal", "journal-owner.lock", "journal.drained", "config.yaml",
    }  # fmt: skip


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_while_it_makes_way(
    tmp_path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """Killed between two of the renames, the next start finds all parts together again."""
    path = make(tmp_path / "journal", [entry("e1")])
    left = [None] * renames
    rename = Path.rename

    def rename_or_die(self: Path, target: Path) -> Path:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_or_die)
    with pytest.raises(KeyboardInterrupt):
        move_aside(path)
    monkeypatch.setattr(Path, "rename", rename)
    move_aside(path)
    assert drain_earlier(tmp_path / "journal.earlier", store, Counters())
    assert stored(tmp_path) == ["e1"]


def test_a_folder_makes_no_way(tmp_path: Path) -> None:
    """A folder of journals, and what is no journal of ours, stays where it is."""
    (tmp_path / "journals").mkdir()
    (tmp_path / "text").write_text("text")
    for name in ("journals", "text", "missing"):
        move_aside(tmp_path / name)
    assert names(tmp_path) == {"journals", "text"}
