"""The files that are no Python modules of ours: the schemas and mitmproxy's script.

A source checkout has them at its top level and beside the package, an installed wheel has them
inside the package.
"""

from __future__ import annotations

from pathlib import Path

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


def _choose_existing(installed: Path, source: Path) -> Path:
    return installed if installed.exists() else source
