"""Numbers as people read them; `-` where there is none."""

from __future__ import annotations

from datetime import UTC, datetime

NONE = "-"
_SECOND = 1000  # milliseconds
_MINUTE = 60  # seconds
_HOUR = 60  # minutes
_DAY = 24  # hours
_KIB = 1024
_PORTS = {"http": 80, "https": 443}
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def format_time(seconds: float | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return Unix seconds as local date and time."""
    if seconds is None:
        return NONE
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).astimezone().strftime(form)
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def format_duration(milliseconds: float | None) -> str:
    """Return `820 ms`, `4.2 s`, `3 min 07 s`, `5 h 20 min`, `3 d 04 h`."""
    if milliseconds is None:
        return NONE
    if round(milliseconds) < _SECOND:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / _SECOND
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _HOUR:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, _HOUR)
    if hours < _DAY:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(hours, _DAY)
    return f"{days} d {hours:02} h"


def format_number(value: int | None) -> str:
    """Return a count without grouping."""
    return NONE if value is None else str(value)


def format_host(scheme: str, host: str, port: int | None) -> str:
    """Return the server of a URL: its port only where that is not the scheme's own."""
    if port is None or port == _PORTS.get(scheme):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def format_size(count: int) -> str:
    """Return bytes as `512 B`, `3.4 KiB`, `1.2 GiB`."""
    if count < _KIB:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(_UNITS))
    return f"{count / _KIB**power:.1f} {_UNITS[power - 1]}"
