"""NO_PROXY that keeps the API from the proxy is found."""

from __future__ import annotations

import pytest

from response_store.run.proxy_urls import find_hidden

ALL = ["api.openai.com", "chatgpt.com", "openrouter.ai"]


@pytest.mark.parametrize(
    ("variables", "hidden"),
    [
        ({}, []),
        ({"NO_PROXY": "localhost,127.0.0.1,.corp"}, []),
        ({"NO_PROXY": "*"}, ALL),
        ({"no_proxy": "openai.com"}, ALL[:1]),
        ({"no_proxy": "a b,.OpenAI.com:443"}, ALL[:1]),
        ({"NO_PROXY": "*.openai.com,chatgpt.com"}, ALL[:2]),
        ({"NO_PROXY": "xopenai.com,ai.com,com.openai.api"}, []),
        ({"NO_PROXY": ".corp", "OPENAI_BASE_URL": "https://llm.corp/v1"}, ["llm.corp"]),
        ({"NO_PROXY": "*", "OPENAI_BASE_URL": "http://localhost:1/v1"}, ALL),
        ({"NO_PROXY": "10.0.0.0/8", "OPENAI_BASE_URL": "http://[bad"}, []),
    ],
)
def test_hosts_that_are_kept_from_the_proxy(variables: dict[str, str], hidden: list[str]) -> None:
    """By name, by a domain around it, and by a star; in either spelling of the variable."""
    assert find_hidden(variables) == hidden
