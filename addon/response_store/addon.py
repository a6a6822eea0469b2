"""The mitmproxy addon: its option, its configuration, and the life of a session."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader

from response_store.config import Config, ConfigError, config_warnings, load_config
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.listening import serving_refusal
from response_store.mitmweb import Commands, add_contentview, listening_warnings, marks_of
from response_store.session import FILE_READ_WAIT, Closing, Session
from response_store.traffic import Traffic

logger = logging.getLogger(__name__)
OPTION = "response_store_config"
VARIABLE = "RESPONSE_STORE_CONFIG"
_LISTENING = {"mode", "listen_host", "server"}  # mitmproxy's options
_options_error: Callable[[str], Exception] = exceptions.OptionsError  # it has no types of its own


class ResponseStore(Traffic, Commands):
    """Keeps every OpenAI response that passes."""

    def __init__(self) -> None:
        counts = Counts()
        super().__init__(counts, Faults(counts))
        self.config: Config | None = None
        self._running = False

    def load(self, loader: Loader) -> None:
        loader.add_option(
            OPTION, str, "", "Path of Response Store's YAML configuration. Empty: the defaults."
        )
        self.name_for_mitmweb(loader)
        add_contentview()

    def configure(self, updated: set[str]) -> None:
        self.options_changed()
        if OPTION not in updated:
            if self._running and self.config is not None and _LISTENING & updated:
                self._check_listening(self.config)
            return
        try:
            config = load_config(getattr(ctx.options, OPTION) or os.environ.get(VARIABLE))
        except ConfigError as error:
            if self._running:
                raise _options_error(str(error)) from None
            # An error that is logged while mitmproxy starts ends it with this text alone.
            logger.error("%s", error)
            return
        if self._running:
            self._check_listening(config)
        self.config = config
        if self._running:
            self._restart()

    def running(self) -> None:
        self._running = True
        if self.config is not None and self.session is None:
            self._start(self.config)

    def done(self) -> None:
        self._running = False
        self._stop()

    def _check_listening(self, config: Config) -> None:
        """Raise what makes mitmproxy take back its options, where these may not go together."""
        refusal = serving_refusal(config, ctx.options, _bound())
        if refusal is not None:
            raise _options_error(refusal)

    def _start(self, config: Config) -> None:
        refusal = serving_refusal(config, ctx.options, _bound())
        if refusal is not None:
            logger.error("%s", refusal)
            return
        self.marks = self.marks or marks_of(ctx.master)
        session = Session(
            config,
            self.counts,
            self.faults,
            asyncio.get_running_loop(),
            announces=_shows_info,
            watch=self.marks.written if self.marks else None,
        )
        error = session.open()
        if error is not None:
            logger.error("%s", error)
            session.close()
            return
        self.session = session
        logger.info("%s", session.describe())
        for warning in config_warnings(config):
            logger.warning("response_store: %s", warning)
        for warning in listening_warnings(ctx.master, ctx.options):
            logger.warning("%s", warning)

    def _stop(self) -> None:
        self.read_requests()
        session, self.session = self.session, None
        if session is not None:
            closing = session.close(FILE_READ_WAIT if _reads_a_file() else 0.0)
            sys.stderr.write(closing_text(closing) + "\n")
            sys.stderr.flush()

    def _restart(self) -> None:
        """Take the new configuration; where it can't work, go on with the one before."""
        before = self.session.config if self.session is not None else None
        self._stop()
        if self.config is not None:
            self._start(self.config)
        if self.session is None and before is not None:
            logger.warning("response_store: the configuration before stays in force")
            self.config = before
            self._start(before)


def closing_text(closing: Closing) -> str:
    """What is said at the end: how much was written and lost, and every other count."""
    summary = closing.ending.summary
    text = f"response_store: {summary.written} written, {summary.lost} lost"
    if closing.closed_open:
        text += f", {closing.closed_open} open exchanges closed as interrupted"
    if closing.ending.stays:
        text += f"; {closing.ending.stays}"
    others = {k: v for k, v in closing.counts.items() if k not in ("written", "seen")}
    if others:
        text += " (" + ", ".join(f"{name} {number}" for name, number in others.items()) + ")"
    return text


def _bound() -> Iterator[str]:
    """The addresses at which mitmproxy listens."""
    addons: Any = ctx.master.addons  # it has no types of its own
    servers = addons.get("proxyserver")
    return (str(address[0]) for address in (servers.listen_addrs() if servers else ()))


def _reads_a_file() -> bool:
    """Whether mitmproxy runs to read a flow file, and has no clients."""
    return bool(ctx.options.rfile) and not ctx.options.server


def _shows_info() -> bool:
    """Whether a line of level info is to be seen: not where the user asked for quiet."""
    return ctx.options.termlog_verbosity in ("info", "debug")
