"""The command that is run: whether it is there, and what some commands must be told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from response_store.running.errors import NOT_EXECUTABLE, NOT_FOUND, RunError

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


def told_base_url(command: Sequence[str], base_url: str | None) -> list[str]:
    """The command; Codex, which reads no OPENAI_BASE_URL, gets the option that it has instead."""
    program, *arguments = command
    if base_url is None or Path(program).name != _CODEX:
        return [program, *arguments]
    return [program, "-c", f'openai_base_url="{base_url}"', *arguments]
