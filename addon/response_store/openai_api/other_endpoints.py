"""Endpoints beside Responses and Chat Completions: which are captured, and what the rest is called.

Sources: the API reference, "Completions", "Embeddings", "Compact a response", "Conversations",
"Chat Completions" (get, list, update and delete stored ones).
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from response_store.json_text import replace_unstorable
from response_store.store.records import Api

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
