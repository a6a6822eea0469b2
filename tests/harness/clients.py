"""Clients: raw sockets that count bytes and hang up when they like, and the real SDK."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import openai

from tests.fakes.recordings import TAG
from tests.fakes.resets import reset

TIMEOUT = 20.0
CREATE = "/v1/responses"
CHAT = "/v1/chat/completions"
SECRET = "sk-canary-authorization"
QUESTION = "What is the weather in Köln?"


def asking(model: str = "gpt-5", **fields: Any) -> dict[str, Any]:
    """The body of a request for a response."""
    return {"model": model, "input": QUESTION} | fields


def chatting(model: str = "gpt-5", **fields: Any) -> dict[str, Any]:
    """The body of a request for a chat completion."""
    return {"model": model, "messages": [{"role": "user", "content": QUESTION}]} | fields


@dataclass
class Reply:
    """An answer as it came over a raw socket; `whole` says whether its end came too."""

    status: int
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False

    def header(self, name: str, default: str = "") -> str:
        """The first header of that name, or the default."""
        found = (value for key, value in self.headers if key.lower() == name.lower())
        return next(found, default)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(bytes(self.body))


def request_bytes(
    body: bytes | dict[str, Any] | None,
    *,
    path: str = CREATE,
    method: str = "POST",
    host: str = "127.0.0.1",
    **headers: str,
) -> bytes:
    """A request as bytes; in the names of `headers`, `_` stands for `-`."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    fields = {"host": host, "authorization": f"Bearer {SECRET}"}
    if content is not None:
        fields |= {"content-type": "application/json", "content-length": str(len(content))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (content or b"")


class RawClient:
    """One HTTP/1.1 connection over which nothing happens by itself."""

    def __init__(self, port: int, timeout: float = TIMEOUT) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._buffer = b""

    def send(self, body: bytes | dict[str, Any] | None, **how: str) -> None:
        """Send a request."""
        self.socket.sendall(request_bytes(body, **how))

    def ask(self, body: bytes | dict[str, Any] | None, **how: str) -> Reply:
        """Send a request and read the head of its answer."""
        self.send(body, **how)
        return self.read_head(method=how.get("method", "POST"))

    def read_head(self, method: str = "POST") -> Reply:
        """Read the head of an answer."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = [(key, value.strip()) for key, _, value in (x.partition(":") for x in lines)]
        reply = Reply(int(line.split(" ")[1]), headers)
        reply.whole = method == "HEAD" or reply.status == 204
        return reply

    def read_to_end(self, reply: Reply) -> Reply:
        """Read the rest of the body; `whole` stays false if the connection broke off."""
        return self.read_until(reply, None)

    def read_until(self, reply: Reply, marker: bytes | None) -> Reply:
        """Read the body until it holds the marker, or to its end."""
        try:
            while not reply.whole and (marker is None or marker not in reply.body):
                self.read_piece(reply)
        except ConnectionError:
            reply.whole = False
        return reply

    def read_piece(self, reply: Reply) -> None:
        """Read some more of the body."""
        if reply.header("transfer-encoding") == "chunked":
            self._read_chunk(reply)
        elif length := reply.header("content-length"):
            self._read_some(reply, int(length) - len(reply.body))
            reply.whole = len(reply.body) == int(length)
        else:
            self._read_some_or_end(reply)

    def _read_chunk(self, reply: Reply) -> None:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        size = int(line, 16)
        while len(self._buffer) < size + 2:
            self._more()
        reply.body += self._buffer[:size]
        self._buffer = self._buffer[size + 2 :]
        reply.whole = size == 0

    def _read_some(self, reply: Reply, size: int) -> None:
        if size and not self._buffer:
            self._more()
        reply.body += self._buffer[:size]
        self._buffer = self._buffer[size:]

    def _read_some_or_end(self, reply: Reply) -> None:
        try:
            self._read_some(reply, 65_536)
        except ConnectionAbortedError:
            reply.whole = True

    def _more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionAbortedError("the other side closed")
        self._buffer += data

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def reset(self) -> None:
        """Hang up without a goodbye: the kernel sends a reset."""
        reset(self.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def fetch(port: int, body: bytes | dict[str, Any] | None, tenant: str, **how: str) -> Reply:
    """One request on a connection of its own, its answer read to the end."""
    with RawClient(port) as client:
        return client.read_to_end(client.ask(body, x_tenant=tenant, **how))


def trusting(*authorities: Any) -> ssl.SSLContext:
    """A TLS context that trusts these certificate files and no others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in authorities:
        context.load_verify_locations(authority)
    return context


def sdk(base_url: str, tenant: str, **http: Any) -> openai.OpenAI:
    """The real SDK; `http` goes to its HTTP client: `http2`, `proxy`, `verify`."""
    return openai.OpenAI(
        base_url=f"{base_url}/v1",
        api_key=SECRET,
        max_retries=0,
        default_headers={TAG: tenant},
        http_client=openai.DefaultHttpxClient(trust_env=False, timeout=TIMEOUT, **http),
    )


def async_sdk(base_url: str, tenant: str, **http: Any) -> openai.AsyncOpenAI:
    """The real asynchronous SDK; `http` goes to its HTTP client."""
    return openai.AsyncOpenAI(
        base_url=f"{base_url}/v1",
        api_key=SECRET,
        max_retries=0,
        default_headers={TAG: tenant},
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False, timeout=TIMEOUT, **http),
    )
