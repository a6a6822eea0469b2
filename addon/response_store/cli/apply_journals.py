"""Bring the database up to what proxies have acknowledged, before a command reads it.

Mostly there is nothing to do, and that costs one look at a folder and no import.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from response_store.resources import find_user_folder

if TYPE_CHECKING:
    from response_store.cli.source import Source

_NOT_A_JOURNAL = "damaged"


def apply_journals(source: Source) -> None:
    """Have in the database what proxies of this machine have acknowledged so far.

    A journal that nobody has any more is applied here; those of proxies that run are waited for,
    at most a second. A note says what the database lacks after that. Raises TransientStoreError
    where the database is away.
    """
    if may_have_journals(source.settings.journal.path, os.environ):
        from response_store.cli.journals import bring_up_to_date  # noqa: PLC0415 (rarely needed)

        bring_up_to_date(source)


def may_have_journals(configured: Path | None, environ: Mapping[str, str]) -> bool:
    """Return False where the folder of journals (see `journals_folder`) is missing or empty."""
    folder = configured or _find_default_folder(environ)
    if folder is None:
        return True
    try:
        with os.scandir(folder) as entries:
            return any(entry.name != _NOT_A_JOURNAL for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # whoever looks closer says what is wrong
        return True


def _find_default_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder where none is configured, if that is known without platformdirs."""
    if systemd := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(systemd, "journals")
    if sys.platform != "linux":
        return None
    return find_user_folder("state", environ) / "journals"
