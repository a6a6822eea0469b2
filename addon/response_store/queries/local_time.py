"""Number the local days and hours of Unix seconds in SQL, whatever a zone's summers are."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime
from itertools import pairwise

from response_store.model.selection import Condition

DAY, HOUR = 86_400, 3_600
_LOOK_EVERY = 7 * DAY  # no zone changes its offset twice a week
_FIRST, _LAST = 946_684_800, 4_102_444_800  # the years 2000 to 2099
_IMPOSSIBLE = 1e11  # seconds: the year 5138


def build_time_number(seconds: int, first: float, last: float) -> Condition:
    """Return an expression for the local day or hour of `started_at`, exact from `first` to `last`.

    Its value is what `format_time_number` takes; null where the time is beyond any calendar.
    """
    start, end = (int(min(_LAST, max(_FIRST, time))) for time in (first, last))
    changes = _find_changes(start, end)
    cases = " ".join(["WHEN started_at < ? THEN CAST(? AS DOUBLE PRECISION)"] * len(changes))
    shifted = "started_at + CASE {} ELSE CAST(? AS DOUBLE PRECISION) END".format(
        cases or "WHEN 1 = 0 THEN 0"
    )
    values = [value for at, before in changes for value in (float(at), float(before))]
    sql = (
        f"CASE WHEN started_at BETWEEN -{_IMPOSSIBLE:.0f} AND {_IMPOSSIBLE:.0f}"
        f" THEN {{floor_of}} ({shifted}) / {seconds} {{floor_end}} END"
    )
    return Condition(sql, (*values, float(_compute_offset(end))))


def format_time_number(seconds: int, number: float) -> str:
    """Return a day as `2026-01-31`, an hour as `2026-01-31 14:00`, else its number."""
    days, rest = divmod(int(number) * seconds, DAY)
    try:
        day = date.fromordinal(days + date(1970, 1, 1).toordinal()).isoformat()
    except (ValueError, OverflowError):
        return str(int(number))
    return day if seconds == DAY else f"{day} {rest // HOUR:02}:00"


def _find_changes(start: int, end: int) -> list[tuple[int, int]]:
    """Return the times at which the offset from UTC changes, each with the offset before it."""
    looks = [*range(start, end, _LOOK_EVERY), end]
    return [
        (_find_change(earlier, later), _compute_offset(earlier))
        for earlier, later in pairwise(looks)
        if _compute_offset(earlier) != _compute_offset(later)
    ]


def _find_change(earlier: int, later: int) -> int:
    """Return the first second that has the offset of `later`."""
    old = _compute_offset(earlier)
    return earlier + bisect_left(
        range(later - earlier + 1), True, key=lambda after: _compute_offset(earlier + after) != old
    )


def _compute_offset(seconds: int) -> int:
    """Return by how many seconds local time is ahead of UTC at that time."""
    offset = datetime.fromtimestamp(seconds, tz=UTC).astimezone().utcoffset()
    return int(offset.total_seconds()) if offset else 0
