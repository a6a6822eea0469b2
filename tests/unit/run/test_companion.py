"""The proxy ends with the process that started it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from response_store.run import companion
from response_store.run.proxy_process import ProxySettings


@pytest.mark.parametrize("unread", [b"", b"told, but never read"])
def test_the_other_end_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unread: bytes
) -> None:
    """Also where it went without having read what it was told, which resets the socket."""
    folder = tmp_path / "private"
    folder.mkdir()
    theirs, ours = socket.socketpair()
    ends = companion.Companion()
    ends._end, ends._settings = ours, ProxySettings(str(folder), "")
    killed: list[int] = []
    shut = threading.Event()
    monkeypatch.setattr(companion, "_END_WITHIN", 0)
    monkeypatch.setattr("os._exit", killed.append)
    with ours:
        ours.sendall(unread)
        theirs.close()
        ends._watch(SimpleNamespace(shutdown=shut.set))
    assert (shut.is_set(), folder.exists(), killed) == (True, False, [1])
