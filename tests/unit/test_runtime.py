"""Sessions of a process: which one takes what begins, and when each of them goes."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from response_store import runtime as module
from response_store.config import Config
from response_store.ingest.channel import OK, Flush, ReplyMessage, Report, Verdict
from response_store.model.records import EndedBy
from response_store.runtime import Runtime
from response_store.session import Session
from tests.unit.ingester_double import Ingester, until
from tests.unit.sessions import Processes, begin, config_of, session_of

ONE, OTHER = "", "tenant: {id: other}\n"
BAD = "journal: {path: /proc/no/such/folder}\n"


class Running:
    """A runtime whose ingesters are in the hands of the test."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        self.runtime = Runtime()
        self.runtime._has_started = True  # the tests before this one have left enough to look at
        self.made: list[Session] = []
        self.switched: list[Session | None] = []

    def config(self, text: str) -> Config:
        """A configuration; equal texts give equal ones."""
        return config_of(self.folder, text)

    def make(self, config: Config) -> Session:
        """Make a session, as the addon does."""
        self.made.append(session_of(config, self.runtime.counters))
        return self.made[-1]

    def start(self, text: str = ONE) -> bool:
        """Start with a configuration."""
        return self.runtime.start(self.config(text), self.make)

    def switch(self, text: str) -> None:
        """Take another one."""
        self.runtime.switch(self.config(text), self.make, self.switched.append)

    def ingester(self, number: int = -1) -> Ingester:
        """The process of a session."""
        return self.processes.started[number]


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A runtime without a session yet."""
    processes = Processes(monkeypatch)
    made = Running(tmp_path, processes)
    yield made
    made.runtime.close()
    processes.close()


def finish(session: Session, flow_id: str = "flow") -> None:
    """The exchange of a flow ends."""
    session.recorder.finish(flow_id, EndedBy.BODY)


# Starting


async def test_starting(running: Running) -> None:
    """The first configuration gets a session, an equal one keeps it."""
    assert running.start()
    session = running.runtime.session
    assert session is running.made[0]
    assert running.start()
    assert running.runtime.session is session
    assert len(running.made) == len(running.processes.started) == 1
    assert running.runtime.sessions() == [session]


async def test_starting_with_another_configuration(running: Running) -> None:
    """What is in flight ends where it began; what begins then belongs to the new session."""
    running.start()
    old = running.made[0]
    live = begin(old)
    assert running.start(OTHER)
    new = running.runtime.session
    assert new is running.made[1]
    assert running.runtime.find("flow") == (old, live)
    assert running.runtime.sessions() == [old, new]
    finish(old)
    running.runtime.sweep()
    assert old.is_closed
    assert running.runtime.sessions() == [new]
    assert running.runtime.find("flow") is None


async def test_a_journal_that_can_not_be_made(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing runs, and why is an error, which ends mitmproxy while it starts."""
    assert not running.start(BAD)
    assert running.runtime.session is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "journal.path" in record.getMessage()
    assert not running.runtime.wait_for_verdict()


