"""`response-store search`."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from response_store.backends.sqlite import schema as sqlite_schema
from response_store.cli.search import NOTHING, print_hits
from response_store.model.selection import Selection
from response_store.search.query import search
from response_store.search.snippets import LENGTH, build_snippet
from response_store.search.texts import Text
from response_store.search.tokenizer import MAX_WORD_LENGTH, parse_terms
from tests.unit.backends.sqlite.files import opened
from tests.unit.cli import rows
from tests.unit.queries.stored import NAMES, Stored

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command

GOLDEN = """\
2026-01-01 02:05:00\tcompleted\tgpt-4.1\te-chat\tanswer\tHi there
"""
GOLDEN_OF_TWO = """\
2026-01-01 02:01:40\trefused\tgpt-5.1\te-refused\terror\tIncorrect API key. See the docs.
"""
GOLDEN_UNSAFE = """\
2026-01-01 02:00:00\tcompleted\tgpt-5.1-2025-11-13\tresp_68a1b2c3d4e5f607\tanswer\t\
Sunny: and 東京 ␛[31mred␛[0m
"""


def test_a_pipe_gets_plain_columns(anywhere: Anywhere, run: Command) -> None:
    """Piped output is one line a hit with tabs, and nothing that a terminal obeys."""
    rows.all_kinds(anywhere)
    for words, golden in (
        (["HI"], GOLDEN), (["api", "docs"], GOLDEN_OF_TWO), (["sunny", "京"], GOLDEN_UNSAFE),
        (["nowhere"], ""), (["api", "sunny"], ""),
    ):  # fmt: skip
        result = run("search", *words)
        assert (result.exit_code, result.stdout, result.stderr) == (0, golden, "")


def test_json(anywhere: Anywhere, run: Command) -> None:
    """A hit has the exchange's facts, where it was found, and the places of the words."""
    rows.all_kinds(anywhere)
    found = json.loads(run("search", "--json", "look*", "weather").stdout)
    assert found == {"hits": [], "total": 0, "not_indexed": 0}
    found = json.loads(run("search", "--json", "get_weather", "東京").stdout)
    (hit,) = found["hits"]
    assert (found["total"], hit["response_id"]) == (1, rows.RESPONSE_ID)
    assert (hit["where"], hit["snippet"]) == ("tool call", 'get_weather {"city":"東京"}')
    assert [hit["snippet"][start:end] for start, end in hit["marks"]] == ["get_weather", "東京"]
    assert hit["score"] > 0
    assert "output_start" not in hit


def test_options(anywhere: Anywhere, run: Command) -> None:
    """Tenant, filters and limit count."""
    for number in range(4):
        anywhere.exchange(f"e{number}", output_text="apple", started_at=1767225600.0 + number)
    anywhere.exchange("theirs", output_text="apple", tenant_id="other")
    assert [line.split("\t")[3] for line in run("search", "apple").stdout.splitlines()] == [
        "e3", "e2", "e1", "e0",
    ]  # fmt: skip
    assert "theirs" in run("search", "apple", "--tenant", "other").stdout
    assert run("search", "apple", "--since", "2026-01-01T00:00:02Z").stdout.count("\n") == 2
    assert run("search", "apple", "--state", "failed").stdout == ""
    found = json.loads(run("search", "apple", "--limit", "1", "--json").stdout)
    assert (len(found["hits"]), found["total"]) == (1, 4)


@pytest.mark.parametrize("words", ["--", "...", '""', "*", "🙂"])
def test_nothing_to_look_for(stored: Stored, run: Command, words: str) -> None:
    """Marks alone are no question, which is said."""
    result = run("search", "--", words)
    assert result.exit_code == 2
    assert "letters or digits" in result.stderr


def drawn(stored: Stored, width: int, *words: str, limit: int = 20) -> str:
    """What a terminal of that width shows, without colours."""
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    with stored.open() as query:
        print_hits(
            console, search(query.reader, parse_terms(words), Selection(tenant="default"), limit)
        )
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal(stored: Stored, run: Command, width: int) -> None:
    """Wide characters and a narrow terminal break no line; the words are indented under the id."""
    for number in range(3):
        stored.exchange(f"e{number}", output_text="今天北京的天气很好 " * 20 + "apple [bold]x")
    assert run("search", "apple").exit_code == 0
    said = drawn(stored, width, "apple", limit=2)
    assert "2 of 3 hits, the best first; more with --limit" in said
    snippets = [line for line in said.splitlines() if line.startswith("  ")]
    assert snippets
    assert all(cell_len(line.rstrip()) <= width for line in snippets)
    assert said.count("[bold]") == 2
    assert drawn(stored, width, "nowhere").strip() == NOTHING


def test_a_sqlite_without_fts5(
    stored: Stored, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Search says what is missing; the store works, and deletions; later all is indexed anew."""
    stored.exchange("e1", output_text="apple")
    assert "e1" in run("search", "apple").stdout
    with monkeypatch.context() as without:
        without.setattr(sqlite_schema, "has_fts5", lambda _: False)
        with opened(stored.path):
            stored.script("DELETE FROM {exchanges} WHERE exchange_id = 'e1'")
        stored.exchange("e2", output_text="apple")
        result = run("search", "apple")
        assert (result.exit_code, "FTS5" in result.stderr) == (1, True)
        assert run("list").exit_code == 0
    assert "e2" in run("search", "apple").stdout
    with closing(sqlite3.connect(stored.path)) as connection:
        words = NAMES.exchanges_search_words
        assert connection.execute(f"SELECT count(*) FROM {words}").fetchone() == (1,)


def test_a_snippet() -> None:
    """It is the piece where most of the terms are close together, with whole words at its ends."""
    filler = "word " * 100
    texts = [Text("user", f"{filler} apple {filler} apple\n\npie {filler}"), Text("answer", "pie")]
    found = build_snippet(texts, parse_terms(["apple", "pie"]))
    assert found is not None
    assert found.label == "user"
    assert found.text.startswith("…word ")
    assert found.text.endswith("word…")
    assert "apple pie" in found.text
    assert [found.text[start:end] for start, end in found.marks] == ["apple", "pie"]
    assert len(found.text) <= LENGTH + 2
    assert build_snippet(texts, parse_terms(["nowhere"])) is None
    long = build_snippet([Text("answer", "x" * 5000)], parse_terms(["x" * MAX_WORD_LENGTH]))
    assert long is not None
    assert len(long.text) == 5000
