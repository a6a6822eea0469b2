"""What a shell offers, in real processes and in a real bash."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from response_store.cli.completion import PROGRAM, SHELLS, VARIABLE
from tests.harness.commands import DEADLINE, environment
from tests.harness.commands import PROGRAM as ITSELF
from tests.unit.cli import rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.queries.stored import Stored

NAMED = [*ITSELF[:2], "from response_store.cli import main; main(prog_name='response-store')"]


def asked(shell: str, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """A process that a shell's script starts."""
    line, place = " ".join([PROGRAM, *words]), str(len(words))
    if shell == "fish":
        place = words[-1]
    said = {VARIABLE: f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": place, **more}
    return subprocess.run(
        NAMED, capture_output=True, check=False, env=environment(**said), timeout=DEADLINE
    )


def test_a_real_process(stored: Stored) -> None:
    """Each shell's script gets lines as it reads them, and nothing on standard error."""
    rows.chat(stored)
    told = "completed gpt-4.1 2026-01-01 02:05:00"
    expected = {
        "bash": "plain,e-chat", "zsh": f"plain\ne-chat\n{told}", "fish": f"plain,e-chat\t{told}",
    }  # fmt: skip
    for shell in SHELLS:
        deadline = time.monotonic() + DEADLINE
        while (done := asked(shell, "show", "e-")).stdout.decode().strip() != expected[shell]:
            assert time.monotonic() < deadline, done
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_look_at_a_file_is_quick(stored: Stored) -> None:
    """Nothing that takes long to import is imported for it."""
    rows.chat(stored)
    check = (
        "import atexit, sys; from response_store.cli import main, source;"
        f"source.SECONDS = {DEADLINE}; atexit.register(lambda: print("
        "{'psycopg', 'rich', 'mitmproxy', 'dateparser'} & sys.modules.keys()));"
        f"main(prog_name={PROGRAM!r})"
    )
    said = {VARIABLE: "bash_complete", "COMP_WORDS": f"{PROGRAM} show e", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, check=True, text=True,
        env=environment(**said), timeout=DEADLINE,
    )  # fmt: skip
    assert done.stdout == "plain,e-chat\nset()\n"


@pytest.mark.parametrize("fault", ["missing", "damaged", "configuration", "locked away"])
def test_a_prompt_gets_no_error(place: Path, fault: str) -> None:
    """Where the database can't be read nothing is offered, and nothing else is written."""
    if fault == "damaged":
        (place / "responses.db").write_bytes(b"nothing" * 1000)
    elif fault == "configuration":
        (place / "proxy.yaml").write_text("databse_url: [\n")
    elif fault == "locked away":
        (place / "responses.db").mkdir()
    done = asked("bash", "show", "--config" if fault == "configuration" else "--tenant", "x", "r")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"", b"")
    assert [path.name for path in place.iterdir()] in ([], ["responses.db"], ["proxy.yaml"])


def test_a_server_that_does_not_answer_holds_up_no_prompt(place: Path) -> None:
    """After half a second the look is given up; the process ends, though the line is open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (place / "proxy.yaml").write_text(
            f"backend: postgres\ndatabase_url: postgres://u:p@127.0.0.1:{port}/d\n"
            "allow_private_database_url: true\nssl_mode: disable\n"
        )
        began = time.monotonic()
        done = asked("bash", "show", "--config", "proxy.yaml", "r")
        taken = time.monotonic() - began
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"", b"")
    assert taken < DEADLINE / 2  # the connection itself would wait for longer than the deadline


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_real_bash(stored: Stored, place: Path) -> None:
    """The line of --help, in a file that bash reads at its start; then what TAB would show."""
    rows.chat(stored)
    folder = place / "bin"
    folder.mkdir()
    program = folder / PROGRAM
    program.write_text(
        f"#!{sys.executable}\nfrom response_store.cli import main, source\n"
        f"source.SECONDS = {DEADLINE}\nmain()\n"
    )
    program.chmod(0o755)
    session = """
eval "$(response-store completion bash)"
complete -p response-store
typed() { COMP_WORDS=(response-store "$@"); COMP_CWORD=$#; COMPREPLY=()
          _response_store_completion response-store; echo "${COMPREPLY[@]}"; }
typed exp; typed show e-; typed list --state can
"""
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", session],
        capture_output=True, text=True, check=False, timeout=DEADLINE,
        env=environment(PATH=f"{folder}:{os.environ['PATH']}"),
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _response_store_completion response-store",
        "export", "e-chat", "cancelled",
    ]  # fmt: skip
