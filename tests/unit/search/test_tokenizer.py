"""How text is cut into words, and what a user looks for."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.search.snippets import find_matches
from response_store.search.tokenizer import (
    GAP,
    MAX_PLACES,
    MAX_TERMS,
    MAX_WORDS,
    PHRASE,
    Chunk,
    Term,
    build_chunks,
    format_fts5,
    format_tsquery,
    normalize,
    parse_terms,
    split_camel_case,
    split_words,
    tokenize,
)

# Words of many scripts, code, accents in one and in two characters, and what no database likes.
TEXTS = st.text(
    st.sampled_from("aZ09_ .-(\n\"'*é\u0301ßİ今天のガｶﾞ한ไทยй\u200dहिन्दी\x00\ud800½㍿¬¶🙂"),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Foo.bar(baz_qux)", ("foo", "bar", "baz", "qux")),
        ("--no-verify -v2", ("no", "verify", "v2")),
        ("Résumé Straße İstanbul", ("resume", "strasse", "istanbul")),
        ("Re\u0301sume\u0301", ("resume",)),
        ("今天Python好", ("今", "天", "python", "好")),
        ("한국어 ไทย", ("한", "국", "어", "ไ", "ท", "ย")),
        ("\uff21\uff22\uff23 \uff11\uff12 \u24d0", ("abc", "12")),
        ("\x00a\ud800b🙂", ("a", "b")),
        ("हिन्दी", ("हिन्दी",)),
        ("x" * 500, ("x" * 128,)),
    ],
)
def test_words(text: str, found: tuple[str, ...]) -> None:
    """Words go by letters, digits and marks; scripts without blanks by characters."""
    assert split_words(normalize(text)) == found


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("getUserName", ("get", "user", "name", "username")),
        ("HTTPServer2", ("http", "server2")),
        ("parseJSON", ("parse", "json")),
        ("lower", ()),
        ("Upper", ()),
        ("CONSTANT", ()),
        ("a" * 70 + "B", ()),
    ],
)
def test_camel_case(word: str, found: tuple[str, ...]) -> None:
    """A word in camelCase has parts, any other has none."""
    assert split_camel_case(word) == found


def test_files_are_no_text() -> None:
    """Base64 is left out, in one line or in many; hashes and paths stay."""
    data = base64.b64encode(random.Random(1).randbytes(300)).decode()
    lines = "\n".join(data[at : at + 76] for at in range(0, len(data), 76))
    for text in (f"a data:image/png;base64,{data} b", f"a {data} b", f"a\n{lines}\nb"):
        assert split_words(normalize(text)) == ("a", "b")
    kept = "0123456789abcdef" * 20 + " " + "/usr/lib" * 30
    assert normalize(kept) == kept


@given(TEXTS, st.data())
def test_whatever_stands_in_a_text_is_found_in_it(text: str, data: st.DataObject) -> None:
    """Each stretch of words is cut in the same way by itself, so it is found as a phrase."""
    shown = normalize(text)
    cut = list(tokenize(shown))
    if not cut:
        assert parse_terms([text]) == []
        return
    first = data.draw(st.integers(0, len(cut) - 1))
    last = data.draw(st.integers(first, min(len(cut) - 1, first + PHRASE // 2)))
    # Some characters stand for several words: they are cut out whole.
    first = min(at for at, segment in enumerate(cut) if segment.start == cut[first].start)
    last = max(at for at, segment in enumerate(cut) if segment.end == cut[last].end)
    piece = shown[cut[first].start : cut[last].end]
    found = parse_terms([piece.replace('"', " ")])
    phrase = tuple(segment.word for segment in cut[first : last + 1])
    assert [term.words for term in found] == [phrase]
    assert any(match.start == cut[first].start for match in find_matches(shown, found))
    (chunk,) = build_chunks([text])
    assert phrase in {chunk.words[at : at + len(phrase)] for at in range(len(chunk.words))}


@given(st.lists(TEXTS, max_size=4))
def test_nothing_that_is_asked_is_an_error(arguments: list[str]) -> None:
    """Terms hold words alone: nothing in them has a meaning for a database."""
    for term in parse_terms(arguments):
        for word in term.words:
            assert word
            assert not set(word) & set("\"'\\*|&!:<>() \x00¬¶")
            assert word.encode()


def test_terms() -> None:
    """Arguments are phrases, quotes make some within one, a star stands for any end."""
    assert parse_terms(["foo bar", "Baz*", 'a "b c" d', 'open "end', "foo bar"]) == [
        Term(("foo", "bar")),
        Term(("baz",), begins=True),
        Term(("a",)),
        Term(("b", "c")),
        Term(("d",)),
        Term(("open",)),
        Term(("end",)),
    ]
    assert parse_terms(["*", '""', "...", ""]) == []
    assert parse_terms(["a *"]) == [Term(("a",))]
    assert [len(term.words) for term in parse_terms(["天" * 100])] == [PHRASE, 100 - PHRASE]
    assert len(parse_terms([f"w{number}" for number in range(100)])) == MAX_TERMS


def test_spelling() -> None:
    """One word may be a part of camelCase as well, a phrase has none."""
    assert format_fts5(Term(("user",))) == '"user" OR "¬user"'
    assert format_fts5(Term(("a", "b"), begins=True)) == '"a b" *'
    assert format_tsquery(Term(("user",), begins=True)) == "'user':* | '¬user':*"
    assert format_tsquery(Term(("a", "b"))) == "'a' <-> 'b'"


@pytest.mark.parametrize(
    "text",
    [" ".join(f"w{number}" for number in range(10_000)), "的 " * 1_000, "a " * 700 + "b " * 700],
)
def test_parts(text: str) -> None:
    """No chunk has more places than PostgreSQL keeps, and no phrase is lost between two."""
    made = list(build_chunks([text]))
    assert len(made) > 1
    for chunk in made:
        assert len(chunk.words) <= MAX_WORDS + 1
        assert max(chunk.words.count(word) for word in {*chunk.words}) <= MAX_PLACES
    whole = split_words(text)
    there = {chunk.words[at : at + PHRASE] for chunk in made for at in range(len(chunk.words))}
    assert all(whole[at : at + PHRASE] in there for at in range(len(whole) - PHRASE))


def test_texts_are_apart() -> None:
    """No phrase goes from one text to the next."""
    assert list(build_chunks(["a fooBar", "", "b"])) == [
        Chunk(("a", "foobar", GAP, "b", GAP), ("bar", "foo"))
    ]
