"""Run a command with its proxy, from the start of the one to the end of the other.

What is typed at a terminal (Ctrl-C, Ctrl-Backslash, Ctrl-Z) goes to the whole foreground process
group, and with it to the command, so nothing is passed on. What is sent to this process alone is.
Stopping and going on need nothing: the default does it, for both.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from response_store.config.load import LABEL_VARIABLE, URL_VARIABLE
from response_store.run.bypass import BypassWatch, find_servers
from response_store.run.command import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    PROXY_LOST,
    RunError,
    RunLabel,
    StoppedBySignal,
    adapt_command,
    compute_signal_status,
)
from response_store.run.environment import build_child_environment, has_authority, read_trusted
from response_store.run.proxy_process import (
    PORT_OF_ITS_OWN,
    USER,
    ProxyProcess,
    ProxyReady,
    ProxySettings,
    derive_segment,
    make_private_folder,
    write_private_file,
)
from response_store.run.proxy_urls import BaseUrl, CompanyProxy

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_TYPED = (signal.SIGINT, signal.SIGQUIT)


class Signals:
    """A context in which signals are the command's.

    Before the command has been started they raise `StoppedBySignal`; after it has ended they do
    nothing, so that the last records are written. Signals that were ignored stay ignored, as under
    `nohup`.
    """

    def __init__(self) -> None:
        self._before = {
            number: signal.getsignal(number)
            for number in (*_PASSED_ON, *_TYPED)
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        self._raises = True
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold signals back for a moment: what comes meanwhile raises at its end."""
        self._raises = False
        yield
        self._raises = True
        if self._early:
            self._received(self._early.pop(0), None)

    def starting(self) -> None:
        """Raise nothing from now on: the command is about to be started, or has ended."""
        self._raises = False

    def started(self, child: subprocess.Popen[bytes]) -> None:
        """Pass signals to the running command, first those that came since `starting`."""
        self._child = child
        while self._early:
            self._pass_on(self._early.pop(0))

    def ended(self) -> None:
        """Pass on nothing any more: the command has ended. What comes from now on is `stopped`."""
        self._child = None
        self._early.clear()

    @property
    def stopped(self) -> bool:
        """Return whether a signal came after the command had ended."""
        return bool(self._early)

    def __enter__(self) -> Self:
        for number in self._before:
            signal.signal(number, self._received)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, _: FrameType | None) -> None:
        if self._raises:
            self.starting()  # once is enough: what follows must not break off the cleaning up
            raise StoppedBySignal(number)
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if self._child is None:
            self._early.append(number)
        elif number not in _TYPED or not _is_in_foreground():
            self._child.send_signal(number)  # does nothing once the command has ended


def _is_in_foreground() -> bool:
    """Return whether we are the foreground process group of a
    terminal, which sends us what is typed.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


# mitmproxy takes the same words twice for the same port. A reverse proxy to an https server gets
# UDP as well, for QUIC, which listens at an address alone: the name is for the other.
_LOOPBACK = "127.0.0.1:0"
_LOOPBACK_BY_NAME = "localhost:0"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is started around a command. `environ` is the environment without the proxy.

    `label` is what its exchanges are called; `database_url` wins over the configuration's.
    """

    environ: Mapping[str, str]
    config: Path | None = None
    base_url: BaseUrl | None = None
    company_proxy: CompanyProxy | None = None
    local: bool = False
    web: bool = False
    open_browser: bool = False
    wait: bool = False
    label: RunLabel | None = None
    database_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """The result of a run: the exit status, and what is known of the proxy.

    `since` is when all began, in Unix seconds; `log` what the proxy said, and
    `bypassed` the API servers that the command connected to without it.
    """

    status: int
    since: float
    recorder_id: str
    proxy_lost: bool
    proxy_killed: bool
    log: str
    bypassed: Sequence[str] = ()
    label: RunLabel | None = None


