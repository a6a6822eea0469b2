"""Show what has changed between two exchanges, and a session as a file to keep."""

from __future__ import annotations

import re
import tempfile
from typing import TYPE_CHECKING

from response_store.errors import StoreError
from response_store.format.bodies import count_tokens
from response_store.format.difference import compare
from response_store.format.difference_lines import list_lines
from response_store.format.exchange import read_exchanged
from response_store.format.html import render_page, render_thread
from response_store.queries.session_turns import find_session, find_session_thread
from response_store.transfer.jsonl import export
from response_store.web.exchange_pages import describe_exchange, find_exchange
from response_store.web.page import Answer, PageRequest, render

if TYPE_CHECKING:
    from response_store.queries.exchanges import Query

MAX_LINES = 5_000
"""Lines of a difference that are shown."""
_IN_MEMORY = 8 << 20  # bytes of a file that is made
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def show_changes(request: PageRequest, query: Query) -> Answer:
    """Return what an exchange has changed since the one before it, or since that of `before`."""
    entry, parent = find_exchange(request, query)
    if request.get("before"):
        parent = query.find(request.source.tenant, request.get("before"))
    lines = []
    if parent is not None:
        difference = compare(read_exchanged(parent), read_exchanged(entry))
        lines = [*list_lines(difference, count_tokens(parent), count_tokens(entry))]
    return render(
        "exchange_changes.html",
        request,
        tab="changes",
        lines=lines[:MAX_LINES],
        left_out=max(len(lines) - MAX_LINES, 0),
        is_named=bool(request.get("before")),
        **describe_exchange(request, entry, parent),
    )


def save_session_page(request: PageRequest, query: Query) -> Answer:
    """Return a session as one page that needs nothing else, as `show --html` writes it."""
    tenant, name = request.source.tenant, request.parts[0]
    with query.snapshot():
        thread = find_session_thread(query.reader, tenant, name)
        page = render_page(f"Session {name}", render_thread(thread, request.source.load_prices()))
    return Answer(page.encode("utf-8", "replace"), filename=f"{_name_file(name)}.html")


def save_session_lines(request: PageRequest, query: Query) -> Answer:
    """Return the rows of a session as `export` writes them."""
    tenant, name = request.source.tenant, request.parts[0]
    key = find_session(query.reader, tenant, name)
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 (whoever sends it closes it)
    try:
        export(query.reader, key.select(tenant), file.write, lambda _: None)
    except StoreError:
        file.close()
        raise
    file.seek(0)
    media_type, filename = "application/jsonl", f"{_name_file(name)}.jsonl"
    return Answer(b"", media_type, filename=filename, file=file)


def _name_file(identifier: str) -> str:
    return _NAME.sub("-", identifier).strip("-.")[:80] or "session"
