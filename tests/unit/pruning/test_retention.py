"""The thread that keeps the rules while a proxy runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from response_store.config import Config, load_config
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.pruning.retention import Retention, Times, retention_of
from tests.harness.proxy import wait_until
from tests.unit.pruning.conftest import Anywhere, ids
from tests.unit.query.stored import Stored

AT_ONCE = Times(first=0.01, every=0.05, measured_file=0.05)
Keep = Callable[..., Counts]


def configured(stored: Anywhere, path: Path, **retention: int) -> Config:
    stored.configure(path, retention=retention)
    return load_config(path, {})


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    """Keeps the rules of a database, from now on; gives the counts."""
    made: list[Retention] = []

    def keep(stored: Anywhere, times: Times = AT_ONCE, **retention: int) -> Counts:
        counts = Counts()
        config = configured(stored, tmp_path / "proxy.yaml", **retention)
        made.append(Retention(config, counts, Faults(counts), times))
        made[-1].start()
        return counts

    yield keep
    for each in made:
        each.close(5.0)


def test_what_is_too_old_goes(anywhere: Anywhere, keep: Keep) -> None:
    """Of every tenant, and again when more has become too old; it is counted."""
    now = time.time()
    anywhere.response("r")
    anywhere.exchange("old", started_at=now - 3 * 86_400, response_id="r")
    anywhere.exchange("other", started_at=now - 4 * 86_400, tenant_id="other")
    anywhere.exchange("new", started_at=now - 86_400)
    counts = keep(anywhere, max_age_days=2)
    wait_until(lambda: ids(anywhere) == ["new"], "the old ones have gone")
    anywhere.exchange("late", started_at=now - 5 * 86_400)
    wait_until(lambda: ids(anywhere) == ["new"] and counts.get("pruned") == 3, "and the late one")
    assert counts.get("pruned.responses") == 1
    assert counts.get("retention.failed") == 0


def test_what_is_too_much_goes(stored: Stored, keep: Keep) -> None:
    """The oldest first."""
    rows = [
        {"exchange_id": f"e{n:03}", "started_at": float(n), "request_body": b"x" * 20_000}
        for n in range(120)
    ]
    stored.exchanges(rows)
    counts = keep(stored, max_bytes=1_048_576)
    wait_until(lambda: counts.get("pruned") >= 70, "the oldest have gone")
    assert "e119" in ids(stored)
    assert "e000" not in ids(stored)


def test_nothing_is_looked_at_before_its_time(stored: Stored, keep: Keep) -> None:
    """A proxy that has just started has other things to do."""
    stored.exchange("old", started_at=1.0)
    keep(stored, Times(), max_age_days=1)
    assert ids(stored) == ["old"]
    assert Times().first >= 60


def test_it_ends_at_once(stored: Stored, tmp_path: Path) -> None:
    """A stop waits for one batch at most, however much is left."""
    stored.exchanges([{"exchange_id": f"e{n:05}", "started_at": float(n)} for n in range(20_000)])
    counts = Counts()
    config = configured(stored, tmp_path / "proxy.yaml", max_age_days=1)
    retention = Retention(config, counts, Faults(counts), AT_ONCE)
    retention.start()
    wait_until(lambda: counts.get("pruned"), "it has begun")
    began = monotonic()
    retention.close(5.0)
    assert monotonic() - began < 0.5
    assert not retention._thread.is_alive()
    assert len(ids(stored)) == 20_000 - counts.get("pruned") > 0


def test_a_database_that_is_missing_is_told_once(
    stored: Stored, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted each time, and nothing else happens."""
    stored.path.unlink()
    with caplog.at_level(logging.WARNING):
        counts = keep(stored, max_age_days=1)
        wait_until(lambda: counts.get("retention.failed") > 2, "several attempts")
    told = [line for line in caplog.messages if "retention" in line]
    assert len(told) == 1
    assert not any(name.startswith("fault") for name in counts.snapshot())


def test_without_rules_there_is_no_thread(stored: Stored, tmp_path: Path) -> None:
    """Nothing is removed unless it was asked for."""
    counts: Any = Counts()
    stored.configure(tmp_path / "proxy.yaml")
    config = load_config(tmp_path / "proxy.yaml", {})
    assert retention_of(config, counts, Faults(counts)) is None
