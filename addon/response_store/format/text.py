"""Write numbers, times and captured text so that people can read them, and terminals stay safe.

A model's answer may hold escape sequences, carriage returns, marks that turn the direction of
writing or that nobody sees. Here they become visible: a terminal shows them and obeys none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

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


_DOLLAR, _SMALLEST = Decimal(1), Decimal("0.0001")


def format_money(usd: Decimal | float | None) -> str:
    """Return USD as `$12.30`, less than one as `$0.0123`, the least as `< $0.0001`."""
    if usd is None:
        return NONE
    amount = Decimal(str(usd))
    if amount >= _DOLLAR or not amount:
        return f"${amount:.2f}"
    return f"< ${_SMALLEST}" if amount < _SMALLEST else f"${amount:.4f}"


def format_usd(usd: Decimal | None) -> str:
    """Return USD as a number with all its digits, for programs."""
    return NONE if usd is None else f"{usd.normalize():f}"


def format_cost(usd: Decimal | float | None, unknown: int) -> str:
    """Return a sum with how many parts of it are not known: `$1.20, 3 unknown`."""
    if not unknown:
        return format_money(usd)
    return f"{unknown} unknown" if usd is None else f"{format_money(usd)}, {unknown} unknown"


_LARGE = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_SPELT_OUT = 10_000


def shorten_count(count: int | None) -> str:
    """Return a count as `9999`, `12.3k`, `4.5M`."""
    if count is None:
        return NONE
    for unit, name in _LARGE:
        if count >= max(unit, _SPELT_OUT):
            return f"{count / unit:.1f}{name}"
    return str(count)


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


# C0 but tab and line feed, DEL, C1; soft hyphen; what turns the direction of writing, or is nothing
# to see: marks, fillers, separators, joiners of words, tags.
_MARKS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
# Joiners and variation selectors belong to scripts and pictures: not beside ASCII or each other,
# but that keycaps are digits, and names in ideographs have selectors of their own.
_JOINER, _SELECTOR, _OF_NAMES = "[\u200c\u200d]", "[\ufe00-\ufe0f]", "[\U000e0100-\U000e01ef]"
_ALONE = "\x00-\x7f\u200b-\u200f"
_PLAIN = "\x00-\x22\x24-\x29\x2b-\x2f\x3a-\x7f\ufe00-\ufe0f"
_UNSEEN = (
    f"(?<![^{_ALONE}]){_JOINER}|{_JOINER}(?![^{_ALONE}])|(?<![^{_PLAIN}]){_SELECTOR}"
    f"|(?<![\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]){_OF_NAMES}"
)
_UNSAFE = re.compile(f"[{_MARKS}\ud800-\udfff]|{_UNSEEN}")
_UNSAFE_IN_JSON = re.compile(f"[{_MARKS}]|{_UNSEEN}")
_PICTURES = 0x2400  # U+2400 pictures NUL, U+2401 the next, and so on
_DELETE = "\x7f"
_WIDEST = 0xFFFF  # what four digits can say


def escape_controls(text: str) -> str:
    """Return `text` with lines and tabs as they are and every other
    control character made visible.
    """
    return _UNSAFE.sub(_show_control, text.replace("\r\n", "\n"))


def put_on_one_line(text: str) -> str:
    """Return `text` as one line: blanks and line ends become one space each."""
    return escape_controls(" ".join(text.split()))


def escape_json(text: str) -> str:
    r"""Return JSON text of the same value that is safe on a terminal: controls as `\uXXXX`."""
    return _UNSAFE_IN_JSON.sub(_escape_in_json, text.replace("\r", "\n"))


def _show_control(match: re.Match[str]) -> str:
    char = match[0]
    if char < " ":
        return chr(_PICTURES + ord(char))
    return "\u2421" if char == _DELETE else _escape(match)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code <= _WIDEST else f"\\U{code:08x}"


def _escape_in_json(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
