"""Exchanges as lines, one lot after the other; on a terminal the columns keep their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.cli import output
from response_store.cli.list import build_object, format_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from response_store.store.summaries import Summary


class TailWriter:
    """Writes each lot at once: JSON, plain text, or a table that goes on and on."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console: Console | None = None

    def write(self, exchanges: Sequence[Summary]) -> None:
        """Write some exchanges."""
        if not exchanges:
            return
        if self._as_json:
            for one in exchanges:
                output.write_json(build_object(one))
        elif output.is_terminal():
            self._draw(exchanges)
        else:
            output.write_text(format_plain(exchanges))

    def _draw(self, exchanges: Sequence[Summary]) -> None:
        from response_store.cli.list_table import build_table  # noqa: PLC0415 (rich only here)

        first, console = self._console is None, self._console or output.open_terminal()
        self._console = console
        console.print(build_table(exchanges, console.width, header=first, steady=True))
