"""`response-store tail -f` beside a proxy: each exchange is told when it ends."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import termios
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.following import PROGRAM, Tail, surroundings
from tests.harness.streams import LAST_DELTA, before_the_last

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer
    from tests.harness.proxy import Proxy


def options(proxy: Proxy, tenant: str) -> list[str]:
    """What names the rows of a tenant in the database of a proxy."""
    return ["--database", str(proxy.folder / "responses.db"), "--tenant", tenant]


def test_each_is_told_at_its_end(
    proxy: Proxy, model_server: ModelServer, tenant: str, tmp_path: Path
) -> None:
    """The last ones first, then each as it ends, a stream not before; Ctrl-C ends it quietly."""
    fetch(proxy.port, asking(), tenant)
    gate = Gate()
    model = model_server.play(before_the_last(gate))
    with (
        Tail(tmp_path, *options(proxy, tenant), "--json") as tail,
        RawClient(proxy.port) as client,
    ):
        tail.wait_for(1)
        reply = client.ask(asking(model, stream=True), x_tenant=tenant)
        client.read_until(reply, LAST_DELTA)
        fetch(proxy.port, asking("gpt-6"), tenant)
        tail.wait_for(2)
        gate.open()
        client.read_to_end(reply)
        told = [json.loads(line) for line in tail.wait_for(3)]
        fetch(proxy.port, asking("gpt-7"), f"{tenant}-other")
        fetch(proxy.port, asking("gpt-8"), tenant)
        tail.wait_for(4)
        assert tail.interrupt() == 130
        assert (tail.said(), len(tail.lines())) == ("", 4)
    assert [(one["requested_model"], one["state"]) for one in told] == [
        ("gpt-5", "completed"), ("gpt-6", "completed"), (model, "completed"),
    ]  # fmt: skip
    assert {one["exchange_id"] for one in told} < {
        row["exchange_id"] for row in proxy.database.exchanges(tenant)
    }


def test_a_file_that_goes_away_is_waited_for(
    make_proxy: MakeProxy, tenant: str, tmp_path: Path
) -> None:
    """Moved away and replaced by a new one, it is said once each, and what ends there is told."""
    with make_proxy() as first:
        fetch(first.port, asking("gpt-1"), tenant)
        first.flush()
        with Tail(tmp_path, *options(first, tenant)) as tail:
            tail.wait_for(1)
            first.terminate()
            for file in first.folder.glob("responses.db*"):
                file.rename(tmp_path / f"moved-{file.name}")
            tail.wait_for_word("Waiting until the database can be read again")
            with make_proxy() as second:
                tail.wait_for_word("can be read again.\nNote: the database can be read again.")
                fetch(second.port, asking("gpt-2"), tenant)
                lines = tail.wait_for(2)
            assert tail.interrupt() == 130
            assert tail.said().count("Note:") == 2
    assert [line.split("\t")[1] for line in lines] == ["completed", "completed"]


def test_a_reader_that_goes_away_ends_it(proxy: Proxy, tenant: str, tmp_path: Path) -> None:
    """`tail -f | head -1` ends quietly, also while nothing more is captured."""
    fetch(proxy.port, asking(), tenant)
    process = subprocess.Popen(
        [*PROGRAM, *options(proxy, tenant)], cwd=tmp_path, env=surroundings(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().count(b"\t") == 10
        assert process.poll() is None
        process.stdout.close()
        process.wait(20)
        assert process.stderr.read() == b""
        process.stderr.close()
    finally:
        process.kill()
        process.wait()


def test_a_terminal_gets_one_table(proxy: Proxy, tenant: str, tmp_path: Path) -> None:
    """On a real terminal of forty columns there is one heading, and a coloured line for each."""
    fetch(proxy.port, asking(), tenant)
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 40))
    process = subprocess.Popen(
        [*PROGRAM, *options(proxy, tenant)], cwd=tmp_path, env=surroundings(TERM="xterm-256color"),
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        shown = read_until(master, MARK, 1)
        fetch(proxy.port, asking(), tenant)
        shown += read_until(master, MARK, 1)
    finally:
        os.close(master)  # as if its window were closed
        status = process.wait(20)
    lines = shown.decode().splitlines()
    assert "when" in lines[0]
    assert sum("answer" in line for line in lines) == 1
    assert shown.count(b"\x1b[38;5;28m" + MARK) == 2
    assert status == 0


MARK = "●".encode()


def read_until(terminal: int, words: bytes, times: int) -> bytes:
    """What a terminal shows until the words have come so often and the line is whole."""
    shown, deadline = b"", monotonic() + 20
    while shown.count(words) < times or not shown.endswith(b"\n"):
        assert monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.05)[0]:
            with suppress(OSError):
                shown += os.read(terminal, 65536)
    return shown
