"""What a command does before it reads, where there is nothing to do: one look at a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from response_store.cli.apply_journals import may_have_journals
from response_store.journal.private_files import prepare_folder
from tests.harness.commands import environment
from tests.unit.queries.stored import Stored

ID = "0e1c5a0e-8f43-4a51-9d0e-0b7f3f3c1d52"


@pytest.mark.parametrize(
    "environ",
    [
        {"XDG_STATE_HOME": "{}/xdg"},
        {"XDG_STATE_HOME": "  ", "HOME": "{}/home"},
        {"HOME": "{}/home"},
        {"STATE_DIRECTORY": "{}/systemd:{}/other", "XDG_STATE_HOME": "{}/xdg"},
        {"STATE_DIRECTORY": "", "XDG_STATE_HOME": "{}/xdg"},
    ],
)
def test_the_folder_is_the_one_of_the_proxies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """Wherever proxies put their journals by default, they are seen, and nowhere else."""
    for name in ("XDG_STATE_HOME", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value.replace("{}", str(tmp_path)))
    assert not may_have_journals(None, os.environ)
    folder = prepare_folder(None, os.environ)
    assert not may_have_journals(None, os.environ)
    (folder / ID).mkdir()
    assert may_have_journals(None, os.environ)


@pytest.mark.parametrize(
    ("made", "seen"),
    [
        ([], False),
        (["damaged"], False),
        ([ID], True),
        ([f".new-{ID}"], True),
        (["damaged", ID], True),
    ],
)
def test_what_counts_as_a_journal(tmp_path: Path, made: list[str], seen: bool) -> None:
    """An empty folder, or one with nothing but damaged bytes in it, has none."""
    for name in made:
        (tmp_path / name).mkdir()
    assert may_have_journals(tmp_path, {}) == seen


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is missing, or a file in its place, has none."""
    (tmp_path / "file").touch()
    assert not may_have_journals(tmp_path / "missing", {})
    assert not may_have_journals(tmp_path / "file", {})


def test_nothing_is_imported_for_nothing(stored: Stored) -> None:
    """Where there is no journal, no command imports anything that reads one."""
    stored.exchange("e1")
    check = (
        "import sys; from response_store.cli import main;"
        "[main(line.split(), standalone_mode=False)"
        " for line in ('list', 'stats', 'status', 'show e1')];"
        "print([n for n in sys.modules if n.startswith(('response_store.journal',"
        " 'response_store.ingest', 'response_store.redaction', 'platformdirs'))], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True,
        env=environment(), timeout=20,
    )  # fmt: skip
    assert done.stderr == "[]\n"
