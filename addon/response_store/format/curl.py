"""Write a request as a command line that sends it once more.

The credential is a variable of the shell, as none is stored. Everything else is quoted, so that the
shell takes nothing of it for its own; what a terminal would obey is written as JSON writes it, with
the same value. What is long goes into a document behind the command, as an argument may not be.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec

from response_store.errors import StoreError
from response_store.format.bodies import is_json
from response_store.format.text import escape_json, format_host, put_on_one_line
from response_store.jsontext import encode_object, slice_all_members

if TYPE_CHECKING:
    from response_store.model.records import ExchangeRow

MAX_ARGUMENT = 60_000
"""Bytes of a body that is an argument: Linux takes 128 KiB, of which quoting may need half."""
_AZURE = (".openai.azure.com", ".azure-api.net", ".cognitiveservices.azure.com")
_GLOBBED = frozenset("[]{}")
_SCHEMES = {"ws": "http", "wss": "https"}


def format_curl(row: ExchangeRow, body: bytes) -> str:
    """Return the command. Raises StoreError where the body is no JSON text."""
    text = _read_body(body)
    url = _build_url(row)
    if row.transport == "websocket":
        text = _strip_message(text)
    words = ["curl", *(["-N"] if _streams(text) else [])]
    words += ["--globoff"] if _GLOBBED & {*url} else []
    if row.method not in ("GET", "POST") or (row.method == "POST" and not text):
        words += ["-X", shlex.quote(row.method)]
    lines = [" ".join([*words, shlex.quote(url)]), _choose_credential(row.host)]
    if not text:
        return " \\\n  ".join(lines) + "\n"
    lines.append("-H 'Content-Type: application/json'")
    if len(text.encode()) <= MAX_ARGUMENT:
        return " \\\n  ".join([*lines, f"--data-raw {shlex.quote(text)}"]) + "\n"
    mark = _choose_mark(text)
    head = " \\\n  ".join([*lines, f"--data-binary @- <<'{mark}'"])
    return f"{head}\n{text}\n{mark}\n"


def _read_body(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if body and not is_json(text):
        raise StoreError(
            "The body of this request is no JSON text, so it can't stand in a command. See what"
            " is stored of it with --request in a pipe."
        )
    return escape_json(text)


def _build_url(row: ExchangeRow) -> str:
    scheme = _SCHEMES.get(row.scheme, row.scheme)
    host = format_host(row.scheme, row.host, row.port)
    return put_on_one_line(f"{scheme}://{host}{row.path}").replace(" ", "%20")


def _choose_credential(host: str) -> str:
    if host.endswith(_AZURE):
        return '-H "api-key: $OPENAI_API_KEY"'
    return '-H "Authorization: Bearer $OPENAI_API_KEY"'


def _strip_message(text: str) -> str:
    """Return what a WebSocket's message asks for as the body of a request that streams."""
    try:
        members = slice_all_members(text.encode())
    except (msgspec.MsgspecError, ValueError):
        return text
    kept = {name: value for name, value in members.items() if name not in ("type", "stream_id")}
    return encode_object(kept | {"stream": msgspec.Raw(b"true")}).decode()


def _streams(text: str) -> bool:
    try:
        members = slice_all_members(text.encode())
    except (msgspec.MsgspecError, ValueError):
        return False
    return bytes(members.get("stream", b"")) == b"true"


def _choose_mark(text: str) -> str:
    """Return a word that no line of the text is."""
    mark = "JSON"
    while mark in text:
        mark += "_END"
    return mark
