"""What a database file holds under our names: ours, or nothing is read and written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from response_store.backends.registry import open_file
from response_store.config import TableNames
from response_store.errors import PermanentStoreError
from tests.harness.records import NAMES, record, response
from tests.unit.backends.sqlite.files import PRAXIS, opened, rows, script, store_on

ENDLESS = "(WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r)"
FORGES = (
    "BEGIN UPDATE openai_responses SET response_object = '{\"forged\":1}' WHERE id = new.id; END"
)
DELETES = "BEGIN DELETE FROM openai_exchanges; END"
OWN_TRIGGER = "openai_exchanges_search_delete"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "responses.db"
    with opened(path) as store:
        store.write([record(response_id="r1", answer=response(id="r1"))])
    return path


def refusals(path: Path) -> list[str]:
    """What a store and a reader say."""
    store = store_on(path)
    found = []
    for work in (store.open, lambda: open_file(path, NAMES)):
        with pytest.raises(PermanentStoreError) as caught:
            work()
        found.append(str(caught.value))
    return found


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        (f"CREATE TRIGGER a AFTER INSERT ON openai_responses {FORGES}", "trigger a on openai_resp"),
        (
            f"CREATE TRIGGER b AFTER INSERT ON openai_exchanges {DELETES}",
            "trigger b on openai_exch",
        ),
        (f"CREATE TRIGGER c AFTER UPDATE ON OpenAI_Exchanges {DELETES}", "trigger c"),
        (
            (
                f"DROP TRIGGER {OWN_TRIGGER};"
                f"CREATE TRIGGER {OWN_TRIGGER} AFTER DELETE ON openai_exchanges {DELETES}"
            ),
            f"trigger {OWN_TRIGGER}",
        ),
        (f"CREATE TRIGGER d AFTER INSERT ON openai_exchanges_journals {DELETES}", "trigger d"),
        (f"CREATE TRIGGER e AFTER DELETE ON openai_exchanges_search {DELETES}", "trigger e"),
        (
            (
                "ALTER TABLE openai_exchanges RENAME TO t; CREATE VIEW openai_exchanges AS "
                f"SELECT t.* FROM t, {ENDLESS}"
            ),
            "view openai_exchanges",
        ),
        (
            (
                "DROP TABLE openai_conversations;"
                "CREATE VIEW openai_conversations AS SELECT * FROM openai_responses"
            ),
            "view openai_conversations",
        ),
        (
            "CREATE UNIQUE INDEX f ON openai_exchanges (tenant_id)",
            "index f on openai_exchanges",
        ),
        ("CREATE INDEX g ON openai_exchanges (zeroblob(length(path)))", "index g on openai_"),
        (
            (
                "DROP INDEX idx_openai_exchanges_state;"
                "CREATE INDEX idx_openai_exchanges_state ON openai_exchanges (state, api) WHERE 0"
            ),
            "index idx_openai_exchanges_state",
        ),
        (
            (
                "DROP TABLE openai_exchanges_search_words;"
                "CREATE TABLE openai_exchanges_search_words (words CHECK (words = ''))"
            ),
            "table openai_exchanges_search_words",
        ),
    ],
    ids=lambda value: value.split(" ON ")[0][-40:],
)
def test_what_is_not_ours_is_refused(path: Path, planted: str, named: str) -> None:
    """A trigger, a view, an index or a rule that was planted is named; no row is touched."""
    script(path, planted)
    before = rows(path, "SELECT count(*) FROM openai_responses")
    for message in refusals(path):
        assert named in message
        assert "Nothing was read from it or written to it" in message
    assert rows(path, "SELECT count(*) FROM openai_responses") == before


@pytest.mark.parametrize(
    "rule",
    [
        "CHECK (model <> 'm')",
        "REFERENCES t (id)",
        "UNIQUE",
        "UNIQUE ON CONFLICT IGNORE",
        "COLLATE NOCASE",
        "DEFAULT (randomblob(1000000000))",
        "GENERATED ALWAYS AS (id) VIRTUAL",
        "/* ' */ CHECK (0) /* ' */",
        '"--" CHECK (0)',
    ],
)
def test_a_table_with_rules_of_its_own_is_refused(tmp_path: Path, rule: str) -> None:
    """A shared table has columns, types and keys; whatever else could lose or forge a row."""
    path = tmp_path / "responses.db"
    schema = PRAXIS.partition("INSERT INTO openai_responses VALUES")[0]
    script(path, schema.replace("model TEXT NOT NULL,", f"model TEXT {rule},"))
    with pytest.raises(PermanentStoreError, match="table openai_responses"):
        store_on(path).open()


@pytest.mark.parametrize("names", [NAMES, TableNames("a", "check_b", "unique_as")])
def test_our_own_files_are_ours(tmp_path: Path, names: TableNames) -> None:
    """A file that this program made opens again, and one of praxis, whatever the tables' names."""
    path = tmp_path / "own.db"
    for _ in range(2):
        with opened(path, names=names):
            open_file(path, names).close()
    praxis = tmp_path / "praxis.db"
    script(praxis, PRAXIS)
    with opened(praxis):
        pass


def test_what_others_have_beside_is_theirs(path: Path) -> None:
    """Tables, views and triggers under other names are nobody's business."""
    script(
        path,
        "CREATE TABLE notes (x CHECK (x > 0)); CREATE VIEW v AS SELECT id FROM openai_responses;"
        "CREATE TRIGGER n AFTER INSERT ON notes BEGIN DELETE FROM notes; END",
    )
    with opened(path):
        open_file(path, NAMES).close()


def test_names_that_the_file_chose_are_harmless(path: Path) -> None:
    """Names are clipped, their control characters are not shown, and only some are listed."""
    for at in range(20):
        name = f"x{at}\x1b[2J" + "y" * 10_000
        script(path, f'CREATE TRIGGER "{name}" AFTER INSERT ON openai_responses {FORGES}')
    for message in refusals(path):
        assert "\x1b" not in message
        assert "15 more" in message
        assert len(message) < 1500


def test_ctrl_c_ends_a_statement_that_sqlite_is_busy_with(path: Path) -> None:
    """A reader whose statement never ends is interrupted by a signal."""
    code = (
        "import sys, pathlib\n"
        "from response_store.config import TableNames\n"
        "from response_store.backends.sqlite.reader import SqliteReader\n"
        f"names = TableNames({NAMES.responses!r}, {NAMES.conversations!r}, {NAMES.exchanges!r})\n"
        "reading = SqliteReader(pathlib.Path(sys.argv[1]), names)\n"
        "print('busy', flush=True)\n"
        f"reading.rows('SELECT count(*) FROM {ENDLESS}')\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, os.fspath(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "busy\n"
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=10)
    finally:
        child.kill()
    assert "KeyboardInterrupt" in err
    assert child.returncode == -signal.SIGINT
