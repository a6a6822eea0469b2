"""Keeping the rules while a proxy runs, a batch a step."""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from response_store.backends.registry import open_database
from response_store.config import load_config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.pruning.retention import Retention, Times
from tests.unit.pruning.conftest import Anywhere, ids
from tests.unit.queries.stored import Stored

HOUR, DAY = 3600.0, 86_400.0
NOW = 20_000 * DAY
Keep = Callable[..., "Keeping"]


class Keeping:
    """Retention of a database, and clocks that go when a test says so."""

    def __init__(self, stored: Anywhere, path: Path, **rules: int) -> None:
        self.stored = stored
        stored.configure(path, **({"retention": rules} if rules else {}))
        self.counters = Counters()
        self.wall, self.passed = NOW, 100.0
        config = load_config(path, {})
        self.retention = Retention(
            config, self.counters, ErrorReporter(self.counters),
            open_database=lambda busy_ms: open_database(
                config.database, config.tables, busy_ms=busy_ms
            ),
            wall=lambda: self.wall, clock=lambda: self.passed, elapsed=lambda: self.passed,
        )  # fmt: skip

    def wait(self, seconds: float, *, jump: float = 0.0) -> None:
        """Let time pass; the wall clock jumps by some seconds as well."""
        self.passed += seconds
        self.wall += seconds + jump

    def wait_until_due(self) -> None:
        """Let the time pass until there is something to do."""
        due = max(self.retention.due(), self.passed)
        self.wall += due - self.passed
        self.passed = due

    def look(self) -> int:
        """Wait for the next look and take all of its steps; how many those were."""
        self.wait_until_due()
        for step in range(1, 10_000):
            self.retention.step()
            if self.retention.due() - self.passed >= 100.0:
                return step
            self.wait_until_due()
        raise AssertionError("it never ends")


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    """Keeps the rules of a database."""
    made: list[Keeping] = []

    def keep(stored: Anywhere, **rules: int) -> Keeping:
        made.append(Keeping(stored, tmp_path / "proxy.yaml", **rules))
        return made[-1]

    yield keep
    for each in made:
        each.retention.close()


def test_what_is_too_old_goes(anywhere: Anywhere, keep: Keep) -> None:
    """Of every tenant, and again when more has become too old; it is counted."""
    anywhere.response("r")
    anywhere.exchange("old", started_at=NOW - 3 * DAY, response_id="r")
    anywhere.exchange("other", started_at=NOW - 4 * DAY, tenant_id="other")
    anywhere.exchange("new", started_at=NOW - DAY + HOUR)
    keeping = keep(anywhere, max_age_days=2)
    keeping.look()
    assert ids(anywhere) == ["new"]
    anywhere.exchange("late", started_at=NOW - 5 * DAY)
    keeping.look()
    assert ids(anywhere) == ["new"]
    assert keeping.counters.snapshot() == {"pruned": 3, "pruned.responses": 1}


def test_what_is_too_much_goes(stored: Stored, keep: Keep) -> None:
    """The oldest first; what is measured is measured in a step of its own."""
    stored.exchanges(
        [{"exchange_id": f"e{n:03}", "started_at": NOW - 120 + n, "request_body": b"x" * 20_000}
         for n in range(120)]
    )  # fmt: skip
    keeping = keep(stored, max_bytes=1_048_576)
    for _ in range(2):
        keeping.wait_until_due()
        keeping.retention.step()
    assert len(ids(stored)) == 120
    keeping.look()
    left = ids(stored)
    assert keeping.counters.get("pruned") == 120 - len(left) >= 70
    assert left == [f"e{n:03}" for n in range(120 - len(left), 120)]


def test_a_step_removes_one_batch(anywhere: Anywhere, keep: Keep) -> None:
    """Between two of them the database is left to others, most of the time."""
    anywhere.exchanges(
        [{"exchange_id": f"e{n:04}", "started_at": NOW - 3 * DAY + n} for n in range(1000)]
    )
    anywhere.exchange("new", started_at=NOW - HOUR)
    keeping = keep(anywhere, max_age_days=1)
    keeping.wait_until_due()
    keeping.retention.step()
    assert len(ids(anywhere)) == 1001  # it has looked at the clock
    gone, rests = [], []
    for _ in range(5):
        keeping.wait_until_due()
        before, began = len(ids(anywhere)), time.monotonic()
        keeping.retention.step()
        taken = time.monotonic() - began
        gone.append(before - len(ids(anywhere)))
        rests.append((keeping.retention.due() - keeping.passed, taken))
    assert all(0 < batch <= 200 for batch in gone)
    assert all(0.0099 < rest < max(4 * taken, 0.0101) for rest, taken in rests)
    keeping.look()
    assert ids(anywhere) == ["new"]


def test_nothing_is_due_before_its_time(stored: Stored, keep: Keep) -> None:
    """A proxy that has just started has other things to do; a step too early does nothing."""
    stored.exchange("old", started_at=NOW - 3 * DAY)
    stored.exchange("new", started_at=NOW - HOUR)
    keeping = keep(stored, max_age_days=1)
    assert keeping.retention.due() == keeping.passed + Times().first >= keeping.passed + 60
    keeping.wait(Times().first - 1)
    keeping.retention.step()
    assert ids(stored) == ["new", "old"]
    keeping.look()
    assert ids(stored) == ["new"]
    assert keeping.retention.due() == keeping.passed + HOUR


