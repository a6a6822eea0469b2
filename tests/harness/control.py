"""A script for mitmproxy that lets a test ask the process things.

It tells in a file where the proxy listens once every addon runs, and answers requests to
`/harness/command/NAME` with what that mitmproxy command returns.
"""

import asyncio
import json
import os
from pathlib import Path

from mitmproxy import ctx, http

PREFIX = "/harness/command/"


def running() -> None:
    """Wait until mitmproxy listens, then write the addresses."""
    asyncio.get_running_loop().call_soon(announce)


def announce() -> None:
    """Write where mitmproxy listens; the file appears whole or not at all."""
    loop = asyncio.get_running_loop()
    addresses = ctx.master.addons.get("proxyserver").listen_addrs()
    if not addresses:
        loop.call_later(0.005, announce)
        return
    ready = Path(os.environ["HARNESS_READY_FILE"])
    written = ready.with_suffix(".part")
    written.write_text(json.dumps([list(address[:2]) for address in addresses]))
    written.rename(ready)


def requestheaders(flow: http.HTTPFlow) -> None:
    """Answer a command; an error of the command is its answer."""
    if not flow.request.path.startswith(PREFIX):
        return
    name, *arguments = flow.request.path.removeprefix(PREFIX).split("/")
    try:
        value = ctx.master.commands.call_strings(name, arguments)
    except Exception as error:  # noqa: BLE001 - the test wants to see whatever it is
        flow.response = http.Response.make(500, repr(error))
    else:
        body = json.dumps(value, default=str)
        flow.response = http.Response.make(200, body, {"content-type": "application/json"})
