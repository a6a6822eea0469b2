"""Tell which requests ask for something that is stored, and what of it.

The last one of a name counts, but each is checked. Values are decoded as forms are: `+` is a blank.

What is stored is what the client got when it created the response. Where that holds what is asked
for, or nothing that it could be asked of, `include` is met; otherwise only the API can tell.

Source: the API reference, "Create a model response", `include`.

Paths are known by their end, as capture knows them; one slash behind is passed over. Whatever else
comes is none of ours.

Source of the rules for the query: the API reference, "Retrieve a model response" and "List input
items".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from response_store import jsontext
from response_store.jsontext import replace_unstorable
from response_store.openai_api.event_synthesis import (
    Members,
    get_array,
    get_object,
    get_text,
    is_present,
    read_members,
)

# Clients write a list as `include=`, `include[]=` or `include[0]=`.
_list_name = re.compile(r"include\[\d*\]").fullmatch
_LISTS = "include"
# A place in a list: what is no UTF-8 names no item, but needs no error of its own.
_LENIENT = "after"


class QueryError(ValueError):
    """A query breaks a rule. The message is the one that the client gets."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter; `raw` is its value as it came."""

    name: str
    value: str
    raw: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one query, in order."""

    occurrences: tuple[Parameter, ...]

    def named(self, name: str) -> Sequence[Parameter]:
        """Return every occurrence of a parameter."""
        return [parameter for parameter in self.occurrences if parameter.name == name]

    def last(self, name: str) -> Parameter | None:
        """Return the last occurrence of a parameter, which is the one that counts."""
        return next(reversed(self.named(name)), None)

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter."""
        return tuple(parameter.value for parameter in self.named(name))


def parse_query(query: str, known: Collection[str]) -> Parameters:
    """Read a query of which only these names are known. Raises QueryError."""
    return Parameters(tuple(_parse_parameter(pair, known) for pair in query.split("&") if pair))


def parse_flag(parameters: Parameters, name: str, *, default: bool) -> bool:
    """Return a parameter that is true or false. Raises QueryError."""
    return parse_choice(parameters, name, ("true", "false"), default=str(default).lower()) == "true"


def parse_choice(parameters: Parameters, name: str, values: Sequence[str], *, default: str) -> str:
    """Return a parameter that is one of two values. Raises QueryError."""
    for parameter in parameters.named(name):
        if parameter.value not in values:
            raise QueryError(
                f"Invalid value for '{name}': must be '{values[0]}' or '{values[1]}',"
                f" got '{parameter.value}'."
            )
        default = parameter.value
    return default


def parse_number(parameters: Parameters, name: str, maximum: int) -> int | None:
    """Return a parameter that is a number in digits, at most `maximum`. Raises QueryError."""
    number = None
    for parameter in parameters.named(name):
        number = parse_digits(parameter.value, maximum)
        if number is None:
            raise QueryError(
                f"Invalid value for '{name}': '{parameter.raw}' is not a valid integer."
            )
    return number


def parse_digits(text: str, maximum: int) -> int | None:
    """Return the number in ASCII digits; None for anything else and for more than `maximum`."""
    if not (text.isascii() and text.isdigit()):
        return None
    significant = text.lstrip("0")
    if len(significant) > len(str(maximum)):  # Python refuses to read thousands of digits
        return None
    number = int(significant or "0")
    return number if number <= maximum else None


def _parse_parameter(pair: str, known: Collection[str]) -> Parameter:
    raw_name, equals, raw = pair.partition("=")
    try:
        name = _decode(raw_name)
    except UnicodeDecodeError:
        raise QueryError(f"Invalid percent-encoding in query parameter key '{raw_name}'.") from None
    if _list_name(name):
        name = _LISTS
    if name not in known:
        raise QueryError(f"Unknown query parameter: '{name}'.")
    if not equals:
        raise QueryError(f"Missing value for query parameter '{name}'.")
    try:
        return Parameter(name, _decode(raw, "replace" if name == _LENIENT else "strict"), raw)
    except UnicodeDecodeError:
        raise QueryError(f"Invalid percent-encoding in value for '{name}'.") from None


def _decode(text: str, errors: str = "strict") -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode(errors=errors)


class Fields(StrEnum):
    """Which fields of a stored response are needed. The others are not read: they are large."""

    PRESENCE = "presence"  # only whether it is there
    OBJECT = "object"
    INPUT = "input"
    STREAM = "stream"  # the object, and the recorded stream where there is one


class ServedResponse(msgspec.Struct, frozen=True):
    """The fields of a stored response that were asked for.

    `response_object` and `input` are JSON text. `recorded` is the answer as it came, a zstd frame:
    `raw_response` of the oldest exchange of this tenant that names the response, came as events
    and ended with a terminal event (later ones may be tails of it). None where none was kept.
    `accumulated` is what `openai_api.items` knows of the output as it streamed.
    """

    response_object: str = ""
    input: str = ""
    recorded: bytes | None = None
    accumulated: str | None = None


class ResponseLookup(Protocol):
    """Where stored responses are looked up. Ids compare exactly, one tenant's at a time.

    `find` raises TransientStoreError where the store is out of reach, and another StoreError where
    a row can't be read. It may block: call it from a thread that may.
    """

    def find(self, tenant: str, response_id: str, fields: Fields) -> ServedResponse | None:
        """Return a response, with every write that was acknowledged; None where there is none."""


def includes(items: Iterable[jsontext.Text], include: tuple[str, ...]) -> bool:
    """Return whether these items hold everything that `include` asks for."""
    if not include:
        return True
    seen = [read_members(item) for item in items]
    return not any(_LACKS[name](item) for name in include for item in seen)


def _lacks(kind: str, name: str) -> Callable[[Members], bool]:
    return lambda item: get_text(item, "type") == kind and not is_present(item, name)


def _lacks_screenshot(item: Members) -> bool:
    is_screenshot = get_text(item, "type") == "computer_call_output"
    return is_screenshot and not is_present(get_object(item, "output"), "image_url")


def _lacks_sources(item: Members) -> bool:
    action = get_object(item, "action")
    searched = get_text(item, "type") == "web_search_call" and get_text(action, "type") == "search"
    return searched and not is_present(action, "sources")


def _lacks_image(item: Members) -> bool:
    return any(not is_present(part, "image_url") for part in _list_parts(item, "input_image"))


def _lacks_logprobs(item: Members) -> bool:
    """Return whether an output text has no log probabilities; without a
    request for them the list is empty.
    """
    texts = [part for part in _list_parts(item, "output_text") if get_text(part, "text")]
    return any(not get_array(part, "logprobs") for part in texts)


def _list_parts(item: Members, kind: str) -> list[Members]:
    parts = map(read_members, get_array(item, "content"))
    return [part for part in parts if get_text(part, "type") == kind]


_LACKS: dict[str, Callable[[Members], bool]] = {
    "code_interpreter_call.outputs": _lacks("code_interpreter_call", "outputs"),
    "computer_call_output.output.image_url": _lacks_screenshot,
    "file_search_call.results": _lacks("file_search_call", "results"),
    "message.input_image.image_url": _lacks_image,
    "message.output_text.logprobs": _lacks_logprobs,
    "reasoning.encrypted_content": _lacks("reasoning", "encrypted_content"),
    "web_search_call.action.sources": _lacks_sources,
    "web_search_call.results": _lacks("web_search_call", "results"),
}
KNOWN = frozenset(_LACKS)

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