def test_a_file_is_measured_more_often(stored: Stored, keep: Keep) -> None:
    """Its size costs next to nothing to tell, and may grow quickly."""
    keeping = keep(stored, max_age_days=1, max_bytes=1_048_576)
    keeping.look()
    assert keeping.retention.due() == keeping.passed + 300.0


def test_it_ends_between_two_batches(stored: Stored, keep: Keep) -> None:
    """A stop leaves what has not gone, and no connection; the next look goes on."""
    stored.exchanges(
        [{"exchange_id": f"e{n:04}", "started_at": NOW - 3 * DAY + n} for n in range(1000)]
    )
    stored.exchange("new", started_at=NOW - HOUR)
    keeping = keep(stored, max_age_days=1)
    keeping.wait_until_due()
    while not keeping.counters.get("pruned"):
        keeping.retention.step()
        keeping.wait(1.0)
    keeping.retention.close()
    keeping.retention.close()
    assert len(ids(stored)) == 1001 - keeping.counters.get("pruned") > 1
    with closing(sqlite3.connect(stored.path)) as other:
        assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    keeping.look()
    assert ids(stored) == ["new"]


def test_a_database_that_is_missing_is_said_once(
    stored: Stored, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted each time, and nothing else happens."""
    stored.path.unlink()
    keeping = keep(stored, max_age_days=1)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            keeping.look()
    assert len(caplog.messages) == 1
    assert "retention can't remove anything" in caplog.messages[0]
    assert keeping.counters.snapshot() == {"retention.failed": 3}


def test_an_error_of_its_own(stored: Stored, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, the connections are closed, and the next look is made."""
    stored.exchange("old", started_at=NOW - 3 * DAY)
    stored.exchange("new", started_at=NOW - HOUR)
    keeping = keep(stored, max_age_days=1)
    with monkeypatch.context() as patched:
        patched.setattr("response_store.pruning.prune._choose_batch_size", lambda *_: 1 / 0)
        keeping.look()
    assert keeping.counters.snapshot() == {"pruned": 1, "fault.retention": 1}
    keeping.look()
    assert keeping.counters.get("fault.retention") == 1


def test_without_rules_nothing_is_due(stored: Stored, keep: Keep) -> None:
    """Nothing is removed unless it was asked for."""
    stored.exchange("old", started_at=1.0)
    keeping = keep(stored)
    assert keeping.retention.due() == math.inf
    keeping.wait(100 * DAY)
    keeping.retention.step()
    assert ids(stored) == ["old"]


def test_a_clock_that_has_jumped(
    anywhere: Anywhere, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything would look old: nothing goes until it is right again. Counted, and said once."""
    anywhere.exchange("old", started_at=NOW - 30 * DAY)
    anywhere.exchange("new", started_at=NOW - HOUR)
    keeping = keep(anywhere, max_age_days=20)
    keeping.wait(60.0, jump=3650 * DAY)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            keeping.look()
    assert ids(anywhere) == ["new", "old"]
    assert keeping.counters.snapshot() == {"retention.clock": 3}
    (said,) = caplog.messages
    assert said.startswith("response_store: retention removes nothing for now: the clock differs")
    keeping.wait(60.0, jump=-3650 * DAY)
    keeping.look()
    assert ids(anywhere) == ["new", "old"]
    keeping.look()
    assert ids(anywhere) == ["new"]
    assert keeping.counters.snapshot() == {"retention.clock": 4, "pruned": 1}


def test_a_size_is_not_kept_by_a_clock_that_has_jumped(stored: Stored, keep: Keep) -> None:
    """Which exchanges are the oldest is what the clock has said."""
    stored.exchanges(
        [{"exchange_id": f"e{n:03}", "started_at": NOW - n, "request_body": b"x" * 20_000}
         for n in range(120)]
    )  # fmt: skip
    keeping = keep(stored, max_bytes=1_048_576)
    keeping.wait(60.0, jump=-2 * DAY)
    keeping.look()
    assert len(ids(stored)) == 120


def test_a_database_that_was_not_written_for_long(anywhere: Anywhere, keep: Keep) -> None:
    """That is no jump: the second look trusts the clock. What this run has dated is no proof."""
    anywhere.exchange("old", started_at=NOW - 90 * DAY, tenant_id="a")
    anywhere.exchange("older", started_at=NOW - 95 * DAY, tenant_id="b")
    keeping = keep(anywhere, max_age_days=2)
    anywhere.exchange("new", started_at=NOW + 30)
    keeping.look()
    assert ids(anywhere) == ["new", "old", "older"]
    keeping.look()
    assert ids(anywhere) == ["new"]
    assert keeping.counters.snapshot() == {"pruned": 2}


def test_a_newest_exchange_from_the_future(anywhere: Anywhere, keep: Keep) -> None:
    """Either it or the clock is wrong: the first look removes nothing, and says so."""
    anywhere.exchange("old", started_at=NOW - 90 * DAY, tenant_id="a")
    anywhere.exchange("future", started_at=NOW + 2 * DAY, tenant_id="b")
    keeping = keep(anywhere, max_age_days=2)
    keeping.look()
    assert ids(anywhere) == ["future", "old"]
    assert keeping.counters.snapshot() == {"retention.clock": 1}
    keeping.look()
    assert ids(anywhere) == ["future"]
