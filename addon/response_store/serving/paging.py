"""Pages of a list: the part that a cursor and a limit select.

Where every name is different, a cursor means one place, and each page begins where the one before
has ended: so paging comes to an end, and no item comes twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from response_store.serving.parameters import parse_digits

_MAX = 2**64 - 1


class CursorError(ValueError):
    """A cursor means no place in a list. The message is the one that the client gets."""


def find_page_start(cursor: str | None, names: Sequence[str | None], limit: int) -> int:
    """Return the index at which the page begins in a list with these ids; it may be beyond the end.

    `cursor` is an id or, if it is none of them, the number of items to skip. Raises CursorError.
    """
    if cursor is None:
        return 0
    if cursor in names:
        return names.index(cursor) + 1
    if not (cursor.isascii() and cursor.isdigit()):
        raise CursorError("Invalid value for 'after': invalid input_items cursor.")
    number = parse_digits(cursor, _MAX - limit)
    if number is None:
        raise CursorError("Invalid value for 'after': invalid input_items cursor: offset overflow.")
    return number


def number_cursor(place: int, names: Collection[str | None]) -> str:
    """Return the cursor of an index, written so that it equals no id."""
    cursor = str(place)
    while cursor in names:
        cursor = f"0{cursor}"
    return cursor
