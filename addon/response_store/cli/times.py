"""Times as people say them: `2h`, `yesterday`, `3 days ago`, `2026-11-01 09:30`."""

from __future__ import annotations

import re
from datetime import date, datetime

import click

_SHORT = re.compile(r"(\d{1,9})\s*(s|m|min|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAY = re.compile(r"(last |on )?(today|yesterday|(mon|tues|wednes|thurs|fri|satur|sun)day)")

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNSAID = re.compile(r"\d{1,9}|[a-z]{0,2}")  # which would be taken for something of a date


def past_time(text: str, now: datetime | None = None) -> float:
    """The Unix seconds that a text means, seen from `now`. Raises ValueError.

    `2h` is two hours ago. A day without a time of day is its beginning. What names no zone is meant
    in that of `now`: without one, in the local one, with its summer and winter.
    """
    now = now or datetime.now()  # noqa: DTZ005 (local time)
    text = text.strip()
    if short := _SHORT.fullmatch(text.lower()):
        return now.timestamp() - int(short[1]) * _SECONDS[short[2]]
    if _UNSAID.fullmatch(text.lower()):
        raise ValueError(f"{text!r} could mean anything")
    if _ISO_DATE.match(text):
        date.fromisoformat(text[:10])  # not to be taken for a day and a month
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _in_words(text, now)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=now.tzinfo)
    return moment.timestamp()


def _in_words(text: str, now: datetime) -> datetime:
    import dateparser  # noqa: PLC0415 (slow to load)

    found: datetime | None = dateparser.parse(
        text,
        languages=["en"],
        settings={
            "RELATIVE_BASE": now.replace(tzinfo=None),
            "PREFER_DATES_FROM": "past",
            "PREFER_DAY_OF_MONTH": "first",
            "TIMEZONE": "UTC",  # else it asks for the local zone's name, which may have none
        },
    )
    if found is None:
        raise ValueError(f"{text!r} is no time")
    if _DAY.fullmatch(text.lower()):
        return found.replace(hour=0, minute=0, second=0, microsecond=0)
    return found


class PastTime(click.ParamType):  # type: ignore[type-arg]  # older releases have no argument
    """A time on the command line; becomes Unix seconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The Unix seconds, or a message that shows what can be said."""
        if isinstance(value, float):
            return value
        try:
            return past_time(str(value))
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{value!r} is no time. Say 2h, 3d, yesterday, monday, '3 days ago',"
                " 2026-11-01 or '2026-11-01 09:30'.",
                param,
                ctx,
            )
