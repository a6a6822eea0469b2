"""What a server says as it refuses a connection, and what is said of it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from response_store.backends.postgres.connection import PoolLimits, PostgresConnections
from response_store.backends.postgres.watchdog import Watchdog
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import build_postgres_target
from response_store.errors import PermanentStoreError, StoreError, TransientStoreError

TEXTS = [
    tuple(line.split("\t"))
    for line in Path(__file__).with_name("fatal_texts.tsv").read_text("utf-8").splitlines()
]
CANARY = "S3cretCanary"
ASKS_FOR_TLS_OR_GSS = (80877103, 80877104)
WORDS = {
    "user or password": "refuses user or password",
    "the same": "refuses user or password",
    "no connection free": "no connection free",
    "the hoster's own words": "refuses the connection",
    "the server's own words": "refuses the connection",
    "it wants TLS (ssl_mode)": "wants TLS: see ssl_mode",
    "the database is closed": "the database is closed",
    "no such database": "the database does not exist",
    "starts or stops": "starts or stops",
    "GRANT CONNECT ON DATABASE": "GRANT CONNECT ON DATABASE",
    "pg_hba.conf": "pg_hba.conf admits no such connection",
}


class Server:
    """Answers every connection with a FATAL message, or with bytes that are no PostgreSQL."""

    def __init__(self) -> None:
        self.answer = b""
        self.raw = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def refuse_with(self, state: str, text: str) -> None:
        fields = f"SFATAL\0VFATAL\0C{state}\0M{text}\0\0".encode()
        self.answer, self.raw = b"E" + struct.pack("!i", len(fields) + 4) + fields, False

    def answer_with(self, data: bytes) -> None:
        self.answer, self.raw = data, True

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                with line, suppress(OSError):
                    line.settimeout(5)
                    self._answer(line)

    def _answer(self, line: socket.socket) -> None:
        while len(head := line.recv(8)) == 8:
            length, code = struct.unpack("!ii", head)
            if length > 8:
                line.recv(length - 8)
            if code in ASKS_FOR_TLS_OR_GSS and not self.raw:
                line.sendall(b"N")
                continue
            line.sendall(self.answer)
            return


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The server of this module."""
    with closing(Server()) as server:
        yield server


@pytest.fixture(scope="module")
def watchdog() -> Iterator[Watchdog]:
    """A watchdog; its thread ends with the tests."""
    with closing(Watchdog("PostgreSQL")) as watchdog:
        yield watchdog


def connections(server: Server, watchdog: Watchdog, mode: str = "prefer") -> PostgresConnections:
    url = f"postgres://u:{CANARY}@127.0.0.1:{server.port}/rs?sslmode={mode}"
    target = build_postgres_target(url, HostPolicy.PRIVATE)
    return PostgresConnections(target, watchdog, PoolLimits(acquire_timeout_secs=2))


def refusal(server: Server, watchdog: Watchdog, mode: str = "prefer") -> StoreError:
    with pytest.raises(StoreError) as caught:
        connections(server, watchdog, mode).connect()
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(("state", "text", "meaning"), TEXTS)
def test_a_server_that_answers_is_up(
    server: Server, watchdog: Watchdog, state: str, text: str, meaning: str
) -> None:
    """It is told in the server's own words, permanent unless known to pass, in any language."""
    server.refuse_with(state, text)
    error = refusal(server, watchdog)
    kind, _, why = meaning.partition(": ")
    assert isinstance(error, TransientStoreError if kind == "passing" else PermanentStoreError)
    assert WORDS[why.removesuffix(" (lc_messages = de_DE)")] in str(error)
    assert " ".join(text.replace(CANARY, "***").split())[:200] in str(error)
    assert "is the server up" not in str(error)


def test_nothing_of_the_answer_hides(server: Server, watchdog: Watchdog) -> None:
    """Control characters are visible, a long text is cut, and a URL shows no credentials."""
    server.refuse_with("XX000", f"a\x1b[31mb\u202ec {CANARY} postgres://u:other@h/d " + "x" * 1000)
    text = str(refusal(server, watchdog))
    assert r"a\x1b[31mb\u202ec *** postgres://***@h/d xxx" in text
    assert text.isprintable()
    assert len(text) < 600


def test_the_pool_says_it_as_well(server: Server, watchdog: Watchdog) -> None:
    """While the store runs, whoever waits for a connection gets the server's words, not ours."""
    server.refuse_with("28P01", "password has expired")
    pool = connections(server, watchdog)
    pool.open()
    with closing(pool), pytest.raises(PermanentStoreError, match="password has expired"):
        connect_patiently(pool)


def connect_patiently(pool: PostgresConnections) -> None:
    """Ask for a connection until the pool's thread has come to ask the server."""
    for _ in range(5):
        with suppress(TransientStoreError):
            pool.connection().__enter__()


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        b"-ERR unknown command\r\n",
        b"J\0\0\0\n8.0.36\0",
        b"\x15\x03\x03\0\x02\x02\x46",
    ],
)
def test_a_port_that_speaks_something_else(
    server: Server, watchdog: Watchdog, mode: str, data: bytes
) -> None:
    """A web server, a cache, another database: told as that, and permanent."""
    server.answer_with(data)
    error = refusal(server, watchdog, mode)
    assert isinstance(error, PermanentStoreError)
    assert "does not speak PostgreSQL's protocol: check host and port" in str(error)


def test_a_refusal_after_the_login(watchdog: Watchdog) -> None:
    """A pooler that refuses the first statement is quoted as well, with the state that it gives."""
    from response_store.backends.postgres.errors import build_connection_error

    diag = type("Diag", (), {"message_primary": "server login has been failing, try again later"})
    error = type("E", (psycopg.OperationalError,), {"sqlstate": "08P01", "diag": diag})("x")
    ours = build_connection_error("PostgreSQL x", error, None)
    assert isinstance(ours, TransientStoreError)
    assert "(SQLSTATE 08P01)" in str(ours)
    assert '"server login has been failing' in str(ours)
