"""Which requests may be ours, by method, path and content type alone.

Paths are matched by their end, whatever stands before: OpenAI, Azure, ChatGPT's backend and
OpenRouter all differ there. Whether the body is OpenAI's is decided when it is read.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from response_store.capture.request import Skip
from response_store.json_text import storable
from response_store.store.records import Api

_ENDS = {
    "/responses": Api.RESPONSES,
    "/chat/completions": Api.CHAT_COMPLETIONS,
}
# Query parameters that may be kept; any other may carry a key.
_QUERY = frozenset({"api-version", "stream", "starting_after", "include", "include_obfuscation"})
_FORMS = ("multipart/", "application/x-www-form-urlencoded")


def classify(method: str, path: str, content_type: str, upgrade: str) -> Api | Skip:
    """Name the API that a request may speak, or why it is none of ours."""
    route = path.partition("?")[0]
    if "//" in route:
        return Skip.PATH
    api = next((api for end, api in _ENDS.items() if route.endswith(end)), None)
    if api is None:
        return Skip.PATH
    if method == "GET" and upgrade.lower() == "websocket":
        return Skip.WEBSOCKET
    if method != "POST":
        return Skip.METHOD
    if content_type.lower().startswith(_FORMS):
        return Skip.CONTENT_TYPE
    return api


def kept_path(path: str) -> str:
    """`path` with only those query parameters that are known to carry no secret."""
    route, mark, query = storable(path).partition("?")
    if not mark:
        return route
    kept = [(name, value) for name, value in parse_qsl(query) if name.lower() in _QUERY]
    return f"{route}?{urlencode(kept)}" if kept else route
