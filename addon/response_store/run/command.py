"""Find the command that is run, what some commands must be told, and what keeps one from being
run.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from response_store.errors import ResponseStoreError

PROXY_FAILED = 1
NOT_CONFIGURED = 2
PROXY_LOST = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
SAFE_MITMWEB = (11, 1, 2)  # CVE-2025-23217


class RunError(ResponseStoreError):
    """The command was not run; `status` is what a shell would end with, or ours."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class StoppedBySignal(Exception):  # noqa: N818 - nothing went wrong
    """A signal came before the command was started."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.status = compute_signal_status(number)


def compute_signal_status(number: int) -> int:
    """Return the status that shells give to a command which a signal ended."""
    return 128 + number


def require_safe_mitmweb(installed: str) -> None:
    """Raise RunError where this mitmproxy's web page can be used by any page in the browser."""
    numbers = tuple(int(part) for part in installed.split(".")[:3] if part.isdigit())
    if numbers < SAFE_MITMWEB:
        raise RunError(
            f"--web needs mitmproxy {'.'.join(map(str, SAFE_MITMWEB))} or later, and {installed} is"
            " installed: its mitmweb has the hole CVE-2025-23217, by which others reach its page."
            " Use Python 3.12 or later, or leave --web out",
            NOT_CONFIGURED,
        )


_NAME_CHARACTERS = 60


class RunLabel(NamedTuple):
    """What the exchanges of a run are called; other runs may have it too, unless it `is_unique`."""

    name: str
    is_unique: bool


def choose_label(label: str | None, program: str) -> RunLabel:
    """Return the label that was given, else one of the program's name, the time and a short id."""
    if label is not None:
        return RunLabel(label, False)
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", Path(program).name).strip("-")[:_NAME_CHARACTERS]
    return RunLabel(f"{name or 'run'}-{time.strftime('%m%d-%H%M')}-{secrets.token_hex(2)}", True)


_CODEX = "codex"


def require_command(name: str, environ: Mapping[str, str]) -> None:
    """Raise RunError with a shell's status where there is no such command or it can't be run."""
    search = environ.get("PATH", os.defpath)
    if shutil.which(name, path=search) is not None:
        return
    folders = [""] if os.sep in name else search.split(os.pathsep)
    if name and any(Path(folder, name).exists() for folder in folders):
        raise RunError(
            f"{name} is there, but can't be executed. Where it should be: chmod +x {name}",
            NOT_EXECUTABLE,
        )
    raise RunError(f"{name}: no such command. After run, write the command as you type it"
                   " in a shell: response-store run -- COMMAND ARGUMENTS", NOT_FOUND)  # fmt: skip


def adapt_command(
    command: Sequence[str], base_url: str | None, environ: Mapping[str, str]
) -> list[str]:
    """Return the command with what Codex has to be given; every other one is left as it is.

    Codex reads no OPENAI_BASE_URL, but has an option. Its terminal interface asks a server that
    runs in the background and outlives it, or starts that: such a server has another environment
    than ours, or keeps ours when the proxy is gone. Where it knows how to, it serves itself.
    """
    program, *arguments = command
    if Path(program).name != _CODEX:
        return [program, *arguments]
    options = [] if base_url is None else ["-c", f'openai_base_url="{base_url}"']
    if not any(word.startswith(_CHOSEN) for word in arguments) and _knows_no_daemon(
        program, environ
    ):
        options.append(_NO_DAEMON)
    return [program, *options, *arguments]


_NO_DAEMON = "--no-daemon"
_CHOSEN = (_NO_DAEMON, "--remote", "app-server", "remote-control")  # the user's own choice
_HELP_SECONDS = 5.0


def _knows_no_daemon(program: str, environ: Mapping[str, str]) -> bool:
    """Return whether this Codex can do without its server; older ones have none."""
    try:
        shown = subprocess.run(  # noqa: S603 - what the user is about to run
            [program, "--help"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_HELP_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return _NO_DAEMON.encode() in shown
