"""Parsing of requests for stored responses.

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

from response_store.json_text import replace_unstorable
from response_store.serving.include import KNOWN
from response_store.serving.parameters import (
    Parameters,
    QueryError,
    parse_choice,
    parse_flag,
    parse_number,
    parse_query,
)
from response_store.serving.stored import Fields

PAGE = 20
MAX_ITEMS = 100
NO_IDS = frozenset({"compact", "input_tokens"})
_ITEMS = "/input_items"
_match_route = re.compile(rf"/responses/([^/]+)({_ITEMS})?\Z").search
# What every Azure path has; it changes nothing here.
_IGNORED = "api-version"
_OF_GET = {"stream", "starting_after", "include", "include_obfuscation", _IGNORED}
_OF_ITEMS = {"after", "limit", "order", "include", _IGNORED}
_MAX_EVENT_NUMBER = 2**53 - 1  # the largest number that every JSON reader keeps exactly
_MAX_LIMIT = 2**32 - 1


class Order(StrEnum):
    """The order of items: as they were given, or the last first."""

    ASCENDING = "asc"
    DESCENDING = "desc"


@dataclass(frozen=True, slots=True)
class GetResponse:
    """A request for a response, as JSON or as a stream of events."""

    id: str
    stream: bool = False
    starting_after: int | None = None
    include: tuple[str, ...] = ()
    obfuscation: bool = True

    @property
    def fields(self) -> Fields:
        """Return which fields of the stored response are needed."""
        return Fields.STREAM if self.stream else Fields.OBJECT


@dataclass(frozen=True, slots=True)
class GetInputItems:
    """A request for a page of input items. `after` is an item's id, or how many to skip."""

    id: str
    after: str | None = None
    limit: int = PAGE
    order: Order = Order.DESCENDING
    include: tuple[str, ...] = ()

    @property
    def fields(self) -> Fields:
        """Return which fields of the stored response are needed."""
        return Fields.INPUT


@dataclass(frozen=True, slots=True)
class DeleteResponse:
    """A request to delete a response."""

    id: str


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A request whose query breaks a rule. Nothing is looked up for it."""

    id: str
    reason: str


StoreRequest = GetResponse | GetInputItems | DeleteResponse | BadRequest


def parse_request(method: str, path: str) -> StoreRequest | None:
    """Return what a request asks of the store; None if it is not for us.

    `path` includes the query.
    """
    route, _, query = replace_unstorable(path).partition("?")
    match = None if "//" in route else _match_route(route.removesuffix("/"))
    if match is None:
        return None
    response_id, of_items = (
        replace_unstorable(unquote(match[1], errors="replace")),
        match[2] is not None,
    )
    if response_id in NO_IDS:
        return None
    try:
        if method == "GET":
            return (
                _parse_input_items(response_id, query)
                if of_items
                else _parse_get(response_id, query)
            )
    except QueryError as error:
        return BadRequest(response_id, str(error))
    return DeleteResponse(response_id) if method == "DELETE" and not of_items else None


def _parse_get(response_id: str, query: str) -> GetResponse:
    parameters = parse_query(query, _OF_GET)
    stream = parse_flag(parameters, "stream", default=False)
    starting_after = parse_number(parameters, "starting_after", _MAX_EVENT_NUMBER)
    if starting_after is not None and not stream:
        raise QueryError(
            "Invalid value for 'starting_after': only a stream goes on after an event, so"
            " 'stream' must be 'true'."
        )
    return GetResponse(
        response_id,
        stream,
        starting_after,
        _parse_include(parameters),
        parse_flag(parameters, "include_obfuscation", default=True),
    )


def _parse_input_items(response_id: str, query: str) -> GetInputItems:
    parameters = parse_query(query, _OF_ITEMS)
    after = parameters.last("after")
    if after is not None and not after.value:
        raise QueryError("Invalid value for 'after': cursor must not be empty.")
    limit = parse_number(parameters, "limit", _MAX_LIMIT)
    if limit is not None and not 1 <= limit <= MAX_ITEMS:
        raise QueryError(
            f"Invalid value for 'limit': must be between 1 and {MAX_ITEMS}, got {limit}."
        )
    return GetInputItems(
        response_id,
        after.value if after else None,
        PAGE if limit is None else limit,
        Order(parse_choice(parameters, "order", tuple(Order), default=Order.DESCENDING)),
        _parse_include(parameters),
    )


def _parse_include(parameters: Parameters) -> tuple[str, ...]:
    include = parameters.all("include")
    if not KNOWN.issuperset(include):
        raise QueryError(INCLUDE_UNSUPPORTED)
    return include


INCLUDE_UNSUPPORTED = "The 'include' parameter is not supported by the local response store."
