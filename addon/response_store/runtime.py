"""The sessions of this process: the one in force, and those that still have something in flight.

It belongs to the package and not to mitmproxy's script, so that a script that is loaded anew finds
its session as it was. Everything runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import StoreError
from response_store.session import CLOSE_WAIT, OPEN_WAIT, Closing, Session

if TYPE_CHECKING:
    from response_store.capture.exchange import Exchange
    from response_store.config import Config

logger = logging.getLogger(__name__)
_VERDICT_POLL_INTERVAL = 0.02  # seconds between looks whether a new session has its verdict
Make = Callable[["Config"], Session]


class Runtime:
    """Sessions, and the counters and errors that outlive them."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.errors = ErrorReporter(self.counters)
        self.session: Session | None = None
        self._retiring: list[Session] = []
        self._candidate: Session | None = None
        self._is_detached = False
        self._has_started = False

    def start(self, config: Config, make: Make) -> bool:
        """Begin with a configuration, unless a session has it; log why where that fails.

        Returns whether there is a session with this configuration.
        """
        self._is_detached = False
        session = self.session
        if session is not None:
            if session.config.same_as(config):
                return True
            self.session = None
            self._retire(session)
        try:
            self.session = make(config)
        except StoreError as error:
            logger.error("%s", error)
            return False
        if not self._has_started:
            self._has_started = True
            # What exists by now stays, so the collector need not look at it, which takes
            # milliseconds on the event loop. Once: later on traffic would wait for the first look.
            gc.collect()
            gc.freeze()
        self.session.start()
        return True

    def wait_for_verdict(self) -> bool:
        """Block until the database was opened, a bounded time; log why where it can't be used."""
        session = self.session
        if session is None:
            return False
        error = session.wait_for_verdict(OPEN_WAIT)
        if error is None:
            session.log_verdicts()
            return True
        logger.error("%s", error)
        self.session = None
        session.close()
        return False

    def switch(
        self, config: Config, make: Make, switched: Callable[[Session | None], None]
    ) -> None:
        """Take another configuration while traffic passes: nothing waits, nothing is cut off.

        What is in flight ends where it began. `switched` is called with the new session, or with
        None where it can't work: the one before stays then.
        """
        self._is_detached = False
        if self._candidate is not None:
            self._candidate.close()
            self._candidate = None
        try:
            candidate = make(config)
        except StoreError as error:
            logger.warning("%s", error)
            switched(None)
            return
        self._candidate = candidate
        candidate.start()
        deadline = candidate.loop.time() + OPEN_WAIT
        self._look_for_verdict(candidate, deadline, switched)

    def detach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that the script has ended; unless it comes back at once, the session retires."""
        self._is_detached = True
        loop.call_soon(self._retire_if_detached)

    @property
    def is_detached(self) -> bool:
        """Return whether the script has ended and none has taken its place."""
        return self._is_detached

    def attach(self) -> Session | None:
        """Note that a script is there again; return the session that it goes on with."""
        self._is_detached = False
        return self.session

    def stop(self, patience: float) -> Closing | None:
        """Have everything applied, for a bounded time; None where there was no session.

        The sessions stay: what reaches a client from here on is still written.
        """
        deadline = time.monotonic() + CLOSE_WAIT
        closings = [
            session.stop(max(0.0, deadline - time.monotonic()), patience)
            for session in self.sessions()
        ]
        if not closings:
            return None
        last = closings[-1]
        remaining = [closing.remaining for closing in closings if closing.remaining]
        interrupted = sum(closing.interrupted for closing in closings)
        return Closing(
            last.written, last.lost, interrupted, "; ".join(remaining) or None, last.counters
        )

    def close(self) -> None:
        """Close every session at once."""
        sessions = [*self._retiring, self.session, self._candidate]
        self._retiring, self.session, self._candidate = [], None, None
        for session in sessions:
            if session is not None:
                session.close()

    def find(self, flow_id: str) -> tuple[Session, Exchange] | None:
        """Return the live exchange of a flow, and the session in which it began; None where there
        is none.
        """
        session = self.session
        if session is not None:
            exchange = session.recorder.find(flow_id)
            if exchange is not None:
                return session, exchange
        for retiring in self._retiring:
            exchange = retiring.recorder.find(flow_id)
            if exchange is not None:
                return retiring, exchange
        return None

    def session_of_socket(self, flow_id: str) -> Session | None:
        """Return the session that follows a socket: the one in which it began, else the current."""
        for retiring in self._retiring:
            if retiring.sockets.follows(flow_id):
                return retiring
        return self.session

    def sessions(self) -> list[Session]:
        """Return every session that may have something in flight, the current one last."""
        return [*self._retiring, *([self.session] if self.session else [])]

    def sweep(self) -> None:
        """Close sessions that have retired and have nothing in flight any more."""
        if self._retiring:
            for session in self._retiring:
                session.close_if_done()
            self._retiring = [one for one in self._retiring if not one.is_closed]

    def _retire(self, session: Session) -> None:
        session.retire()
        if not session.is_closed:
            self._retiring.append(session)

    def _retire_if_detached(self) -> None:
        if not self._is_detached:
            return
        session, self.session = self.session, None
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.close()
        if session is not None:
            self._retire(session)

    def _look_for_verdict(
        self, candidate: Session, deadline: float, switched: Callable[[Session | None], None]
    ) -> None:
        if self._candidate is not candidate:
            return  # another configuration came meanwhile
        error = candidate.verdict
        if error is None and not candidate.has_verdict and candidate.loop.time() < deadline:
            candidate.loop.call_later(
                _VERDICT_POLL_INTERVAL, self._look_for_verdict, candidate, deadline, switched
            )
            return
        self._candidate = None
        if error is not None:
            logger.warning("%s", error)
            candidate.close()
            switched(None)
            return
        candidate.log_verdicts()
        before, self.session = self.session, candidate
        if before is not None:
            self._retire(before)
        switched(candidate)


runtime = Runtime()
"""That of the process."""
