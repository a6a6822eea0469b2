"""Tell which requests are ours, by method and path alone, and what the rest is called.

Paths are matched by their end, whatever stands before: OpenAI, Azure, ChatGPT's backend and
OpenRouter all differ there. A slash too many, within or at the end, changes nothing. What the body
looks like decides nothing either; only multipart, which is never JSON, makes no row.

Sources: the API reference, "Completions", "Embeddings", "Compact a response", "Conversations",
"Chat Completions" (get, list, update and delete stored ones).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlencode

from response_store.jsontext import replace_unstorable
from response_store.limits import QUERY_PARAMETERS
from response_store.model.records import Api

# Other services have conversations as well: here only those behind an API's version or name count.
_conversation = re.compile(
    r"/(?:v\d+|openai)/conversations(?:/([^/]+)(/items(?:/([^/]+))?)?)?\Z"
).search
_stored_completion = re.compile(r"/chat/completions(?:/([^/]+)(/messages)?)?\Z").search
_CREATING = (
    ("/responses/compact", Api.RESPONSES_COMPACT),
    ("/chat/completions", None),
    ("/completions", Api.COMPLETIONS),
    ("/embeddings", Api.EMBEDDINGS),
)
_CONVERSATION_METHODS = {
    # has an id, has /items, names an item
    (False, False, False): ("POST",),
    (True, False, False): ("GET", "POST", "DELETE"),
    (True, True, False): ("GET", "POST"),
    (True, True, True): ("GET", "DELETE"),
}
# Words of paths by which what passes uncaptured is counted: a fixed list, as anybody may ask for
# any path. Anthropic's and Gemini's are among them.
_UNCAPTURED = (
    "assistants", "audio", "batches", "chatkit", "containers", "count_tokens", "evals", "files",
    "fine_tuning", "generate", "images", "messages", "models", "moderations", "rerank", "realtime",
    "skills", "threads", "tokenize", "uploads", "vector_stores", "videos",
)  # fmt: skip
_GEMINI = re.compile(r":(\w{1,40})\Z").search
_GEMINI_METHODS = {
    "generateContent": "generate_content",
    "streamGenerateContent": "generate_content",
    "embedContent": "embed_content",
    "batchEmbedContents": "embed_content",
    "countTokens": "count_tokens",
}


def classify_other(method: str, route: str) -> Api | None:
    """Name the API that a request speaks beside the two main ones; None where it is none.

    `route` is a path without its query, without slashes too many.
    """
    if method == "POST":
        api = next((api for end, api in _CREATING if route.endswith(end)), None)
        if api is not None or route.endswith("/chat/completions"):
            return api
    if match := _conversation(route):
        shape = match[1] is not None, match[2] is not None, match[3] is not None
        return Api.CONVERSATIONS if method in _CONVERSATION_METHODS[shape] else None
    if match := _stored_completion(route):
        has_messages = match[2] is not None
        methods = ("GET",) if match[1] is None or has_messages else ("GET", "POST", "DELETE")
        return Api.STORED_COMPLETIONS if method in methods else None
    return None


def find_conversation_id(path: str) -> str | None:
    """Return the conversation that a path names."""
    match = _conversation(_normalize_path(path))
    return _decode_name(match[1]) if match and match[1] else None


def find_item_id(path: str) -> str | None:
    """Return the item of a conversation that a path names."""
    match = _conversation(_normalize_path(path))
    return _decode_name(match[3]) if match and match[3] else None


def find_completion_id(path: str) -> str | None:
    """Return the stored completion that a path names."""
    match = _stored_completion(_normalize_path(path))
    return _decode_name(match[1]) if match and match[1] else None


def name_uncaptured_endpoint(path: str) -> str | None:
    """Return what a path that is not captured is counted as; None where it is none of an API."""
    route = _normalize_path(path)
    if match := _GEMINI(route):
        return _GEMINI_METHODS.get(match[1])
    words = {*route.split("/")[-4:]}
    return next((word for word in _UNCAPTURED if word in words), None)


def _normalize_path(path: str) -> str:
    return re.sub("/{2,}", "/", path.partition("?")[0]).removesuffix("/")


def _decode_name(name: str) -> str:
    return replace_unstorable(unquote(name, errors="replace"))


class Skip(StrEnum):
    """Why an exchange makes no row."""

    METHOD = "method"  # not one that creates a response
    PATH = "path"  # not the end of an API's path
    CONTENT_TYPE = "content_type"  # multipart: never JSON
    HOST = "host"  # not in capture.hosts
    API = "api"  # not in capture.apis
    STORE_FALSE = "store_false"  # capture.store_false: skip
    WEBSOCKET = "websocket"
    COMPACTION = "compaction"  # a compacted conversation is no response
    INPUT_TOKENS = "input_tokens"  # counting tokens makes no response
    INPUT_ITEMS = "input_items"  # a page of what was asked
    DELETION = "deletion"  # asked to delete a response, and it was not deleted
    NO_RESPONSE = "no_response"  # asked after a response, and none came


_ENDS = {
    "/responses": Api.RESPONSES,
    "/chat/completions": Api.CHAT_COMPLETIONS,
}
# Query parameters that may be kept, in the forms that they have; any other may carry a key.
_flag = re.compile(r"true|false|0|1", re.IGNORECASE).fullmatch
_QUERY: dict[str, Callable[[str], object]] = {
    "api-version": re.compile(
        r"v?[0-9]{1,4}(?:[.-][0-9]{1,2}){0,2}(?:-preview)?|latest|preview"
    ).fullmatch,
    "stream": _flag,
    "starting_after": re.compile(r"-?[0-9]{1,19}").fullmatch,
    "include": re.compile(r"[a-z_]{1,40}(?:\.[a-z_]{1,40}){0,5}").fullmatch,
    "include_obfuscation": _flag,
    "model": re.compile(r"(?!sk-)[A-Za-z0-9][\w.:/@+-]{0,99}").fullmatch,
}
# What follows `/responses/`: an id, and what is done with it.
_stored = re.compile(r"/responses/([^/]+)(/[^/]+)?\Z").search
# Where a path names the model: Azure's deployments, and its engines of old.
_model_in_path = re.compile(r"/(?:deployments|engines)/([^/]+)/").search
_may_name_model = re.compile(r"\?|deployments|engines").search
_slashes = re.compile("/{2,}").sub
_NO_IDS = {"compact": Skip.COMPACTION, "input_tokens": Skip.INPUT_TOKENS}
_FOLLOWING = {("GET", ""), ("POST", "/cancel"), ("DELETE", "")}
_MULTIPART = "multipart/"
_CACHED_CHARS = 200


def classify(method: str, path: str, content_type: str, upgrade: str) -> Api | Skip:
    """Name the API that a request may speak, or why it is none of ours.

    Beside requests that create, these are ours: retrieving a response, polled or streamed,
    cancelling and deleting it. `find_target_id` tells them apart.
    """
    route = path.partition("?")[0]  # what follows may be a secret, which no cache may keep
    classify_request = _classify_cached if len(route) <= _CACHED_CHARS else _classify
    return classify_request(method, route, content_type[:_CACHED_CHARS], upgrade[:_CACHED_CHARS])


def _classify(method: str, path: str, content_type: str, upgrade: str) -> Api | Skip:
    route = normalize_path(path)
    is_socket = upgrade.lower() == "websocket"
    other = None if is_socket else classify_other(method, route)
    if other is not None:
        return Skip.CONTENT_TYPE if content_type.lower().startswith(_MULTIPART) else other
    api = next((api for end, api in _ENDS.items() if route.endswith(end)), None)
    if api is None:
        return _classify_stored(method, route)
    if method == "GET" and is_socket:
        return Skip.WEBSOCKET
    if method != "POST":
        return Skip.METHOD
    if content_type.lower().startswith(_MULTIPART):
        return Skip.CONTENT_TYPE
    return api


_classify_cached = lru_cache(maxsize=64)(_classify)


def _is_kept(name: str, value: str) -> bool:
    has_form = _QUERY.get(name.removesuffix("[]"))
    return has_form is not None and has_form(value) is not None


def normalize_path(path: str) -> str:
    """Return a path without its query, and without slashes too many."""
    return _slashes("/", path.partition("?")[0]).removesuffix("/")


def find_model(path: str) -> str | None:
    """Return the model that a path or its query names; None where neither does."""
    if _may_name_model(path) is None:
        return None
    match = _model_in_path(normalize_path(path))
    if match:
        return replace_unstorable(unquote(match[1], errors="replace"))
    return next((value for name, value in _read_parameters(path) if name == "model"), None)


def _read_parameters(path: str) -> list[tuple[str, str]]:
    """Return the parameters of a path's query that may be kept; none where there are too many."""
    query = replace_unstorable(path).partition("#")[0].partition("?")[2]
    try:
        parameters = parse_qsl(query, max_num_fields=QUERY_PARAMETERS)
    except ValueError:
        return []
    return [(name, value) for name, value in parameters if _is_kept(name.lower(), value)]


def find_target_id(path: str) -> str | None:
    """Return the id of the response that a request of ours is about; None where it creates one."""
    if "/responses/" not in path:
        return None
    match = _stored(normalize_path(path))
    if match is None or match[1] in _NO_IDS:
        return None
    return unquote(match[1], errors="replace")


def _classify_stored(method: str, route: str) -> Api | Skip:
    """Judge a path that goes on behind an API's end: it may name a stored response."""
    match = _stored(route)
    if match is None:
        return Skip.PATH
    name, action = match[1], match[2] or ""
    if name in _NO_IDS:
        return Skip.PATH if action else _NO_IDS[name]
    if (method, action) in _FOLLOWING:
        return Api.RESPONSES
    if action == "/input_items":
        return Skip.INPUT_ITEMS
    return Skip.METHOD if action in ("", "/cancel") else Skip.PATH


def strip_query(path: str) -> str:
    """Return `path` with only those query parameters that are known to carry no secret."""
    if "?" not in path and "#" not in path:
        return replace_unstorable(path)
    route = replace_unstorable(path).partition("#")[0].partition("?")[0]
    kept = _read_parameters(path)
    return f"{route}?{urlencode(kept)}" if kept else route
