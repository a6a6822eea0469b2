"""The piece of a text around the words that were searched."""

from __future__ import annotations

from response_store.search.snippets import LENGTH, Snippet, build_snippet
from response_store.search.texts import Text
from response_store.search.tokenizer import parse_terms

FILLING = "lorem ipsum " * 100


def snippet(words: list[str], *texts: str) -> Snippet:
    labelled = [Text(f"text {number}", text) for number, text in enumerate(texts)]
    built = build_snippet(labelled, parse_terms(words))
    assert built is not None
    return built


def marked(built: Snippet) -> list[str]:
    return [built.text[start:end] for start, end in built.marks]


def test_a_short_text_is_whole() -> None:
    """Each match is marked, blanks are made one."""
    built = snippet(["brown", "fox"], "The quick\n  Brown\tFOX")
    assert built.text == "The quick Brown FOX"
    assert (built.label, marked(built)) == ("text 0", ["Brown", "FOX"])


def test_a_long_text_is_cut_at_words() -> None:
    """With dots where it goes on, on either side."""
    built = snippet(["needle"], f"{FILLING}needle {FILLING}")
    first, *_, last = built.fragments
    assert first.text == last.text == "\u2026"
    assert marked(built) == ["needle"]
    assert len(built.text) <= LENGTH + 40
    assert set(built.text.strip("\u2026").split()) == {"lorem", "ipsum", "needle"}


def test_the_place_with_the_most_terms() -> None:
    """Of several such the first; one with all terms ends the search."""
    assert snippet(["fox", "dog"], "fox", "dog and fox", "fox and dog").label == "text 1"
    far = f"fox {FILLING} fox dog"
    assert marked(snippet(["fox", "dog"], far)) == ["fox", "dog"]
    assert snippet(["fox", "dog"], "fox", "fox fox").label == "text 0"


def test_phrases_and_beginnings() -> None:
    """A phrase is marked as a whole; of a beginning the whole word is; parts of a name count."""
    assert marked(snippet(["quick fox"], "quick brown, quick fox")) == ["quick fox"]
    assert marked(snippet(["beg*"], "it begins to begin")) == ["begins", "begin"]
    assert marked(snippet(["count"], "getTokenCount")) == ["getTokenCount"]


def test_nothing_to_mark() -> None:
    """Where no text has a word there is no snippet."""
    assert build_snippet([Text("answer", "fox")], parse_terms(["dog"])) is None
    assert build_snippet([], parse_terms(["dog"])) is None
