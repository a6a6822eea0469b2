"""Sessions for tests: with an ingester in the hands of the test, or with a real one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from response_store.config import Config, load_config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest import process
from response_store.session import Session
from tests.unit.capture.borders import answer_head, request_head
from tests.unit.ingester_double import Ingester

ASKED = b'{"model":"gpt-5","input":"Hi"}'
TERMINAL = (
    b'data: {"type":"response.completed","response":{"id":"%s","object":"response",'
    b'"status":"completed","model":"gpt-5","output":[]}}\n\n'
)


def config_of(folder: Path, text: str = "", *, name: str = "responses.db") -> Config:
    """A configuration whose database and journals are in a folder. `text` is more YAML."""
    path = folder / "store.yaml"
    journal = "" if "journal:" in text else f"journal: {{path: {folder / 'journals'}}}\n"
    path.write_text(f"database_url: sqlite:///{folder / name}\n{journal}{text}")
    return load_config(path, {})


class Processes:
    """Stands for `subprocess.Popen`: processes that do what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started: list[Ingester] = []
        monkeypatch.setattr(process.subprocess, "Popen", self.popen)

    def popen(self, command: list[str], **how: Any) -> Ingester:
        (fd,) = how["pass_fds"]
        self.started.append(Ingester(fd, command, how))
        return self.started[-1]

    def close(self) -> None:
        """End all of them."""
        for one in self.started:
            one.channel.close()


def session_of(config: Config, counters: Counters | None = None, **how: Any) -> Session:
    """A session on the running loop."""
    counters = counters or Counters()
    return Session(config, counters, ErrorReporter(counters), asyncio.get_running_loop(), **how)


async def end(session: Session) -> None:
    """Close a session, and wait until its ingester has done its work."""
    session.close()
    process = session.ingester._process
    assert process is not None
    await asyncio.to_thread(process.wait, 20.0)


def begin(session: Session, flow_id: str = "flow", body: bytes = ASKED) -> Any:
    """Begin an exchange whose answer streams."""
    request = request_head(flow_id=flow_id, started_at=time.time())
    exchange = session.recorder.begin(flow_id, request, body, live=True)
    exchange.answer = answer_head()
    exchange.start_stream()
    return exchange


def exchange(session: Session, flow_id: str = "flow", **how: Any) -> None:
    """An exchange passes, from its beginning to its end."""
    live = begin(session, flow_id, **how)
    session.recorder.feed(live, TERMINAL % f"resp_{flow_id}".encode())
    session.recorder.finish(flow_id, live.regular_end)
