"""The answer to a request that is refused because its response could not be kept."""

from __future__ import annotations

import json

STATUS = 503
ERROR = {
    "message": (
        "The response store is out of reach, and this proxy is configured to refuse requests "
        "whose answers it can't keep. Try again later."
    ),
    "type": "server_error",
    "param": None,
    "code": "response_store_unavailable",
}
"""The error object, the same over HTTP and on a WebSocket."""
BODY = json.dumps({"error": ERROR}, separators=(",", ":")).encode()
"""The body of an HTTP answer."""
