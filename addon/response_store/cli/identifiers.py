"""Say which exchange a command is about: by an id, the beginning of one, or by its place.

Without an id it is the newest exchange. `-2` is the one before the newest, `-1` the newest. For
click these are options that nobody has: they are marked before it looks at the arguments, with a
character that no argument can have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from response_store.errors import StoreError

if TYPE_CHECKING:
    from response_store.queries.exchanges import Query
    from response_store.queries.lookup import LookupResult

MAX_PLACE = 1_000
"""How far back an exchange may be named by its place."""
NEWEST = "\x001"
_MARK = "\0"
_PLACE = re.compile(r"-[1-9][0-9]*")
_CUT = "\u2026"  # where a table has cut an id short


class PlaceCommand(click.Command):
    """A command whose arguments may be places, as `-2` is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, places among them."""
        try:
            return super().parse_args(ctx, [_mark_place(arg) for arg in args])
        except click.UsageError as error:
            error.message = error.message.replace(_MARK, "-")  # type: ignore[misc]
            raise


def _mark_place(argument: str) -> str:
    return f"{_MARK}{argument[1:]}" if _PLACE.fullmatch(argument) else argument


def resolve_identifier(query: Query, tenant: str, identifier: str) -> str:
    """Return the id that an argument means, a place looked up. Raises StoreError."""
    if not identifier.startswith(_MARK):
        return identifier.removesuffix(_CUT)
    place = int(identifier[1:])
    if place > MAX_PLACE:
        raise StoreError(
            f"-{place} is too far back: the last {MAX_PLACE:,} exchanges have places. List others"
            " with: response-store list --until TIME"
        )
    exchanges = query.recent(tenant, limit=place).exchanges
    if not exchanges:
        raise StoreError(
            f"No exchange of tenant {tenant!r} yet. Capture some with: response-store run --"
            " COMMAND"
        )
    if len(exchanges) < place:
        count = "is 1 exchange" if len(exchanges) == 1 else f"are {len(exchanges)} exchanges"
        raise StoreError(f"-{place} is too far back: there {count} of tenant {tenant!r}.")
    return exchanges[-1].exchange_id


def find_entry(query: Query, tenant: str, identifier: str) -> LookupResult:
    """Return what an argument means: an exchange, a response, mostly both. Raises StoreError."""
    return query.find(tenant, resolve_identifier(query, tenant, identifier))
