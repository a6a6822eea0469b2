"""The table of `list` and `tail`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from response_store.cli.exchange_table import (
    TableLook,
    build_table,
    build_words,
    choose_mark,
    format_clock,
    format_when,
    shorten_model,
)
from response_store.model.records import State
from response_store.queries.exchanges import Summary
from tests.harness.each import each
from tests.unit.queries.stored import REQUIRED

NOW = 1767226012.0  # two in the morning of the first day of 2026, where the tests are
MINI = {
    "requested_model": "gpt-5.1-codex-mini", "model": "gpt-5.1-codex-mini-2026-01-01",
    "input_tokens": 184_220, "output_tokens": 1210, "duration_ms": 1834.2,
}  # fmt: skip
KINDS: list[dict[str, object]] = [
    {"started_at": NOW - 12, "state": "open", "requested_model": "o3", "question": "Wait"},
    {"started_at": NOW - 130, **MINI, "question": "Why does the test of the journal fail?",
     "output_text": "Its lock is taken before the fork, so that the child never sees it free."},
    {"started_at": NOW - 300, **MINI, "question": "Fix it",
     "output_text": '→ shell({"cmd":"pytest"})'},
    {"started_at": NOW - 3500, "state": "refused", "requested_model": "gpt-5.1",
     "error_code": "rate_limit_exceeded", "error_message": "Rate limit reached for gpt-5.1",
     "status_code": 429, "question": "Summarize the thread"},
    {"started_at": NOW - 5000, "state": "incomplete", "model": "gpt-5.1-2025-11-13",
     "incomplete_reason": "max_output_tokens", "question": "A story", "output_text": "Once"},
    {"started_at": NOW - 86_400, "state": "interrupted", "model": "o3", "question": "天気",
     "output_text": "晴れ"},
    {"started_at": NOW + 86_400, "state": "refused", "status_code": 502, "host": "localhost",
     "port": 1234},
    {"started_at": NOW + 2 * 86_400, "api": "embeddings", "model": "e"},
]  # fmt: skip
GOLDEN = Path(__file__).parent / "golden"


def summarize(**columns: object) -> Summary:
    """An exchange in a list; what is not given is not known."""
    known = {**REQUIRED, "exchange_id": "e", "output_start": columns.pop("output_text", None)}
    return Summary(**{**dict.fromkeys(Summary.__struct_fields__), **known, **columns})  # type: ignore[arg-type]


def draw(width: int, look: TableLook, *exchanges: Summary, encoding: str = "utf-8") -> str:
    """The table on a terminal of that width, without colours."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    console.print(build_table(exchanges, width, look))
    file.seek(0)
    return "".join(f"{line.rstrip()}\n" for line in file.read().splitlines())


def draw_all(width: int, *, ascii_only: bool = False) -> str:
    """Exchanges of all kinds, the newest first."""
    kinds = [summarize(exchange_id=f"{at:06}", **one) for at, one in enumerate(KINDS)]
    kinds.sort(key=lambda one: (one.started_at < NOW, -one.started_at))
    return draw(width, TableLook(NOW, {}, ascii_only=ascii_only), *kinds)


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_golden(width: int) -> None:
    """What is asked and what came has room at any width; more columns come with more of it."""
    assert draw_all(width) == (GOLDEN / f"list_{width}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("steady", [False, True])
@each("width", [1, 10, 20, 30, 40, 59, 60, 90, 100, 160, 250])
def test_a_row_is_a_line(width: int, steady: bool) -> None:
    """No line is wider than the terminal, and wide characters count double."""
    wide = {"model": "模型" * 40, "host": "主机" * 40, "output_text": "東京👩‍👩‍👧" * 40,
            "question": "東" * 99, "exchange_id": "東" * 40}  # fmt: skip
    rows = [summarize(**wide), summarize(state="open")]
    lines = draw(width, TableLook(NOW, {}, steady=steady), *rows).splitlines()
    assert len(lines) == 3
    assert max(map(cell_len, lines)) <= max(width, 4)


def test_letters_stand_for_marks() -> None:
    """A terminal without Unicode gets letters, and nothing else that it can't show."""
    rows = [summarize(state=state.value, model="m" * 40, question="q" * 99) for state in State]
    shown = draw(80, TableLook(NOW, {}, ascii_only=True), *rows, encoding="ascii")
    assert shown.isascii()
    marks = [choose_mark(state.value, ascii_only=True) for state in State]
    assert "".join(marks) == "...ocxcxcxx"
    assert [choose_mark(state.value) for state in State][:4] == ["…", "…", "…", "●"]


@pytest.mark.parametrize(
    ("ago", "when", "clock"),
    [
        (0, "0 s ago", "02:06:52"),
        (59, "59 s ago", "02:05:53"),
        (60, "1 min ago", "02:05:52"),
        (3599, "60 min ago", "01:06:53"),
        (3600, "01:06", "01:06:52"),
        (-5, "02:06", "02:06:57"),
        (-86_400, "Jan 02", "Jan 02"),
        (86_400, "2025-12-31", "2025-12-31"),
        (1e300, "-1e+300", "-1e+300"),
    ],
)
def test_when(ago: float, when: str, clock: str) -> None:
    """Seconds and minutes within the hour, the time today, the day this year, else the date."""
    assert (format_when(NOW - ago, NOW), format_clock(NOW - ago, NOW)) == (when, clock)


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("gpt-5.1-codex-mini-2026-01-01", 30, "gpt-5.1-codex-mini-2026-01-01"),
        ("gpt-5.1-codex-mini-2026-01-01", 18, "gpt-5.1-codex-mini"),
        ("gpt-5.1-codex-mini-2026-01-01", 16, "gpt-5.1-…ex-mini"),
        ("a-model-of-2026-01-01-and-more", 10, "a-mod…more"),
        ("-2026-01-01", 5, "-2…01"),
        ("gpt", 1, "g"),
    ],
)
def test_models(name: str, width: int, shown: str) -> None:
    """A name loses its date first, and then its middle."""
    assert shorten_model(name, width) == shown


@each(
    ("columns", "words"),
    [
        ({}, "-"),
        ({"question": "Why?"}, "Why? → -"),
        ({"output_text": "So"}, "So"),
        ({"output_text": "→ ls()"}, "→ ls()"),
        ({"question": "Look", "output_text": "→ ls()"}, "Look → ls()"),
        ({"state": "failed", "output_text": "So", "error_message": "Ended"}, "Ended"),
        ({"state": "cancelled", "output_text": "So", "error_message": "Ended"}, "So"),
        ({"state": "failed", "error_code": "e", "error_message": "e: Ended"}, "e: Ended"),
        ({"state": "too_large"}, "too large"),
        ({"state": "refused", "status_code": 502}, "refused (502)"),
        ({"question": "a\nb\x1b[2J", "output_text": "[red]"}, "a b␛[2J → [red]"),
        ({"question": "q" * 60, "output_text": "So"}, "q" * 34 + "… → So"),
        ({"question": "q" * 60, "output_text": "a" * 60}, f"{'q' * 13}… → {'a' * 22}…"),
        ({"question": "Why?", "output_text": "a" * 60}, f"Why? → {'a' * 32}…"),
    ],
)
def test_words(columns: dict[str, object], words: str) -> None:
    """The question, then the answer, the call or the error; what is too long is cut."""
    assert build_words(summarize(**columns), 40).plain == words
