"""The journals of a proxy that has them in its own folder, as bytes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.harness.proxy import Proxy

JOURNALS = "journals"


def journals_in(folder: Path) -> dict[str, Any]:
    """The setting with which a proxy has its journals there."""
    return {"journal": {"path": str(folder / JOURNALS)}}


def journal_files(proxy: Proxy) -> dict[str, str]:
    """What stands in the files of a proxy's journals."""
    found = {}
    for path in (proxy.folder / JOURNALS).rglob("*"):
        with suppress(FileNotFoundError):  # a segment that was dropped meanwhile
            if path.is_file():
                name = str(path.relative_to(proxy.folder))
                found[name] = path.read_bytes().decode("latin-1")
    return found
