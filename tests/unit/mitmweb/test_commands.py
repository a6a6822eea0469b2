"""The commands of mitmproxy's prompt: what they say at once, and what comes in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from mitmproxy import command
from mitmproxy.log import ALERT
from mitmproxy.test import taddons
from mitmproxy.tools.web.master import WebMaster

from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.channel import FAILED, GONE, LATE, OK, IngesterReply
from response_store.mitmweb.commands import ALL_WRITTEN, LATER, LOOK, NOT_RUNNING, Commands
from response_store.mitmweb.flow_marks import Marks
from response_store.model.records import WrittenRow


class Session:
    """Stands for the session: it says what it is asked, and answers when a test says so."""

    def __init__(self) -> None:
        self.written = True
        self.asked: list[tuple[str, Any, float, bool]] = []
        self.futures: list[asyncio.Future[IngesterReply]] = []

    def status(self) -> str:
        return "store: here"

    def is_written(self) -> bool:
        return self.written

    def waiting(self) -> int:
        return 3

    def flushed(self) -> asyncio.Future[IngesterReply]:
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def ask(
        self, kind: str, arguments: bytes, seconds: float, *, after_captured: bool = True
    ) -> asyncio.Future[IngesterReply]:
        self.asked.append((kind, msgspec.msgpack.decode(arguments), seconds, after_captured))
        return self.flushed()


class Prompt(Commands):
    """The commands, with a session or without."""

    def __init__(self, session: Session | None) -> None:
        self.double = session
        self.errors = ErrorReporter(Counters())

    @property
    def session(self) -> Any:
        return self.double


async def answered(session: Session, status: str, body: bytes = b"") -> None:
    """The ingester answers."""
    session.futures[-1].set_result(IngesterReply(status, body))
    await asyncio.sleep(0)


CALLS: list[Callable[[Prompt], str]] = [
    lambda prompt: prompt.status(),
    lambda prompt: prompt.flush(),
    lambda prompt: prompt.list_stored(),
    lambda prompt: prompt.find_stored("x"),
    lambda prompt: prompt.show_stored("x"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_without_a_session(call: Callable[[Prompt], str]) -> None:
    """Each says that nothing runs."""
    assert call(Prompt(None)) == NOT_RUNNING


def test_status() -> None:
    """The state is that of the session."""
    assert Prompt(Session()).status() == "store: here"


def test_all_is_written() -> None:
    """That is said at once."""
    assert Prompt(Session()).flush() == ALL_WRITTEN


@pytest.mark.parametrize(
    ("status", "level", "said"),
    [(OK, logging.INFO, ALL_WRITTEN), (GONE, logging.WARNING, "records still wait")],
)
async def test_flushing(
    caplog: pytest.LogCaptureFixture, status: str, level: int, said: str
) -> None:
    """How many wait is said at once, and the rest once it is known."""
    session = Session()
    session.written = False
    with caplog.at_level(logging.INFO):
        assert Prompt(session).flush().startswith("3 records wait; a line in the log")
        await answered(session, status)
    (record,) = caplog.records
    assert record.levelno == level
    assert said in record.getMessage()


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (lambda prompt: prompt.list_stored(), ["newest", "10"]),
        (lambda prompt: prompt.list_stored(3), ["newest", "3"]),
        (lambda prompt: prompt.find_stored("two", "words"), ["matching", "two", "words"]),
        (lambda prompt: prompt.show_stored("resp_1"), ["shown", "resp_1"]),
    ],
)
async def test_looking(caplog: pytest.LogCaptureFixture, call: Any, asked: list[str]) -> None:
    """The ingester is asked, and its answer is a line in the log that every user sees."""
    session = Session()
    assert call(Prompt(session)) == LATER
    assert session.asked == [(LOOK, asked, 2.0, True)]
    with caplog.at_level(logging.INFO):
        await answered(session, OK, "Köln\x1b[2J".encode())
    (record,) = caplog.records
    assert record.levelno == ALERT
    text = record.getMessage()
    assert text.startswith("response_store: Köln")
    assert "missing" not in text
    assert "\x1b" not in text


async def test_looking_while_nothing_is_written(caplog: pytest.LogCaptureFixture) -> None:
    """What the database has is told all the same, and how much it may lack."""
    session = Session()
    Prompt(session).list_stored()
    await answered(session, LATE)
    assert [one[2:] for one in session.asked] == [(2.0, True), (10.0, False)]
    with caplog.at_level(logging.INFO):
        await answered(session, OK, b"one")
    (record,) = caplog.records
    assert record.getMessage() == (
        "response_store: one\n3 records are not written yet, and may be missing here."
    )


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (FAILED, b"'x' is not found", "'x' is not found"),
        (GONE, b"", "the database can't be asked at the moment"),
    ],
)
async def test_looking_fails(
    caplog: pytest.LogCaptureFixture, status: str, body: bytes, said: str
) -> None:
    """Why there is no answer is a warning."""
    session = Session()
    Prompt(session).show_stored("x")  # type: ignore[arg-type]
    await answered(session, status, body)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, f"response_store: {said}")


async def test_looking_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """A database that can't be read is a warning."""
    session = Session()
    Prompt(session).list_stored()
    await answered(session, LATE)
    await answered(session, LATE)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "can't be asked at the moment" in record.getMessage()


def test_nothing_to_look_for() -> None:
    """A search without a word says what may be given."""
    session = Session()
    assert "what to look for?" in Prompt(session).find_stored()
    assert session.asked == []


def test_ids_to_offer() -> None:
    """Those that were written last, the newest first, each once; none without a view."""
    prompt = Prompt(Session())
    assert prompt.stored_ids() == []
    prompt.marks = Marks(lambda _: None, lambda _: None)
    for name in ("resp_1", "resp_2", "resp_1"):
        prompt.marks.written(WrittenRow("flow", 0, "", "e", name, "completed"))
    assert list(prompt.stored_ids()) == ["resp_1", "resp_2"]


async def test_names_for_mitmweb() -> None:
    """Its command bar knows no underscore, so there each has a second name."""
    with taddons.context() as context:
        manager = command.CommandManager(context.master)
        added: list[str] = []

        class Loader:
            master = WebMaster.__new__(WebMaster)

            def add_command(self, name: str, function: Any) -> None:
                manager.add(name, function)
                added.append(name)

        Prompt(None).name_for_mitmweb(Loader())
    assert added == [
        f"responsestore.{name}" for name in ("status", "flush", "list", "find", "show")
    ]
