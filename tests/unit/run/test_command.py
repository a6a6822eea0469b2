"""The command is looked for before anything is started."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from response_store.run.command import RunError, adapt_command, choose_label, require_command


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A PATH with a program and a file that is none."""
    (tmp_path / "program").touch(mode=0o755)
    (tmp_path / "text").touch(mode=0o644)
    (tmp_path / "folder").mkdir()
    return {"PATH": str(tmp_path)}


def test_there(environ: dict[str, str]) -> None:
    """A program is found by name and by path."""
    require_command("program", environ)
    require_command(f"{environ['PATH']}/program", {})


@pytest.mark.parametrize(
    ("name", "status"),
    [("nowhere", 127), ("text", 126), ("folder", 126), ("./nowhere", 127), ("", 127)],
)
def test_not_there(environ: dict[str, str], name: str, status: int) -> None:
    """The status is the one that shells give."""
    with pytest.raises(RunError) as caught:
        require_command(name, environ)
    assert caught.value.status == status


def test_a_path_to_no_program(environ: dict[str, str]) -> None:
    """A path is not looked for on the PATH."""
    with pytest.raises(RunError, match="can't be executed"):
        require_command(f"{environ['PATH']}/text", environ)


def codex_at(folder: Path, help_text: str) -> str:
    """A Codex that has this help."""
    program = folder / "codex"
    program.write_text(f"#!/bin/sh\n[ \"$1\" = --help ] && echo '{help_text}'\n")
    program.chmod(0o755)
    return str(program)


URL = "http://127.0.0.1:1/v1"
BASE = ["-c", f'openai_base_url="{URL}"']


def test_codex(tmp_path: Path) -> None:
    """Codex gets the URL by an option, before its own arguments; others by their environment."""
    codex = codex_at(tmp_path, "Options: --oss")
    assert adapt_command([codex, "exec", "hello"], URL, {}) == [codex, *BASE, "exec", "hello"]
    assert adapt_command([codex, "exec"], None, {}) == [codex, "exec"]
    assert adapt_command(["codex.py", "exec"], URL, {}) == ["codex.py", "exec"]
    assert adapt_command(["/nowhere/codex", "exec"], None, {}) == ["/nowhere/codex", "exec"]


def test_codex_serves_itself(tmp_path: Path) -> None:
    """One that would ask a server in the background is kept from it, unless the user chose."""
    codex = codex_at(tmp_path, "  --no-daemon  Run without the shared background server")
    assert adapt_command([codex, "hello"], None, {}) == [codex, "--no-daemon", "hello"]
    assert adapt_command([codex], URL, {}) == [codex, *BASE, "--no-daemon"]
    for chosen in (
        ["--no-daemon"],
        ["--remote", "unix://"],
        ["--remote=ws://a:1"],
        ["app-server", "daemon", "start"],
    ):
        assert adapt_command([codex, *chosen], None, {}) == [codex, *chosen]


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/bin/codex", "codex"),
        ("my agent!.py", "my-agent-.py"),
        ("ä", "run"),
        ("x" * 99, "x" * 60),
    ],
)
def test_a_label_of_its_own(program: str, name: str) -> None:
    """A run without a label gets one of its command, the time and a short id, never twice."""
    labels = [choose_label(None, program) for _ in range(2)]
    assert all(label.is_unique for label in labels)
    assert re.fullmatch(re.escape(name) + r"-\d{4}-\d{4}-[0-9a-f]{4}", labels[0].name)
    assert choose_label("nightly", program) == ("nightly", False)
