"""Run the ingester as a process: how it is started, and what it does first and last.

The proxy starts `build_command(fd)` with `build_environment(os.environ)`, in a session of its own,
with the file descriptor of one end of a socket pair, and its standard error in a private file of
the journal's folder. The process ends by itself: signals that a terminal or a group sends are
ignored.

Nothing heavy is imported here: the proxy imports this module.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from response_store.ingester import main; main(sys.argv[1:])"
)
"""What the interpreter runs. Until `sys.path` is that of the proxy it imports nothing of others."""

_LOG_NAME = "ingester.log"
_MAX_REASON = 300  # characters

_may_be_secret = re.compile(
    "KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|DATABASE_URL|(^|_)(DSN|AUTH)$", re.IGNORECASE
).search


def build_command(fd: int) -> list[str]:
    """Return the command that starts an ingester; `fd` is its end of the channel.

    It looks for modules where this process does, but never in a working directory.
    """
    absolute = [entry for entry in sys.path if Path(entry).is_absolute()]
    return [sys.executable, "-P", "-c", BOOTSTRAP, str(fd), json.dumps(absolute)]


def build_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what an ingester gets of `environ`: all but what may be a secret, by its name."""
    return {name: value for name, value in environ.items() if not _may_be_secret(name)}


def start(journal: Path, channel: socket.socket) -> subprocess.Popen[bytes]:
    """Start an ingester on its end of a channel. Raises OSError.

    Its own errors go to a file in the journal's folder, private, written anew.
    """
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW
    log = os.open(journal / _LOG_NAME, flags, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            build_command(channel.fileno()),
            env=build_environment(os.environ),
            pass_fds=[channel.fileno()],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def describe_exit(journal: Path, code: int) -> str:
    """Return how an ingester has ended, with the last line that it has left behind."""
    how = f"signal {-code}" if code < 0 else f"status {code}"
    try:
        text = (journal / _LOG_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return how
    lines = text.strip().splitlines()
    last = "".join(c for c in lines[-1] if c.isprintable())[:_MAX_REASON] if lines else ""
    return f"{how}: {last}" if last else how
