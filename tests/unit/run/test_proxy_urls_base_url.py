"""Which server `run` stands in for."""

from __future__ import annotations

import pytest

from response_store.run.command import RunError
from response_store.run.proxy_urls import FROM_ENVIRONMENT, BaseUrl, choose_base_url

LOCAL = "http://localhost:11434/v1"


@pytest.mark.parametrize(
    ("url", "server", "seen"),
    [
        ("https://api.openai.com", "https://api.openai.com", "/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com", "/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai", "/api/v1"),
        (LOCAL, "http://localhost:11434", "/v1"),
        ("http://[::1]:8000", "http://[::1]:8000", "/v1"),
    ],
)
def test_parts(url: str, server: str, seen: str) -> None:
    """The path is the client's, the rest is where the proxy goes on to."""
    base = BaseUrl.parse(url)
    assert (base.server, base.at("127.0.0.1:5")) == (server, f"http://127.0.0.1:5{seen}")


@pytest.mark.parametrize(
    "url",
    ["codex", "", "ftp://h/v1", "https://", "https://canary@h/v1", "https://h/v1?k=canary",
     "http://h:99999/", "http://[canary"],
)  # fmt: skip
def test_refused(url: str) -> None:
    """What is no base URL is refused with the fix, and not repeated: it may hold a key."""
    with pytest.raises(RunError, match="--base-url needs a URL") as caught:
        BaseUrl.parse(url)
    assert caught.value.status == 2
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "set_already", "server"),
    [
        (None, None, None),
        (None, "https://llm.example/v1", None),
        (None, LOCAL, "http://localhost:11434"),
        (None, "http://127.0.0.2:80", "http://127.0.0.2:80"),
        (FROM_ENVIRONMENT, None, "https://api.openai.com"),
        (FROM_ENVIRONMENT, "https://llm.example/v1", "https://llm.example"),
        ("https://other.example", LOCAL, "https://other.example"),
    ],
)
def test_choice(asked: str | None, set_already: str | None, server: str | None) -> None:
    """What is asked for wins; unasked only a server of this machine is stood in for."""
    environ = {} if set_already is None else {"OPENAI_BASE_URL": set_already}
    chosen = choose_base_url(asked, environ)
    assert (chosen and chosen.server) == server


@pytest.mark.parametrize("asked", [None, FROM_ENVIRONMENT])
def test_the_path_of_the_environment_stays(asked: str | None) -> None:
    """What a client asks at the root of its server it asks there still."""
    chosen = choose_base_url(asked, {"OPENAI_BASE_URL": "http://localhost:8000"})
    assert chosen is not None
    assert chosen.at("127.0.0.1:5") == "http://127.0.0.1:5"
