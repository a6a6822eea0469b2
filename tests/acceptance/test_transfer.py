"""What a real proxy captured, on the move; and moves that are broken off anywhere."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import response_store
from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from tests.harness.clients import asking, fetch, sdk
from tests.harness.proxy import wait_until
from tests.harness.records import ANSWER, NAMES, QUESTION, record, response

if TYPE_CHECKING:
    from tests.harness.postgres import PostgresDatabase
    from tests.harness.proxy import Proxy


PROGRAM = [sys.executable, "-c", "from response_store.cli import main; main()"]
PACKAGE = str(Path(response_store.__file__).parents[1])
KEYS = {"openai_responses": "tenant_id, id", "openai_exchanges": "exchange_id"}
MANY = 3000


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", PACKAGE)
    return tmp_path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with enough rows to be broken off in the middle."""
    path = tmp_path_factory.mktemp("many") / "many.db"
    store = SqliteStore(SqliteTarget(path), NAMES, Durability.PROCESS)
    store.open()
    answers = [ANSWER] * 10
    for start in range(0, MANY, 500):
        store.write(
            [
                record(f"e{at:06}", response(f"r{at}", asked=[QUESTION], answered=answers))
                for at in range(start, start + 500)
            ],
            None,
        )
    store.close()
    return path


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=50
    )


@contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def count(path: Path) -> int:
    """How many rows there are so far."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in KEYS)
    return 0


def contents(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return [db.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall()
                for table, key in KEYS.items()]  # fmt: skip


def configured(database: PostgresDatabase, path: Path) -> Path:
    path.write_text(
        f"database_url: {database.url()}\nssl_mode: disable\nallow_private_database_url: true\n"
    )
    return path


def test_what_was_captured_moves(
    proxy: Proxy, tenant: str, place: Path, plain_database: PostgresDatabase
) -> None:
    """From a proxy that runs into a file, into PostgreSQL, and back into a SQLite file."""
    with sdk(proxy.url, tenant) as client:
        client.responses.create(model="gpt-5", input="hello")
        assert [event.type for event in client.responses.create(
            model="gpt-5", input="hello", stream=True)]  # fmt: skip
    fetch(proxy.port, asking("refused"), tenant)
    proxy.flush()
    there = configured(plain_database, place / "postgres.yaml")
    source = ("--database", proxy.database.path, "--tenant", tenant)
    assert command("export", *source, "--output", "a.jsonl.zst").returncode == 0
    assert command("import", "a.jsonl.zst", "--config", there).returncode == 0
    assert command("copy", "--config", there, "--to", "back.db").returncode == 0
    assert command("export", *source).stdout == command("export", "--database", "back.db").stdout
    with closing(sqlite3.connect("back.db")) as db:
        kept = [row[0] for row in db.execute("SELECT state FROM openai_exchanges")]
    assert sorted(kept) == sorted(row["state"] for row in proxy.database.exchanges(tenant))
    assert len(kept) == 3


@pytest.mark.parametrize(("way", "number"), [("copy", signal.SIGKILL), ("import", signal.SIGINT)])
def test_what_is_broken_off_goes_on(
    many: Path, place: Path, way: str, number: signal.Signals
) -> None:
    """Killed or interrupted in the middle, it goes on, and ends with every row once."""
    if way == "import":
        assert command("export", "--database", many, "--output", "all.jsonl").returncode == 0
        moving = ("import", "all.jsonl", "--database", "there.db")
    else:
        moving = ("copy", "--database", str(many), "--to", "there.db")
    there = place / "there.db"
    with started(*moving) as process:
        wait_until(lambda: count(there), "the first rows are there", 20)
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert told.startswith("Interrupted. ")
        assert "Run the command again to go on" in told
    arrived = count(there)
    assert 0 < arrived < 2 * MANY
    done = command(*moving)
    assert (done.returncode, done.stderr) == (0, "")
    assert "there already" in done.stdout
    assert contents(there) == contents(many)


def test_an_export_that_is_broken_off_leaves_no_file(many: Path, place: Path) -> None:
    """Ctrl-C takes away what was begun."""
    with started("export", "--database", many, "--output", "all.jsonl") as process:
        wait_until(lambda: list(place.glob(".all*")), "it has begun", 20)
        # At once: between its making and its use it must not be left behind either.
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told.startswith("Interrupted. No file was written.")
    assert list(place.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(many: Path) -> None:
    """`response-store export | head -1` ends quietly."""
    with started("export", "--database", many) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith('{"row":"header"')
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_rows_that_change_meanwhile_are_no_difference(many: Path, place: Path) -> None:
    """A proxy may go on writing to the source: a copy is whole and verified all the same."""
    source = place / "source.db"
    with closing(sqlite3.connect(many)) as db:
        db.execute("VACUUM INTO ?", (str(source),))
    store = SqliteStore(SqliteTarget(source), NAMES, Durability.PROCESS)
    store.open()
    with closing(store), started("copy", "--database", source, "--to", "there.db") as process:
        wait_until(lambda: count(place / "there.db"), "the first rows are there", 20)
        for at in range(40):
            open_row = record(f"e-new{at}", state="open")
            store.write([open_row], None)
            store.write([record(f"e-new{at}", state="completed", output_text="later")], None)
        process.communicate(timeout=20)
        assert process.returncode == 0
    done = command("copy", "--database", source, "--to", "there.db")
    assert done.returncode == 0
    assert contents(place / "there.db") == contents(source)
