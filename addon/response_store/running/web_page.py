"""mitmweb's page: at which port the system put it, and how it is opened."""

from __future__ import annotations

import socket
from typing import Any

PORT_OF_ITS_OWN = "web_port=0"


def find_page_url(master: Any, options: Any) -> str | None:
    """Return the page's address with its token; None where the program isn't mitmweb.

    mitmweb says port 0 where it was told so: the option becomes the port that it was given.
    """
    if "web_port" not in options:
        return None
    if options.web_port == 0:
        options.update(web_port=_find_port())
    with_token = getattr(master, "web_url", None)  # since mitmweb 11.1.2
    return with_token or f"http://{options.web_host}:{options.web_port}/"


def open_in_browser(page: str) -> None:
    """Open the page, if there is a browser."""
    from mitmproxy.tools.web.webaddons import open_browser  # noqa: PLC0415 (loads all of mitmweb)

    open_browser(page)


def _find_port() -> int:
    """Return the port on which tornado, mitmweb's server, listens in this process."""
    from tornado.ioloop import IOLoop  # noqa: PLC0415 (there with mitmweb)

    loop: Any = IOLoop.current()
    for watched, _ in loop.handlers.values():
        if isinstance(watched, socket.socket) and watched.type == socket.SOCK_STREAM:
            return int(watched.getsockname()[1])
    raise LookupError("mitmweb does not listen")
