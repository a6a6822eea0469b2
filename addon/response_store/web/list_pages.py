"""The list of exchanges, and what a search finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from response_store.format.exchange import add_calls
from response_store.queries.exchanges import Cursor
from response_store.web.filters import EVER, NAMES, PERIODS, STATES, read_filters
from response_store.web.page import Answer, PageError, PageRequest, render

if TYPE_CHECKING:
    from response_store.queries.exchanges import Query

PAGE_SIZE = 50
MAX_HITS = 50
_MAX_WORDS = 500  # characters


def show_exchanges(request: PageRequest, query: Query) -> Answer:
    """Return the list of exchanges, newest first."""
    filters = read_filters(request)
    page = query.recent(
        request.source.tenant,
        limit=PAGE_SIZE,
        before=read_cursor(request),
        selection=filters.selection,
    )
    return render(
        "exchanges.html",
        request,
        exchanges=add_calls(query, page.exchanges),
        prices=request.source.load_prices(),
        older=request.link_here(before=str(page.next)) if page.next else "",
        **describe_filters(request, filters.values),
    )


def describe_filters(request: PageRequest, values: dict[str, str]) -> dict[str, Any]:
    """Return what the template of filters needs."""
    return {
        "filters": values,
        "periods": PERIODS,
        "states": STATES,
        "is_live": not request.get("before"),
        "is_narrowed": any(request.get(name) not in ("", EVER) for name in NAMES),
    }


def read_cursor(request: PageRequest) -> Cursor | None:
    """Return where a page begins; None for the first. Raises PageError."""
    text = request.get("before")
    try:
        return Cursor.parse(text) if text else None
    except ValueError:
        raise PageError("before: this is no place in a list.") from None


def show_search(request: PageRequest, query: Query) -> Answer:
    """Return the exchanges that have all words of `q`, the best first."""
    from response_store.search.query import is_searchable, search  # noqa: PLC0415
    from response_store.search.tokenizer import parse_terms  # noqa: PLC0415

    filters, words = read_filters(request), request.get("q")
    if len(words) > _MAX_WORDS:
        raise PageError(f"q: this is longer than {_MAX_WORDS} characters.")
    terms = parse_terms([words] if '"' in words else words.split())
    is_indexed = is_searchable(query.reader)
    result = (
        search(query.reader, terms, filters.selection, MAX_HITS) if terms and is_indexed else None
    )
    return render(
        "search.html",
        request,
        words=words,
        result=result,
        is_indexed=is_indexed,
        **describe_filters(request, filters.values),
    )
