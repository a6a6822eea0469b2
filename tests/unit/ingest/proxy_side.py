"""The proxy's side of an ingester, for tests: a journal, and the other end of a channel."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from response_store import __version__
from response_store.capture.draft import (
    AnswerHead,
    DeletionHead,
    EndHead,
    PartHead,
    RequestHead,
    encode_head,
)
from response_store.config import Config, load_config
from response_store.diagnostics import Counters
from response_store.ingest import process
from response_store.ingest.channel import (
    AnyMessage,
    Dirty,
    Flush,
    Hello,
    Message,
    MessageDecoder,
    Question,
    ReplyMessage,
    Report,
    Verdict,
    Wake,
    encode,
)
from response_store.ingest.draft import build_exchange_id
from response_store.journal.directory import JournalDirectory, build_header
from response_store.journal.frames import FrameKind
from response_store.journal.receipts import Receipt
from response_store.journal.writer import JournalWriter

STARTED = 1741476000.25
PATIENCE = 20.0  # seconds that a test waits for what must come


def make_config(tmp_path: Path, text: str = "", *, url: str | None = None) -> Config:
    """Return a configuration with a SQLite file, and its folder of journals, below a folder."""
    path = tmp_path / "config.yaml"
    if "journal:" not in text:
        text += f"journal: {{path: {tmp_path / 'journals'}}}\n"
    path.write_text(text)
    environ = {"RESPONSE_STORE_DATABASE_URL": url or f"sqlite:{tmp_path / 'responses.db'}"}
    return load_config(path, environ)


class ProxyJournal:
    """A journal as a proxy writes it, owned by this process; keys are numbers of exchanges."""

    def __init__(self, config: Config, **options: Any) -> None:
        folder = config.journal.path
        assert folder is not None
        folder.mkdir(mode=0o700, exist_ok=True)
        self.config = config
        self.directory = JournalDirectory.create(folder, build_header(config))
        self.soon: list[Callable[[], None]] = []
        options = {"max_bytes": config.journal.max_bytes, "durability": config.durability} | options
        self.writer = JournalWriter(
            self.directory, counters=Counters(), call_soon=self.soon.append, **options
        )

    def open(self, key: int, body: bytes | None = None, **head: Any) -> Receipt:
        """Append the OPEN frame of an exchange."""
        content = request_body(key) if body is None else body
        return self.writer.append(
            FrameKind.OPEN, key, encode_head(request_head(key, **head)), [content]
        )

    def part(self, key: int, body: bytes, *, first: bool = False) -> Receipt:
        """Append a PART frame of a streamed answer."""
        head = PartHead(answer_head("sse") if first else None, 100.0, 5.0 if first else None)
        return self.writer.append(FrameKind.PART, key, encode_head(head), [body])

    def end(self, key: int, **what: Any) -> Receipt:
        """Append an END frame; without `alone` the request is in an OPEN frame."""
        head, parts = end_frame(key, **what)
        return self.writer.append(FrameKind.END, key, head, parts)

    def exchange(self, key: int, **what: Any) -> Receipt:
        """Append a whole exchange in one frame."""
        return self.end(key, alone=True, **what)

    def delete(self, response_id: str, *, at: float = STARTED + 10) -> Receipt:
        """Append a DELETION frame."""
        head = encode_head(DeletionHead("default", response_id, at))
        return self.writer.append(FrameKind.DELETION, 0, head)

    def stop(self) -> Receipt:
        """Append the STOP frame."""
        return self.writer.append(FrameKind.STOP, 0, b"")

    def close(self) -> None:
        """Close the journal; it has no owner any more."""
        self.writer.close()
        self.directory.close()


def request_head(key: int, **values: Any) -> RequestHead:
    """Return the head of a request of the flow `flow-KEY`."""
    fields: dict[str, Any] = {
        "flow_id": f"flow-{key}", "turn": 0, "tenant_id": "default", "api": "responses",
        "method": "POST", "scheme": "https", "host": "api.example", "path": "/v1/responses",
        "user_agent": "tests", "content_encoding": "", "started_at": STARTED,
    }  # fmt: skip
    return RequestHead(**fields | values)


def request_body(key: int) -> bytes:
    """Return a request with a question of its own."""
    return json.dumps({"model": "gpt-5", "input": f"question {key}"}).encode()


def answer_head(transport: str = "http", **values: Any) -> AnswerHead:
    """Return the head of an answer that went well."""
    kind = "text/event-stream" if transport == "sse" else "application/json"
    return AnswerHead(transport, 200, kind, "", "req", **values)


def response_object(key: int, **values: Any) -> dict[str, Any]:
    """Return the response `resp_KEY`."""
    text = {"type": "output_text", "text": f"answer {key}", "annotations": []}
    message = {"type": "message", "id": f"msg_{key}", "role": "assistant", "content": [text]}
    return {
        "id": f"resp_{key}", "object": "response", "created_at": 1741476000, "model": "gpt-5",
        "status": "completed", "output": [message],
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    } | values  # fmt: skip


def sse(kind: str, number: int, **data: Any) -> bytes:
    """Return one event of a stream."""
    text = json.dumps({"type": kind, "sequence_number": number, **data})
    return f"event: {kind}\ndata: {text}\n\n".encode()


def stream_start(key: int, **values: Any) -> bytes:
    """Return the first events of a stream, up to some text."""
    begun = response_object(key, status="in_progress", output=[], usage=None, **values)
    delta = {"item_id": f"msg_{key}", "output_index": 0, "content_index": 0, "delta": f"text {key}"}
    return sse("response.created", 0, response=begun) + sse(
        "response.output_text.delta", 1, **delta
    )


def stream_end(key: int, number: int = 2, **values: Any) -> bytes:
    """Return the terminal event of a stream."""
    return sse("response.completed", number, response=response_object(key, **values))


def end_frame(
    key: int,
    *,
    alone: bool = False,
    whole: bool = False,
    by: str = "body",
    body: bytes | None = None,
    answer: AnswerHead | None = None,
    request: bytes | None = None,
    **head: Any,
) -> tuple[bytes, list[bytes]]:
    """Return the head and the parts of an END frame."""
    content = json.dumps(response_object(key)).encode() if body is None else body
    asked = (request_body(key) if request is None else request) if alone or whole else b""
    end = EndHead(
        request=request_head(key, **head) if alone or whole else None,
        ended_by=by,
        duration_ms=250.0,
        answer=answer or answer_head(),
        request_size=len(asked),
        is_whole=whole,
    )
    return encode_head(end), [part for part in (asked, content) if part]


def id_of(key: int) -> str:
    """Return the id of the exchange of a key."""
    return build_exchange_id(f"flow-{key}", STARTED)


class Ingester:
    """An ingester process, and the proxy's end of its channel."""

    def __init__(self, journal: ProxyJournal, **hello: Any) -> None:
        self.journal = journal
        ours, theirs = socket.socketpair()
        self.log = journal.directory.path / "ingester.log"
        with closing(theirs), self.log.open("wb") as log:
            self.log.chmod(0o600)
            self.process = subprocess.Popen(
                process.build_command(theirs.fileno()),
                env=process.build_environment(os.environ),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.channel = ours
        self.channel.settimeout(PATIENCE)
        self.decoder = MessageDecoder()
        self.messages: list[tuple[AnyMessage, bytes]] = []
        self.counters: dict[str, int] = {}
        self.report: Report | None = None
        self._numbers = 0
        values = {
            "version": __version__, "journal": str(journal.directory.path),
            "settings": journal.config.to_message(), "source": "tests", "announces": True,
            "last_seq": journal.writer.last_seq, "outstanding": tuple(journal.writer.outstanding),
        } | hello  # fmt: skip
        self.send(Hello(**values))

    def send(self, message: Message, body: bytes = b"") -> None:
        """Send a message."""
        self.channel.sendall(b"".join(bytes(part) for part in encode(message, body)))

    def dirty(
        self, key: int, head: bytes, parts: list[bytes], kind: FrameKind = FrameKind.END
    ) -> int:
        """Send a frame that may hold secrets; return its seq."""
        seq = self.journal.writer.next_seq()
        self.send(Dirty(seq, kind, key, head), b"".join(parts))
        return seq

    def wake(self) -> None:
        """Say that frames were appended."""
        self.send(Wake())

    def until(self, condition: Callable[[AnyMessage], bool]) -> AnyMessage:
        """Return the first message that comes now and fulfils a condition."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for message, body in self.receive():
                if condition(message):
                    self.body = body
                    return message
        raise AssertionError(f"it did not come: {self.messages[-5:]}")

    def receive(self) -> Iterator[tuple[AnyMessage, bytes]]:
        """Yield what has arrived. Raises EOFError at the end of the channel."""
        try:
            data = self.channel.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError(self.log.read_text())
        for message, body in self.decoder.feed(data):
            self.messages.append((message, body))
            if isinstance(message, Report):
                self.report = message
                for name, number in message.counters.items():
                    self.counters[name] = self.counters.get(name, 0) + number
            yield message, body

    def verdict(self) -> Verdict:
        """Return the verdict."""
        message = self.until(lambda message: isinstance(message, Verdict))
        assert isinstance(message, Verdict)
        return message

    def flush(self, after: int | None = None) -> None:
        """Wait until all that was appended, or up to a seq, is in the database."""
        number = self._next()
        self.send(Flush(number, self.journal.writer.last_seq if after is None else after))
        self.until(lambda message: isinstance(message, ReplyMessage) and message.id == number)

    def ask(
        self, kind: str, arguments: bytes = b"", *, after: int = 0, seconds: float = 5.0
    ) -> str:
        """Return the status of the reply to a question; its body is in `body`."""
        number = self._next()
        self.send(Question(number, after, seconds, kind, arguments))
        reply = self.until(
            lambda message: isinstance(message, ReplyMessage) and message.id == number
        )
        assert isinstance(reply, ReplyMessage)
        return reply.status

    def kill(self) -> None:
        """Kill the process, at whatever it is."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.channel.close()

    def leave(self) -> None:
        """Close the channel, as a proxy does that stops."""
        self.channel.close()

    def wait(self, seconds: float = PATIENCE) -> int:
        """Return the exit code of the process, once it has ended."""
        return self.process.wait(seconds)

    def close(self) -> None:
        """End the process, if it runs."""
        if self.process.poll() is None:
            self.kill()
        self.channel.close()

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers


def rows(path: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a statement in a SQLite file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement, values).fetchall()


def exchanges(path: Path) -> dict[str, str]:
    """Return the state of each exchange in a SQLite file, by its id."""
    return dict(rows(path, "SELECT exchange_id, state FROM openai_exchanges"))