async def test_the_verdict(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A database that can't be used is an error; its session is closed."""
    running.start()
    running.ingester().send(Verdict("no rights: grant them", permanent=True))
    assert not running.runtime.wait_for_verdict()
    assert running.runtime.session is None
    assert running.made[0].is_closed
    assert [(one.levelno, one.getMessage()) for one in caplog.records] == [
        (logging.ERROR, "no rights: grant them")
    ]


async def test_a_database_that_answers(running: Running) -> None:
    """Its session stays."""
    running.start()
    running.ingester().send(Verdict())
    assert running.runtime.wait_for_verdict()
    assert running.runtime.session is running.made[0]


async def test_the_collector_looks_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full collection takes milliseconds, which live traffic must not wait for."""
    looks: list[str] = []
    monkeypatch.setattr(module.gc, "collect", lambda: looks.append("collect"))
    monkeypatch.setattr(module.gc, "freeze", lambda: looks.append("freeze"))
    running.runtime._has_started = False
    running.start()
    running.start(OTHER)
    running.switch(ONE)
    assert looks == ["collect", "freeze"]
    assert gc.isenabled()


# Switching


async def test_switching(running: Running) -> None:
    """The new session takes over once its database has answered; nothing waits for that."""
    running.start()
    old = running.made[0]
    live = begin(old)
    running.switch(OTHER)
    new = running.made[1]
    assert running.runtime.session is old
    running.ingester().send(Verdict())
    await until(lambda: running.switched)
    assert running.switched == [new]
    assert running.runtime.session is new
    assert running.runtime.find("flow") == (old, live)
    finish(old)
    running.runtime.sweep()
    assert running.runtime.sessions() == [new]


async def test_switching_without_a_session_before(running: Running) -> None:
    """One that could not start may be replaced by one that can."""
    assert not running.start(BAD)
    running.switch(ONE)
    running.ingester().send(Verdict("away"))
    await until(lambda: running.switched)
    assert running.runtime.session is running.made[-1]


@pytest.mark.parametrize("how", ["journal", "database"])
async def test_a_configuration_that_can_not_work(
    running: Running, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """The one before stays in force, and why is a warning: traffic goes on."""
    running.start()
    if how == "journal":
        running.switch(BAD)
    else:
        running.switch(OTHER)
        running.ingester().send(Verdict("no rights", permanent=True))
    await until(lambda: running.switched)
    assert running.switched == [None]
    assert running.runtime.session is running.made[0]
    assert not running.made[0].is_closed
    assert all(made.is_closed for made in running.made[1:])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_a_database_that_takes_its_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while the new session is taken all the same: its journal keeps what comes."""
    monkeypatch.setattr(module, "OPEN_WAIT", 0.05)
    running.start()
    running.switch(OTHER)
    await until(lambda: running.switched)
    assert running.runtime.session is running.made[1]


async def test_two_switches_at_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one counts; the one before is let go, and says nothing, then or later."""
    monkeypatch.setattr(module, "OPEN_WAIT", 0.05)
    running.start()
    running.switch(OTHER)
    running.switch("tenant: {id: third}\n")
    assert running.made[1].is_closed
    running.ingester().send(Verdict())
    await until(lambda: running.switched)
    await asyncio.sleep(0.15)
    assert running.switched == [running.made[2]]


# Scripts that are loaded anew


async def test_a_script_that_comes_back(running: Running) -> None:
    """It finds its session as it was."""
    running.start()
    session = running.runtime.session
    running.runtime.detach(asyncio.get_running_loop())
    assert running.start()
    await asyncio.sleep(0.01)
    assert running.runtime.session is session
    assert len(running.made) == 1


async def test_a_script_that_attaches(running: Running) -> None:
    """It learns that it is not the first, and which session goes on."""
    running.start()
    assert not running.runtime.is_detached
    running.runtime.detach(asyncio.get_running_loop())
    assert running.runtime.is_detached
    assert running.runtime.attach() is running.made[0]
    assert not running.runtime.is_detached
    await asyncio.sleep(0.01)
    assert running.runtime.session is running.made[0]


async def test_a_script_that_is_taken_out(running: Running) -> None:
    """Its session takes nothing new, and goes with what is in flight."""
    running.start()
    session = running.made[0]
    begin(session)
    running.runtime.detach(asyncio.get_running_loop())
    await asyncio.sleep(0.01)
    assert running.runtime.session is None
    assert running.runtime.find("flow") is not None
    finish(session)
    running.runtime.sweep()
    assert session.is_closed


async def test_a_script_that_is_taken_out_while_it_switches(running: Running) -> None:
    """The session that was about to take over does not."""
    running.start()
    running.switch(OTHER)
    running.runtime.detach(asyncio.get_running_loop())
    await asyncio.sleep(0.05)
    assert all(session.is_closed for session in running.made)
    assert running.runtime.session is None
    assert running.switched == []


# Sockets


async def test_a_socket_stays_where_it_began(running: Running) -> None:
    """Whatever the configuration is by now; others belong to the current session."""
    running.start()
    old = running.made[0]
    old.sockets._sockets["socket"] = None
    begin(old)  # so that the session stays
    running.start(OTHER)
    assert running.runtime.session_of_socket("socket") is old
    assert running.runtime.session_of_socket("other") is running.made[1]


# Stopping


def applied(ingester: Ingester, written: int) -> None:
    """The ingester has applied everything."""
    while not isinstance(message := ingester.receive()[0], Flush):
        pass
    ingester.send(Report(message.after, message.after, "ready", counters={"written": written}))
    ingester.send(ReplyMessage(message.id, OK))


async def test_stopping(running: Running) -> None:
    """All sessions have their say; together they say what was written and what was open."""
    assert running.runtime.stop(0.0) is None
    running.start()
    begin(running.made[0])
    running.start(OTHER)
    begin(running.made[1], "other")
    applying = asyncio.gather(
        *(asyncio.to_thread(applied, running.ingester(at), 2 + at) for at in range(2))
    )
    await asyncio.sleep(0.01)
    closing = running.runtime.stop(0.0)
    await applying
    assert closing is not None
    assert (closing.written, closing.interrupted, closing.remaining) == (5, 2, None)
    assert not running.made[0].is_closed  # what reaches a client from here on is still written


async def test_stopping_is_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sessions there are, they share the time; each says what remains."""
    monkeypatch.setattr(module, "CLOSE_WAIT", 0.2)
    for number in range(10):
        running.start(f"tenant: {{id: t{number}}}\n")
        begin(running.made[number])
    began = time.monotonic()
    closing = running.runtime.stop(0.0)
    assert 0.19 < time.monotonic() - began < 1.9
    assert closing is not None
    assert closing.interrupted == 10
    assert closing.remaining is not None
    assert closing.remaining.count("stay in the journal") == 10


async def test_closing(running: Running) -> None:
    """Nothing of them is left."""
    running.start()
    begin(running.made[0])
    running.start(OTHER)
    running.switch("tenant: {id: third}\n")
    running.runtime.close()
    assert all(session.is_closed for session in running.made)
    assert len(running.made) == 3
    assert running.runtime.sessions() == []
    running.runtime.close()
