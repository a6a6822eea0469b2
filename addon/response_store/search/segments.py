"""Text cut into the words that are indexed, each with its place.

One segmentation for both databases. A word is a run of letters, digits and marks, without regard
to case and accents. Scripts that put no blanks between words (Chinese, Japanese, Korean, Thai and
the like) are cut into single characters, so that any part of a sentence is found as a phrase.
A word in camelCase is indexed whole, and by its parts beside (`split_camel_case`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
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
