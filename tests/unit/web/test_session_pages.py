"""The list of sessions, and one session."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.web.serving import Served


def test_sessions(served: Served) -> None:
    """A session is a line: its first question, and the sums of its turns."""
    page = served.get("")
    assert "Why does it fail?" in page
    assert 'class="unit"> turns' in page
    assert "2.6k" in page
    assert "69%" in page
    assert "\u2190 MAX = 3" not in page


def test_a_session_is_a_conversation(served: Served) -> None:
    """Each turn shows what is new in it, under a chart of all of them."""
    page = served.get("session/s-one")
    conversation = page.partition('class="turns"')[2]
    assert conversation.count("Why does it fail?") == 1
    assert conversation.index("Why does it fail?") < conversation.index("MAX = 3")
    assert page.count("<svg") == 2
    assert 'id="turn-1"' in page


def test_costs(served: Served) -> None:
    """Of a session in the list and on its page, of each turn there and in the waterfall."""
    # 600 at $10, 600 at $1 and 20 at $100; 200 at $10, 1,200 at $1 and 30 at $100
    assert '<td class="number cost">$0.0148</td>' in served.get("")
    page = served.get("session/s-one")
    assert "<span>$0.0148</span>" in page
    assert [f'<span class="cost">{usd}</span>' in page for usd in ("$0.0086", "$0.0062")] == [
        True, True,
    ]  # fmt: skip
    assert "<title>1. Why does it fail? \u00b7 900 ms \u00b7 $0.0086</title>" in page
    assert "$0.0062" in served.get("session/s-one/turns", start="1")
    assert "$0.0148</footer>" in served.get("session/s-one/export.html")


def test_more_turns(served: Served) -> None:
    """What was not sent with the page comes by itself."""
    turns = served.get("session/s-one/turns", start="1")
    assert "<html" not in turns
    assert 'id="turn-0"' not in turns
    assert 'id="turn-1"' in turns


def test_an_exchange_without_a_session_is_one(served: Served) -> None:
    """What belongs to nothing has a page as well."""
    assert "Write a lot" in served.get("session/large")
