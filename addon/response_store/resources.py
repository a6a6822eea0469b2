"""The files that are no Python modules of ours: schemas, mitmproxy's script, the user's folders.

A source checkout has them at its top level and beside the package, an installed wheel has them
inside the package.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

_USER_FOLDERS = {
    "cache": ("XDG_CACHE_HOME", "~/.cache"),
    "data": ("XDG_DATA_HOME", "~/.local/share"),
    "state": ("XDG_STATE_HOME", "~/.local/state"),
}
_FOLDER = "response-store"
_PACKAGE = Path(__file__).resolve().parent


def find_schema(name: str) -> Path:
    """Return the path of a file of `schemas/`, such as `config.schema.json` or `sqlite/x.sql`."""
    return _choose_existing(_PACKAGE / "schemas", _PACKAGE.parent.parent / "schemas") / name


def read_schema(name: str) -> str:
    """Return the text of a file of `schemas/`."""
    return find_schema(name).read_text(encoding="utf-8")


def find_script() -> Path:
    """Return the path of the script that mitmproxy loads with `-s`."""
    return _choose_existing(_PACKAGE / "_script" / "capture.py", _PACKAGE.parent / "capture.py")


def find_user_folder(kind: Literal["cache", "data", "state"], environ: Mapping[str, str]) -> Path:
    """Return the user's folder for our files of a kind; it may be missing.

    Raises RuntimeError where the user has no home.
    """
    if sys.platform == "linux":  # known without platformdirs, which takes a while to load
        variable, default = _USER_FOLDERS[kind]
        named = environ.get(variable, "")
        folder = (Path(named) if named.strip() else Path(default).expanduser()) / _FOLDER
    else:
        import platformdirs  # noqa: PLC0415

        folders = platformdirs.PlatformDirs(_FOLDER, appauthor=False)
        folder = getattr(folders, f"user_{kind}_path")
    return folder


def _choose_existing(installed: Path, source: Path) -> Path:
    return installed if installed.exists() else source
