"""Draw `list` and `show` as README has them: `python -m tests.pictures` writes the pictures anew.

What they show is what the commands print of a few exchanges, at a fixed time. A picture is an SVG
file without fonts of its own, one for dark pages and one for light ones.
"""

from __future__ import annotations

import io
import json
import os
import re
import time
from decimal import Decimal
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from response_store.cli.list import shorten_page_ids, show_table
from response_store.cli.pager import render
from response_store.cli.show import draw_exchange
from response_store.config.model import OwnPrice
from response_store.format.facts import describe_cost
from response_store.format.terminal_markdown import build_theme
from response_store.pricing.prices import load_prices
from response_store.queries.exchanges import Page
from tests.house import ROOT
from tests.unit.queries.stored import Stored, packed

FOLDER = ROOT / "docs" / "images"
WIDTH = 100
NOW = 1767268800.0  # noon of the first day of 2026, in UTC
_COLOURS = [(0, 0, 0), (205, 49, 49), (13, 128, 80), (160, 110, 0), (36, 114, 200),
            (170, 60, 170), (17, 132, 150), (150, 150, 150)]  # fmt: skip
THEMES = {
    "dark": TerminalTheme((24, 26, 31), (220, 223, 228), _COLOURS, _COLOURS),
    "light": TerminalTheme((255, 255, 255), (36, 41, 47), _COLOURS, _COLOURS),
}
PRICES = (
    OwnPrice(
        "gpt-5.1-codex-mini*",
        input=Decimal("0.25"),
        cached_input=Decimal("0.025"),
        output=Decimal(2),
    ),
)
MINI = "gpt-5.1-codex-mini-2026-01-01"
SHOWN = "4f2a9c10-5f0e-5d3b-9c1d-2b8f0a6e7d31"
QUESTION = "Why does the test of the journal fail now and then?"
ANSWER = """\
The test waits for the lock **before** the child has let go of it. Wait for the file instead:

```python
wait_until(journal.exists, "the journal is there")
```

All 214 tests pass now."""
CALL = {"type": "function_call", "call_id": "call_1", "name": "shell",
        "arguments": json.dumps({"command": "pytest -q tests/unit/journal"})}  # fmt: skip
RESULT = {"type": "function_call_output", "call_id": "call_1",
          "output": "214 passed in 8.31s"}  # fmt: skip
REQUEST = {
    "model": "gpt-5.1-codex-mini",
    "input": [
        {"role": "user", "content": f"{QUESTION} Fix it."},
        CALL,
        RESULT,
    ],
    "tools": [{"type": "function", "name": "shell", "parameters": {}}],
}


def fill(stored: Stored) -> None:
    """Add the exchanges of a morning."""
    codex: dict[str, Any] = {
        "requested_model": "gpt-5.1-codex-mini", "model": MINI, "transport": "sse",
        "duration_ms": 4210.0, "first_event_ms": 380.0, "user_agent": "codex_cli_rs/0.169",
        "input_tokens": 18_422, "cached_tokens": 17_920, "output_tokens": 131,
        "reasoning_tokens": 64, "total_tokens": 18_553, "status_code": 200,
    }  # fmt: skip
    rows: list[tuple[str, float, dict[str, Any]]] = [
        ("b71d0e44", 4, {"state": "open", "requested_model": "gpt-5.1",
                         "question": "Write the release notes of this week"}),
        (SHOWN, 21, {**codex, "question": "214 passed in 8.31s", "output_text": ANSWER,
                     "request_body": packed(json.dumps(REQUEST).encode()),
                     "response_id": "resp_68a1b2c3"}),
        ("90c2f7ab", 34, {**codex, "question": QUESTION,
                          "output_text": '→ shell({"command":"pytest -q tests/unit/journal"})'}),
        ("e5608b3d", 190, {"state": "refused", "requested_model": "gpt-5.1", "status_code": 429,
                           "error_code": "rate_limit_exceeded", "duration_ms": 88.0,
                           "error_message": "Rate limit reached for gpt-5.1",
                           "question": "Translate the page"}),
        ("1d83c0f9", 900, {**codex, "state": "incomplete", "model": "gpt-5.1-2025-11-13",
                           "incomplete_reason": "max_output_tokens", "output_tokens": 4096,
                           "question": "Tell me all of it", "output_text": "It began when"}),
        ("7a4e21d6", 9000, {"model": "text-embedding-3-large", "api": "embeddings",
                            "input_tokens": 812, "duration_ms": 96.0}),
    ]  # fmt: skip
    for name, ago, columns in rows:
        stored.exchange(name, started_at=NOW - ago, **columns)
    message = {"type": "message", "role": "assistant",
               "content": [{"type": "output_text", "text": ANSWER}]}  # fmt: skip
    body = {"id": "resp_68a1b2c3", "model": MINI, "status": "completed", "output": [message]}
    stored.response("resp_68a1b2c3", response_object=json.dumps(body))


def print_commands(console: Console, stored: Stored) -> None:
    """Print both commands, and below each what it prints."""
    with stored.open() as query:
        page: Page = query.recent("default", limit=20)
        ids = shorten_page_ids(query, "default", page)
        _print_prompt(console, "response-store list")
        show_table(console, page, ids, now=NOW)
        console.print()
        _print_prompt(console, f"response-store show {ids[SHOWN]}")
        entry = query.find("default", SHOWN)
        for part in draw_exchange(entry, describe_cost(entry, load_prices(PRICES, "")), now=NOW):
            console.print(Text.from_ansi(render(console, part)), soft_wrap=True, end="")


def _print_prompt(console: Console, command: str) -> None:
    console.print(Text.assemble(("$ ", "color(244)"), (command, "bold")))


def draw() -> dict[str, str]:
    """Return the pictures by their names."""
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="256",
        markup=False, emoji=False, highlight=False, theme=build_theme(), legacy_windows=False,
    )  # fmt: skip
    try:
        with TemporaryDirectory() as folder:
            stored = Stored(Path(folder, "responses.db"))
            fill(stored)
            print_commands(console, stored)
    finally:
        os.environ.pop("TZ") if zone is None else os.environ.update(TZ=zone)
        time.tzset()
    return {
        f"terminal-{name}.svg": _remove_fonts(
            console.export_svg(title="", theme=theme, clear=False, unique_id=f"terminal-{name}")
        )
        for name, theme in THEMES.items()
    }


def _remove_fonts(svg: str) -> str:
    """Return the picture without the fonts that it would load from elsewhere."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace, SFMono-Regular, Menlo, Consolas")


def read_words(svg: str) -> str:
    """Return what a picture says, without blanks: that does not depend on how it is drawn."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    return "".join(unescape("".join(texts)).split())


if __name__ == "__main__":
    for file, picture in draw().items():
        FOLDER.joinpath(file).write_text(picture, encoding="utf-8")
