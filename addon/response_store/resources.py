"""Where the files are that are not Python modules of ours: the schemas and mitmproxy's script.

A source checkout has them at its top level and beside the package, an installed wheel has them
inside the package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def schema_path(name: str) -> Path:
    """The path of a file of `schemas/`, such as `config.schema.json` or `sqlite/x.sql`."""
    return _first_existing(_PACKAGE / "schemas", _PACKAGE.parent.parent / "schemas") / name


def schema_text(name: str) -> str:
    """The text of a file of `schemas/`."""
    return schema_path(name).read_text(encoding="utf-8")


def script_path() -> Path:
    """The path of the script that mitmproxy loads with `-s`."""
    return _first_existing(_PACKAGE / "_script" / "capture.py", _PACKAGE.parent / "capture.py")


def _first_existing(installed: Path, source: Path) -> Path:
    return installed if installed.exists() else source
