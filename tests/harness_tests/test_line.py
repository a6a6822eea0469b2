"""A line does what it says: seen by plain sockets first, and by a database."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

import psycopg
import pytest

from tests.harness.line import End, Line, Way
from tests.harness.postgres import PostgresDatabase
from tests.harness.postgres_fixtures import MakeLine
from tests.harness.proxy import wait_until

QUIET = 0.1
DATA = bytes(range(256)) * 4096


class Echo:
    """A server that sends back what it gets, and notes how its connections ended."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.ends: list[str] = []
        self.received = 0
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._answer, args=[accepted], daemon=True))
            self.threads[-1].start()

    def _answer(self, accepted: socket.socket) -> None:
        with accepted:
            try:
                while data := accepted.recv(65_536):
                    self.received += len(data)
                    accepted.sendall(data)
                self.ends.append("FIN")
            except OSError:
                self.ends.append("RST")

    def close(self) -> None:
        # A thread that waits in `accept` does not notice that its socket is closed.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(5)
            assert not thread.is_alive()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server that sends back what it gets."""
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def line(echo: Echo, make_line: MakeLine) -> Line:
    """A line to it."""
    return make_line(echo.port)


@pytest.fixture
def client(line: Line) -> Iterator[socket.socket]:
    """A connection by the line that has carried a byte."""
    with connected(line) as client:
        yield client


def connected(line: Line) -> socket.socket:
    """A connection that has carried a byte."""
    client = socket.create_connection(("127.0.0.1", line.port), 5)
    try:
        client.sendall(b"?")
        assert client.recv(1) == b"?"
    except BaseException:
        client.close()
        raise
    return client


def read(client: socket.socket, size: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size and (more := client.recv(65_536)):
        data += more
    return data


def is_quiet(client: socket.socket) -> bool:
    """Whether nothing comes for a while."""
    client.settimeout(QUIET)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


def test_everything_passes_unchanged(line: Line, client: socket.socket) -> None:
    """Both ways, and counted."""
    sender = threading.Thread(target=client.sendall, args=[DATA])
    sender.start()
    assert read(client, len(DATA)) == DATA
    sender.join()
    assert line.passed(Way.TO_SERVER) == line.passed(Way.TO_CLIENT) == len(DATA) + 1
    assert (line.accepted, line.connections) == (1, 1)


def test_a_side_that_is_done_may_still_read(echo: Echo, line: Line, client: socket.socket) -> None:
    """An end in one direction passes in that direction."""
    client.sendall(b"the last")
    client.shutdown(socket.SHUT_WR)
    assert read(client, 100) == b"the last"
    wait_until(lambda: not line.connections, "the connection is gone")
    assert echo.ends == ["FIN"]


def test_a_cut_resets_both_sides(echo: Echo, line: Line, client: socket.socket) -> None:
    """And the next connection works."""
    assert line.cut() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_until(lambda: echo.ends == ["RST"], "the server has noticed")
    connected(line).close()


def test_a_cut_may_look_like_an_end(echo: Echo, line: Line, client: socket.socket) -> None:
    """Each side reads that the other has finished."""
    assert line.cut(End.FINISH) == 1
    assert client.recv(1) == b""
    wait_until(lambda: echo.ends == ["FIN"], "the server has noticed")


def test_a_cut_after_some_bytes(echo: Echo, line: Line, client: socket.socket) -> None:
    """Exactly so many reach the other side, and every connection is reset."""
    with connected(line) as other:
        before = echo.received
        line.cut_after(70_000)
        with suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(DATA)
            assert len(read(client, len(DATA))) <= 70_000
        with pytest.raises(ConnectionResetError):
            other.recv(1)
    wait_until(lambda: len(echo.ends) == 2, "the server has noticed")
    assert line.passed(Way.TO_SERVER) == 70_002
    assert echo.received - before <= 70_000
    connected(line).close()


def test_a_cut_before_a_text_that_comes_in_two_pieces(line: Line, client: socket.socket) -> None:
    """The text does not pass whole, wherever it is split."""
    client.sendall(b"END")
    assert read(client, 3) == b"END"
    line.cut_before(b"END")
    client.sendall(b"...E")
    assert read(client, 4) == b"...E"
    client.sendall(b"ND")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    connected(line).close()


def test_what_is_held_passes_later(line: Line, client: socket.socket) -> None:
    """New connections are held as well, and none is lost."""
    line.hold()
    client.sendall(b"held")
    with socket.create_connection(("127.0.0.1", line.port), 5) as late:
        late.sendall(b"late")
        assert is_quiet(client)
        assert is_quiet(late)
        line.release()
        assert read(client, 4) == b"held"
        assert read(late, 4) == b"late"


def test_a_line_that_is_held_can_be_cut(line: Line, client: socket.socket) -> None:
    """What was held is lost then."""
    line.hold()
    client.sendall(b"held")
    line.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_slow_line_lets_so_many_bytes_pass_a_second(line: Line, client: socket.socket) -> None:
    """All connections share the rate."""
    with connected(line) as other:
        line.slow(2000)
        start = monotonic()
        client.sendall(bytes(300))
        other.sendall(bytes(300))
        assert len(read(client, 300) + read(other, 300)) == 600
        assert 0.29 < monotonic() - start < 3
        line.slow(None)
        client.sendall(DATA[:9999])
        assert read(client, 9999) == DATA[:9999]


def test_a_slow_line_makes_the_sender_wait(line: Line, client: socket.socket) -> None:
    """Its buffers are small: it does not swallow what it can't pass."""
    line.slow(1000)
    client.settimeout(QUIET)
    with pytest.raises(TimeoutError):
        client.sendall(bytes(20_000_000))


