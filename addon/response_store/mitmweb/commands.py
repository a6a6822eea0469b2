"""Give mitmproxy's prompt its commands, ids that it can complete, and warnings at start.

A command runs on the event loop, which never waits for the database: what is asked of the database
is looked up by the ingester, and the answer is a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from mitmproxy import command, types, version
from mitmproxy.log import ALERT

from response_store.format.text import escape_controls
from response_store.ingest.channel import LATE, OK, IngesterReply

if TYPE_CHECKING:
    from mitmproxy.command import CommandManager

    from response_store.diagnostics import ErrorReporter
    from response_store.mitmweb.flow_marks import Marks
    from response_store.session import Session

OPTIONS = "response_store.show.options"
"""The command that lists the ids to offer."""


class StoredId(str):
    """The id of a response or an exchange, or the beginning of one."""

    __slots__ = ()


class _StoredIdType(types._BaseType):  # noqa: SLF001 - all of mitmproxy's types are made of it
    typ = StoredId
    display = "id"

    def completion(self, manager: CommandManager, t: Any, s: str) -> Sequence[str]:  # noqa: ARG002
        """Return the ids that were seen last; any other may be typed as well."""
        offered: Sequence[str] = manager.call(OPTIONS)
        return offered

    def parse(self, manager: CommandManager, typ: Any, s: str) -> str:  # noqa: ARG002
        """Return any text: the store knows whether it is an id."""
        return s

    def is_valid(self, manager: CommandManager, typ: Any, val: Any) -> bool:  # noqa: ARG002
        """Return whether a value can be an id."""
        return isinstance(val, str)


types.CommandTypes.typemap[StoredId] = _StoredIdType()

_SAFE_MITMWEB = (11, 1, 2)  # CVE-2025-23217


def list_listening_warnings(master: Any, options: Any) -> Iterator[str]:
    """Yield what a user should know about how mitmproxy was started."""
    if getattr(options, "server", True) and not options.rfile and _is_open_to_network(options):
        yield (
            "response_store: mitmproxy listens on all interfaces, so anybody who reaches this "
            "machine can use it as a proxy: add --listen-host 127.0.0.1"
        )
    if is_mitmweb(master) and _read_version() < _SAFE_MITMWEB:
        yield (
            "response_store: mitmweb before 11.1.2 has the hole CVE-2025-23217: "
            "use mitmproxy 11.1.2 or later (Python 3.12 or later)"
        )


def is_mitmweb(master: Any) -> bool:
    """Return whether this is mitmweb, and not mitmdump or the console."""
    return "web" in type(master).__module__


def _is_open_to_network(options: Any) -> bool:
    if options.listen_host:
        return options.listen_host in ("0.0.0.0", "::", "*")  # noqa: S104 - warned of, not bound
    return any("@" not in mode or "@:" in mode for mode in options.mode)


def _read_version() -> tuple[int, ...]:
    return tuple(int(part) for part in version.VERSION.split(".")[:3] if part.isdigit())


F = TypeVar("F", bound=Callable[..., Any])
_command: Callable[[str], Callable[[F], F]] = command.command  # it has no types of its own
LOOK = "look"
"""The kind of question that the ingester answers from `serving/answers.py`."""
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
        """Name the commands anew for mitmweb, whose command bar knows no underscore.

        Its page shows turns from then on.
        """
        if not is_mitmweb(loader.master):
            return
        from response_store.mitmweb.turns_page import add_turns_page  # noqa: PLC0415 (mitmweb's)

        add_turns_page(loader.master)
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
