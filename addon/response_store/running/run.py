"""A command with its proxy, from the start of the one to the end of the other."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from response_store.running.authorities import read_trusted
from response_store.running.base_url import BaseUrl
from response_store.running.bypass import BypassWatch, find_servers
from response_store.running.channel import USER, ProxyReady, ProxySettings, derive_segment
from response_store.running.child_environment import build_child_environment
from response_store.running.command import adapt_command
from response_store.running.company_proxy import CompanyProxy
from response_store.running.confdir import has_authority
from response_store.running.errors import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    PROXY_LOST,
    RunError,
    compute_signal_status,
)
from response_store.running.private_files import make_private_folder, write_private_file
from response_store.running.proxy_process import ProxyProcess
from response_store.running.signals import Signals
from response_store.running.web_page import PORT_OF_ITS_OWN

# mitmproxy takes the same words twice for the same port. A reverse proxy to an https server gets
# UDP as well, for QUIC, which listens at an address alone: the name is for the other.
_LOOPBACK = "127.0.0.1:0"
_LOOPBACK_BY_NAME = "localhost:0"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is started around a command. `environ` is the environment without the proxy."""

    environ: Mapping[str, str]
    config: Path | None = None
    base_url: BaseUrl | None = None
    company_proxy: CompanyProxy | None = None
    local: bool = False
    web: bool = False
    open_browser: bool = False


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
            bypassed = watch.end()
            lost = proxy.has_ended
        return RunOutcome(
            status=_choose_status(returncode, proxy_lost=lost),
            since=since,
            recorder_id=ready.recorder_id,
            proxy_lost=lost,
            proxy_killed=proxy.was_killed,
            log=proxy.log(),
            bypassed=bypassed,
        )


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
