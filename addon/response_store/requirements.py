"""Check whether the Python that runs mitmproxy has what this package needs; say how to add it.

Imports nothing but the standard library: mitmproxy may be one of the user's own, from pipx, uv or a
package manager, or a program without a Python that could be added to.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

MODULES = (
    *("brotli", "certifi", "click", "cryptography", "dateparser", "filelock", "re2"),
    *("jsonschema", "msgspec", "platformdirs", "psycopg", "psycopg_pool", "yaml", "rich"),
    *("zstandard", "jinja2", "markdown_it", "pygments"),
)
"""What pyproject.toml names, as modules."""


def explain_missing() -> str | None:
    """Return in one line what is missing and how to add it; None where all is there."""
    missing = [name for name in MODULES if _is_missing(name)]
    if not missing:
        return None
    names = ", ".join(missing)
    how = describe_installation(
        sys.prefix, sys.executable, _find_source(), frozen=hasattr(sys, "frozen")
    )
    return f"Response Store: the Python that runs mitmproxy lacks {names}. {how}"


def describe_installation(prefix: str, executable: str, source: str, *, frozen: bool) -> str:
    """Return how to add the package at `source` to a Python, by where that is."""
    if frozen:
        return (
            "This mitmproxy is a program of its own, to which nothing can be added. Take one from"
            f" pipx or uv: uv tool install mitmproxy --with {source}"
        )
    parts = Path(prefix).parts
    if "pipx" in parts or Path(prefix, "pipx_metadata.json").is_file():
        return f"Add it: pipx inject {parts[-1]} {source}"
    if ("uv" in parts and "tools" in parts) or Path(prefix, "uv-receipt.toml").is_file():
        return f"Add it: uv tool install {parts[-1]} --with {source}"
    if {"Cellar", "homebrew", "linuxbrew"} & set(parts):
        return (
            "Homebrew's mitmproxy keeps its Python to itself. Take one from pipx or uv:"
            f" uv tool install mitmproxy --with {source}"
        )
    return f"Add it: {executable} -m pip install {source}"


def _is_missing(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except (ImportError, ValueError):
        return True


def _find_source() -> str:
    """Return where the package can be installed from: the clone that this file is in."""
    clone = Path(__file__).resolve().parents[2]
    return str(clone) if (clone / "pyproject.toml").is_file() else "PATH_OF_THE_CLONE"
