"""List which page is at which address, and which files belong to the pages."""

from __future__ import annotations

from response_store.format.html_style import STYLE
from response_store.web.change_pages import (
    save_session_lines,
    save_session_page,
    show_changes,
)
from response_store.web.exchange_pages import (
    show_body,
    show_exchange,
    show_facts,
    show_nodes,
    show_picture,
    show_stream,
    show_text,
)
from response_store.web.list_pages import show_exchanges, show_search
from response_store.web.page import FOLDER, Answer, Page
from response_store.web.session_pages import show_session, show_sessions, show_turns
from response_store.web.statistics_page import show_statistics

_ID = "([^/]+)"
PAGES: tuple[tuple[str, Page], ...] = (
    ("", show_sessions),
    ("exchanges", show_exchanges),
    ("search", show_search),
    (f"session/{_ID}", show_session),
    ("statistics", show_statistics),
    (f"session/{_ID}/turns", show_turns),
    (f"session/{_ID}/export.html", save_session_page),
    (f"session/{_ID}/export.jsonl", save_session_lines),
    (f"exchange/{_ID}", show_exchange),
    (f"exchange/{_ID}/(request|answer)", show_body),
    (f"exchange/{_ID}/(request|answer)/nodes", show_nodes),
    (f"exchange/{_ID}/(request|answer|block)/text", show_text),
    (f"exchange/{_ID}/picture", show_picture),
    (f"exchange/{_ID}/changes", show_changes),
    (f"exchange/{_ID}/stream", show_stream),
    (f"exchange/{_ID}/facts", show_facts),
)
"""Paths below that of the server, as regular expressions, and the page at each."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def read_static_files() -> dict[str, Answer]:
    """Return the files of the pages by name; conversations look as those of `show --html`."""
    files = {
        path.name: Answer(path.read_bytes(), _TYPES[path.suffix])
        for path in (FOLDER / "static").iterdir()
        if path.suffix in _TYPES
    }
    return {**files, "conversation.css": Answer(STYLE.encode(), _TYPES[".css"])}
