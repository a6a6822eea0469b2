"""The pages of an exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.web.conftest import LONG, PNG

if TYPE_CHECKING:
    from tests.unit.web.serving import Served


def test_only_what_is_new(served: Served) -> None:
    """An exchange that continues another shows what it adds, and on demand everything."""
    new = served.get("exchange/t2")
    assert "MAX = 3" in new
    assert "<strong>Because</strong>" in new
    assert '<p class="plain">Why does it fail?' not in new
    assert "Why does it fail?" in served.get("exchange/t2", whole="1")


def test_pictures_come_when_they_are_asked_for(served: Served) -> None:
    """No page has them; a PNG comes as text, and an SVG, which may hold scripts, is none."""
    page = served.get("exchange/t1")
    assert PNG not in page
    assert page.count("data-picture=") == 1
    answer = served.client.get("exchange/t1/picture", params={"number": "1", "picture": "0"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == f"data:image/png;base64,{PNG}"
    missing = served.client.get("exchange/t1/picture", params={"number": "1", "picture": "1"})
    assert missing.status_code == 404


def test_a_body_is_a_tree_that_grows_level_by_level(served: Served) -> None:
    """The page has the first level; the next come alone, and say where they go on."""
    page = served.get("exchange/t1/request")
    assert "instructions" in page
    assert "Why does it fail?</span>" not in page.partition('class="tree"')[2]
    nodes = served.get("exchange/t1/request/nodes", path="2.0.1.0")
    assert "<html" not in nodes
    assert "Why does it fail?" in nodes
    numbers = served.get("exchange/large/answer/nodes", path="1")
    assert "start=100" in numbers
    assert ">99<" in numbers
    assert ">100<" not in numbers
    assert ">100<" in served.get("exchange/large/answer/nodes", path="1", start="100")
    assert served.client.get("exchange/t1/request/nodes", params={"path": "9.9"}).status_code == 404


@pytest.mark.exhaustive
def test_what_is_large_comes_in_parts(served: Served) -> None:
    """No page has a long text whole, and its parts make the text."""
    for path in ("exchange/large", "exchange/large/answer", "exchanges"):
        assert len(served.get(path)) < LONG // 4
    text, start = "", 0
    while True:
        part = served.get("exchange/large/block/text", number="0", start=str(start))
        text += part.partition(">")[2].partition("</div>")[0]
        if "start=" not in part:
            break
        start = int(part.partition("start=")[2].partition('"')[0])
    assert text == "word " * (LONG // 5)


def test_events_of_a_stream(served: Served) -> None:
    """The stream is there as it came, some events at a time."""
    page = served.get("exchange/t2/stream")
    assert "e199" in page
    assert "e200" not in page
    assert "e249" in served.get("exchange/t2/stream", start="200")
    assert ("+0.300 s" in page, "+1.092 s" in page, "+2.093 s" in page) == (True, True, False)
    assert "+2.093 s" in served.get("exchange/t2/stream", start="200")
    assert "were not kept" in served.get("exchange/t1/stream")


def test_facts_and_the_command(served: Served) -> None:
    """All that is known, and the command that asks again, which a shell reads as it was meant."""
    page = served.get("exchange/t1/facts")
    assert "s-one" in page
    assert "curl" in page
    assert "$OPENAI_API_KEY" in page
