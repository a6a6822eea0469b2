"""Give Datasette and sqlite-utils the SQL function `unpack`, which reads a stored body.

`request_body` and `raw_response` are zstd frames. The first may be packed against the body of
another exchange, whose frame is a second argument then. Both tools load this module by its entry
points, and nothing else does: it needs pluggy, which they bring. It imports neither of them.
"""

from __future__ import annotations

import sqlite3
from typing import TypeAlias

from pluggy import HookimplMarker

from response_store.limits import BASE_BYTES
from response_store.model import zstd

NAME = "unpack"


SqlValue: TypeAlias = bytes | str | int | float | None


def unpack_value(value: SqlValue, base: SqlValue = None) -> SqlValue:
    """Return the text in a zstd frame, at most 128 MiB; what is no frame comes back as it is.

    None, and a frame that is damaged, larger or lacks its base, are None: one row is not to end a
    whole query.
    """
    if not isinstance(value, bytes):
        return value
    try:
        on = zstd.unpack(base, BASE_BYTES) if isinstance(base, bytes) else None
        return zstd.unpack(value, base=on).decode("utf-8", "replace")
    except zstd.DamagedZstdError:
        return None


@HookimplMarker("datasette")
@HookimplMarker("sqlite_utils")
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Register the function on a connection that one of the tools has opened."""
    for arguments in (1, 2):
        conn.create_function(NAME, arguments, unpack_value, deterministic=True)
