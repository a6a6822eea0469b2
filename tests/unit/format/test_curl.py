"""Requests as command lines."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.errors import StoreError
from response_store.format.curl import MAX_ARGUMENT, format_curl
from response_store.model.records import ExchangeRow
from tests.unit.queries.stored import REQUIRED


def command(body: bytes = b"{}", **columns: Any) -> str:
    return format_curl(ExchangeRow(**REQUIRED | {"exchange_id": "e1"} | columns), body)


def test_a_command() -> None:
    """URL, credential, type and body, each on a line of its own."""
    assert command(b'{"input":"it\'s"}') == (
        "curl https://api.openai.com/v1/responses \\\n"
        '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        '  --data-raw \'{"input":"it\'"\'"\'s"}\'\n'
    )


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(max_size=30))
def test_nothing_of_a_body_is_the_shells(text: str, path: str) -> None:
    """Whatever stands in a body or a path, it is one word, of the same value."""
    body = json.dumps({"input": text}, ensure_ascii=False)
    words = shlex.split(command(body.encode(), path=f"/v1/{path}"))
    assert json.loads(words[words.index("--data-raw") + 1]) == {"input": text}
    assert sum(word.startswith("https://api.openai.com/v1/") for word in words) == 1


def test_a_terminal_obeys_nothing() -> None:
    """What would turn a terminal's text around is written as JSON writes it."""
    assert '"\\u202e\\u200b"' in command('{"a":"\u202e\u200b"}'.encode())


def test_a_long_body_is_a_document() -> None:
    """What is too long for an argument stands behind the command, and ends where it ends."""
    body = json.dumps({"input": "x" * MAX_ARGUMENT, "JSON": "$HOME\n`id`\nJSON"}, indent=1)
    text = command(body.encode())
    assert "--data-binary @- <<'JSON_END'\n{" in text
    shell = text.replace("curl ", "cat_body ", 1)
    done = subprocess.run(
        ["sh"], input=f"cat_body() {{ cat; }}\n{shell}", capture_output=True, text=True,
        timeout=30, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == json.loads(body)


@pytest.mark.parametrize(
    ("columns", "start"),
    [
        ({"method": "GET"}, "curl https://api.openai.com/v1/responses \\\n"),
        ({"method": "DELETE"}, "curl -X DELETE https://"),
        ({"path": "/v1/a?b=c&d[]=1"}, "curl --globoff -X POST 'https://api.openai.com/v1/a?b=c&d"),
        ({"host": "::1", "port": 8080, "scheme": "http"}, "curl --globoff -X POST 'http://[::1]:8"),
        ({"scheme": "wss"}, "curl -X POST https://"),
    ],
)
def test_requests_without_a_body(columns: dict[str, Any], start: str) -> None:
    """Methods and odd addresses are said as curl wants them."""
    text = command(b"", **columns)
    assert text.startswith(start)
    assert "--data" not in text


def test_azure_has_a_header_of_its_own() -> None:
    """Azure takes a key where OpenAI takes a bearer."""
    assert '-H "api-key: $OPENAI_API_KEY"' in command(host="x.openai.azure.com")


@pytest.mark.parametrize("body", [b"\xff", b"no JSON", b'{"a":\x00}', b"{}\n{}"])
def test_a_body_that_is_no_json(body: bytes) -> None:
    """A body that is no JSON text could be anything, and is refused."""
    with pytest.raises(StoreError, match="no JSON text"):
        command(body)


def test_a_stream_is_shown_as_it_comes() -> None:
    """A request for a stream has curl not wait for the end of lines."""
    assert command(b'{"stream": true}').startswith("curl -N ")
    assert command(b'{"stream":false}').startswith("curl https")
