"""The command is looked for before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.running.command import require_command, told_base_url
from response_store.running.errors import RunError


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


@pytest.mark.parametrize("codex", ["codex", "/opt/bin/codex"])
def test_codex(codex: str) -> None:
    """Codex is told by an option, before its own arguments; others by their environment."""
    url = "http://127.0.0.1:1/v1"
    told = told_base_url([codex, "exec", "hello"], url)
    assert told == [codex, "-c", f'openai_base_url="{url}"', "exec", "hello"]
    assert told_base_url([codex, "exec"], None) == [codex, "exec"]
    assert told_base_url(["codex.py", "exec"], url) == ["codex.py", "exec"]
