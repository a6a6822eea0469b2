"""Cut the piece of the original text around the words that match."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from response_store.search.texts import Text
from response_store.search.tokenizer import Term, Token, normalize, split_camel_case, tokenize

BEFORE = 60  # characters before the first match
LENGTH = 200
_MAX_MATCHES = 200
_MORE = "\u2026"
_BLANKS = re.compile(r"\s+")
_BLANK = re.compile(r"\s")
_NEAR = 20  # characters in which an end between two words is looked for


class Match(NamedTuple):
    """A place in a text, and the number of the term that is there."""

    start: int
    end: int
    term: int


class Fragment(NamedTuple):
    """A part of a snippet, as one line; `is_match` where it is what was searched for."""

    text: str
    is_match: bool


class Snippet(NamedTuple):
    """Who says it, and the text around the words that were found."""

    label: str
    fragments: tuple[Fragment, ...]

    @property
    def text(self) -> str:
        """Return the snippet without marks."""
        return "".join(fragment.text for fragment in self.fragments)

    @property
    def marks(self) -> list[tuple[int, int]]:
        """Return where in the text the matches begin and end, in characters."""
        places, at = [], 0
        for text, is_match in self.fragments:
            if is_match:
                places.append((at, at + len(text)))
            at += len(text)
        return places


def build_snippet(texts: Iterable[Text], terms: Sequence[Term]) -> Snippet | None:
    """Return the piece with the most terms close together, of several such the first; None without
    any.
    """
    best: tuple[int, str, str, list[Match]] | None = None
    for label, written in texts:
        text = normalize(written)
        for group in _group_matches(list(islice(find_matches(text, terms), _MAX_MATCHES))):
            kinds = len({match.term for match in group})
            if best is None or kinds > best[0]:
                best = (kinds, label, text, group)
        if best is not None and best[0] == len(terms):
            break
    return Snippet(best[1], tuple(_cut_fragments(best[2], best[3]))) if best else None


def find_matches(text: str, terms: Sequence[Term]) -> Iterator[Match]:
    """Yield the places of terms in a normalized text."""
    max_words = max((len(term.words) for term in terms), default=0)
    window: list[Token] = []
    for segment in tokenize(text):
        window.append(segment)
        if len(window) > max_words:
            window.pop(0)
        for number, term in enumerate(terms):
            if (start := _find_term_start(window, term, text)) is not None:
                yield Match(start, segment.end, number)


def _find_term_start(window: Sequence[Token], term: Term, text: str) -> int | None:
    """Return where a term begins that ends with the last word of the window; None where none
    ends.
    """
    *before, last = term.words
    segment = window[-1]
    if not _matches_word(segment.word, last, term.begins):
        camel_parts = () if before else split_camel_case(text[segment.start : segment.end])
        if not any(_matches_word(camel_part, last, term.begins) for camel_part in camel_parts):
            return None
    if len(window) <= len(before):
        return None
    first = len(window) - 1 - len(before)
    if any(window[first + at].word != word for at, word in enumerate(before)):
        return None
    return window[first].start


def _matches_word(word: str, looked_for: str, begins: bool) -> bool:
    return word.startswith(looked_for) if begins else word == looked_for


def _group_matches(matches: Sequence[Match]) -> Iterator[list[Match]]:
    """Yield for each match: it and those that fit into one snippet with it."""
    for at, first in enumerate(matches):
        end = first.start + LENGTH - BEFORE
        yield [match for match in matches[at:] if match.end <= end] or [first]


def _cut_fragments(text: str, matches: Sequence[Match]) -> Iterator[Fragment]:
    """Yield the fragments around some matches, blanks made one, with dots where text goes on."""
    start = _find_word_start(text, max(0, min(match.start for match in matches) - BEFORE))
    at, end = start, _find_word_end(text, max(start + LENGTH, matches[0].end))
    if start > 0:
        yield Fragment(_MORE, False)
    for match in sorted(matches):
        if match.start < at:
            continue
        yield from _build_fragment(text[at : match.start], False)
        yield from _build_fragment(text[match.start : match.end], True)
        at = match.end
    yield from _build_fragment(text[at:end], False)
    if end < len(text):
        yield Fragment(_MORE, False)


def _build_fragment(text: str, is_match: bool) -> Iterator[Fragment]:
    if text:
        yield Fragment(_BLANKS.sub(" ", text), is_match)


def _find_word_start(text: str, at: int) -> int:
    """Return the beginning of a word near a place, or the place itself."""
    if at == 0:
        return 0
    blank = _BLANK.search(text, at - 1, at + _NEAR)
    return blank.end() if blank else at


def _find_word_end(text: str, at: int) -> int:
    if at >= len(text):
        return len(text)
    blanks = [blank.start() for blank in _BLANK.finditer(text, at - _NEAR, at + 1)]
    return blanks[-1] if blanks else at
