"""The commands of mitmproxy's prompt and of mitmweb's command bar.

A command runs on the event loop, which never waits for the database: what is asked of the database
is looked up in a thread, and the answer is a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from mitmproxy import command

from response_store.mitmweb.stored_id import OPTIONS, StoredId
from response_store.mitmweb.warned import is_mitmweb

if TYPE_CHECKING:
    from response_store.faults import Faults
    from response_store.mitmweb.looking import Question
    from response_store.mitmweb.marks import Marks
    from response_store.session import Session

F = TypeVar("F", bound=Callable[..., Any])
_command: Callable[[str], Callable[[F], F]] = command.command  # it has no types of its own
_FLUSH_SECONDS = 5.0
_LISTED = 10
ALL_WRITTEN = "all is written"
NOT_RUNNING = "store: not running"
LATER = "the answer comes in the event log"
logger = logging.getLogger(__name__)


class Commands:
    """The commands; the addon inherits them.

    They are no addon of their own, because mitmproxy asks every addon at every event.
    """

    session: Session | None
    faults: Faults
    marks: Marks | None = None

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
        session.recorder.flush()
        waiting = session.storage.waiting.records
        if not waiting:
            return ALL_WRITTEN
        # In a thread: a command runs on the event loop, which never waits for the database.
        asyncio.get_running_loop().run_in_executor(None, _tell_when_written, session)
        return f"{waiting} records wait; a line in the log will say when they are written"

    @_command("response_store.list")
    def list_stored(self, number: int = _LISTED) -> str:
        """List the newest exchanges that are stored, in the event log."""
        from response_store.mitmweb.looking import newest  # noqa: PLC0415 (where it is asked for)

        return self._look_up(newest(number))

    @_command("response_store.find")
    def find_stored(self, *words: str) -> str:
        """List stored exchanges in which all words occur, in the event log."""
        from response_store.mitmweb.looking import matching  # noqa: PLC0415 (where it is asked for)

        if not words:
            return "what to look for? Give a word of an answer, a model, a state, a host or an id"
        return self._look_up(matching(words))

    @_command("response_store.show")
    def show_stored(self, identifier: StoredId) -> str:
        """Show a stored exchange as a conversation, in the event log."""
        from response_store.mitmweb.looking import shown  # noqa: PLC0415 (where it is asked for)

        return self._look_up(shown(identifier))

    @_command(OPTIONS)
    def stored_ids(self) -> Sequence[str]:
        """The ids that were stored last, the newest first: response_store.show takes them."""
        return list(dict.fromkeys(reversed(self.marks.ids))) if self.marks else []

    def _look_up(self, question: Question) -> str:
        from response_store.mitmweb.looking import look_up  # noqa: PLC0415 (where it is asked for)

        if self.session is None:
            return NOT_RUNNING
        self.session.recorder.flush()
        looking = partial(self.faults.guard, "command", look_up, self.session, question)
        asyncio.get_running_loop().run_in_executor(None, looking)
        return LATER


def _tell_when_written(session: Session) -> None:
    if session.storage.drain(_FLUSH_SECONDS):
        logger.info("response_store: %s", ALL_WRITTEN)
    else:
        waiting = session.storage.waiting.records
        logger.warning("response_store: %d records still wait", waiting)
