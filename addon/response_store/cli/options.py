"""Define the options that select exchanges; parse dates, times and sizes as people write them."""

from __future__ import annotations

import functools
import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, TypeVar

import click

from response_store.cli import source
from response_store.model.records import State
from response_store.model.selection import Selection

_UNITS = {
    "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600,
    "hour": 3600, "d": 86_400, "day": 86_400, "w": 604_800, "week": 604_800,
}  # fmt: skip
_MONTHS = {"mo": 1, "month": 1, "quarter": 3, "y": 12, "yr": 12, "year": 12, "decade": 120}
_NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()
_COUNTS = {"a": 1, "an": 1, "last": 1, **{word: at for at, word in enumerate(_NUMBERS, 1)}}
_PART = rf"(\d{{1,9}}\s*|(?:{'|'.join(_COUNTS)})\s+)({'|'.join({**_UNITS, **_MONTHS})})s?\b"
_PARTS = re.compile(_PART)
_SPAN = re.compile(rf"{_PART}(\s*(,|and)?\s*{_PART})*(\s+ago)?")
_MINUTES_OR_MONTHS = re.compile(r"\d{1,9}\s*M")
# Read as month and day here, as day and month elsewhere.
_EITHER_DAY = re.compile(r"(0?[1-9]|1[0-2])[/.-](0?[1-9]|1[0-2])([/.-](\d{2}|\d{4}))?(\s.*)?")
_DAY = re.compile(r"(last |on )?(today|yesterday|(mon|tues|wednes|thurs|fri|satur|sun)day)")

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNSAID = re.compile(r"\d{1,9}|[a-z]{0,2}")  # which would be taken for something of a date


def parse_past_time(text: str, now: datetime | None = None) -> float:
    """Return the Unix seconds that a text means, seen from `now`. Raises ValueError.

    `2h` is two hours ago. A day without a time of day is its beginning. What names no zone is meant
    in that of `now`: without one, in the local one, with its summer and winter.
    """
    now = now or datetime.now()  # noqa: DTZ005 (local time)
    text = text.strip()
    if _MINUTES_OR_MONTHS.fullmatch(text):
        raise ValueError(f"{text!r} could be minutes (m) or months (mo)")
    if _SPAN.fullmatch(text.lower()):
        return _subtract(now, _PARTS.findall(text.lower()))
    if _UNSAID.fullmatch(text.lower()):
        raise ValueError(f"{text!r} could mean anything")
    if _ISO_DATE.match(text):
        date.fromisoformat(text[:10])  # not to be taken for a day and a month
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _parse_words(text, now)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=now.tzinfo)
    return moment.timestamp()


def is_ambiguous(text: str) -> bool:
    """Return whether a text names a day that others read as another one."""
    return _EITHER_DAY.fullmatch(text.strip()) is not None


def _subtract(now: datetime, parts: list[tuple[str, str]]) -> float:
    """Return the time that is so long before `now`; months are those of the calendar.

    Where a month has no such day its last one is meant. Raises ValueError before the year 1.
    """
    words = [(count.strip(), unit) for count, unit in parts]
    counts = [(int(n) if n.isdecimal() else _COUNTS[n], unit) for n, unit in words]
    months = sum(count * _MONTHS.get(unit, 0) for count, unit in counts)
    seconds = sum(count * _UNITS.get(unit, 0) for count, unit in counts)
    if not months:
        return now.timestamp() - seconds
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    day = min(now.day, monthrange(year, month + 1)[1])
    return now.replace(year=year, month=month + 1, day=day).timestamp() - seconds


def _parse_words(text: str, now: datetime) -> datetime:
    import dateparser  # noqa: PLC0415 (slow to load)

    parsed: datetime | None = dateparser.parse(
        text,
        languages=["en"],
        settings={
            "RELATIVE_BASE": now.replace(tzinfo=None),
            "PREFER_DATES_FROM": "past",
            "PREFER_DAY_OF_MONTH": "first",
            "TIMEZONE": "UTC",  # else it asks for the local zone's name, which may have none
        },
    )
    if parsed is None:
        raise ValueError(f"{text!r} is no time")
    if _DAY.fullmatch(text.lower()):
        return parsed.replace(hour=0, minute=0, second=0, microsecond=0)
    return parsed


