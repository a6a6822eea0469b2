"""What a user looks for, made of the words of a command line. Nothing there is an error.

Each argument is looked for as it stands: several words in one are a phrase, as the shell takes the
quotes away. Quotes that are left do the same within an argument. A word that ends in `*` stands for
all that begin so. An exchange is found that has all terms, wherever in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from response_store.search.parts import HUMP, PHRASE
from response_store.search.segments import legible, words

MOST = 32
_QUOTED = re.compile(r'"([^"]*)"?')


class Term(NamedTuple):
    """Words that follow each other; where `begins`, the last is the beginning of one."""

    words: tuple[str, ...]
    begins: bool = False


def terms(arguments: Iterable[str]) -> list[Term]:
    """The terms, each once, at most `MOST`. None where there is not one letter or digit."""
    found = (term for argument in arguments for piece in _pieces(argument) for term in _of(piece))
    return [*dict.fromkeys(found)][:MOST]


def fts5(term: Term) -> str:
    """The term as SQLite's FTS5 reads it."""
    star = " *" if term.begins else ""
    phrase = f'"{" ".join(term.words)}"{star}'
    return phrase if len(term.words) > 1 else f'{phrase} OR "{HUMP}{term.words[0]}"{star}'


def tsquery(term: Term) -> str:
    """The term as PostgreSQL reads a tsquery."""
    star = ":*" if term.begins else ""
    phrase = " <-> ".join(f"'{word}'" for word in term.words) + star
    return phrase if len(term.words) > 1 else f"{phrase} | '{HUMP}{term.words[0]}'{star}"


def _pieces(argument: str) -> Iterator[str]:
    """The argument, or where it has quotes of its own: what they hold, and each word outside."""
    if '"' not in argument:
        yield argument
        return
    at = 0
    for quoted in _QUOTED.finditer(argument):
        yield from argument[at : quoted.start()].split()
        yield quoted[1]
        at = quoted.end()
    yield from argument[at:].split()


def _of(piece: str) -> Iterator[Term]:
    """The piece as a term; as several where it is longer than any phrase that is indexed."""
    shown = legible(piece)
    looked_for = words(shown)
    begins = shown.rstrip().endswith("*") and not shown.rstrip()[:-1].endswith((" ", "*"))
    for at in range(0, len(looked_for), PHRASE):
        last = at + PHRASE >= len(looked_for)
        yield Term(looked_for[at : at + PHRASE], begins and last)
