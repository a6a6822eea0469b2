"""Cut text into the words that are indexed, each with its place, and into the parts of an entry.

One segmentation for both databases. A word is a run of letters, digits and marks, without regard
to case and accents. Scripts that put no blanks between words (Chinese, Japanese, Korean, Thai and
the like) are cut into single characters, so that any part of a sentence is found as a phrase.
A word in camelCase is indexed whole, and by its parts beside (`split_camel_case`).

Chunks are small, so that one takes a moment to write. PostgreSQL keeps 256 places of a word and
16,383 places altogether in one value: a chunk ends before either. Chunks overlap, so that no phrase
of `PHRASE` words is lost between two of them.

Each argument is looked for as it stands: several words in one are a phrase, as the shell takes the
quotes away. Quotes that are left do the same within an argument. A word that ends in `*` stands for
all that begin so. An exchange is found that has all terms, wherever in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

MAX_WORD_LENGTH = 128  # characters of a word that count

# Thai and Lao, Myanmar, Hangul, Khmer, CJK and kana, wide and narrow forms, the CJK planes.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029"
    "\u3031-\u3035\u303b\u303c\u3041-\u312f\u3131-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3200-\u4dbf"
    "\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
)
_MARKS = "".join(
    char for char in map(chr, range(0x300, 0x2000)) if unicodedata.category(char) in ("Mn", "Mc")
)
_RUN = re.compile(rf"(?:[^\W_]|[{_MARKS}])+")
_CUT = re.compile(rf"[{_ALONE}]|[^{_ALONE}]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_CAMEL_PART = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*")
_MAX_CAMEL_PARTS = 8
_MAX_CAMEL_LENGTH = 64

# Images, files and encrypted content: not text, though it looks like one.
_BASE64 = re.compile(
    r"(?:data:[\w.+/-]{1,80};base64,)?[A-Za-z0-9+/_-]{200,}={0,2}"
    r"|(?:[A-Za-z0-9+/]{60,}\r?\n){3,}[A-Za-z0-9+/]*={0,2}"
)
_MIXED = (re.compile("[A-Z]"), re.compile("[a-z]"), re.compile("[0-9]"))


class Token(NamedTuple):
    """A word as it is indexed, and the place of the text that it was made of."""

    word: str
    start: int
    end: int


def normalize(text: str) -> str:
    """Return the text that is cut and shown: characters composed, base64 left out."""
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return _BASE64.sub(_drop_base64, text)


def tokenize(text: str) -> Iterator[Token]:
    """Yield the words of a normalized text, in order."""
    for run in _RUN.finditer(text):
        run_text, start = run[0], run.start()
        if run_text.isascii():
            yield Token(run_text[:MAX_WORD_LENGTH].lower(), start, run.end())
            continue
        for piece in _CUT.finditer(run_text):
            for word in _fold_word(piece[0]):
                yield Token(word, start + piece.start(), start + piece.end())


def split_words(text: str) -> tuple[str, ...]:
    """Return the words of a normalized text, without their places."""
    return tuple(segment.word for segment in tokenize(text))


def split_camel_case(text: str) -> tuple[str, ...]:
    """Return the parts of a word in camelCase, and its ends from each of them; else nothing.

    `getUserName` has `get`, `user`, `name` and `username`.
    """
    if not text.isascii() or text.islower() or len(text) > _MAX_CAMEL_LENGTH:
        return ()
    camel_parts = _CAMEL_PART.findall(text)
    if not 1 < len(camel_parts) <= _MAX_CAMEL_PARTS:
        return ()
    ends = ("".join(camel_parts[at:]) for at in range(1, len(camel_parts) - 1))
    return tuple(camel_part.lower() for camel_part in (*camel_parts, *ends) if len(camel_part) > 1)


@lru_cache(maxsize=16_384)
def _fold_word(piece: str) -> tuple[str, ...]:
    """Return a piece without case and accents: mostly one word, sometimes several or none."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", piece.casefold()))
    plain = unicodedata.normalize("NFC", plain.casefold())
    return tuple(cut[:MAX_WORD_LENGTH] for run in _RUN.findall(plain) for cut in _CUT.findall(run))


def _drop_base64(match: re.Match[str]) -> str:
    return " " if all(kind.search(match[0]) for kind in _MIXED) else match[0]


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


MAX_TERMS = 32
_QUOTED = re.compile(r'"([^"]*)"?')


class Term(NamedTuple):
    """Words that follow each other; where `begins`, the last is the beginning of one."""

    words: tuple[str, ...]
    begins: bool = False


def parse_terms(arguments: Iterable[str]) -> list[Term]:
    """Return the terms, each once, at most `MAX_TERMS`; none where there is no letter or digit."""
    terms = (
        term
        for argument in arguments
        for piece in _split_quotes(argument)
        for term in _split_terms(piece)
    )
    return [*dict.fromkeys(terms)][:MAX_TERMS]


def format_fts5(term: Term) -> str:
    """Return the term in the syntax of SQLite's FTS5."""
    star = " *" if term.begins else ""
    phrase = f'"{" ".join(term.words)}"{star}'
    return phrase if len(term.words) > 1 else f'{phrase} OR "{CAMEL_MARK}{term.words[0]}"{star}'


def format_tsquery(term: Term) -> str:
    """Return the term in the syntax of PostgreSQL's tsquery."""
    star = ":*" if term.begins else ""
    phrase = " <-> ".join(f"'{word}'" for word in term.words) + star
    return phrase if len(term.words) > 1 else f"{phrase} | '{CAMEL_MARK}{term.words[0]}'{star}"


def _split_quotes(argument: str) -> Iterator[str]:
    """Yield the argument, or where it has quotes of its own: what they hold, and each word
    outside.
    """
    if '"' not in argument:
        yield argument
        return
    at = 0
    for quoted in _QUOTED.finditer(argument):
        yield from argument[at : quoted.start()].split()
        yield quoted[1]
        at = quoted.end()
    yield from argument[at:].split()


def _split_terms(piece: str) -> Iterator[Term]:
    """Yield the piece as a term; as several where it is longer than any phrase that is indexed."""
    shown = normalize(piece)
    looked_for = split_words(shown)
    begins = shown.rstrip().endswith("*") and not shown.rstrip()[:-1].endswith((" ", "*"))
    for at in range(0, len(looked_for), PHRASE):
        last = at + PHRASE >= len(looked_for)
        yield Term(looked_for[at : at + PHRASE], begins and last)
