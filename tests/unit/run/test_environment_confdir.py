"""Whether the user's folder of mitmproxy can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.run.environment import has_authority


def test_a_home_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mitmproxy makes its authority there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert has_authority()


@pytest.mark.parametrize("home", ["/dev/null", "/proc/no/home"])
def test_no_home(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """Nothing can be made there."""
    monkeypatch.setenv("HOME", home)
    assert not has_authority()


def test_a_home_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that is there already is enough; without one the folder must take it."""
    folder = tmp_path / ".mitmproxy"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).exists() and mode == 4)
    assert not has_authority()
    for name in ("mitmproxy-ca.pem", "mitmproxy-dhparam.pem"):
        (folder / name).touch()
    assert has_authority()