def test_a_delay_is_for_each_way_and_not_for_each_byte(line: Line, client: socket.socket) -> None:
    """Many pieces that are sent together come together."""
    line.delay(60)
    start = monotonic()
    for _ in range(20):
        client.sendall(bytes(100))
    assert len(read(client, 2000)) == 2000
    assert 0.12 <= monotonic() - start < 1


def test_a_line_refuses_and_accepts_again(line: Line, client: socket.socket) -> None:
    """Open connections stay, and the port is the same."""
    for _ in range(3):
        line.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", line.port), 5)
        client.sendall(b"!")
        assert client.recv(1) == b"!"
        line.accept()
        connected(line).close()


def test_restore_takes_back_everything(line: Line, client: socket.socket) -> None:
    """A line on which all is wrong is as new."""
    line.hold()
    line.slow(1)
    line.delay(60_000)
    line.cut_after(10)
    line.cut_before(b"a")
    line.refuse()
    line.restore()
    client.sendall(b"abc" * 10)
    assert read(client, 30) == b"abc" * 10
    connected(line).close()


def test_a_line_to_nobody_resets(make_line: MakeLine) -> None:
    """As a server that is away does."""
    line = make_line(1)
    with pytest.raises(ConnectionResetError):
        connected(line)
    wait_until(lambda: not line.connections, "the connection is gone")


def test_many_connections_that_are_cut_at_once(line: Line) -> None:
    """Also those that have just come."""
    for _ in range(3):
        clients = [socket.create_connection(("127.0.0.1", line.port), 5) for _ in range(20)]
        assert line.cut() == 20
        assert line.connections == 0
        for client in clients:
            with client, pytest.raises(ConnectionResetError):
                client.recv(1)


def test_a_database_does_not_know_of_the_line(
    postgres_database: PostgresDatabase, make_line: MakeLine
) -> None:
    """Neither without TLS nor with it."""
    line = make_line(postgres_database.server.port)
    for mode in ("disable", "require"):
        with psycopg.connect(postgres_database.url(port=line.port, sslmode=mode)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert line.accepted == 2


@pytest.mark.parametrize(
    ("text", "way", "rows"), [(b"COMMIT\0", Way.TO_CLIENT, 1), (b"COMMIT", Way.TO_SERVER, 0)]
)
def test_a_commit_or_its_answer_is_lost(
    text: bytes, way: Way, rows: int, plain_database: PostgresDatabase, make_line: MakeLine
) -> None:
    """The client can't tell the two apart, and the database can."""
    plain_database.execute("CREATE TABLE t (a int); ALTER TABLE t OWNER TO owner")
    line = make_line(plain_database.server.port)
    with psycopg.connect(plain_database.url(port=line.port)) as connection:
        connection.cursor().executemany("INSERT INTO t VALUES (%s)", [(1,)])
        line.cut_before(text, way)
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    assert plain_database.execute("SELECT count(*) AS n FROM t") == [{"n": rows}]
