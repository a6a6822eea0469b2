"""Which requests may be ours, and what of their path is kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.model.records import Api
from response_store.openai_api.endpoints import (
    Skip,
    _classify_cached,
    classify,
    find_model,
    find_target_id,
    strip_query,
)
from tests.harness.each import each
from tests.hypothesis_profiles import examples

JSON = "application/json"
REQUESTS = [
    ("POST", "/v1/responses", JSON, "", Api.RESPONSES),
    ("POST", "/responses", "", "", Api.RESPONSES),
    ("POST", "/openai/responses?api-version=2025-04-01-preview", JSON, "", Api.RESPONSES),
    ("POST", "/openai/v1/responses", JSON, "", Api.RESPONSES),
    ("POST", "/backend-api/codex/responses", JSON, "", Api.RESPONSES),
    ("POST", "/api/v1/responses", "text/plain", "", Api.RESPONSES),
    ("POST", "/v1/chat/completions", JSON, "", Api.CHAT_COMPLETIONS),
    ("POST", "/openai/deployments/gpt/chat/completions?x=1", JSON, "", Api.CHAT_COMPLETIONS),
    ("POST", "/v1/responses", JSON, "h2c", Api.RESPONSES),
    ("GET", "/v1/responses", "", "WebSocket", Skip.WEBSOCKET),
    ("GET", "/v1/chat/completions", "", "websocket", Skip.WEBSOCKET),
    ("GET", "/v1/responses", "", "", Skip.METHOD),
    ("HEAD", "/v1/responses", "", "", Skip.METHOD),
    ("OPTIONS", "/v1/responses", "", "", Skip.METHOD),
    ("POST", "/v1/responses", "Multipart/form-data; boundary=x", "", Skip.CONTENT_TYPE),
    ("POST", "/v1/responses", "application/x-www-form-urlencoded", "", Api.RESPONSES),
    ("POST", "/v1/responses/", JSON, "", Api.RESPONSES),
    ("POST", "//v1/responses", JSON, "", Api.RESPONSES),
    ("POST", "/v1//responses//", JSON, "", Api.RESPONSES),
    ("GET", "/v1/responses/resp_1", "", "", Api.RESPONSES),
    ("GET", "/openai/v1/responses/r?stream=true&starting_after=4", "", "", Api.RESPONSES),
    ("POST", "/v1/responses/resp_1/cancel", "", "", Api.RESPONSES),
    ("GET", "/v1/responses/resp_1/cancel", "", "", Skip.METHOD),
    ("POST", "/v1/responses/resp_1", JSON, "", Skip.METHOD),
    ("HEAD", "/v1/responses/resp_1", "", "", Skip.METHOD),
    ("DELETE", "/v1/responses/resp_1", "", "", Api.RESPONSES),
    ("DELETE", "/v1/responses/resp_1/cancel", "", "", Skip.METHOD),
    ("GET", "/v1/responses/resp_1/input_items?limit=5", "", "", Skip.INPUT_ITEMS),
    ("POST", "/v1/responses/compact", JSON, "", Api.RESPONSES_COMPACT),
    ("GET", "/v1/responses/compact", "", "", Skip.COMPACTION),
    ("POST", "/v1/responses/input_tokens", JSON, "", Skip.INPUT_TOKENS),
    ("GET", "/v1/responses/input_tokens", "", "", Skip.INPUT_TOKENS),
    ("POST", "/v1/responses/compact/cancel", JSON, "", Skip.PATH),
    ("GET", "/v1/responses/resp_1/", "", "", Api.RESPONSES),
    ("DELETE", "/v1/responses/resp_1/?x=/", "", "", Api.RESPONSES),
    ("GET", "/v1/responses/resp_1/input_items/", "", "", Skip.INPUT_ITEMS),
    ("GET", "/v1/responses/compact/", "", "", Skip.COMPACTION),
    ("GET", "/v1/responses/resp_1//", "", "", Api.RESPONSES),
    ("GET", "/v1/responses/", "", "", Skip.METHOD),
    ("GET", "/v1/responses//resp_1", "", "", Api.RESPONSES),
    ("POST", "/v1/responses/resp_1/cancel/", JSON, "", Api.RESPONSES),
    ("POST", "/v1/responses/resp_1/bless", JSON, "", Skip.PATH),
    ("GET", "/v1/my_responses/resp_1", "", "", Skip.PATH),
    ("POST", "/v1/my_responses", JSON, "", Skip.PATH),
    ("POST", "/v1/completions", JSON, "", Api.COMPLETIONS),
    ("POST", "/openai/deployments/d/completions?api-version=1", JSON, "", Api.COMPLETIONS),
    ("POST", "/v1/my_completions", JSON, "", Skip.PATH),
    ("GET", "/v1/completions", "", "", Skip.PATH),
    ("POST", "/v1/embeddings", JSON, "", Api.EMBEDDINGS),
    ("POST", "/v1/embeddings", "multipart/form-data", "", Skip.CONTENT_TYPE),
    ("POST", "/v1/conversations", JSON, "", Api.CONVERSATIONS),
    ("GET", "/v1/conversations", "", "", Skip.PATH),
    ("GET", "/openai/v1/conversations/conv_1", "", "", Api.CONVERSATIONS),
    ("DELETE", "/v1/conversations/conv_1", "", "", Api.CONVERSATIONS),
    ("POST", "/v1/conversations/conv_1/items?include=x", JSON, "", Api.CONVERSATIONS),
    ("DELETE", "/v1/conversations/conv_1/items/msg_1", "", "", Api.CONVERSATIONS),
    ("POST", "/v1/conversations/conv_1/items/msg_1", JSON, "", Skip.PATH),
    ("POST", "/api/conversations", JSON, "", Skip.PATH),
    ("POST", "/v1/conversations/conv_1/other", JSON, "", Skip.PATH),
    ("GET", "/v1/chat/completions", "", "", Api.STORED_COMPLETIONS),
    ("GET", "/v1/chat/completions/chatcmpl-1", "", "", Api.STORED_COMPLETIONS),
    ("POST", "/v1/chat/completions/chatcmpl-1", JSON, "", Api.STORED_COMPLETIONS),
    ("DELETE", "/v1/chat/completions/chatcmpl-1", "", "", Api.STORED_COMPLETIONS),
    ("GET", "/v1/chat/completions/chatcmpl-1/messages", "", "", Api.STORED_COMPLETIONS),
    ("DELETE", "/v1/chat/completions/chatcmpl-1/messages", "", "", Skip.PATH),
    ("HEAD", "/v1/chat/completions", "", "", Skip.METHOD),
    ("POST", "/x?y=/v1/responses", JSON, "", Skip.PATH),
    ("POST", "/", JSON, "", Skip.PATH),
    ("POST", "", JSON, "", Skip.PATH),
]


@each(("method", "path", "content_type", "upgrade", "api"), REQUESTS)
def test_requests(method: str, path: str, content_type: str, upgrade: str, api: Api | Skip) -> None:
    """A request is ours by the end of its path, its method and its content type."""
    assert classify(method, path, content_type, upgrade) is api


FOLLOWED = [
    ("/v1/responses", None),
    ("/v1/responses?x=/responses/resp_1", None),
    ("/v1/chat/completions", None),
    ("/v1/responses/resp_1", "resp_1"),
    ("/v1/responses/resp_1?stream=true", "resp_1"),
    ("/v1/responses/resp_1/?stream=true", "resp_1"),
    ("/v1/responses/", None),
    ("/v1/responses/resp_1/cancel", "resp_1"),
    ("/v1/responses/a%2Fb%3D", "a/b="),
    ("/v1/responses/%ff", "\ufffd"),
    ("/responses/x/responses/y", "y"),
]


@pytest.mark.parametrize(("path", "response_id"), FOLLOWED)
def test_followed_id(path: str, response_id: str | None) -> None:
    """A path behind the API's end names the response that is asked after."""
    assert find_target_id(path) == response_id


