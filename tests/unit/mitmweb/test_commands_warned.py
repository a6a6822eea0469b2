"""What a user is warned of when mitmproxy starts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import version
from mitmproxy.tools.dump import DumpMaster
from mitmproxy.tools.web.master import WebMaster

from response_store.mitmweb import list_listening_warnings

HERE = "127.0.0.1"


def warnings(master: type, **options: Any) -> str:
    """All warnings, as one text."""
    usual = {"server": True, "rfile": None, "listen_host": HERE, "mode": ["regular"]}
    some = master.__new__(master)
    return "\n".join(list_listening_warnings(some, SimpleNamespace(**usual | options)))


@pytest.mark.parametrize(
    ("running", "warned"),
    [
        ("11.0.2", True),
        ("11.1.1", True),
        ("11.1.2", False),
        ("12.2.3", False),
        ("13.0.0.dev", False),
    ],
)
def test_mitmweb_with_a_hole(monkeypatch: pytest.MonkeyPatch, running: str, warned: bool) -> None:
    """mitmweb before 11.1.2 is warned of; mitmdump, which has no web page, is not."""
    monkeypatch.setattr(version, "VERSION", running)
    assert ("CVE-2025-23217" in warnings(WebMaster)) is warned
    assert warnings(DumpMaster) == ""


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"listen_host": HERE}, False),
        ({"listen_host": ""}, True),
        ({"listen_host": "0.0.0.0"}, True),
        ({"listen_host": "", "mode": ["regular@127.0.0.1:8080"]}, False),
        ({"listen_host": "", "mode": ["reverse:https://a.example@:8080"]}, True),
        ({"listen_host": "", "mode": ["reverse:https://a.example"]}, True),
        ({"listen_host": "", "rfile": "old.flow"}, False),
        ({"listen_host": "", "server": False}, False),
    ],
)
def test_listening(options: dict[str, Any], warned: bool) -> None:
    """Who listens on all interfaces is told; who reads a file or names an address is not."""
    assert ("all interfaces" in warnings(DumpMaster, **options)) is warned
