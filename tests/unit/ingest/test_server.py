"""The thread that talks to the proxy, in this process: what takes its time elsewhere."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from response_store import __version__
from response_store.ingest.channel import (
    AnyMessage,
    Hello,
    Message,
    MessageDecoder,
    Verdict,
    Wake,
    Written,
    encode,
)
from response_store.ingest.server import JournalBusyError, Server
from response_store.journal.directory import JournalDirectory
from response_store.serving.answers import StoredAnswers
from tests.harness.proxy import wait_until
from tests.unit.ingest.proxy_side import ProxyJournal, exchanges, id_of, make_config, rows

FAST = 20.0  # seconds of the server's clock in one of ours


class Side:
    """A server in a thread, and the proxy's end of its channel."""

    def __init__(self, proxy: ProxyJournal) -> None:
        self.proxy = proxy
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(20)
        theirs.setblocking(False)
        self.server = Server(theirs, StoredAnswers, clock=lambda: time.monotonic() * FAST)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.decoder = MessageDecoder()

    def hello(self) -> None:
        """Send the greeting."""
        directory, config = self.proxy.directory, self.proxy.config
        self.send(Hello(__version__, str(directory.path), config.to_message(), "tests", True, 0))

    def send(self, message: Message) -> None:
        """Send a message."""
        self.channel.sendall(b"".join(bytes(part) for part in encode(message)))

    def receive(self, kind: type[AnyMessage]) -> AnyMessage:
        """Return the first message of a kind."""
        while True:
            for message, _ in self.decoder.feed(self.channel.recv(1 << 16)):
                if isinstance(message, kind):
                    return message

    def wait(self) -> None:
        """Wait until the server has ended, and its worker, which a process would end with it."""
        workers = [one for one in threading.enumerate() if one.name == "response-store-worker"]
        for thread in (self.thread, *workers):
            thread.join(45)
            assert not thread.is_alive()

    def _run(self) -> None:
        try:
            self.server.run()
        except BaseException as error:  # noqa: BLE001 - it is what the test looks at
            self.error = error


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    """A server that was not greeted yet, with a journal for it."""
    side = Side(ProxyJournal(make_config(tmp_path)))
    yield side
    side.channel.close()
    side.proxy.close()
    side.wait()


def test_a_database_that_stays_away_leaves_the_journal(side: Side, tmp_path: Path) -> None:
    """Ten seconds of attempts behind the end of the proxy, and the journal waits for the next."""
    side.hello()
    side.receive(Verdict)
    with closing(sqlite3.connect(tmp_path / "responses.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        side.proxy.exchange(1)
        side.send(Wake())
        side.proxy.close()
        side.channel.close()
        side.wait()
    assert side.error is None
    assert side.proxy.directory.path.exists()
    assert exchanges(tmp_path / "responses.db") == {}


def test_a_database_that_can_only_be_read(side: Side, tmp_path: Path) -> None:
    """Also where all rows are written, and the journal's position alone is not."""
    side.hello()
    side.receive(Verdict)
    side.proxy.exchange(1)
    side.send(Wake())
    side.receive(Written)
    with closing(sqlite3.connect(tmp_path / "responses.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        side.proxy.close()
        side.channel.close()
        side.wait()
    assert side.error is None
    assert side.proxy.directory.path.exists()


def test_a_copy_has_all_that_is_indexed(side: Side, tmp_path: Path) -> None:
    """The log is written back once more where indexing has taken longer than a second of rest."""
    side.hello()
    side.receive(Verdict)
    for key in range(1, 401):
        side.proxy.exchange(key)
    side.send(Wake())
    database, copy = tmp_path / "responses.db", tmp_path / "copy.db"
    indexed = "SELECT count(*) FROM openai_exchanges_search"

    def count_indexed() -> int:
        copy.write_bytes(database.read_bytes())
        try:
            return int(rows(copy, indexed)[0][0])
        except sqlite3.DatabaseError:  # it is being written back
            return 0

    wait_until(lambda: count_indexed() == 400, "the copy has all", 20)


def test_another_reader_is_not_disturbed(side: Side) -> None:
    """A journal that somebody else applies ends the server, which is started again later."""
    other = JournalDirectory.open(side.proxy.directory.path)
    assert other.lock_reader()
    side.hello()
    side.wait()
    assert isinstance(side.error, JournalBusyError)
    other.close()


def test_a_reader_that_is_about_to_end_is_waited_for(side: Side, tmp_path: Path) -> None:
    """The process before may hold the lock for a moment."""
    other = JournalDirectory.open(side.proxy.directory.path)
    assert other.lock_reader()
    side.hello()
    time.sleep(0.1)
    other.close()
    side.receive(Verdict)
    side.proxy.exchange(1)
    side.proxy.close()
    side.channel.close()
    side.wait()
    assert side.error is None
    assert exchanges(tmp_path / "responses.db") == {id_of(1): "completed"}


def test_rubbish_on_the_channel_ends_it(side: Side) -> None:
    """What is no message is not read on."""
    side.channel.sendall(b"\xff" * 64)
    side.wait()
    assert side.error is None


def test_a_second_greeting_is_refused(side: Side) -> None:
    """One process applies one journal."""
    side.hello()
    side.receive(Verdict)
    side.hello()
    assert side.channel.recv(1 << 16) is not None
    side.proxy.close()
    side.wait()
