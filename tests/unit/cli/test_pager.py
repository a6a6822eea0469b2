"""Output that is longer than the screen."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import sys
from rich.text import Text
from response_store.cli.output import open_terminal
from response_store.cli.pager import print_paged
parts = (Text(f"line {n}", style="bold red") for n in range(int(sys.argv[1])))
print_paged(open_terminal(), parts, paged=len(sys.argv) < 3)
"""


def print_in_terminal(tmp_path: Path, *arguments: str, **environment: str) -> tuple[str, str]:
    """What a terminal of ten lines gets, and what a pager got."""
    pager = tmp_path / "pager"
    pager.write_text(f'#!/bin/sh\necho "LESS=$LESS" > {tmp_path}/paged\ncat >> {tmp_path}/paged\n')
    pager.chmod(0o700)
    environ = {
        "PATH": os.environ["PATH"], "LINES": "10", "COLUMNS": "40", "TERM": "xterm",
        "PYTHONPATH": os.pathsep.join(sys.path), "PAGER": str(pager),
    }  # fmt: skip
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environ | environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65_536):
            shown += data
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert done.wait(30) == 0, shown
    paged = tmp_path / "paged"
    return shown.decode(), paged.read_text() if paged.exists() else ""


@pytest.mark.parametrize(("less", "given"), [("", "-R"), ("-FX", "-FX -R"), ("-SR", "-SR")])
def test_a_pager_gets_what_is_longer(tmp_path: Path, less: str, given: str) -> None:
    """PAGER gets all of it with its colours, and LESS says that they are obeyed."""
    shown, paged = print_in_terminal(tmp_path, "30", LESS=less)
    assert shown == ""
    assert paged.startswith(f"LESS={given}\n\x1b[1;31mline 0\x1b[0m\n")
    assert paged.count("line") == 30


@pytest.mark.parametrize("arguments", [("9",), ("30", "at once")])
def test_no_pager_where_none_is_wanted(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What fits on the screen is printed, and so is all where no pager is wanted."""
    shown, paged = print_in_terminal(tmp_path, *arguments)
    assert paged == ""
    assert shown.count("line") == int(arguments[0])
