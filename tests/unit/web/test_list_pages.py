"""The list of exchanges, and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.web.conftest import HOSTILE, OTHERS

if TYPE_CHECKING:
    from tests.unit.web.serving import Served


def test_exchanges(served: Served) -> None:
    """The list has what was asked and answered, called or went wrong."""
    page = served.get("exchanges")
    for words in ("Why does it fail?", "read_file({})", "Because", "Still at it", "running", "50%"):
        assert words in page
    assert page.index("Still at it") < page.index("Why does it fail?")


@pytest.mark.parametrize(
    ("filters", "there", "not_there"),
    [
        ({"state": "open"}, "Still at it", "Why does it fail"),
        ({"state": "errors"}, "&lt;img", "Still at it"),
        ({"model": "gpt-*"}, "Why does it fail", "Still at it"),
        ({"host": "api.openai.com"}, "Still at it", "&lt;img"),
        ({"until": "2026-01-01T00:00:04Z"}, "Why does it fail", "Still at it"),
        ({"before": "1767225601.0,zzz"}, "Why does it fail", "Still at it"),
    ],
    ids=["state", "errors", "model", "host", "until", "before"],
)
def test_filters(served: Served, filters: dict[str, str], there: str, not_there: str) -> None:
    """Filters of the address leave out what does not pass."""
    page = served.get("exchanges", **filters)
    assert there in page
    assert not_there not in page


def test_hostile_rows_are_text(served: Served) -> None:
    """What was captured is text on every page, in its attributes and addresses as well."""
    name = f'bad{HOSTILE}/..%2f"'
    pages = [
        served.get("exchanges"),
        served.get(""),
        *(served.client.get(path).text for path in _list_paths(name)),
        served.get("exchanges", model=HOSTILE, label=HOSTILE),
        served.get("search", q=HOSTILE),
    ]
    for page in pages:
        assert "<img" not in page
        assert "javascript:" not in page.replace("(javascript:alert(1))", "")
        assert "&lt;img" in page or "%3Cimg" in page


def _list_paths(name: str) -> list[str]:
    from urllib.parse import quote

    one = quote(name, safe="")
    tabs = ("", "/request", "/answer", "/stream", "/facts")
    return [*(f"exchange/{one}{tab}" for tab in tabs), f"session/{quote(f's{HOSTILE}', safe='')}"]


def test_searches(served: Served) -> None:
    """Words are found with what stands around them; none, and none that is there, get a page."""
    assert "Search takes words" in served.get("search")
    page = served.get("search", q="because bou*")
    assert "<mark>Because</mark>" in page
    assert 'value="because bou*"' in page
    assert "1 found" in page
    assert "Nothing has all of these words" in served.get("search", q="quokka")


def test_another_tenant(served: Served) -> None:
    """Nothing of another tenant is on a page, nor behind an address that names it."""
    for page in ("", "exchanges", "statistics"):
        assert OTHERS not in served.get(page)
    assert OTHERS not in served.get("search", q="tenant").replace(f'value="{OTHERS}"', "")
    for address in ("exchange/other", "session/s-other", "session/s-other/export.jsonl"):
        answer = served.client.get(address)
        assert answer.status_code == 404, address
        assert OTHERS not in answer.text


def test_costs(served: Served) -> None:
    """Each exchange has its cost, in the list and on its own page, where all facts say by whom."""
    assert '<td class="number cost">$0.0086</td>' in served.get("exchanges")
    page = served.get("exchange/t1/facts")
    assert ">$0.0086</span>" in page
    assert "<dt>cost</dt><dd>$0.0086, by own prices of " in page
