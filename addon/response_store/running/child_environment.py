"""The variables that make a command go through the proxy and trust it.

It never gets the URL of a database: with it comes a password that only our own programs need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from response_store.running import base_url
from response_store.running.authorities import EVERYWHERE, WHERE_SET
from response_store.running.loopback import NAMES, is_pattern_of_loopback

_PROXIES = (
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
    *("WSS_PROXY", "wss_proxy", "WS_PROXY", "ws_proxy"),  # aiohttp asks for its sockets' own
)
_WHERE_SET = ("ALL_PROXY", "all_proxy")
_EXCEPTIONS = ("NO_PROXY", "no_proxy")
_is_database_url = re.compile(r"RESPONSE_STORE_(\w+_)?DATABASE_URL").fullmatch
_NODE = "NODE_USE_ENV_PROXY"  # Node 24 and later go through HTTPS_PROXY if told so


def build_child_environment(
    environ: Mapping[str, str], *, proxy: str, bundle: Path, base: str | None, local: bool
) -> dict[str, str]:
    """Return `environ` for a command that uses the proxy at the URL `proxy` and trusts `bundle`.

    `base` is what OPENAI_BASE_URL shall be, if anything. With `local` servers of this machine are
    reached through the proxy as well; otherwise they are left alone.
    """
    child = {name: value for name, value in environ.items() if not _is_database_url(name)}
    child |= dict.fromkeys((*_PROXIES, *_set(environ, _WHERE_SET)), proxy)
    child |= dict.fromkeys((*EVERYWHERE, *_set(environ, WHERE_SET)), str(bundle))
    child |= dict.fromkeys(_EXCEPTIONS, ",".join(_list_exceptions(environ, local=local)))
    child[_NODE] = "1"
    if base is not None:
        child[base_url.VARIABLE] = base
    return child


def _set(environ: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    return [name for name in names if environ.get(name)]


def _list_exceptions(environ: Mapping[str, str], *, local: bool) -> Iterator[str]:
    """Yield the hosts to reach without the proxy: the user's own,
    and without `local` this machine.
    """
    lists = dict.fromkeys(environ.get(name, "") for name in _EXCEPTIONS)
    own = dict.fromkeys(host for text in lists for host in text.replace(",", " ").split())
    yield from (host for host in own if not is_pattern_of_loopback(host))
    if not local:
        yield from NAMES
        yield from (host for host in own if is_pattern_of_loopback(host) and host not in NAMES)