def run_with_proxy(command: Sequence[str], plan: Plan, notify: Callable[[str], None]) -> RunOutcome:
    """Run the command and wait for its end, then for the proxy's last commit.

    `notify` is given what the user should know at once. Raises RunError where the command was not
    started, and Stopped where a signal came before; nothing is left behind either way.
    """
    since = time.time()
    trusted = read_trusted(plan.environ)
    with Signals() as signals, make_private_folder() as name:
        folder = Path(name)
        authorities = write_private_file(folder / "upstream-authorities.pem", trusted)
        password = secrets.token_urlsafe(24)
        proxy = ProxyProcess(
            "mitmweb" if plan.web else "mitmdump",
            [*_list_modes(plan), *_list_options(plan, folder)],
            _build_settings(plan, folder, authorities, password),
            _build_environment(plan),
        )
        with closing(proxy):
            with signals.held():
                proxy.start()
            ready = proxy.wait_ready()
            if ready.page is not None:
                notify(f"mitmweb: {ready.page}")
            bundle = write_private_file(folder / "authorities.pem", trusted + ready.authority)
            signals.starting()
            child = _start_command(command, plan, ready, bundle, password)
            signals.started(child)
            proxy.watch(lambda: notify(_LOST))
            watch = BypassWatch(child.pid, find_servers(plan.environ, *_list_replaced(plan)))
            returncode = child.wait()
            signals.ended()
            bypassed = watch.end()
            if plan.wait and not proxy.has_ended:
                notify(_WAITS.format(page=ready.page))
                wait_for_enter(lambda: signals.stopped or proxy.has_ended)
            lost = proxy.has_ended
        return RunOutcome(
            status=_choose_status(returncode, proxy_lost=lost),
            since=since,
            recorder_id=ready.recorder_id,
            proxy_lost=lost,
            proxy_killed=proxy.was_killed,
            log=proxy.log(),
            bypassed=bypassed,
            label=plan.label,
        )


def wait_for_enter(is_over: Callable[[], bool]) -> None:
    """Wait for a line or the end of standard input, or until `is_over`.

    What was typed before is nobody's any more.
    """
    with suppress(OSError, termios.error):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    while not is_over():
        if select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:
            os.read(sys.stdin.fileno(), _LINE)
            return


_LOOK_SECONDS = 0.1  # between two looks whether to wait at all
_LINE = 4096  # bytes that a terminal gives at once
_WAITS = "response-store: the command has ended; Enter ends the page as well: {page}"


def _list_replaced(plan: Plan) -> list[str]:
    return [plan.base_url.server] if plan.base_url else []


_LOST = (
    "response-store: the proxy has ended before the command: what the command asks from now on"
    " fails, and is not captured"
)


def _list_modes(plan: Plan) -> Iterator[str]:
    yield from ("--listen-host", "127.0.0.1", "--mode")
    at = _LOOPBACK if plan.base_url is None else _LOOPBACK_BY_NAME
    if plan.company_proxy is None:
        yield f"regular@{at}"
    else:
        yield f"upstream:{plan.company_proxy.server}@{at}"
    if plan.base_url is not None:
        yield from ("--mode", f"reverse:{plan.base_url.server}@{_LOOPBACK}")


def _list_options(plan: Plan, folder: Path) -> Iterator[str]:
    options = ["termlog_verbosity=warn"]
    if not has_authority():
        options.append(f"confdir={folder / 'mitmproxy'}")  # one for this run
    if plan.config is not None:
        options.append(f"response_store_config={plan.config.absolute()}")
    if plan.web:
        # The page is opened by us where that is asked for: not before its port is known.
        options += [PORT_OF_ITS_OWN, "web_open_browser=false"]
    else:
        options.append("flow_detail=0")
    for option in options:
        yield from ("--set", option)


def _build_environment(plan: Plan) -> dict[str, str]:
    """Return what the proxy has in its environment beside ours."""
    label = plan.label and plan.label.name
    named = {LABEL_VARIABLE: label, URL_VARIABLE: plan.database_url}
    return {variable: value for variable, value in named.items() if value is not None}


def _build_settings(plan: Plan, folder: Path, authorities: Path, password: str) -> ProxySettings:
    return ProxySettings(
        password=password,
        folder=str(folder),
        trusted=str(authorities),
        credentials=plan.company_proxy.credentials if plan.company_proxy else None,
        open_browser=plan.open_browser,
    )


def _start_command(
    command: Sequence[str], plan: Plan, ready: ProxyReady, bundle: Path, password: str
) -> subprocess.Popen[bytes]:
    base = None
    if plan.base_url and ready.reverse:
        base = plan.base_url.at(f"{ready.reverse}/{derive_segment(password)}")
    proxy = f"http://{USER}:{password}@{ready.proxy}"
    environment = build_child_environment(
        plan.environ, proxy=proxy, bundle=bundle, base=base, local=plan.local
    )
    try:
        # What the caller has opened for the command, such as <(...), is open there too.
        return subprocess.Popen(  # noqa: S603
            adapt_command(command, base, environment), env=environment, close_fds=False
        )
    except OSError as error:
        status = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        raise RunError(f"{command[0]}: {os.strerror(error.errno or 0)}", status) from None


def _choose_status(returncode: int, *, proxy_lost: bool) -> int:
    if returncode < 0:
        return compute_signal_status(-returncode)
    return PROXY_LOST if returncode == 0 and proxy_lost else returncode
