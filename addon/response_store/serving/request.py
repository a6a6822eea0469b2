"""Which requests ask for something that is stored, and what of it.

Paths are known by their end, as capture knows them; one slash behind is passed over. Whatever else
comes is none of ours.

Source of the rules for the query: the API reference, "Retrieve a model response" and "List input
items".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from response_store.json_text import storable
from response_store.serving.include import KNOWN
from response_store.serving.parameters import (
    Parameters,
    QueryError,
    flag,
    one_of,
    parameters,
    whole_number,
)
from response_store.serving.stored import Wanted

PAGE = 20
MOST_ITEMS = 100
NO_IDS = frozenset({"compact", "input_tokens"})
_ITEMS = "/input_items"
_stored = re.compile(rf"/responses/([^/]+)({_ITEMS})?\Z").search
# What every Azure path has; it changes nothing here.
_PASSED_OVER = "api-version"
_OF_GET = {"stream", "starting_after", "include", "include_obfuscation", _PASSED_OVER}
_OF_ITEMS = {"after", "limit", "order", "include", _PASSED_OVER}
_MOST_EVENTS = 2**53 - 1  # the largest number that every JSON reader keeps exactly
_MOST_LIMIT = 2**32 - 1


class Order(StrEnum):
    """The order of items: as they were given, or the last first."""

    ASCENDING = "asc"
    DESCENDING = "desc"


@dataclass(frozen=True, slots=True)
class Get:
    """A response, as JSON or as the events that it came in."""

    id: str
    stream: bool = False
    starting_after: int | None = None
    include: tuple[str, ...] = ()
    obfuscation: bool = True

    @property
    def wanted(self) -> Wanted:
        """Return which fields of the stored response are needed."""
        return Wanted.STREAM if self.stream else Wanted.OBJECT


@dataclass(frozen=True, slots=True)
class InputItems:
    """A page of what a response was asked with. `after` is an item's id, or how many to pass."""

    id: str
    after: str | None = None
    limit: int = PAGE
    order: Order = Order.DESCENDING
    include: tuple[str, ...] = ()

    @property
    def wanted(self) -> Wanted:
        """Return which fields of the stored response are needed."""
        return Wanted.INPUT


@dataclass(frozen=True, slots=True)
class Delete:
    """A response is to go."""

    id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A request whose query breaks a rule. Nothing is looked up for it."""

    id: str
    reason: str


Asked = Get | InputItems | Delete | Refused


def asked(method: str, path: str) -> Asked | None:
    """Return what a request asks of the store; None if it is not for us.

    `path` includes the query.
    """
    route, _, query = storable(path).partition("?")
    found = None if "//" in route else _stored(route.removesuffix("/"))
    if found is None:
        return None
    response_id, of_items = storable(unquote(found[1], errors="replace")), found[2] is not None
    if response_id in NO_IDS:
        return None
    try:
        if method == "GET":
            return _items(response_id, query) if of_items else _get(response_id, query)
    except QueryError as error:
        return Refused(response_id, str(error))
    return Delete(response_id) if method == "DELETE" and not of_items else None


def _get(response_id: str, query: str) -> Get:
    given = parameters(query, _OF_GET)
    stream = flag(given, "stream", default=False)
    starting_after = whole_number(given, "starting_after", _MOST_EVENTS)
    if starting_after is not None and not stream:
        raise QueryError(
            "Invalid value for 'starting_after': only a stream goes on after an event, so"
            " 'stream' must be 'true'."
        )
    return Get(
        response_id,
        stream,
        starting_after,
        _include(given),
        flag(given, "include_obfuscation", default=True),
    )


def _items(response_id: str, query: str) -> InputItems:
    given = parameters(query, _OF_ITEMS)
    after = given.last("after")
    if after is not None and not after.value:
        raise QueryError("Invalid value for 'after': cursor must not be empty.")
    limit = whole_number(given, "limit", _MOST_LIMIT)
    if limit is not None and not 1 <= limit <= MOST_ITEMS:
        raise QueryError(
            f"Invalid value for 'limit': must be between 1 and {MOST_ITEMS}, got {limit}."
        )
    return InputItems(
        response_id,
        after.value if after else None,
        PAGE if limit is None else limit,
        Order(one_of(given, "order", tuple(Order), default=Order.DESCENDING)),
        _include(given),
    )


def _include(given: Parameters) -> tuple[str, ...]:
    include = given.all("include")
    if not KNOWN.issuperset(include):
        raise QueryError(INCLUDE_UNSUPPORTED)
    return include


INCLUDE_UNSUPPORTED = "The 'include' parameter is not supported by the local response store."
