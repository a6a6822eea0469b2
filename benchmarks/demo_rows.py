"""Rows to show in pictures: sessions of a coding agent, a chat, and errors, over some days."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from response_store.config.table_names import TableNames
from response_store.model import zstd
from response_store.model.records import ExchangeRow, Record, ResponseRow

NAMES = TableNames("openai_responses", "openai_conversations", "openai_exchanges")
CODEX, SDK, CURL = "codex_cli_rs/0.169.0 (Ubuntu 24.04)", "OpenAI/Python 3.54.0", "curl/8.5.0"
INSTRUCTIONS = (
    "You are a coding agent. Work in small steps, run the tests after each change, and say at the"
    " end what was changed and why. Never touch files outside of the project.\n" * 3
)
TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}}
    for name in ("shell", "apply_patch", "update_plan", "view_image")
]


@dataclass
class Step:
    """What the model does in one turn, and what came of its call."""

    items: list[dict[str, Any]]
    result: str = ""
    reasoning_tokens: int = 0


@dataclass
class Script:
    """A session: a question, and steps."""

    name: str
    question: str
    steps: list[Step]
    model: str = "gpt-5.2-codex"
    agent: str | None = None
    label: str | None = None
    parent: str | None = None
    client: str = CODEX
    instructions: str = INSTRUCTIONS


def call(name: str, number: int, **arguments: Any) -> dict[str, Any]:
    return {
        "type": "function_call", "call_id": f"call_{number:04}", "name": name,
        "arguments": json.dumps(arguments),
    }  # fmt: skip


def think(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def say(text: str) -> dict[str, Any]:
    return {
        "type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }  # fmt: skip


PATCH = """*** Begin Patch
*** Update File: src/retry.py
@@ def delay(attempt: int) -> float:
-    return BASE * 2 ** attempt
+    return min(BASE * 2 ** attempt, MAX_DELAY) * random.uniform(0.5, 1.0)
*** End Patch"""
PYTEST = """============================= test session starts =============================
collected 42 items

tests/test_retry.py ......F...                                          [ 23%]
tests/test_client.py ................................                   [100%]

=================================== FAILURES ===================================
______________________________ test_delay_is_bound ______________________________
    def test_delay_is_bound():
>       assert delay(20) <= 30.0
E       assert 52428.8 <= 30.0
=========================== 1 failed, 41 passed in 2.31s ==========================="""
SOURCE = """BASE = 0.05
MAX_DELAY = 30.0


def delay(attempt: int) -> float:
    return BASE * 2 ** attempt
"""
SUMMARY = """The retry delay is bounded now.

- **Cause**: `delay()` doubled without an upper bound, so attempt 20 waited for 14 hours.
- **Fix**: it is capped at `MAX_DELAY` (30 s) and spread by jitter, so that clients do not come back
  all at once.

```python
def delay(attempt: int) -> float:
    # Full jitter would start at 0, which hammers a server that has just come back.
    return min(BASE * 2**attempt, MAX_DELAY) * random.uniform(0.5, 1.0)
```

| attempt | before | now |
|---:|---:|---:|
| 1 | 0.1 s | 0.1 s |
| 10 | 51.2 s | 15 to 30 s |
| 20 | 14.6 h | 15 to 30 s |

