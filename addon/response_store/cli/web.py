"""`response-store web`: a page for people to look at what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from response_store.cli.apply_journals import apply_journals
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    note,
    tenant_option,
)
from response_store.errors import StoreError

if TYPE_CHECKING:
    from response_store.web.access import Access

HELP = """Show what is stored on a page in your browser, live.

The page is only for you: it can be reached from this machine only, and its printed address has a
token. Nothing can be changed there. Ctrl-C ends it.

\b
Examples:
  response-store web --open
  response-store web --config proxy.yaml --port 8090
"""


@click.command("web", help=HELP)
@config_option
@database_option
@tenant_option
@click.option("--open", "open_browser", is_flag=True, help="Open the page in your browser.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, metavar="N",
    help="Listen on this port; else on any free one.",
)  # fmt: skip
@click.option(
    "--listen-host", "host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
    help="A loopback address; ::1 is another.",
)  # fmt: skip
def web_command(
    *,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    open_browser: bool,
    port: int,
    host: str,
) -> None:
    """Show what is stored on a page."""
    import asyncio  # noqa: PLC0415 (slow to load)

    from response_store.web.access import require_loopback  # noqa: PLC0415
    from response_store.web.server import serve  # noqa: PLC0415 (tornado is slow to load)

    def announce(access: Access) -> None:
        click.echo(f"Response Store: {access.url}")
        note("Ctrl-C ends it.")
        if open_browser:
            open_page(access.issue_single_use_url())

    with handle_errors():
        address = require_loopback(host)
        source = find_source(config, database, tenant)
        apply_journals(source)
        source.open().close()  # what is wrong is said now
        try:
            asyncio.run(serve(source, address, port, announce))
        except KeyboardInterrupt:
            pass
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StoreError(
                f"--port {port} at {address}: {reason}. Take another, or none for one that is free."
            ) from None


def open_page(url: str) -> None:
    """Open a page in the user's browser, if there is one."""
    import webbrowser  # noqa: PLC0415 (slow to load)

    if not webbrowser.open(url):
        note("No browser can be opened here: open the address above in one.")
