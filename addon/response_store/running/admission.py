"""Who may use the proxy of a run: its command alone, which knows what no other user can read.

Every user of the machine reaches loopback, and would go out with the company proxy's credentials.
The command finds a password in its proxy variables, and a segment of a path in its base URL.
"""

from __future__ import annotations

import base64
import hmac
import weakref
from typing import Any

from mitmproxy import http
from mitmproxy.proxy.mode_specs import ReverseMode

from response_store.running.channel import USER, derive_segment
from response_store.traffic import LEFT_ALONE

_HEADER = "Proxy-Authorization"
_CHALLENGE = {"proxy-authenticate": 'Basic realm="response-store run"', "connection": "close"}
_NOT_YOURS = b"This proxy belongs to a command that response-store run has started.\n"


class Admission:
    """Admits the command's requests; answers those of others itself."""

    def __init__(self, password: str) -> None:
        self._expected = base64.b64encode(f"{USER}:{password}".encode())
        self._prefix = f"/{derive_segment(password)}"
        self._admitted: weakref.WeakSet[Any] = weakref.WeakSet()  # connections

    def admit(self, flow: http.HTTPFlow) -> bool:
        """Return whether a request, or a CONNECT, is the command's; take the password out of it."""
        reverse = isinstance(flow.client_conn.proxy_mode, ReverseMode)
        if not (self._has_prefix(flow) if reverse else self._has_password(flow)):
            status, headers = (404, {}) if reverse else (407, _CHALLENGE)
            flow.response = http.Response.make(status, _NOT_YOURS, headers)
            flow.metadata[LEFT_ALONE] = True
            return False
        return True

    def strip(self, request: http.Request) -> bool:
        """Take the segment off a path; return whether it was there."""
        path, prefix = request.path, self._prefix
        if not hmac.compare_digest(path[: len(prefix)].encode(), prefix.encode()):
            return False
        rest = path[len(prefix) :]
        if rest[:1] not in ("", "/", "?"):
            return False
        request.path = rest if rest.startswith("/") else f"/{rest}"
        return True

    def _has_prefix(self, flow: http.HTTPFlow) -> bool:
        return self.strip(flow.request)

    def _has_password(self, flow: http.HTTPFlow) -> bool:
        given = flow.request.headers.pop(_HEADER, "")
        scheme, _, coded = given.partition(" ")
        if scheme.lower() == "basic" and hmac.compare_digest(
            coded.strip().encode(), self._expected
        ):
            self._admitted.add(flow.client_conn)
        return flow.client_conn in self._admitted