PATHS = [
    ("/v1/responses", "/v1/responses"),
    ("/v1/responses?", "/v1/responses"),
    ("/r?api-version=2025&code=secret", "/r?api-version=2025"),
    ("/r?key=secret&api_key=secret", "/r"),
    ("/r?stream=true&starting_after=4&include_obfuscation=false",) * 2,
    ("/r?include=a.b&token=secret&include=c", "/r?include=a.b&include=c"),
    ("/r?include[]=a.b&INCLUDE=c_d", "/r?include%5B%5D=a.b&INCLUDE=c_d"),
    ("/r?api-version=1;api-key=secret", "/r"),
    ("/r#secret", "/r"),
    ("/r?stream=true#secret", "/r?stream=true"),
    ("/r?api-version=1%23secret&stream=true;secret", "/r"),
    ("/r?api-version=2024-10-01-preview&stream=1", "/r?api-version=2024-10-01-preview&stream=1"),
    ("/r?api-version=v1&starting_after=12", "/r?api-version=v1&starting_after=12"),
    ("/r?api-version=sk-secret&starting_after=4;secret&include=Secret", "/r"),
    ("/r?" + "a=b&" * 200 + "stream=true", "/r"),
    ("/r?API-Version=1", "/r?API-Version=1"),
    ("/r?api-version", "/r"),
    ("/r?stream=\udcff", "/r"),
    ("/r\udcff\x00", "/r\ufffd\ufffd"),
]


@each(("path", "kept"), PATHS)
def test_paths(path: str, kept: str) -> None:
    """Of a query only what is known to carry no secret is kept."""
    assert strip_query(path) == kept


@settings(max_examples=examples(100))
@given(
    st.text(st.characters(exclude_categories=[]), max_size=15), st.text("=&;?%#s\ud83d", max_size=9)
)
def test_any_path(path: str, query: str) -> None:
    """Any path is kept as text that a database takes, without what is not allowed."""
    kept = strip_query(f"{path}?{query}&secret=canary;&api-version=1")
    kept.encode()
    assert "canary" not in kept.partition("?")[2]


MODELS = [
    ("/openai/deployments/lark/chat/completions?api-version=1", "lark"),
    ("//openai//deployments/a%20b/chat/completions/", "a b"),
    ("/openai/engines/lark/chat/completions", "lark"),
    ("/v1/responses?model=lark%2F2", "lark/2"),
    ("/v1/responses?x=1", None),
    ("/v1/deployments", None),
]


@pytest.mark.parametrize(("path", "model"), MODELS)
def test_a_model_in_the_path(path: str, model: str | None) -> None:
    """Azure names the model in the path, sockets in the query."""
    assert find_model(path) == model


def test_no_cache_keeps_what_may_be_a_secret() -> None:
    """Queries are judged by nobody, and a path of megabytes is not kept."""
    _classify_cached.cache_clear()
    for path in ("/v1/responses?key=s3cret", "/v1/responses?key=other", "/v1/responses"):
        assert classify("POST", path, "application/json", "") is Api.RESPONSES
    assert _classify_cached.cache_info().currsize == 1
    assert classify("POST", f"/{'x' * 1000}/responses", "", "") is Api.RESPONSES
    assert _classify_cached.cache_info().currsize == 1
