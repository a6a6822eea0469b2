"""Where no beginning is the same, an exchange continues one whose answer stands in its input."""

from __future__ import annotations

from response_store.ingest.lineage import Lineage
from response_store.redaction.redactor import Redactor
from tests.contract.contents import Contents
from tests.unit.ingest.test_lineage import KEY, Conversation, asked, link, places, said, set_row

SUMMARY = "It reads a.txt and prints each line of it."
SESSION = {"session_id": "s"}


def test_what_stood_before_an_answer_has_moved(contents: Contents, talk: Conversation) -> None:
    """As aider has it: its files stand behind the answer later. So it is after a restart."""
    files, fine = asked("the files"), said("Fine.")
    first = talk.responses([files, fine, asked("a")], SUMMARY)
    second = talk.responses([asked("a"), said(f"\n{SUMMARY}\n"), files, fine, asked("b")], "B")
    expected = {"e1": ("e1", None), "e2": ("e1", "e1")}
    assert link(first, second) == expected
    contents.store.write(Lineage(contents.store).link([first]))
    assert places(Lineage(contents.store).link([second])) == {"e2": expected["e2"]}


def test_a_summary_that_a_user_s_text_hands_on(talk: Conversation) -> None:
    """It counts behind its first line, within a session that a header names, as Codex has it."""
    first = talk.responses([asked("sum up")], SUMMARY, SESSION)
    items = [asked("a"), asked(f"Another model says:\n{SUMMARY}"), asked("b")]
    second = talk.responses(items, "B", SESSION)
    elsewhere = talk.responses(items, "B")
    other = talk.responses(items, "B", {"session_id": "t"})
    assert link(first, second, elsewhere, other) == {
        "e1": ("s", None), "e2": ("s", "e1"), "e3": ("e3", None), "e4": ("t", None)
    }  # fmt: skip


def test_what_tells_too_little(talk: Conversation) -> None:
    """A short answer, one of days ago, one that comes later."""
    short = talk.responses([asked("a")], "Yes, it does.")
    assert link(short, talk.responses([asked("b"), said("Yes, it does."), asked("c")], "C")) == {
        "e1": ("e1", None), "e2": ("e2", None)
    }  # fmt: skip
    first = talk.responses([asked("a")], SUMMARY)
    moved = talk.responses([asked("b"), said(SUMMARY), asked("c")], "C")
    assert link(first, moved)["e4"] == ("e3", "e3")
    assert link(first, set_row(moved, started_at=first.exchange.started_at + 90_000)) == {
        "e3": ("e3", None), "e4": ("e4", None)
    }  # fmt: skip
    assert link(set_row(first, started_at=9.0), moved)["e4"] == ("e4", None)


def test_a_beginning_counts_more(talk: Conversation) -> None:
    """Though a newer exchange was answered alike, and though the answer is in the database."""
    first = talk.responses([asked("a")], SUMMARY)
    newer = talk.responses([asked("x")], SUMMARY)
    second = talk.responses([asked("a"), said(SUMMARY), asked("b")], "B")
    assert link(first, newer, second)["e3"] == ("e1", "e1")


def test_a_warm_up_that_is_named(contents: Contents, talk: Conversation) -> None:
    """It has said nothing, so content decides; what comes then is found by all that was sent."""
    first = talk.responses([asked("a")], "A", SESSION)
    warm_up = talk.responses([], "", SESSION)
    whole = [asked("a"), said("A"), asked("b")]
    second = talk.responses(whole, "B", SESSION, previous_response_id="resp_2")
    third = talk.responses([*whole, said("B"), asked("c")], "C", SESSION)
    expected = {"e1": ("s", None), "e2": ("s", None), "e3": ("s", "e1"), "e4": ("s", "e3")}
    assert link(first, warm_up, second, third) == expected
    for turn in (first, warm_up, second, third):
        linked = Lineage(contents.store).link([turn])
        contents.store.write(linked)
        name = turn.exchange.exchange_id
        assert places(linked) == {name: expected[name]}


def test_a_response_that_is_named_counts_before_content(talk: Conversation) -> None:
    """Unless it has said nothing, or is not known."""
    first = talk.responses([asked("a")], SUMMARY)
    other = talk.responses([asked("x")], "X")
    items = [asked("a"), said(SUMMARY), asked("b")]
    named = talk.responses(items, "B", previous_response_id="resp_2")
    unknown = talk.responses(items, "B", previous_response_id="resp_0")
    linked = link(first, other, named, unknown)
    assert (linked["e3"], linked["e4"]) == (("e2", "e2"), ("e1", "e1"))


def test_secrets_do_not_count(talk: Conversation, redactor: Redactor) -> None:
    """With `redact` an answer is known by what is left of it."""
    talk.redactor = redactor
    answer = f"Use the key {KEY} for it"
    first = talk.responses([asked("a")], answer)
    second = talk.responses([asked("b"), said(answer), asked("c")], "C")
    clean = Conversation().responses([asked("a")], "Use the key [redacted:github] for it")
    assert first.exchange.answer_digest == clean.exchange.answer_digest is not None
    assert second.answers == (clean.exchange.answer_digest,)
    assert link(first, second)["e2"] == ("e1", "e1")
