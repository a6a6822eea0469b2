"""What serving needs of a store."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec


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
    `accumulated` is what `openai_api.accumulated` knows of the output as it streamed.
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
