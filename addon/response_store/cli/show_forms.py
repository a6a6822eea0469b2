"""Write an exchange in other forms: its answer, its request, a command that repeats it, a page."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from response_store.cli import output
from response_store.cli.pager import print_paged
from response_store.cli.source import note
from response_store.errors import StoreError
from response_store.format.bodies import is_json, unpack_body
from response_store.format.conversation import Syntax, build_conversation, find_answer
from response_store.format.curl import format_curl
from response_store.format.facts import describe_cost, list_facts, list_head
from response_store.format.html import (
    choose_title,
    render_beside,
    render_blocks,
    render_head,
    render_page,
    render_thread,
)
from response_store.format.terminal import draw_text
from response_store.format.text import escape_controls, escape_json
from response_store.transfer.files import STANDARD, write_file

if TYPE_CHECKING:
    from response_store.pricing.prices import Prices
    from response_store.queries.lookup import LookupResult
    from response_store.queries.threads import Thread

_LESS = "See what is stored with: response-store show ID --json"


def write_form(
    entry: LookupResult, form: str, prices: Prices, *, html: Path | None, opens: bool, paged: bool
) -> None:
    """Write an exchange in a form that `show` has an option for. Raises StoreError, FileError."""
    match form:
        case "answer":
            write_answer(entry)
        case "request":
            write_request(entry, paged=paged)
        case "curl":
            write_curl(entry)
        case _:
            write_html(entry, prices, html, opens=opens)


def write_answer(entry: LookupResult) -> None:
    """Write the text of an answer; a pipe gets it as it came. Raises StoreError without any."""
    text = find_answer(build_conversation(entry))
    if not text:
        state = f" It is {entry.exchange.state}." if entry.exchange else ""
        raise StoreError(f"There is no text in this answer.{state} {_LESS}")
    if output.is_terminal():
        output.write_text(f"{escape_controls(text)}\n")
    else:
        output.write_bytes(text.encode("utf-8", "replace") + b"\n")


def write_request(entry: LookupResult, *, paged: bool) -> None:
    """Write the body of a request: to the letter, in a terminal indented. Raises StoreError."""
    body = _unpack_request(entry)
    if not output.is_terminal():
        output.write_bytes(body if body.endswith(b"\n") else body + b"\n")
        return
    text = body.decode("utf-8", "replace")
    syntax = Syntax.JSON if is_json(text) else Syntax.PLAIN
    safe = escape_json(text) if syntax is Syntax.JSON else text
    print_paged(output.open_terminal(), [draw_text(safe, syntax)], paged=paged)


def write_curl(entry: LookupResult) -> None:
    """Write the command that sends a request once more. Raises StoreError."""
    if entry.exchange is None:
        raise StoreError(f"The request of this response is not stored. {_LESS}")
    has_body = entry.exchange.request_body is not None
    if not has_body and entry.exchange.method == "POST":
        raise StoreError(f"The body of this request is not stored. {_LESS}")
    output.write_text(format_curl(entry.exchange, _unpack_request(entry) if has_body else b""))
    if entry.exchange.transport == "websocket":
        note("The request came over a WebSocket: this sends the same over HTTP.")


def _unpack_request(entry: LookupResult) -> bytes:
    if entry.exchange is None or entry.exchange.request_body is None:
        raise StoreError(f"The body of this request is not stored. {_LESS}")
    return unpack_body(entry.exchange.request_body)


def write_html(entry: LookupResult, prices: Prices, path: Path | None, *, opens: bool) -> None:
    """Write an exchange as a page. Raises StoreError and FileError."""
    conversation = build_conversation(entry)
    cost = describe_cost(entry, prices)
    facts = list_facts(entry, cost.long)
    parts = [
        render_head(list_head(entry, cost=cost.short)),
        render_beside(conversation, facts),
        render_blocks(conversation.blocks),
    ]
    title = choose_title(conversation, facts[0][1] if facts else "exchange")
    _write_page(render_page(title, parts), path, opens=opens)


def write_thread_html(thread: Thread, prices: Prices, path: Path | None, *, opens: bool) -> None:
    """Write a thread as a page. Raises StoreError and FileError."""
    parts = [*render_thread(thread, prices)]
    first = thread.ids[0] if thread.ids else "thread"
    _write_page(render_page(f"Thread of {first}", parts), path, opens=opens)


def _write_page(page: str, path: Path | None, *, opens: bool) -> None:
    data = page.encode("utf-8", "replace")
    if path is not None and str(path) == STANDARD:
        output.write_bytes(data)
        return
    if path is None:
        number, name = tempfile.mkstemp(prefix="response-store-", suffix=".html")
        os.close(number)
        path = Path(name)
    with write_file(path) as write:
        write(data)
    if opens and not webbrowser.open(path.absolute().as_uri()):
        raise StoreError(f"No browser could be started. The page is {path}: open it by hand.")
    note(f"Wrote {path}")