All 42 tests pass."""


def list_scripts() -> list[Script]:
    """The sessions, the oldest first."""
    fix = [
        Step(
            [
                think("**Looking at the test first**\n\nThe name says that a bound is expected."),
                call("shell", 1, command=["bash", "-lc", "pytest -q tests"]),
            ],
            PYTEST,
            128,
        ),
        Step(
            [call("shell", 2, command=["bash", "-lc", "sed -n 1,40p src/retry.py"])],
            SOURCE,
        ),
        Step(
            [
                think(
                    "There is a constant that nobody uses: a cap, with jitter, is what it is for."
                ),
                call("apply_patch", 3, input=PATCH),
            ],
            "Success. Updated src/retry.py",
            320,
        ),
        Step([call("shell", 4, command=["bash", "-lc", "pytest -q tests"])], "42 passed in 2.28s"),
        Step([say(SUMMARY)]),
    ]
    review = [
        Step(
            [call("shell", 11, command=["bash", "-lc", "git diff --stat"])],
            " src/retry.py | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)",
        ),
        Step(
            [
                say(
                    "The change is sound. One remark: `random.uniform` is not seeded in the tests,"
                    " so a bound on the mean would be flaky; the test asserts the maximum only."
                )
            ]
        ),
    ]
    migrate = [
        Step([think("First find out which columns are read."),
              call("shell", 21 + at, command=["bash", "-lc", command])], result)
        for at, (command, result) in enumerate([
            ("rg -n 'created_at' src", "src/db.py:14:    created_at TIMESTAMP\nsrc/api.py:88:"),
            ("cat src/db.py", "CREATE TABLE jobs (id INTEGER PRIMARY KEY, created_at TIMESTAMP);"),
            ("python manage.py migrate --dry-run", "1 migration would be applied"),
            ("python manage.py migrate", "sqlite3.OperationalError: database is locked"),
            ("lsof app.db", "COMMAND  PID USER\npython  4711 dev"),
            ("python manage.py migrate", "1 migration applied"),
        ])
    ] + [Step([say("The column is there and filled: 18,204 rows.")])]  # fmt: skip
    chat = [
        Step(
            [
                say(
                    "**Kyōto in two days**\n\n1. Fushimi Inari before eight, when the gates are"
                    " empty.\n2. Nishiki market for lunch.\n3. The Philosopher's Path at dusk.\n\n"
                    "> Buses are slow in November: walk, or take the Keihan line."
                )
            ]
        )
    ]
    return [
        Script("nightly", "Summarise the open issues by component", [Step([
            say("Three components have most of them: *ingest* (14), *search* (9), *docs* (6).")])],
            model="gpt-5.2-mini", label="nightly", client=SDK, instructions="Be brief."),
        Script("migrate", "Add a NOT NULL column created_at to jobs, and fill it from the log",
               migrate, label="migration"),
        Script("kyoto", "Two days in Kyōto in November: what should I see?", chat,
               model="gpt-5.2", client=SDK, instructions="You are a friendly guide. Use Markdown."),
        Script("fix", "The test test_delay_is_bound fails. Find out why and fix it.", fix),
        Script("fix", "Review the change in src/retry.py", review, agent="review", parent="fix"),
    ]  # fmt: skip


ASKED_AGAIN = {"model": "gpt-5.2-codex", "input": "Now write the changelog entry"}


def build_records(now: float, seed: int = 1) -> Iterator[Record]:
    """Yield the rows, so that the last ends just before `now` (Unix seconds)."""
    chance = random.Random(seed)
    began = now - 6 * 86_400
    for number in range(1, 160):  # what was before
        at = began + (number / 160) ** 0.9 * 6 * 86_400 - 9_000
        yield _background(number, at, chance)
    starts = {
        "nightly": now - 30_000,
        "migrate": now - 12_000,
        "kyoto": now - 5_400,
        "fix": now - 900,
    }
    last: dict[str, str] = {}
    for script in list_scripts():
        at = starts[script.name] + (120 if script.agent else 0)
        yield from _play(script, at, chance, last)
    yield Record(_row("e-refused", now - 300, chance, state="refused", status_code=429,
                      error_code="rate_limit_exceeded", requested_model="gpt-5.2-codex",
                      error_message="Rate limit reached for gpt-5.2-codex: try again in 4.2 s.",
                      question="Now write the changelog entry", client=CODEX, ended_by="body",
                      request_body=_pack(ASKED_AGAIN)))  # fmt: skip
    yield Record(_row("e-cut", now - 200, chance, state="interrupted", ended_by="client",
                      model="gpt-5.2-codex", question="Now write the changelog entry",
                      output_text="### Fixed\n\n- Retries no longer wait", client=CODEX,
                      duration_ms=2210.0, first_event_ms=480.0, response_id="resp_cut",
                      request_body=_pack(ASKED_AGAIN)))  # fmt: skip
    yield Record(_row("e-open", now - 4, chance, state="open", requested_model="gpt-5.2-codex",
                      question="Now write the changelog entry, shorter", client=CODEX,
                      request_body=_pack(ASKED_AGAIN | {"stream": True})))  # fmt: skip


_ASKED = (
    "Rename the option everywhere", "Why is the build slow?", "Write a test for the parser",
    "Explain this stack trace", "Translate the error messages", "Make the table sortable",
)  # fmt: skip


def _background(number: int, at: float, chance: random.Random) -> Record:
    model = chance.choice(["gpt-5.2-codex", "gpt-5.2-codex", "gpt-5.2", "gpt-5.2-mini", "llama3.3"])
    read = chance.randrange(2_000, 60_000)
    is_error = chance.random() < 0.06
    row = _row(
        f"b-{number:04}", at, chance, model=model,
        host="localhost" if model == "llama3.3" else "api.openai.com",
        client=chance.choice([CODEX, CODEX, SDK]), question=chance.choice(_ASKED),
        state="refused" if is_error else "completed", status_code=500 if is_error else 200,
        error_code="server_error" if is_error else None,
        input_tokens=read, cached_tokens=int(read * chance.uniform(0.3, 0.95)),
        output_tokens=chance.randrange(40, 3_000), output_text="Done: see the change in the patch.",
        first_event_ms=chance.lognormvariate(6.2, 0.5), duration_ms=chance.lognormvariate(8.6, 0.7),
        session_id=f"session-{number // 5:03}",
    )  # fmt: skip
    return Record(row)


def _play(
    script: Script, at: float, chance: random.Random, last: dict[str, str]
) -> Iterator[Record]:
    items: list[dict[str, Any]] = [{"role": "user", "content": script.question}]
    before = last.get(script.parent or "")
    session = f"019ac{abs(hash_text(script.name)):08x}"
    for number, step in enumerate(script.steps):
        name = f"{script.name}{'-' + script.agent if script.agent else ''}-{number}"
        request = {
            "model": script.model, "instructions": script.instructions, "tools": TOOLS,
            "input": list(items), "store": False, "stream": True,
            "reasoning": {"effort": "medium", "summary": "auto"}, "prompt_cache_key": session,
        }  # fmt: skip
        read = 1_900 + len(json.dumps(items)) // 3
        made = 40 + len(json.dumps(step.items)) // 4 + step.reasoning_tokens
        text = "".join(
            p["text"] for one in step.items for p in one.get("content", []) if "text" in p
        )
        question = (
            script.question if number == 0 else f"\u2190 {script.steps[number - 1].result}"[:200]
        )
        row = _row(
            f"e-{name}", at, chance, response_id=f"resp_{name}", model=f"{script.model}-2026-01-14",
            requested_model=script.model, session_id=session, parent_exchange_id=before,
            agent=script.agent, label=script.label, question=question, client=script.client,
            input_tokens=read, cached_tokens=int(0.85 * read) if number else 0, output_tokens=made,
            reasoning_tokens=step.reasoning_tokens, output_text=text or None,
            first_event_ms=chance.uniform(350, 900), duration_ms=1_200 + 11.0 * made,
            request_body=_pack(request),
            raw_response=zstd.build_raw_frame(_stream(name, step)),
        )  # fmt: skip
        output = {"id": f"resp_{name}", "object": "response", "status": "completed",
                  "model": row.model, "output": step.items,
                  "usage": {"input_tokens": read, "output_tokens": made}}  # fmt: skip
        yield Record(row, ResponseRow("default", f"resp_{name}", int(at), row.model or "",
                                      json.dumps(output).encode(), b"[]", b"[]"))  # fmt: skip
        before = f"e-{name}"
        at += row.duration_ms / 1000 + chance.uniform(1, 9) if row.duration_ms else 1
        items += step.items
        if step.result:
            made_call = step.items[-1]
            items.append({"type": "function_call_output", "call_id": made_call["call_id"],
                          "output": step.result})  # fmt: skip
    if before is not None:
        last[script.name] = before


def hash_text(text: str) -> int:
    return int.from_bytes(text.encode()[:4], "big")


def _stream(name: str, step: Step) -> bytes:
    events = [{"type": "response.created", "response": {"id": f"resp_{name}"}}]
    for at, item in enumerate(step.items):
        events.append(
            {
                "type": "response.output_item.added",
                "output_index": at,
                "item": {"type": item["type"]},
            }
        )
        events.append({"type": "response.output_item.done", "output_index": at, "item": item})
    events.append({"type": "response.completed", "response": {"id": f"resp_{name}"}})
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)


def _pack(body: dict[str, Any]) -> bytes:
    return zstd.build_raw_frame(json.dumps(body).encode())


def _row(
    name: str, at: float, chance: random.Random, *, client: str, **columns: Any
) -> ExchangeRow:
    given: dict[str, Any] = {
        "tenant_id": "default", "api": "responses", "transport": "sse", "state": "completed",
        "ended_by": "terminal_event", "status_code": 200, "method": "POST", "scheme": "https",
        "host": "api.openai.com", "port": 443, "path": "/v1/responses", "user_agent": client,
        "recorder_id": "r-demo", "upstream_request_id": f"req_{chance.getrandbits(40):x}",
    }  # fmt: skip
    if columns.get("state") == "open":
        given |= {"ended_by": None, "status_code": None}
    return ExchangeRow(exchange_id=name, started_at=at, **(given | columns))


def write_rows(path: Path, now: float) -> None:
    """Write the rows into a new file."""
    with closing(SqliteStore(SqliteTarget(path), NAMES, Durability.PROCESS)) as store:
        store.open()
        store.write([*build_records(now)])
