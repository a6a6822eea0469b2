"""Run as a mitmproxy addon: startup and shutdown, its option, its configuration, its sessions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader

from response_store.config import Config, ConfigError, Serve, list_security_warnings, load_config
from response_store.exposure import connects_late, find_serving_refusal
from response_store.hooks import Traffic
from response_store.mitmweb import Commands, add_contentview, build_marks, list_listening_warnings
from response_store.runtime import Runtime, runtime
from response_store.session import FILE_READ_WAIT, Closing, Session

logger = logging.getLogger(__name__)
OPTION = "response_store_config"
VARIABLE = "RESPONSE_STORE_CONFIG"
_STAYS = "response_store: the configuration before stays in force"
_VERBOSITY = "termlog_verbosity"  # one of mitmproxy's options
_EAGER, _LAZY = "eager", "lazy"  # values of mitmproxy's `connection_strategy`
_LISTENING = {"mode", "listen_host", "server"}  # mitmproxy's options
_options_error: Callable[[str], Exception] = exceptions.OptionsError  # it has no types of its own


class ResponseStore(Traffic, Commands):
    """Keeps every OpenAI response that passes."""

    def __init__(self, runtime: Runtime = runtime) -> None:
        super().__init__(runtime)
        self.config: Config | None = None
        self._running = False
        self._made_late = False

    def load(self, loader: Loader) -> None:
        loader.add_option(
            OPTION, str, "", "Path of Response Store's YAML configuration. Empty: the defaults."
        )
        self.name_for_mitmweb(loader)
        add_contentview()

    def configure(self, updated: set[str]) -> None:
        self.options_changed()
        self.host_headers.options_changed(updated)
        if _VERBOSITY in updated and self.runtime.session is not None:
            self.runtime.session.announce()
        if OPTION not in updated:
            if self._running and self.config is not None and _LISTENING & updated:
                self._check_listening(self.config)
                self._connect_late(self.config)
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
            self._switch(config)
            return
        self.config = config
        # One turn later, as mitmproxy ends at once where it only lists its options.
        loop = _find_running_loop()
        if loop is not None:
            loop.call_soon(self._start_early, config)

    def running(self) -> None:
        self._running = True
        config = self.config
        if self.runtime.is_detached:
            self._go_on(config)
            return
        if config is None or not self._start(config):
            return
        if not self.runtime.wait_for_verdict():
            return
        session = self.runtime.session
        if session is not None:
            self._say_what_is_in_force(session)
            _end_on_hangup(session.loop)

    def done(self) -> None:
        self._running = False
        self.host_headers.watch(ctx.options, replace_host=False)
        self.read_requests()
        if not ctx.master.should_exit.is_set():
            # The script is loaded anew, or taken out: the session outlives it for a moment.
            self.runtime.detach(asyncio.get_running_loop())
            return
        closing = self.runtime.stop(FILE_READ_WAIT if _reads_a_file() else 0.0)
        if closing is not None:
            sys.stderr.write(format_closing(closing) + "\n")
            sys.stderr.flush()

    def _check_listening(self, config: Config) -> None:
        """Raise what makes mitmproxy take back its options, where these may not go together."""
        refusal = find_serving_refusal(config, ctx.options, _list_bound_addresses())
        if refusal is not None:
            raise _options_error(refusal)

    def _start_early(self, config: Config) -> None:
        """Start the ingester while mitmproxy still gets ready."""
        if not self._running and config is self.config:
            self._start(config)

    def _start(self, config: Config) -> bool:
        refusal = find_serving_refusal(config, ctx.options, _list_bound_addresses())
        if refusal is not None:
            if self.runtime.session is None:
                logger.error("%s", refusal)
            return False
        return self.runtime.start(config, self._make)

    def _go_on(self, config: Config | None) -> None:
        """Go on with the session of a script that was loaded anew: traffic passes meanwhile."""
        session = self.runtime.attach()
        refusal = (
            find_serving_refusal(config, ctx.options, _list_bound_addresses())
            if config is not None
            else None
        )
        if refusal is not None:
            logger.error("%s", refusal)
        if config is not None and refusal is None:
            self._switch(config)
        elif session is not None:
            self.config = session.config
            logger.warning(_STAYS)

    def _switch(self, config: Config) -> None:
        """Take another configuration while traffic passes."""
        session = self.runtime.session
        if session is not None and session.config.same_as(config):
            self.config = config
            return

        def switched(session: Session | None) -> None:
            if session is None:
                logger.warning(_STAYS)
                return
            self.config = config
            self._say_what_is_in_force(session)

        self.runtime.switch(config, self._make, switched)

    def _make(self, config: Config) -> Session:
        self.marks = self.marks or build_marks(ctx.master)
        return Session(
            config,
            self.counters,
            self.errors,
            asyncio.get_running_loop(),
            announces=_shows_info,
            watch=self.marks.written if self.marks else None,
        )

    def _connect_late(self, config: Config) -> None:
        """Have mitmproxy connect to the upstream when a request is to go there, where that counts.

        It connects as soon as a client does, and closes the client's connection where it can't:
        then no request comes that could be answered, or of which a row could say what failed.
        """
        options: Any = ctx.options  # it has no types of its own
        late = connects_late(config, options.mode)
        if late and options.connection_strategy == _EAGER:
            self._made_late = True
            options.update(connection_strategy=_LAZY)
        elif not late and self._made_late:
            self._made_late = False
            options.update(connection_strategy=_EAGER)

    def _say_what_is_in_force(self, session: Session) -> None:
        self.host_headers.watch(ctx.options, replace_host=session.config.serve is not Serve.OFF)
        self._connect_late(session.config)
        logger.info("%s", session.describe())
        for warning in list_security_warnings(session.config):
            logger.warning("response_store: %s", warning)
        for warning in list_listening_warnings(ctx.master, ctx.options):
            logger.warning("%s", warning)


def format_closing(closing: Closing) -> str:
    """Return what is said at the end: how much was written and lost, and every other count."""
    text = f"response_store: {closing.written} written, {closing.lost} lost"
    if closing.interrupted:
        text += f", {closing.interrupted} open exchanges interrupted"
    if closing.remaining:
        text += f"; {closing.remaining}"
    others = {k: v for k, v in closing.counters.items() if k not in ("written", "seen")}
    if others:
        text += " (" + ", ".join(f"{name} {number}" for name, number in others.items()) + ")"
    return text


def _end_on_hangup(loop: asyncio.AbstractEventLoop) -> None:
    """Have SIGHUP end mitmproxy as SIGTERM does, unless it is ignored or handled already."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(hangup, ctx.master.shutdown)


def _find_running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _list_bound_addresses() -> Iterator[str]:
    """Yield the addresses at which mitmproxy listens."""
    addons: Any = ctx.master.addons  # it has no types of its own
    servers = addons.get("proxyserver")
    return (str(address[0]) for address in (servers.listen_addrs() if servers else ()))


def _reads_a_file() -> bool:
    """Return whether mitmproxy runs to read a flow file, and has no clients."""
    return bool(ctx.options.rfile) and not ctx.options.server


def _shows_info() -> bool:
    """Return whether a line of level info is to be seen: not where the user asked for quiet."""
    return bool(ctx.options.termlog_verbosity in ("info", "debug"))
