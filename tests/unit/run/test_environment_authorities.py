"""The bundle holds what was trusted before, and the system's where nothing else counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.run.command import RunError
from response_store.run.environment import read_trusted


def test_the_files_of_the_user(tmp_path: Path) -> None:
    """SSL_CERT_FILE replaces the system's file; files of other variables are trusted as well."""
    mine, extra = tmp_path / "mine.pem", tmp_path / "extra.pem"
    mine.write_text("MINE")  # without a line end
    extra.write_text("EXTRA\n")
    environ = {"SSL_CERT_FILE": str(mine), "CURL_CA_BUNDLE": str(mine), "PIP_CERT": str(extra)}
    assert read_trusted(environ).split() == ["MINE", "EXTRA"]


def test_the_system(tmp_path: Path) -> None:
    """Where SSL_CERT_FILE is not set, the system's certificates stay trusted."""
    extra = tmp_path / "extra.pem"
    extra.write_text("EXTRA\n")
    trusted = read_trusted({"NODE_EXTRA_CA_CERTS": str(extra)})
    assert "EXTRA" in trusted
    assert trusted.count("BEGIN CERTIFICATE") > 20


def pem(name: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n"


def test_folders(tmp_path: Path) -> None:
    """What a folder has counts once, whatever names it has there and wherever else it is."""
    mine, folder, other = tmp_path / "mine.pem", tmp_path / "certs", tmp_path / "other"
    mine.write_text(pem("MINE"))
    folder.mkdir()
    (folder / "mine.pem").symlink_to(mine)
    (folder / "gone.0").symlink_to(tmp_path / "gone")
    (folder / "1a2b.0").write_text(pem("FOLDER"))
    (folder / "folder.crt").write_text(pem("FOLDER"))
    (folder / "README").write_text("no certificate")
    other.mkdir()
    (other / "other.pem").write_text(pem("OTHER"))
    environ = {
        "SSL_CERT_FILE": str(mine),
        "REQUESTS_CA_BUNDLE": str(folder),
        "SSL_CERT_DIR": f"{other}:/no/such/folder",
    }
    lines = read_trusted(environ).split()
    assert [word for word in lines if word.isupper() and word.isalpha()] == [
        "MINE", "FOLDER", "OTHER",
    ]  # fmt: skip


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The variable and the path are named."""
    with pytest.raises(RunError, match=r"^SSL_CERT_FILE .*nowhere\.pem: No such file") as caught:
        read_trusted({"SSL_CERT_FILE": str(tmp_path / "nowhere.pem")})
    assert caught.value.status == 2
