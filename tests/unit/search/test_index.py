"""The index beside the tables, in either database: what it lacks, finds, and lets go."""

from __future__ import annotations

import contextlib
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from response_store.search.index import Entry, index_exchange
from response_store.search.texts import Row
from response_store.search.tokenizer import normalize, tokenize
from tests.hypothesis_profiles import examples
from tests.unit.search.conftest import Searching
from tests.unit.search.test_tokenizer import TEXTS


def no_pause() -> None:
    """Work on."""


def test_what_is_found(searching: Searching) -> None:
    """Words in the middle, in code and in Chinese; all of several; phrases; beginnings."""
    searching.stored.exchange("zh", output_text="今天北京的天气很好\uff0c我们去公园\u3002")
    searching.stored.exchange("code", output_text="call getUserName(foo.bar) --no-verify a_snake")
    searching.stored.exchange("two", output_text="Résumé", error_message="connection was refused")
    assert searching.catch_up() == 3
    for words, found in {
        ("天气",): "zh", ("气",): "zh", ("京的天气",): "zh", ("公园", "北京"): "zh",
        ("username",): "code", ("getuser",): None,
        ("name",): "code", ("getusername",): "code", ("get*",): "code",
        ("foo.bar(",): "code", ("--no-verify",): "code", ("a_snake",): "code", ("snake",): "code",
        ("RESUME", "was refused"): "two", ("refused was",): None, ("connection refused",): None,
        ("resume", "getusername"): None, ("气天",): None, ("conn",): None, ("conn*",): "two",
    }.items():  # fmt: skip
        assert searching.ids(*words) == ({found} if found else set()), words


def test_tenant_and_filters(searching: Searching) -> None:
    """Another tenant's exchanges are never found; every filter counts."""
    for number, columns in enumerate(
        [
            {"model": "gpt-5"}, {"model": "o4", "state": "failed"}, {"host": "other.example"},
            {"tenant_id": "theirs"}, {"started_at": 5.0},
        ]
    ):  # fmt: skip
        searching.stored.exchange(f"e{number}", output_text="common word", **columns)
    searching.catch_up()
    assert searching.ids("common") == {"e0", "e1", "e2", "e4"}
    assert searching.ids("common", models=("gpt*",)) == {"e0"}
    assert searching.ids("common", states=("failed",)) == {"e1"}
    assert searching.ids("common", hosts=("other.*",)) == {"e2"}
    assert searching.ids("common", until=10.0) == {"e4"}
    assert searching.ids("common", tenant="theirs") == {"e3"}
    assert len(searching.ids("common", limit=2)) == 2


def test_more_of_a_word_ranks_higher(searching: Searching) -> None:
    """The best comes first, of equals the newest."""
    searching.stored.exchange("little", output_text="apple " + "other " * 50)
    searching.stored.exchange("much", output_text="apple apple apple pie")
    searching.stored.exchange("new", output_text="apple apple apple pie", started_at=2e9)
    searching.catch_up()
    assert searching.ids("apple", limit=1) == {"new"}
    assert searching.ids("apple", limit=2) == {"new", "much"}


def test_a_state_that_changes(searching: Searching) -> None:
    """An open exchange is not indexed, one that may change is indexed again in its last state."""
    searching.stored.exchange("e1", state="open")
    searching.stored.exchange("e2", state="queued", output_text="early")
    assert searching.unindexed() == 1
    assert searching.catch_up() == 1
    searching.stored.script(
        "UPDATE {exchanges} SET state = 'completed', output_text = 'late' WHERE exchange_id = 'e2'"
    )
    searching.stored.script("UPDATE {exchanges} SET state = 'failed', output_text = 'ended'"
                            " WHERE exchange_id = 'e1'")  # fmt: skip
    assert searching.unindexed() == 2
    assert searching.catch_up() == 2
    assert (searching.unindexed(), searching.catch_up()) == (0, 0)
    assert (searching.ids("early"), searching.ids("late")) == (set(), {"e2"})
    assert searching.ids("ended") == {"e1"}
    assert searching.count("exchanges_search") == 2


