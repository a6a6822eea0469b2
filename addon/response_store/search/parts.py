"""Words put together into parts, the units that the databases index.

Parts are small, so that one takes a moment to write. PostgreSQL keeps 256 places of a word and
16,383 places altogether in one value: a part ends before either. Parts overlap, so that no phrase
of `PHRASE` words is lost between two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from response_store.search.segments import humps, legible, segments

PHRASE = 64
GAP = "\u00b6"  # stands between texts: no phrase goes across, and no text has it as a word
HUMP = "\u00ac"  # begins a word that is part of one in camelCase; no text has it either
MOST_WORDS = 4_096
MOST_PLACES = 250
_BREATH = 512  # words
_PIECE = 1 << 15  # characters that are made legible at once


class Part(NamedTuple):
    """Words in their order, with gaps, and the humps beside them."""

    words: tuple[str, ...]
    humps: tuple[str, ...]


def parts(texts: Iterable[str], breathe: Callable[[], None] = lambda: None) -> Iterator[Part]:
    """The parts of some texts; `breathe` is called now and then, as the work is all Python."""
    gathering = _Gathering()
    for piece, ends in _pieces(texts):
        breathe()
        shown = legible(piece)
        for number, (word, start, end) in enumerate(segments(shown)):
            if number % _BREATH == 0:
                breathe()
            if gathering.is_full(word):
                yield gathering.part()
                gathering = _Gathering(gathering.words[-PHRASE:])
            gathering.add(word, shown[start:end])
        if ends:
            gathering.end_text()
    if gathering.has_more:
        yield gathering.part()


def _pieces(texts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield each text in pieces that take a moment, cut at blanks, and whether it ends with one."""
    for text in texts:
        start = 0
        while len(text) - start > _PIECE:
            end = max(text.rfind(blank, start + 1, start + _PIECE) for blank in " \n")
            end = end if end > start else start + _PIECE
            yield text[start:end], False
            start = end
        yield text[start:], True


class _Gathering:
    def __init__(self, before: Iterable[str] = ()) -> None:
        self.words = list(before)
        self.has_more = False
        self._places = Counter(self.words)
        self._humps: set[str] = set()

    def is_full(self, word: str) -> bool:
        return len(self.words) >= MOST_WORDS or self._places[word] >= MOST_PLACES

    def add(self, word: str, written: str) -> None:
        self.words.append(word)
        self._places[word] += 1
        self._humps.update(humps(written))
        self.has_more = True

    def end_text(self) -> None:
        if self.words and self.words[-1] != GAP:
            self.words.append(GAP)

    def part(self) -> Part:
        return Part(tuple(self.words), tuple(sorted(self._humps)))
