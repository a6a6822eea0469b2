"""Read what rows do not hold themselves: the body that a request is packed against, its input.

`request_body` may be packed against the body of another exchange of the same tenant, which
`request_base_id` names and which always stands alone: whoever reads a body gets it through here.
Both frames come in one statement, as a body may be packed anew while its base is removed. Where the
base is missing the frame stays as it is stored, and who unpacks that says what is wrong.

The columns `input` and `messages` of a response may hold nothing although its request had an input:
they are then made of the request's body, by the rules by which they would have been written.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from response_store import jsontext
from response_store.limits import BASE_BYTES
from response_store.model.precedence import slice_output
from response_store.model.records import ExchangeRow, StoredResponse, build_exchange_row
from response_store.model.zstd import DamagedZstdError, build_raw_frame, unpack
from response_store.openai_api.request_input import EMPTY_ARRAY, join_messages, read_stored_input

if TYPE_CHECKING:
    from response_store.queries.reader import Reader

WITH_BASE = """
FROM {exchanges} AS e LEFT JOIN {exchanges} AS base ON base.exchange_id = e.request_base_id
    AND base.tenant_id || '' = e.tenant_id AND base.request_base_id IS NULL"""
_FRAMES = f"SELECT e.request_body, e.request_base_id, base.request_body {WITH_BASE}"
BODY = f"{_FRAMES} WHERE e.exchange_id = ?"
REQUEST = f"""{_FRAMES}
WHERE e.response_id = ? AND e.tenant_id || '' = ? AND e.request_body IS NOT NULL
    AND e.result IS NULL
ORDER BY e.started_at, e.exchange_id LIMIT 1"""
"""Of the exchange that has made a response: one that has a result met another one of its id."""

_BODY = ExchangeRow.__struct_fields__.index("request_body")
_ID = ExchangeRow.__struct_fields__.index("exchange_id")
Pack = Callable[[bytes], bytes]


def build_exchange(reader: Reader, columns: tuple[Any, ...]) -> ExchangeRow | None:
    """Return the exchange of a row that was selected as `STORED_COLUMNS`; None where it is gone."""
    completed = complete_exchange(reader, columns)
    return build_exchange_row(completed) if completed else None


def complete_exchange(
    reader: Reader, columns: tuple[Any, ...], pack: Pack = build_raw_frame
) -> tuple[Any, ...] | None:
    """Return the columns of an exchange but the last of `STORED_COLUMNS`; None where it is gone.

    A body that needed a base stands in a frame that `pack` makes.
    """
    *values, base_id = columns
    if base_id is not None:
        row = reader.row(BODY, (values[_ID],))
        if row is None:
            return None
        values[_BODY] = row[0]
        with suppress(DamagedZstdError):
            values[_BODY] = pack(unpack_body(*row))
    return tuple(values)


def unpack_body(frame: bytes | None, base_id: str | None, base: bytes | None) -> bytes:
    """Return the body in a frame that was packed against the body in the frame `base`, if any.

    Empty where there is none. Raises DamagedZstdError.
    """
    if frame is None:
        return b""
    if base_id is None:
        return unpack(bytes(frame))
    if base is None:
        raise DamagedZstdError("the body that it was packed against is missing")
    return unpack(bytes(frame), base=unpack(bytes(base), BASE_BYTES))


EMPTY = EMPTY_ARRAY.decode()
"""What the columns hold that are left out."""


def complete_response(reader: Reader, response: StoredResponse) -> StoredResponse:
    """Return a response with its input and messages, as they are where both are written.

    That is how they are stored, unless the input is empty and there is the request.
    """
    if response.input != EMPTY:
        return response
    items = _find_input(reader, response.tenant_id, response.id)
    if items is None or (items == EMPTY_ARRAY and response.messages != EMPTY):
        return response
    output = response.messages.encode(errors="replace")
    if response.messages == EMPTY:
        output = slice_output(response.response_object.encode(errors="replace")) or EMPTY_ARRAY
    try:
        outputs = tuple(map(bytes, jsontext.slice_elements(output)))
    except jsontext.UnreadableError:
        return response
    messages = join_messages(items, outputs).decode()
    return msgspec.structs.replace(response, input=items.decode(), messages=messages)


def read_input(reader: Reader, tenant: str, response_id: str, stored: str) -> str:
    """Return the input of a response: what is stored of it, or where that is empty its request's.

    Where there is no request, or it can't be read, it is empty.
    """
    if stored != EMPTY:
        return stored
    return (_find_input(reader, tenant, response_id) or EMPTY_ARRAY).decode()


def _find_input(reader: Reader, tenant: str, response_id: str) -> bytes | None:
    """Return the input of the stored request that has made a response; None without one."""
    row = reader.row(REQUEST, (response_id, tenant))
    if row is None:
        return None
    try:
        return read_stored_input(unpack_body(*row))
    except DamagedZstdError:
        return None
