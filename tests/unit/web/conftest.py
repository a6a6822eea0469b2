"""One server on each kind of database, with the same rows, for all tests of pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.queries.conftest import anywhere, stored
from tests.unit.queries.stored import Stored, packed
from tests.unit.queries.stored_in_postgres import (
    StoredInPostgres,
    session_stored,
    stored_in_postgres,
)
from tests.unit.web.serving import Served, serving

if TYPE_CHECKING:
    from tests.harness.postgres import Postgres

__all__ = ["anywhere", "session_stored", "stored", "stored_in_postgres"]

BEGAN = 1767225600.0
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
SVG = "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0iYWxlcnQoMSkiLz4="
HOSTILE = "<img src=x onerror=alert(1)>"
PRICES = "[{model: gpt-5.1, input: 10, cached_input: 1, output: 100}]"
OTHERS = "What another tenant asks"
LONG = 400_000  # characters of an answer


def list_rows() -> list[dict[str, Any]]:
    """A session, an exchange that is hostile in each column, a large one, and one that runs."""
    input_1: list[Any] = [{"role": "user", "content": [
        {"type": "input_text", "text": "Why does it fail?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "input_image", "image_url": f"data:image/svg+xml;base64,{SVG}"},
    ]}]  # fmt: skip
    answer_1 = [{"type": "function_call", "call_id": "c1", "name": "read_file", "arguments": "{}"}]
    input_2 = [*input_1, *answer_1,
               {"type": "function_call_output", "call_id": "c1", "output": "MAX = 3"}]  # fmt: skip
    answer_2 = [_say("**Because** the bound is `3`.")]
    stream = "".join(f'event: e{at}\ndata: {{"n":{at}}}\n\n' for at in range(250))
    return [
        build_row("t1", 0, session_id="s-one", question="Why does it fail?", response_id="resp_1",
             request_body=_pack(model="gpt-5.1", instructions="Be brief.", input=input_1,
                                tools=[{"type": "function", "name": "read_file"}]),
             result=json.dumps({"id": "resp_1", "output": answer_1}),
             input_tokens=1200, cached_tokens=600, output_tokens=20, duration_ms=900.0),
        build_row("t2", 5, session_id="s-one", parent_exchange_id="t1", question="\u2190 MAX = 3",
             response_id="resp_2", request_body=_pack(model="gpt-5.1", instructions="Be brief.",
                                                      input=input_2),
             result=json.dumps({"id": "resp_2", "output": answer_2}),
             output_text="**Because** the bound is `3`.", input_tokens=1400, cached_tokens=1200,
             output_tokens=30, duration_ms=1500.0, first_event_ms=300.0,
             raw_response=packed(stream.encode()),
             event_times=json.dumps({"ms": [300, *[4] * 198, 1000, *[1] * 50]})),
        build_row(f"bad{HOSTILE}/..%2f\"", 10, question=HOSTILE, model=HOSTILE, label=HOSTILE,
             agent=HOSTILE, session_id=f"s{HOSTILE}", error_code=HOSTILE, error_message=HOSTILE,
             host=HOSTILE, state="failed", response_id=f"r{HOSTILE}", user_agent=HOSTILE,
             output_text=f"{HOSTILE} [x](javascript:alert(1)) ![y](https://evil.example/y.png)",
             request_body=_pack(input=HOSTILE, **{HOSTILE: HOSTILE})),
        build_row("large", 20, question="Write a lot", output_text="x" * LONG,
             result=json.dumps({"output": [_say("word " * (LONG // 5))],
                                "list": list(range(1000))})),
        build_row("other", 40, tenant_id="another", question=OTHERS, response_id="resp_other",
                  session_id="s-other"),
        build_row("runs", 30, state="open", question="Still at it", model=None, duration_ms=None),
    ]  # fmt: skip


def build_row(name: str, seconds: float, **columns: Any) -> dict[str, Any]:
    """An exchange with every column that any of them has."""
    every: dict[str, Any] = dict.fromkeys(
        "session_id parent_exchange_id agent label question response_id request_body result"
        " output_text raw_response event_times input_tokens cached_tokens output_tokens"
        " first_event_ms error_code error_message user_agent".split()
    )
    return {
        **every, "exchange_id": name, "tenant_id": "default",
        "started_at": BEGAN + seconds, "model": "gpt-5.1",
        "duration_ms": 100.0, "state": "completed", "host": "api.openai.com", **columns,
    }  # fmt: skip


def _say(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content}


def _pack(**body: Any) -> bytes:
    return packed(json.dumps(body).encode())


@pytest.fixture(autouse=True)
def _without_genai(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's prices change: it is not installed."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on a file."""
    stored = Stored(tmp_path_factory.mktemp("web") / "responses.db")
    stored.exchanges(list_rows())
    config = stored.path.with_name("config.yaml")
    stored.configure(config, prices=PRICES)
    with serving(config) as served:
        yield served


@pytest.fixture(scope="session")
def on_postgres(
    plain_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server on a PostgreSQL database of its own."""
    database = plain_postgres.create_database()
    stored = StoredInPostgres(database)
    stored.exchanges(list_rows())
    config = tmp_path_factory.mktemp("web") / "config.yaml"
    stored.configure(config, prices=PRICES)
    with serving(config) as served:
        yield served
    stored.close()
    database.drop()


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def served(request: pytest.FixtureRequest) -> Served:
    """A server on either kind of database."""
    found: Served = request.getfixturevalue(request.param)
    return found