class PastTime(click.ParamType):  # type: ignore[type-arg]  # older releases have no argument
    """A time on the command line; becomes Unix seconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the Unix seconds, or fail with a message that shows what can be written."""
        if isinstance(value, float):
            return value
        removes = ctx is not None and ctx.command.name == "prune"
        if removes and is_ambiguous(str(value)):
            self.fail(f"{value!r} can be two days: write the year first, 2026-02-01.", param, ctx)
        try:
            return parse_past_time(str(value))
        except (ValueError, OverflowError, OSError):
            if _MINUTES_OR_MONTHS.fullmatch(str(value).strip()):
                self.fail(f"{value!r}: minutes are m, months are mo: 3m, 3mo.", param, ctx)
            self.fail(
                f"{value!r} is no time. Say 2h, 3d, yesterday, monday, '3 days ago',"
                " 2026-11-01 or '2026-11-01 09:30'.",
                param,
                ctx,
            )


Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--model", "models", multiple=True, metavar="NAME",
        shell_complete=source.complete_models,
        help="Only this model; * stands for anything. Several: any of them.",
    ),
    click.option(
        "--state", "states", multiple=True, metavar="STATE",
        type=click.Choice([state.value for state in State], case_sensitive=False),
        help=f"Only this state: {', '.join(State)}. Several: any of them.",
    ),
    click.option(
        "--host", "hosts", multiple=True, metavar="HOST",
        shell_complete=source.complete_hosts,
        help="Only this upstream host, or this port of it (HOST:PORT); * stands for anything.",
    ),
    click.option(
        "--client", "clients", multiple=True, metavar="NAME",
        help="Only this client, as stats --by client has it; * stands for anything.",
    ),
    click.option(
        "--since", type=PastTime(), metavar="TIME",
        help="Only what began at this time or later: 2h, yesterday, '3 days ago', 2026-11-01.",
    ),
    click.option(
        "--until", type=PastTime(), metavar="TIME", help="Only what began before this time."
    ),
    click.option(
        "--session", "sessions", multiple=True, metavar="ID",
        shell_complete=source.complete_sessions,
        help="Only this session: its id, the beginning of it, or an exchange or response in it;"
        " last is the newest.",
    ),
    click.option(
        "--label", "labels", multiple=True, metavar="NAME",
        shell_complete=source.complete_labels,
        help="Only this label (run gives one to what it captures); * stands for anything.",
    ),
    click.option(
        "--run", "runs", multiple=True, metavar="ID",
        help="Only this run of a proxy, by its recorder_id; last is the newest with a label.",
    ),
    click.option(
        "--agent", "agents", multiple=True, metavar="NAME",
        shell_complete=source.complete_agents,
        help="Only this agent of a tool, such as a subagent; * stands for anything.",
    ),
)  # fmt: skip


def limit_option(
    what: str = "", *, least: int = 1, maximum: int, default: int | None
) -> Callable[[Command], Command]:
    """Return the option that says how many are shown; the command gets `limit`."""
    return click.option(
        "--limit", "-n", type=click.IntRange(least, maximum), metavar="N", default=default,
        show_default=default is not None, help=f"How many {what}at most.",
    )  # fmt: skip


def add_selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options. The command gets `selection`, a `Selection` without a tenant.

    Sessions in it are as they were typed: `Source.resolve` looks them up.
    """

    @functools.wraps(command)
    def selecting(
        *,
        models: tuple[str, ...],
        states: tuple[str, ...],
        hosts: tuple[str, ...],
        clients: tuple[str, ...],
        since: float | None,
        until: float | None,
        sessions: tuple[str, ...],
        labels: tuple[str, ...],
        runs: tuple[str, ...],
        agents: tuple[str, ...],
        **others: Any,
    ) -> Any:
        if since is not None and until is not None and since >= until:
            raise click.UsageError(
                "--since must be earlier than --until: nothing can begin between them."
            )
        selection = Selection(
            models=models, states=states, hosts=hosts, clients=clients, since=since, until=until,
            sessions=sessions, labels=labels, recorder_ids=runs, agents=agents,
        )  # fmt: skip
        return command(selection=selection, **others)

    for option in reversed(_OPTIONS):
        option(selecting)
    return selecting


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)
_POWERS = "kmgt"


def parse_size(text: str) -> int:
    """Return the bytes that a text means: MB are millions, MiB
    1024 times 1024. Raises ValueError.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size")
    number, unit, binary = match.groups()
    power = _POWERS.index(unit.lower()) + 1 if unit else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


class Size(click.ParamType):  # type: ignore[type-arg]  # older releases have no argument
    """A size on the command line; becomes bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes, or fail with a message that shows what can be written."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except ValueError:
            self.fail(f"{value!r} is no size. Say 500MB, 2GB or 1.5GiB.", param, ctx)
