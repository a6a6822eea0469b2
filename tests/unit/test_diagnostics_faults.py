"""Our own errors are counted, said once a kind, and never with a value."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from response_store.diagnostics import Counters, ErrorReporter


def fail(value: str) -> None:
    raise ValueError(value)


def test_once_a_kind(caplog: pytest.LogCaptureFixture) -> None:
    """An error is logged once for its place, counted each time, and its text never shown."""
    counters = Counters()
    errors = ErrorReporter(counters)
    with caplog.at_level(logging.DEBUG):
        for value in ("c4n4ry-1", "c4n4ry-2", "c4n4ry-3"):
            assert errors.guard("a hook", fail, value) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING  # an error would end mitmproxy while it starts
    assert "ValueError at test_diagnostics_faults.py:" in record.getMessage()
    assert "a hook" in record.getMessage()
    assert "c4n4ry" not in record.getMessage()
    assert record.exc_info is None
    assert counters.get("fault.a hook") == 3


def test_other_kinds(caplog: pytest.LogCaptureFixture) -> None:
    """Another kind of error, or one from elsewhere, is said as well."""
    errors = ErrorReporter(Counters())
    errors.guard("x", fail, "")
    errors.guard("x", lambda: 1 // 0)
    errors.report("x", KeyError("c4n4ry"))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert "ZeroDivisionError" in messages[1]
    assert "KeyError at an unknown place" in messages[2]
    assert "c4n4ry" not in "".join(messages)


def test_guard() -> None:
    """A guard hands arguments and results through, and lets the end of the process pass."""
    errors = ErrorReporter(Counters())
    assert errors.guard("x", max, 1, 5) == 5
    assert errors.guard("x", int, "x", base=16) is None

    def leave() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        errors.guard("x", leave)


def test_counts() -> None:
    """Counters take from any thread, and are shown by name."""
    counters = Counters()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(400):
            pool.submit(counters.add, "b")
    counters.add("a", 5)
    assert counters.snapshot() == {"a": 5, "b": 400}
    assert list(counters.snapshot()) == ["a", "b"]
    assert counters.get("c") == 0
    assert "c" not in counters.snapshot()
