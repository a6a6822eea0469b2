"""Words put together into chunks, the units that the databases index.

Chunks are small, so that one takes a moment to write. PostgreSQL keeps 256 places of a word and
16,383 places altogether in one value: a chunk ends before either. Chunks overlap, so that no phrase
of `PHRASE` words is lost between two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from response_store.search.segments import normalize, split_camel_case, tokenize

PHRASE = 64
GAP = "\u00b6"  # stands between texts: no phrase goes across, and no text has it as a word
CAMEL_MARK = "\u00ac"  # begins a word that is part of one in camelCase; no text has it either
MAX_WORDS = 4_096
MAX_PLACES = 250
_YIELD_INTERVAL = 512  # words
_PIECE_SIZE = 1 << 15  # characters that are normalized at once


class Chunk(NamedTuple):
    """Words in their order, with gaps, and the parts of those in camelCase beside them."""

    words: tuple[str, ...]
    camel_parts: tuple[str, ...]


def build_chunks(
    texts: Iterable[str], yield_if_due: Callable[[], None] = lambda: None
) -> Iterator[Chunk]:
    """Yield the chunks of some texts; `yield_if_due` is called every few hundred words."""
    builder = _ChunkBuilder()
    for piece, ends in _split_pieces(texts):
        yield_if_due()
        shown = normalize(piece)
        for number, (word, start, end) in enumerate(tokenize(shown)):
            if number % _YIELD_INTERVAL == 0:
                yield_if_due()
            if builder.is_full(word):
                yield builder.chunk()
                builder = _ChunkBuilder(builder.words[-PHRASE:])
            builder.add(word, shown[start:end])
        if ends:
            builder.end_text()
    if builder.has_more:
        yield builder.chunk()


def _split_pieces(texts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield each text in pieces that take a moment, cut at blanks, and whether it ends with one."""
    for text in texts:
        start = 0
        while len(text) - start > _PIECE_SIZE:
            end = max(text.rfind(blank, start + 1, start + _PIECE_SIZE) for blank in " \n")
            end = end if end > start else start + _PIECE_SIZE
            yield text[start:end], False
            start = end
        yield text[start:], True


class _ChunkBuilder:
    def __init__(self, before: Iterable[str] = ()) -> None:
        self.words = list(before)
        self.has_more = False
        self._places = Counter(self.words)
        self._camel_parts: set[str] = set()

    def is_full(self, word: str) -> bool:
        return len(self.words) >= MAX_WORDS or self._places[word] >= MAX_PLACES

    def add(self, word: str, written: str) -> None:
        self.words.append(word)
        self._places[word] += 1
        self._camel_parts.update(split_camel_case(written))
        self.has_more = True

    def end_text(self) -> None:
        if self.words and self.words[-1] != GAP:
            self.words.append(GAP)

    def chunk(self) -> Chunk:
        return Chunk(tuple(self.words), tuple(sorted(self._camel_parts)))
