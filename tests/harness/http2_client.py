"""A client of one HTTP/2 stream, which can reset it and keep its connection."""

from __future__ import annotations

import json
import socket
import ssl
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived

from tests.harness.clients import trusting

if TYPE_CHECKING:
    from tests.harness.proxy import Proxy

_STREAM = 1


class Http2Client:
    """A connection through a regular proxy to an https server."""

    def __init__(self, proxy: Proxy, url: str) -> None:
        self._authority = urlsplit(url).netloc
        line = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        line.sendall(f"CONNECT {self._authority} HTTP/1.1\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(4096)
        assert head.startswith(b"HTTP/1.1 200"), head
        context = trusting(proxy.authority)
        assert isinstance(context, ssl.SSLContext)
        context.set_alpn_protocols(["h2"])
        self._line = context.wrap_socket(line, server_hostname=urlsplit(url).hostname)
        assert self._line.selected_alpn_protocol() == "h2"
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._flush()

    def ask(self, body: dict[str, Any], tenant: str) -> None:
        """Post a request for a response."""
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", self._authority),
            (":path", "/v1/responses"),
            ("content-type", "application/json"),
            ("x-tenant", tenant),
        ]
        self._h2.send_headers(_STREAM, headers)
        self._h2.send_data(_STREAM, json.dumps(body).encode(), end_stream=True)
        self._flush()

    def read_until(self, mark: bytes) -> None:
        """Read the answer up to a mark."""
        text = b""
        while mark not in text:
            data = self._line.recv(65536)
            assert data, "the connection has ended"
            for event in self._h2.receive_data(data):
                if isinstance(event, DataReceived):
                    text += event.data
            self._flush()

    def cancel(self) -> None:
        """Reset the stream, and nothing else."""
        self._h2.reset_stream(_STREAM, ErrorCodes.CANCEL)
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.close()

    def _flush(self) -> None:
        self._line.sendall(self._h2.data_to_send())
