"""Where a client that ignores proxies is sent, and where it goes on from there.

Such a client gets a base URL on this machine, at which mitmproxy listens as a reverse proxy. The
path stays the client's: what it asks at the local URL is asked with the same path upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from response_store.running.errors import NOT_CONFIGURED, RunError
from response_store.running.loopback import is_loopback

VARIABLE = "OPENAI_BASE_URL"
FROM_ENVIRONMENT = "the base URL of the environment"  # what --base-url means without a URL
OPENAI = "https://api.openai.com/v1"
_PATH = "/v1"


@dataclass(frozen=True)
class BaseUrl:
    """A model server, as `scheme://host:port`, and the path that its API is under."""

    server: str
    path: str

    @classmethod
    def parse(cls, url: str, *, path: str = _PATH) -> Self:
        """Return the parts of a URL; `path` is that of one without. Raises RunError."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _build_error() from None
        clean = not (parts.query or parts.fragment or "@" in parts.netloc)
        if parts.scheme not in ("http", "https") or not parts.hostname or not clean:
            raise _build_error()
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        server = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
        return cls(server, parts.path.rstrip("/") or path)

    def at(self, address: str) -> str:
        """Return the URL that leads to the same path through a reverse proxy at `host:port`."""
        return f"http://{address}{self.path}"


def choose_base_url(requested: str | None, environ: Mapping[str, str]) -> BaseUrl | None:
    """Return the base URL to stand in for, if any. Raises RunError.

    A server of this machine that OPENAI_BASE_URL names is stood in for unasked: nobody would go
    to it through a proxy. The path of that variable is the client's, even where it has none.
    """
    set_already = environ.get(VARIABLE)
    if requested is not None and requested != FROM_ENVIRONMENT:
        return BaseUrl.parse(requested)
    if set_already and (requested is not None or is_loopback(_format_host(set_already))):
        return BaseUrl.parse(set_already, path="")
    return BaseUrl.parse(OPENAI) if requested is not None else None


def _format_host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _build_error() -> RunError:
    return RunError(
        "--base-url needs a URL such as http://localhost:11434/v1, without user, query or"
        f" fragment. Without a URL it stands for that in {VARIABLE}, else {OPENAI}:"
        " response-store run --base-url -- COMMAND",
        NOT_CONFIGURED,
    )
