"""Times as people say them."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from response_store.cli.options import parse_past_time
from tests.harness.each import each
from tests.unit.cli.conftest import Command

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 15, 30, 10, tzinfo=BERLIN)  # a Sunday


@each(
    ("said", "meant"),
    [
        ("0s", "2026-11-22 15:30:10"),
        ("90s", "2026-11-22 15:28:40"),
        ("5m", "2026-11-22 15:25:10"),
        ("5 min", "2026-11-22 15:25:10"),
        ("2h", "2026-11-22 13:30:10"),
        ("3D", "2026-11-19 15:30:10"),
        ("1w", "2026-11-15 15:30:10"),
        ("now", "2026-11-22 15:30:10"),
        ("today", "2026-11-22 00:00:00"),
        ("yesterday", "2026-11-21 00:00:00"),
        ("Yesterday ", "2026-11-21 00:00:00"),
        ("yesterday 9am", "2026-11-21 09:00:00"),
        ("9:30", "2026-11-22 09:30:00"),
        ("monday", "2026-11-16 00:00:00"),
        ("last friday", "2026-11-20 00:00:00"),
        ("sunday", "2026-11-15 00:00:00"),
        ("3 days ago", "2026-11-19 15:30:10"),
        ("an hour ago", "2026-11-22 14:30:10"),
        ("2026-11-01", "2026-11-01 00:00:00"),
        ("2026-11-01 09:30", "2026-11-01 09:30:00"),
        ("2026-11-01T09:30:15", "2026-11-01 09:30:15"),
        ("2026-11-01T09:30Z", "2026-11-01 10:30:00"),
        ("2026-11-01 09:30+05:00", "2026-11-01 05:30:00"),
        ("2026-07-01 09:30", "2026-07-01 09:30:00"),  # in summer
        ("2026-11-01 9:30", "2026-11-01 09:30:00"),
        ("2026-2-3", "2026-02-03 00:00:00"),
        ("2026/02/03 09:30", "2026-02-03 09:30:00"),
        ("Nov 1 2026", "2026-11-01 00:00:00"),
        ("1 november", "2026-11-01 00:00:00"),
        ("2026-10", "2026-10-01 00:00:00"),
        ("30 december", "2025-12-30 00:00:00"),
    ],
)
def test_a_time_is_what_people_mean(said: str, meant: str) -> None:
    """Seen from a Sunday in November in Berlin; summer's times are summer's."""
    expected = datetime.fromisoformat(meant).replace(tzinfo=BERLIN)
    assert datetime.fromtimestamp(parse_past_time(said, NOW), tz=BERLIN) == expected


@each(
    ("now", "said", "meant"),
    [
        ("2026-11-28T15:57", "1 month ago", "2026-10-28T15:57"),
        ("2026-11-28T15:57", "2 months ago", "2026-09-28T15:57"),
        ("2026-11-28T15:57", "3 months ago", "2026-08-28T15:57"),
        ("2026-11-28T15:57", "6 months", "2026-05-28T15:57"),
        ("2026-11-28T15:57", "1 year ago", "2025-11-28T15:57"),
        ("2026-11-28T15:57", "1y", "2025-11-28T15:57"),
        ("2026-11-28T15:57", "3mo", "2026-08-28T15:57"),
        ("2026-11-28T15:57", "a month ago", "2026-10-28T15:57"),
        ("2026-11-28T15:57", "three months ago", "2026-08-28T15:57"),
        ("2026-11-28T15:57", "last month", "2026-10-28T15:57"),
        ("2026-11-28T15:57", "1 month 3 days ago", "2026-10-25T15:57"),
        ("2026-11-28T15:57", "1 year and 2 months ago", "2025-09-28T15:57"),
        ("2026-11-28T15:57", "1h 30m", "2026-11-28T14:27"),
        ("2026-11-28T15:57", "12 months ago", "2025-11-28T15:57"),
        ("2026-11-28T15:57", "2026-11", "2026-11-01T00:00"),
        ("2026-03-31T12:00", "1 month ago", "2026-02-28T12:00"),
        ("2024-02-29T12:00", "1 year ago", "2023-02-28T12:00"),
        ("2026-01-15T12:00", "1 month ago", "2025-12-15T12:00"),
        ("2026-12-15T12:00", "12 months", "2025-12-15T12:00"),
    ],
)
def test_months_are_those_of_the_calendar(now: str, said: str, meant: str) -> None:
    """The same day of an earlier month, or that month's last one; days count besides."""
    seen_from = datetime.fromisoformat(now).replace(tzinfo=BERLIN)
    expected = datetime.fromisoformat(meant).replace(tzinfo=BERLIN)
    assert datetime.fromtimestamp(parse_past_time(said, seen_from), tz=BERLIN) == expected


@pytest.mark.parametrize("said", ["3M", "12 M"])
def test_minutes_or_months(run: Command, said: str) -> None:
    """A capital M is refused with both spellings: never three minutes for three months."""
    result = run("list", "--since", said)
    assert result.exit_code == 2
    assert "minutes are m, months are mo" in result.stderr


@pytest.mark.parametrize("option", ["--older-than", "--since", "--until"])
@pytest.mark.parametrize("said", ["01/02/2026", "1.2.2026", "3-4-26", "1/2", "01/02/2026 9:30"])
def test_prune_removes_nothing_by_a_day_that_can_be_two(
    run: Command, option: str, said: str
) -> None:
    """What is removed is gone: the day has to be clear, with the year first."""
    result = run("prune", option, said)
    assert result.exit_code == 2
    assert "can be two days: write the year first" in result.stderr
    assert "can be two days" not in run("list", "--since", said).stderr


def test_local_time_has_its_summer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no zone is meant in the machine's, whatever the season now is."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    for said in ("2026-07-01 12:00", "2026-01-01 12:00"):
        expected = datetime.fromisoformat(said).replace(tzinfo=BERLIN).timestamp()
        assert parse_past_time(said) == expected


@pytest.mark.parametrize(
    "said",
    [
        "",
        " ",
        "5",
        "12",
        "a",
        "9999 years ago",
        "5 mos ago now",
        "xyzzy",
        "2026-13-01",
        "\x00",
        "🙂",
        "9" * 30 + "d",
    ],
)
def test_what_is_no_time_is_refused(run: Command, said: str) -> None:
    """The error repeats it and shows what can be said."""
    result = run("list", "--since", said)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is no time. Say 2h, 3d, yesterday" in result.stderr
    assert "--since" in result.stderr
