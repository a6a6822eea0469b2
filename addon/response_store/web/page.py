"""Define what a page is given and what it returns; fill its template.

A page is a function of a request and a `Query`. It runs in a thread of the pool, template included,
and knows nothing of HTTP but the arguments of its address. Every template escapes what it is given;
only what `format/html.py` and this package have drawn is marked as safe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode

from response_store.errors import ResponseStoreError
from response_store.format.facts import format_moment
from response_store.format.text import (
    escape_controls,
    format_cost,
    format_duration,
    format_money,
    format_size,
    format_time,
    put_on_one_line,
)

if TYPE_CHECKING:
    from jinja2 import Environment

    from response_store.cli.source import Source
    from response_store.pricing.cost import CostSum
    from response_store.queries.exchanges import Query

FOLDER = Path(__file__).resolve().parent
HTML = "text/html; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"


class PageError(ResponseStoreError):
    """A page can't be shown: what its address says is wrong, or names what is not there."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent. `filename` has a browser save it; a `file` stands in for the body."""

    body: bytes
    media_type: str = HTML
    status: int = 200
    filename: str = ""
    file: IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What an address says: the parts of its path, its arguments, and where all pages are."""

    source: Source
    base: str
    path: str = ""
    parts: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Return an argument without blanks around it; empty where it is not given."""
        return self.arguments.get(name, "").strip()

    def get_number(self, name: str, *, at_most: int, default: int = 0) -> int:
        """Return an argument as a number. Raises PageError where it is none, or out of bounds."""
        text = self.get(name)
        if not text:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 12 and int(text) <= at_most):
            raise PageError(f"{name}={text!r} is no number from 0 to {at_most}.")
        return int(text)

    def link(self, *parts: str, **arguments: str | int) -> str:
        """Return the address of another page; empty arguments are left out."""
        parameters = {name: str(value) for name, value in arguments.items() if value != ""}
        path = self.base + "/".join(quote(part, safe="", errors="replace") for part in parts)
        query = urlencode(parameters, errors="replace")
        return f"{path}?{query}" if query else path

    def link_here(self, **arguments: str | int) -> str:
        """Return the address of this page with some arguments changed; empty ones are left out."""
        parameters = {**self.arguments, **{name: str(value) for name, value in arguments.items()}}
        query = urlencode(
            {name: value for name, value in parameters.items() if value}, errors="replace"
        )
        return f"{self.path}?{query}" if query else self.path


Page: TypeAlias = Callable[[PageRequest, "Query"], Answer]


def render(template: str, request: PageRequest, status: int = 200, **values: Any) -> Answer:
    """Return a filled template; costs are shown where `prices` are given."""
    text = (
        open_templates()
        .get_template(template)
        .render(request=request, **{"prices": None, **values})
    )
    return Answer(text.encode("utf-8", "replace"), status=status)


@cache
def open_templates() -> Environment:
    """Return the templates, which escape everything, and what they can call."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters |= {
        "line": _show_line,
        "text": _show_text,
        "time": format_time,
        "moment": lambda seconds: format_moment(seconds, time.time()),
        "took": format_duration,
        "size": format_size,
        "count": shorten_count,
        "percent": format_percent,
        "money": format_money,
        "cost": format_cost_sum,
        "arrowless": lambda text: text.removeprefix("\u2192 "),  # the page has one of its own
    }
    return templates


def load_templates() -> None:
    """Load what the first pages need, which takes a moment."""
    templates = open_templates()
    for name in templates.list_templates():
        templates.get_template(name)


def _show_line(text: object, limit: int = 200) -> str:
    """Return the beginning of a text as one line; nothing for None."""
    if text is None:
        return ""
    line = put_on_one_line(str(text)[: 4 * limit])
    return line if len(line) <= limit else f"{line[:limit]}\u2026"


def _show_text(text: object) -> str:
    return "" if text is None else escape_controls(str(text))


_UNITS = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))


def shorten_count(count: float | None) -> str:
    """Return a count as `999`, `12.3k`, `4.5M`; a dash for None."""
    if count is None:
        return "\u2013"
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + name
    return f"{count:g}"


def format_cost_sum(cost: CostSum | None) -> str:
    """Return a sum with how many of its parts are not known; a dash where there is none."""
    return "\u2013" if cost is None or cost == (None, 0) else format_cost(*cost)


def format_percent(share: float | None) -> str:
    """Return a share in percent; a dash for None."""
    return "\u2013" if share is None else f"{100 * share:.0f}%"
