"""What mitmproxy's own tools show of us: commands, and warnings at start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from mitmproxy import command, version

if TYPE_CHECKING:
    from response_store.session import Session

F = TypeVar("F", bound=Callable[..., Any])
_command: Callable[[str], Callable[[F], F]] = command.command  # it has no types of its own
_SAFE_MITMWEB = (11, 1, 2)  # CVE-2025-23217
_FLUSH_SECONDS = 5.0
ALL_WRITTEN = "all is written"
logger = logging.getLogger(__name__)


class Commands:
    """The commands of mitmproxy's prompt; the addon inherits them.

    They are no addon of their own, because mitmproxy asks every addon at every event.
    """

    session: Session | None

    @_command("response_store.status")
    def status(self) -> str:
        """Tell the state of the store, what waits, and every count."""
        session = self.session
        return session.status() if session else "store: not running"

    @_command("response_store.flush")
    def flush(self) -> str:
        """Tell whether all that was captured so far is written; if not, say so once it is."""
        session = self.session
        if session is None:
            return "store: not running"
        session.recorder.flush()
        waiting = session.storage.waiting.records
        if not waiting:
            return ALL_WRITTEN
        # In a thread: a command runs on the event loop, which never waits for the database.
        asyncio.get_running_loop().run_in_executor(None, _tell_when_written, session)
        return f"{waiting} records wait; a line in the log will say when they are written"


def _tell_when_written(session: Session) -> None:
    if session.storage.drain(_FLUSH_SECONDS):
        logger.info("response_store: %s", ALL_WRITTEN)
    else:
        waiting = session.storage.waiting.records
        logger.warning("response_store: %d records still wait", waiting)


def listening_warnings(master: Any, options: Any) -> Iterator[str]:
    """What a user should know about how mitmproxy was started."""
    if getattr(options, "server", True) and not options.rfile and _listens_everywhere(options):
        yield (
            "response_store: mitmproxy listens on all interfaces, so anybody who reaches this "
            "machine can use it as a proxy: add --listen-host 127.0.0.1"
        )
    if "web" in type(master).__module__ and _version() < _SAFE_MITMWEB:
        yield (
            "response_store: mitmweb before 11.1.2 has the hole CVE-2025-23217: "
            "use mitmproxy 11.1.2 or later (Python 3.12 or later)"
        )


def _listens_everywhere(options: Any) -> bool:
    if options.listen_host:
        return options.listen_host in ("0.0.0.0", "::", "*")  # noqa: S104 - warned of, not bound
    return any("@" not in mode or "@:" in mode for mode in options.mode)


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in version.VERSION.split(".")[:3] if part.isdigit())
