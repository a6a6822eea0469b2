"""Reports: when something changes, and while a statement hangs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from response_store.backends.base import Health
from response_store.diagnostics import Counters
from response_store.errors import TransientStoreError
from response_store.ingest.reports import BUSY_EVERY, REPORT_EVERY, Reporter


class Setting:
    """A worker's state as a test sets it, and its reporter."""

    def __init__(self, *, prompt: bool = False) -> None:
        self.now = 100.0
        self.counters = Counters()
        self.worker: Any = SimpleNamespace(
            applied=0, committed=0, bytes_on_disk=0, health=Health(lambda: self.now),
            dead_letters=SimpleNamespace(number=0, size=0), busy_for=self.busy_for,
            lag_seconds=lambda: 1.5, measure=lambda: self.worker.bytes_on_disk,
        )  # fmt: skip
        self.reporter = Reporter(
            self.worker, self.counters, is_prompt=prompt, clock=lambda: self.now
        )
        assert self.reporter.report() is not None  # the first one comes at once

    def busy_for(self) -> float | None:
        since = self.worker.health.busy_since
        return None if since is None else self.now - since


@pytest.fixture
def setting() -> Setting:
    """The first report has been made."""
    return Setting()


def test_nothing_new_is_not_reported(setting: Setting) -> None:
    """Without a change there is no report, however much time passes."""
    setting.now += 1000
    assert setting.reporter.due_at() is None
    assert setting.reporter.report() is None


@pytest.mark.parametrize("name", ["applied", "committed", "bytes_on_disk"])
def test_changes_are_reported_now_and_then(setting: Setting, name: str) -> None:
    """What has changed is reported once, not before its time."""
    setattr(setting.worker, name, 7)
    assert setting.reporter.report() is None
    assert setting.reporter.due_at() == setting.now + REPORT_EVERY
    setting.now += REPORT_EVERY
    report = setting.reporter.report()
    assert report is not None
    assert getattr(report, name) == 7
    assert setting.reporter.due_at() is None


def test_counts_are_what_came_since_the_last_report(setting: Setting) -> None:
    """Each count is reported once, as what was added."""
    for added in (2, 3):
        setting.counters.add("written", added)
        setting.now += REPORT_EVERY
        report = setting.reporter.report()
        assert report is not None
        assert report.counters == {"written": added}


def test_a_failure_is_reported_with_its_words(setting: Setting) -> None:
    """Phase, error, attempts and the next one."""
    setting.worker.health.failed(TransientStoreError("away"), True, setting.now + 3)
    setting.now += REPORT_EVERY
    report = setting.reporter.report()
    assert report is not None
    assert (report.phase, report.error, report.failures) == ("waiting", "away", 1)
    assert report.retry_in == pytest.approx(3 - REPORT_EVERY)


def test_a_statement_that_hangs_is_reported_again_and_again(setting: Setting) -> None:
    """While it takes its time, reports go on and say for how long."""
    setting.worker.health.busy()
    times = []
    for _ in range(100):
        setting.now += 0.05
        report = setting.reporter.report()
        if report is not None:
            times.append(report.busy_for)
    assert len(times) == pytest.approx(5 / BUSY_EVERY, abs=5)
    assert times == sorted(times)


def test_a_report_can_be_had_at_once(setting: Setting) -> None:
    """Who has just been answered gets the counts that belong to the answer with it."""
    setting.counters.add("written")
    report = setting.reporter.report(at_once=True)
    assert report is not None
    assert report.counters == {"written": 1}


def test_a_commit_that_is_waited_for_is_reported_at_once() -> None:
    """With `acknowledge: database` a commit does not wait for the next report."""
    setting = Setting(prompt=True)
    setting.worker.committed = 1
    report = setting.reporter.report()
    assert report is not None
    assert report.committed == 1
