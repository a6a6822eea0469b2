"""The folder of journals: where it is, and when it is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from response_store.errors import PermanentStoreError
from response_store.journal.private_files import prepare_folder

NOBODY = 65534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def mode(path: Path) -> int:
    """Return the bits of a mode."""
    return path.stat().st_mode & 0o777


def test_what_is_configured_wins(tmp_path: Path) -> None:
    """The folder is made with its parents, each for us alone."""
    environ = {"STATE_DIRECTORY": str(tmp_path / "systemd")}
    path = prepare_folder(tmp_path / "a" / "b", environ)
    assert path == tmp_path / "a" / "b"
    assert mode(path) == mode(path.parent) == 0o700
    assert not (tmp_path / "systemd").exists()


def test_then_systemds_folder(tmp_path: Path) -> None:
    """Of several the first."""
    environ = {"STATE_DIRECTORY": f"{tmp_path}/one:{tmp_path}/two"}
    assert prepare_folder(None, environ) == tmp_path / "one" / "journals"


def test_then_the_users_state_folder(tmp_path: Path, monkeypatch) -> None:
    """As platformdirs knows it; a folder of ours there is closed to other writers."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "response-store").mkdir()
    (tmp_path / "response-store").chmod(0o775)
    path = prepare_folder(None, {})
    assert path == tmp_path / "response-store" / "journals"
    assert mode(path) == 0o700
    assert mode(path.parent) == 0o755


def test_looking_makes_nothing(tmp_path: Path) -> None:
    """A command that only reads leaves no folder."""
    path = prepare_folder(tmp_path / "a", {}, create=False)
    assert not path.exists()


def test_looking_checks_what_is_there(tmp_path: Path) -> None:
    """A folder that could be another's is refused to readers, too."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "journals").mkdir(mode=0o700)
    with pytest.raises(PermanentStoreError):
        prepare_folder(tmp_path / "open" / "journals", {}, create=False)


def test_bits_for_others_are_taken_off_our_own(tmp_path: Path) -> None:
    """A folder that holds journals and nothing else is closed."""
    path = tmp_path / "journals"
    path.mkdir()
    path.chmod(0o755)
    (path / "8c4e9a1e-3b0e-4d3c-9d66-1f0a9a2b3c4d").mkdir()
    assert mode(prepare_folder(path, {})) == 0o700


def test_a_folder_of_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    """The home of a user is not closed to his web server: the error says what to do."""
    path = tmp_path / "home"
    path.mkdir()
    path.chmod(0o755)
    (path / "public_html").mkdir()
    with pytest.raises(PermanentStoreError, match=f"journal.path: {path} is open to other users"):
        prepare_folder(path, {})
    assert mode(path) == 0o755


@pytest.mark.parametrize("bits", [0o775, 0o757])
def test_a_parent_that_others_may_write_is_refused(tmp_path: Path, bits: int) -> None:
    """Somebody else could put a folder of his own in the place of ours."""
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(bits)
    with pytest.raises(PermanentStoreError, match=f"journal.path: .* chmod go-w {parent}"):
        prepare_folder(parent / "journals", {})
    assert not (parent / "journals").exists()


def test_a_sticky_parent_is_fine(tmp_path: Path) -> None:
    """Nobody can move our folder out of /tmp."""
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o1777)
    assert prepare_folder(parent / "journals", {}).is_dir()


@only_root
def test_another_users_parent_is_refused(tmp_path: Path) -> None:
    """He could move our folder away."""
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o755)
    os.chown(parent, NOBODY, NOBODY)
    with pytest.raises(PermanentStoreError, match=r"journal\.path: .* belongs to another user"):
        prepare_folder(parent / "journals", {})


@only_root
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    """A planted folder is not used."""
    path = tmp_path / "journals"
    path.mkdir(mode=0o700)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(PermanentStoreError, match=r"journal\.path: .* belongs to another user"):
        prepare_folder(path, {})


@only_root
def test_another_users_link_is_refused(tmp_path: Path) -> None:
    """He decides where it leads, tomorrow somewhere else."""
    (tmp_path / "real").mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to("real")
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(PermanentStoreError, match="another user's link"):
        prepare_folder(link / "journals", {})
    (tmp_path / "chain").symlink_to("link")
    with pytest.raises(PermanentStoreError, match="another user's link"):
        prepare_folder(tmp_path / "chain", {})


def test_a_link_of_ours_is_followed(tmp_path: Path) -> None:
    """The folder has its real path."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "sub").mkdir(mode=0o700)
    (tmp_path / "sub" / "link").symlink_to("../real")
    assert prepare_folder(tmp_path / "sub" / "link" / "j", {}) == tmp_path / "real" / "j"


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    """It ends, with an error of ours."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PermanentStoreError, match="too many links"):
        prepare_folder(tmp_path / "a" / "journals", {})


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    """The error names the setting."""
    (tmp_path / "journals").write_text("")
    with pytest.raises(PermanentStoreError, match=r"journal\.path"):
        prepare_folder(tmp_path / "journals", {})
