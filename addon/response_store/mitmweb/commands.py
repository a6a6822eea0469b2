"""The commands of mitmproxy's prompt and of mitmweb's command bar.

A command runs on the event loop, which never waits for the database: what is asked of the database
is looked up by the ingester, and the answer is a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from mitmproxy import command
from mitmproxy.log import ALERT

from response_store.ingest.channel import LATE, OK
from response_store.mitmweb.stored_id import OPTIONS, StoredId
from response_store.mitmweb.warned import is_mitmweb
from response_store.telling.printable import escape_controls

if TYPE_CHECKING:
    from response_store.faults import ErrorReporter
    from response_store.ingest.supervisor import IngesterReply
    from response_store.mitmweb.marks import Marks
    from response_store.session import Session

F = TypeVar("F", bound=Callable[..., Any])
_command: Callable[[str], Callable[[F], F]] = command.command  # it has no types of its own
LOOK = "look"
"""The kind of question that the ingester answers from `ingest/looking.py`."""
_SETTLE_SECONDS = 2.0  # that a look waits for what was captured just now
_LOOK_SECONDS = 10.0
_LISTED = 10
ALL_WRITTEN = "all is written"
NOT_RUNNING = "store: not running"
LATER = "the answer comes in the event log"
logger = logging.getLogger(__name__)


class Commands:
    """The commands; the addon inherits them.

    They are no addon of their own, because mitmproxy asks every addon at every event.
    """

    errors: ErrorReporter
    marks: Marks | None = None

    @property
    def session(self) -> Session | None:
        """Return the session in force; the addon has it."""
        raise NotImplementedError

    def name_for_mitmweb(self, loader: Any) -> None:
        """Name the commands anew for mitmweb, whose command bar knows no underscore."""
        if not is_mitmweb(loader.master):
            return
        named: tuple[Any, ...] = (
            self.status,
            self.flush,
            self.list_stored,
            self.find_stored,
            self.show_stored,
        )
        for function in named:
            loader.add_command(function.command_name.replace("_", ""), function)

    @_command("response_store.status")
    def status(self) -> str:
        """Tell the state of the store, what waits, and every count."""
        session = self.session
        return session.status() if session else NOT_RUNNING

    @_command("response_store.flush")
    def flush(self) -> str:
        """Tell whether all that was captured so far is written; if not, say so once it is."""
        session = self.session
        if session is None:
            return NOT_RUNNING
        if session.is_written():
            return ALL_WRITTEN
        flushed = session.flushed()
        flushed.add_done_callback(_say_when_written)
        return f"{session.waiting()} records wait; a line in the log will say when they are written"

    @_command("response_store.list")
    def list_stored(self, number: int = _LISTED) -> str:
        """List the newest exchanges that are stored, in the event log."""
        return self._look_up("newest", str(number))

    @_command("response_store.find")
    def find_stored(self, *words: str) -> str:
        """List stored exchanges in which all words occur, in the event log."""
        if not words:
            return "what to look for? Give a word of an answer, a model, a state, a host or an id"
        return self._look_up("matching", *words)

    @_command("response_store.show")
    def show_stored(self, identifier: StoredId) -> str:
        """Show a stored exchange as a conversation, in the event log."""
        return self._look_up("shown", identifier)

    @_command(OPTIONS)
    def stored_ids(self) -> Sequence[str]:
        """Return the ids that were stored last, the newest first:
        response_store.show takes them.
        """
        return list(dict.fromkeys(reversed(self.marks.ids))) if self.marks else []

    def _look_up(self, kind: str, *arguments: str) -> str:
        """Have the ingester look something up; its answer is a line in the log.

        Where what was captured just now takes long to be written, it is told without it.
        """
        session = self.session
        if session is None:
            return NOT_RUNNING
        question = msgspec.msgpack.encode([kind, *arguments])

        def answered(future: asyncio.Future[IngesterReply]) -> None:
            if future.result().status != LATE:
                _say(future.result())
                return
            again = session.ask(LOOK, question, _LOOK_SECONDS, after_captured=False)
            again.add_done_callback(lambda future: _say(future.result(), session.waiting()))

        session.ask(LOOK, question, _SETTLE_SECONDS).add_done_callback(answered)
        return LATER


def _say_when_written(flushed: asyncio.Future[IngesterReply]) -> None:
    if flushed.result().status == OK:
        logger.info("response_store: %s", ALL_WRITTEN)
    else:
        logger.warning("response_store: the ingester has ended; records still wait")


def _say(answered: IngesterReply, waiting: int = 0) -> None:
    """Log what was looked up; of this level is what a user has asked for."""
    text = escape_controls(answered.body.decode(errors="replace"))
    if answered.status == OK:
        note = f"\n{waiting} records are not written yet, and may be missing here."
        logger.log(ALERT, "response_store: %s", text + (note if waiting else ""))
    else:
        logger.warning("response_store: %s", text or "the database can't be asked at the moment")
