"""The rules of SQLite URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.config import SqliteTarget
from response_store.config.database_url import build_sqlite_target, find_sqlite_url_problems
from tests.harness.each import each


@each(
    ("url", "target"),
    [
        ("sqlite://responses.db", SqliteTarget(Path("responses.db"))),
        ("sqlite:responses.db", SqliteTarget(Path("responses.db"))),
        ("sqlite:///srv/x.db", SqliteTarget(Path("/srv/x.db"))),
        ("sqlite://a%20b/%3F.db?mode=rw", SqliteTarget(Path("a b/?.db"), "rw")),
        ("sqlite://x.db?mode=rwc&cache=shared", SqliteTarget(Path("x.db"))),
        ("sqlite://x.db?cache=private", SqliteTarget(Path("x.db"))),
        ("sqlite://x.db?", SqliteTarget(Path("x.db"))),
        ("sqlite://été.db", SqliteTarget(Path("été.db"))),
        ("sqlite://..x.db", SqliteTarget(Path("..x.db"))),
        ("sqlite::memory:", SqliteTarget(None)),
        ("sqlite://:memory:", SqliteTarget(None)),
        ("sqlite://%3Amemory:", SqliteTarget(None)),
        ("sqlite::memory:?cache=shared", SqliteTarget(None)),
        ("sqlite://x.db?mode=memory", SqliteTarget(None)),
    ],
)
def test_a_url_names_a_database(url: str, target: SqliteTarget) -> None:
    """A URL without faults gives path and mode."""
    assert list(find_sqlite_url_problems(url)) == []
    assert build_sqlite_target(url) == target


@each(
    ("url", "words"),
    [
        ("responses.db", "scheme"),
        ("SQLITE://x.db", "scheme"),
        ("mysql://u:s3cr3t@h/db", "scheme"),
        ("sqlite://x.db\n", "whitespace"),
        ("sqlite://", "empty"),
        ("sqlite://?mode=memory", "empty"),
        ("sqlite:///", "folder"),
        ("sqlite://data/", "folder"),
        ("sqlite://data/.", "folder"),
        ("sqlite://a%00b.db", "invalid characters"),
        ("sqlite://a%0Ab.db", "invalid characters"),
        ("sqlite://a%FFb.db", "invalid characters"),
        ("sqlite://\ud800.db", "invalid characters"),
        ("sqlite://%252e%252e/x.db", ".."),
        ("sqlite://a/..?mode=memory", ".."),
        ("sqlite://a\\..\\x.db", ".."),
        ("sqlite://x.db?mode=rw&mode=rwc", "repeated"),
        ("sqlite://x.db?mode", "not allowed"),
        ("sqlite://x.db?mode=", "not allowed"),
        ("sqlite://x.db?Mode=rw", "unknown or not allowed"),
        ("sqlite://x.db?mode=rw&", "unknown or not allowed"),
        ("sqlite://x.db?immutable=1", "unknown or not allowed"),
        ("sqlite://" + "%25" * 100_000, "exceeds"),
    ],
)
def test_a_bad_url_is_refused(url: str, words: str) -> None:
    """Each rule has a fault of its own, which never quotes the URL."""
    faults = list(find_sqlite_url_problems(url))
    assert any(words in fault.rule for fault in faults), faults
    assert "s3cr3t" not in str(faults)


def test_all_faults_of_a_url_come_at_once() -> None:
    """Path and parameters are judged together."""
    rules = " ".join(
        fault.rule for fault in find_sqlite_url_problems("sqlite://../a/?mode=ro&vfs=x")
    )
    for words in ("folder", "..", "mode has a value", "unknown or not allowed"):
        assert words in rules


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (None, ":memory:"),
        (Path("data/x.db"), "data/x.db"),
        (Path("user:s3cr3t@x.db"), "***@x.db"),
        (Path("user:s3/cr3t@h@x.db"), "***@x.db"),
        (Path("@x.db"), "@x.db"),
    ],
)
def test_a_target_shows_no_credentials(path: Path | None, shown: str) -> None:
    """What stands before an @ may be credentials, and is masked wherever a target is shown."""
    target = SqliteTarget(path)
    assert target.describe() == shown
    assert "s3" not in f"{target} {target!r}"
