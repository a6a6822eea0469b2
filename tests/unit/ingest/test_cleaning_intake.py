"""Frames that come in memory: cleaned, written, and only then accepted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from response_store.config import Durability
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.channel import Dirty
from response_store.ingest.cleaning import Cleaner, Intake, SharedCleaned
from response_store.journal import segments
from response_store.journal.reader import JournalReader
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.proxy_side import end_frame


class Setting:
    """An intake with a clock that the test sets."""

    def __init__(self, bench: Bench, durability: Durability) -> None:
        self.now = 0.0
        self.directory = bench.proxy.directory
        self.counters = Counters()
        errors = ErrorReporter(self.counters)
        cleaner = Cleaner(bench.config, "journal", counters=self.counters, errors=errors)
        self.cleaned = SharedCleaned(self.directory, durability)
        self.intake = Intake(
            cleaner, self.cleaned, counters=self.counters, errors=errors, clock=lambda: self.now
        )

    def take(self, seq: int, size: int = 1) -> None:
        head, parts = end_frame(seq, alone=True, body=b"x" * size)
        self.intake.take(Dirty(seq, 3, seq, head), b"".join(parts))

    def seqs(self) -> list[int]:
        return [ref.seq for ref in JournalReader(self.directory).next(100)]


@pytest.fixture(params=list(Durability))
def setting(request: pytest.FixtureRequest, bench: Bench) -> Setting:
    """Nothing was taken yet."""
    return Setting(bench, request.param)


def test_what_is_in_a_file_is_accepted(setting: Setting) -> None:
    """Frames are accepted once, in the order in which they came, when a file has them."""
    for seq in (2, 5, 3):
        setting.take(seq)
    assert setting.seqs() == []
    assert setting.intake.write() == (2, 5, 3)
    assert setting.intake.write() == ()
    assert setting.seqs() == [2, 3, 5]
    assert setting.intake.due_at is None


def test_a_disk_that_is_full_accepts_nothing(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no file takes waits, is tried again after a pause, and is accepted then."""

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    setting.take(1)
    setting.take(2)
    with monkeypatch.context() as patch:
        patch.setattr(segments.os, "writev", full)
        assert setting.intake.write() == ()
    due = setting.intake.due_at
    assert due is not None
    assert 0 < due <= 0.1
    assert setting.intake.write() == ()  # it is not time yet
    setting.now = due
    assert setting.intake.write() == (1, 2)
    assert setting.seqs() == [1, 2]
    assert setting.counters.get("journal.cleaned_failed") == 1


def test_a_disk_that_does_not_keep_accepts_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `power` a frame that is in a file, and not synced, is not accepted yet."""
    setting = Setting(bench, Durability.POWER)

    def fail(_: object) -> None:
        raise OSError(5, os.strerror(5))

    setting.take(1)
    with monkeypatch.context() as patch:
        patch.setattr(segments, "sync_file", fail)
        assert setting.intake.write() == ()
    setting.now = 1.0
    assert setting.intake.write() == (1,)


def test_too_much_that_waits_is_enough(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written no more is taken than so many bytes."""
    from response_store.ingest import cleaning

    monkeypatch.setattr(cleaning, "_MAX_BYTES", 1000)
    setting.take(1)
    assert not setting.intake.is_full
    setting.take(2, size=3000)
    assert setting.intake.is_full
    setting.intake.write()
    assert not setting.intake.is_full
    assert Path(setting.directory.path).exists()
