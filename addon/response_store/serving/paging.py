"""Pages of a list: which part of it a cursor and a limit mean.

Where every name is different, a cursor means one place, and each page begins where the one before
has ended: so paging comes to an end, and no item comes twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from response_store.serving.parameters import digits

_MOST = 2**64 - 1


class CursorError(ValueError):
    """A cursor means no place in a list. The message is the one that the client gets."""


def place_after(cursor: str | None, names: Sequence[str | None], limit: int) -> int:
    """Where the page begins, in a list of items with these names; may lie beyond its end.

    A name wins over a number, which is how many items to pass over. Raises CursorError.
    """
    if cursor is None:
        return 0
    if cursor in names:
        return names.index(cursor) + 1
    if not (cursor.isascii() and cursor.isdigit()):
        raise CursorError("Invalid value for 'after': invalid input_items cursor.")
    number = digits(cursor, _MOST - limit)
    if number is None:
        raise CursorError("Invalid value for 'after': invalid input_items cursor: offset overflow.")
    return number


def number_cursor(place: int, names: Collection[str | None]) -> str:
    """The cursor of a place by its number, written so that it is nobody's name."""
    cursor = str(place)
    while cursor in names:
        cursor = f"0{cursor}"
    return cursor