def test_a_deletion_leaves_nothing(searching: Searching) -> None:
    """With the exchange its entry goes, and all of its chunks."""
    text = " ".join(f"w{number}" for number in range(10_000))
    searching.stored.exchange("e1", output_text=text)
    searching.stored.exchange("e2", output_text="w1 stays")
    searching.catch_up()
    assert searching.count("exchanges_search_words") > 3
    searching.stored.script("DELETE FROM {exchanges} WHERE exchange_id = 'e1'")
    assert searching.count("exchanges_search_words") == 1
    assert searching.count("exchanges_search") == 1
    assert (searching.ids("w1"), searching.ids("w9999"), searching.unindexed()) == (
        {"e2"},
        set(),
        0,
    )
    searching.stored.exchange("e3", output_text="w9999")
    searching.catch_up()
    assert searching.ids("w9999") == {"e3"}


def test_an_exchange_that_goes_while_it_is_indexed(searching: Searching) -> None:
    """No entry is made for what is gone by then."""
    index = searching.index()
    index.put(Entry(Row("gone", "default", 1.0, "completed", output_text="ghost")), no_pause)
    assert searching.count("exchanges_search_words") == 0
    assert not index_exchange(index, "gone", no_pause)


@pytest.mark.exhaustive
def test_a_long_text(searching: Searching) -> None:
    """A word, a phrase across chunks, and words far apart are found in a text of many chunks."""
    text = " ".join(["start", *(f"w{number} 的" for number in range(9_000)), "end"])
    searching.stored.exchange("long", output_text=text)
    searching.catch_up()
    assert searching.count("exchanges_search_words") > 30
    for words in (("w8999",), ("start", "end"), ("的 w249 的 w250 的 w251",), ("w4095 的 w4096",)):
        assert searching.ids(*words) == {"long"}, words


def test_a_part_written_index_is_found(searching: Searching) -> None:
    """Broken off between two chunks, the entry counts as missing, and is made whole."""
    searching.stored.exchange("long", output_text=" ".join(f"w{n}" for n in range(10_000)))

    class Killed(BaseException):
        pass

    breaths = 0

    def killed() -> None:
        nonlocal breaths
        breaths += 1
        if breaths == 20:
            raise Killed

    with contextlib.suppress(Killed):
        index_exchange(searching.index(), "long", killed)
    assert searching.unindexed() == 1
    assert searching.catch_up() == 1
    assert searching.ids("w1", "w9999") == {"long"}
    assert searching.count("exchanges_search_words") == 3


@pytest.mark.exhaustive
def test_two_at_once(searching: Searching) -> None:
    """However many index the same, each exchange has one entry, with each chunk once."""
    text = " ".join(f"w{number}" for number in range(10_000))
    for number in range(2):
        searching.stored.exchange(f"e{number}", output_text=f"{text} n{number}")
    indexes = [searching.index() for _ in range(2)]
    errors: list[Exception] = []

    def all_of_them(number: int) -> None:
        try:
            for at in range(2):
                index_exchange(indexes[number], f"e{at}", no_pause)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to tell
            errors.append(error)

    threads = [threading.Thread(target=all_of_them, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    searching.catch_up()
    assert searching.count("exchanges_search") == 2
    assert searching.count("exchanges_search_words") == 6
    assert all(searching.ids(f"n{number}") == {f"e{number}"} for number in range(2))


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, asked=st.lists(TEXTS, min_size=1, max_size=3))
def test_any_text_and_any_question(searching: Searching, text: str, asked: list[str]) -> None:
    """Every word of any text is found in it, and no question is an error."""
    searching.stored.script("DELETE FROM {exchanges}")
    index = searching.index()
    storable = text.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    searching.stored.exchange("e", output_text=storable)
    index.put(Entry(Row("e", "default", 1.0, "completed", output_text=text)), no_pause)
    shown = normalize(text)
    cut = list(tokenize(shown))
    pieces = sorted({shown[segment.start : segment.end] for segment in cut})
    whole = [shown.replace('"', " ").replace("*", " ")] if cut else []
    if cut:
        assert searching.ids(*pieces[:20], *whole) == {"e"}
    assert searching.ids(*asked, "nowhere") == set()
    index.close()


@pytest.mark.parametrize("words", [("and",), ("near", "or"), ("'",), ("a' OR 1=1",)])
def test_operators_are_words(searching: Searching, words: tuple[str, ...]) -> None:
    """What a database takes for an operator is a word like any other."""
    searching.stored.exchange("e", output_text="AND NEAR OR a or 1 1")
    searching.catch_up()
    assert searching.ids(*words) == ({"e"} if words != ("'",) else set())
