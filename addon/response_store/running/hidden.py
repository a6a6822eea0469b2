"""Whether NO_PROXY keeps the API from the proxy: then nothing is captured, and nothing says why."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from response_store.running.base_url import OPENAI, VARIABLE
from response_store.running.loopback import is_loopback

_EXCEPTIONS = ("NO_PROXY", "no_proxy")
_KNOWN = ("chatgpt.com", "openrouter.ai")


def find_hidden(environ: Mapping[str, str]) -> list[str]:
    """Return the hosts of APIs that the environment's NO_PROXY sends past every proxy."""
    lists = (environ.get(name, "") for name in _EXCEPTIONS)
    patterns = {one.lower() for text in lists for one in text.replace(",", " ").split()}
    hosts = dict.fromkeys([_parse_host(environ.get(VARIABLE, "")), _parse_host(OPENAI), *_KNOWN])
    return [
        host
        for host in hosts
        if host and not is_loopback(host) and any(_is_match(host, one) for one in patterns)
    ]


def _is_match(host: str, pattern: str) -> bool:
    """Return whether a pattern means the host: itself, or a domain around it."""
    name = pattern.partition(":")[0].lstrip("*").lstrip(".")
    return pattern == "*" or (bool(name) and (host == name or host.endswith(f".{name}")))


def _parse_host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
