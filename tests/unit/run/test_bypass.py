"""Connections of a command that go past its proxy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from response_store.run import bypass
from response_store.run.bypass import BypassWatch, find_servers
from tests.harness.proxy import wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="no /proc here")

CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).recv(1)"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening


def test_servers_that_are_known() -> None:
    """Those of the APIs, that of the environment's base URL, and the one that is stood in for."""
    known = [("api.openai.com", 443), ("chatgpt.com", 443), ("openrouter.ai", 443)]
    assert find_servers({}) == known
    environ = {"OPENAI_BASE_URL": "http://[::1]:8080/v1"}
    assert find_servers(environ, "https://llm.corp") == [("llm.corp", 443), ("::1", 8080), *known]
    assert find_servers({"OPENAI_BASE_URL": "http://[bad"}, "ftp://x") == known


def test_a_connection_of_a_descendant(
    server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child's connection is found, by the address that the API's name has."""
    port = server.getsockname()[1]
    looked_up = []

    def resolve(one: tuple[str, int]) -> list[str]:
        looked_up.append(one)
        return ["127.0.0.1"] if one[0] == "api.test" else []

    monkeypatch.setattr(bypass, "POLL_INTERVAL", 0.01)
    watch = BypassWatch(os.getpid(), [("api.test", port), ("other.test", port)], resolve=resolve)
    with subprocess.Popen([sys.executable, "-c", CONNECT, str(port)]) as child:
        peer, _ = server.accept()
        wait_until(lambda: watch._bypassed, "the connection is found")
        peer.close()
        child.wait()
    assert watch.end() == ["api.test"]
    assert looked_up == [("api.test", port), ("other.test", port)]


def test_others_connections(server: socket.socket) -> None:
    """A connection of another process is nobody's bypass, and without any no name is looked up."""
    port, looked_up = server.getsockname()[1], []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        watch = BypassWatch(child.pid, [("api.test", port)], resolve=looked_up.extend)
        watch.look()
        assert (watch.end(), looked_up) == ([], [])
        with closing(socket.create_connection(("127.0.0.1", port))):
            watch = BypassWatch(child.pid, [("api.test", port)], resolve=lambda _: ["127.0.0.1"])
            watch.look()
            assert watch.end() == []
        child.communicate()


def test_addresses_of_either_kind() -> None:
    """The kernel writes words in the machine's order; IPv4 as IPv6 is IPv4."""
    if sys.byteorder == "little":
        assert bypass._parse_address("0100007F") == "127.0.0.1"
        assert bypass._parse_address("0000000000000000FFFF00000100007F") == "127.0.0.1"
        assert bypass._parse_address("00000000000000000000000001000000") == "::1"
