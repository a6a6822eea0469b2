"""What has changed, and a session as a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.unit.web.conftest import HOSTILE

if TYPE_CHECKING:
    from tests.unit.web.serving import Served


def test_changes(served: Served) -> None:
    """An exchange is compared with what it continues, or with any other that is named."""
    page = served.get("exchange/t2/changes")
    assert "tool result: MAX = 3" in page
    assert "- read_file" in served.get("exchange/t2/changes").replace("  ", " ")
    other = served.get("exchange/large/changes", before="t1")
    assert "Be brief." in other
    assert "Nothing is known" in served.get("exchange/t1/changes")


def test_a_session_as_a_page(served: Served) -> None:
    """The file needs nothing else, and what was captured is text in it as well."""
    answer = served.client.get("session/s-one/export.html")
    assert answer.headers["content-disposition"] == 'attachment; filename="s-one.html"'
    assert "MAX = 3" in answer.text
    name = quote(f"s{HOSTILE}", safe="")
    hostile = served.client.get(f"session/{name}/export.html")
    assert hostile.headers["content-disposition"].count('"') == 2
    assert "<img src=x" not in hostile.text


def test_a_session_as_lines(served: Served) -> None:
    """The lines are those of an export, of this session alone."""
    answer = served.client.get("session/s-one/export.jsonl")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["exchange_id"] for row in rows if row["row"] == "exchange"] == ["t1", "t2"]
    assert rows[-1]["row"] == "end"
    assert served.client.get("session/none/export.jsonl").status_code == 404
