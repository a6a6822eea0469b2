"""The folder in which mitmproxy keeps its settings and its certificate authority."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = "~/.mitmproxy"
_KEPT = ("mitmproxy-ca.pem", "mitmproxy-dhparam.pem")


def has_authority() -> bool:
    """Return whether mitmproxy finds its authority in the user's folder, or can make it there.

    A user without a home, or with one that can't be written, has no such folder.
    """
    folder = Path(os.path.expanduser(_FOLDER))  # noqa: PTH111 - as mitmproxy does: never raises
    if all(os.access(folder / name, os.R_OK) for name in _KEPT):
        return True
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
