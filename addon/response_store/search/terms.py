"""What a user looks for, made of the words of a command line. Nothing there is an error.

Each argument is looked for as it stands: several words in one are a phrase, as the shell takes the
quotes away. Quotes that are left do the same within an argument. A word that ends in `*` stands for
all that begin so. An exchange is found that has all terms, wherever in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from response_store.search.parts import CAMEL_MARK, PHRASE
from response_store.search.segments import normalize, split_words

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
