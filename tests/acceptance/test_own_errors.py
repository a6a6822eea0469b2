"""Whatever of our own code raises, the client gets every byte, and the next exchange is kept.

Each function that runs while traffic passes is made to raise in turn, in mitmproxy's process and in
the ingester's.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from tests import harness
from tests.conftest import BY_TENANT
from tests.fakes.answers import Gate
from tests.harness.breaking import SHARED, Breaking
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.expected import assert_completed, assert_holds
from tests.harness.proxy import Proxy, wait_until
from tests.harness.streams import HALF_TEXT, LAST_DELTA, halfway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.model_server import ModelServer


BREAKING = Path(harness.__file__).with_name("breaking.py")
PACKAGE = "response_store."
MENDED = ""
PATIENCE = 3.0
RECOVERY = 20.0  # the ingester may have ended, and is started again
COMES = 1.5  # seconds in which what waits is read
REST = 2.0  # seconds in which all comes to rest
ENOUGH = 5
HURRY = 0.1  # a stream that we do not let through comes whole, and this one has no end


class Breakable(Proxy):
    """A proxy in which any function of the addon or the ingester can be made to raise."""

    def __init__(self, folder: Path, *, within: str, **how: Any) -> None:
        folder.mkdir(exist_ok=True)
        shared = folder / "breaking.now"
        script = {"first" if within == "proxy" else "in_ingester": [BREAKING]}
        super().__init__(folder, environment={SHARED: str(shared)}, **script, **how)
        self.breaking = Breaking(shared)


@pytest.fixture
def breakable(
    model_server: ModelServer, authority: Path, tmp_path: Path, where: str
) -> Iterator[Breakable]:
    """A proxy in which any function can be made to raise, in one of its processes."""
    with Breakable(
        tmp_path / "breakable",
        within=where.partition(" ")[0],
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT | {"completion_wait_ms": 100},
        options={"connection_strategy": "lazy"},
    ) as proxy:
        yield proxy


@pytest.fixture
def cut(model_server: ModelServer) -> str:
    """A model whose stream stops halfway."""
    return model_server.play(halfway(Gate(), go_on=True))


class Traffic:
    """Requests of all kinds through one proxy, while one of its functions raises."""

    def __init__(self, proxy: Breakable, server: ModelServer, cut: str) -> None:
        self._proxy = proxy
        self._server = server
        self._cut = cut

    def called(self, tenant: str) -> list[str]:
        """The functions that run while such traffic passes, once all has been started."""
        self.play(f"{tenant}-first", MENDED)
        self._proxy.database.all_ended(f"{tenant}-first", 4)
        sleep(REST)
        self._proxy.breaking.forget()
        self.play(tenant, MENDED)
        self._proxy.database.all_ended(tenant, 4)
        return sorted(name.removeprefix(PACKAGE) for name in self._proxy.breaking.called())

    def play(self, tenant: str, broken: str) -> list[str]:
        """A whole answer, a stream, a refusal, and a client that leaves; say what went wrong."""
        wrong = []
        self._proxy.breaking.break_(broken)
        with RawClient(self._proxy.port, timeout=PATIENCE) as client:
            for model, streamed in (("usual", False), ("usual", True), ("refused-400", True)):
                try:
                    wrong += self._exchange(client, tenant, broken, asking(model, stream=streamed))
                except (TimeoutError, ConnectionError) as error:
                    return [f"{broken}: {model}, streamed {streamed}: {error}"]
        with suppress(TimeoutError), RawClient(self._proxy.port, timeout=HURRY) as client:
            reply = client.ask(asking(self._cut, stream=True), x_tenant=tenant)
            client.read_until(reply, LAST_DELTA)
        return wrong

    def waits_for_the_error(self) -> bool:
        """Wait until the broken function has been called; say whether it has."""
        with suppress(AssertionError):
            wait_until(lambda: self._proxy.breaking.has_raised, "it raises", COMES)
        return self._proxy.breaking.has_raised

    def _exchange(
        self, client: RawClient, tenant: str, broken: str, body: dict[str, object]
    ) -> list[str]:
        reply = client.ask(body, x_tenant=tenant)
        client.read_to_end(reply)
        sent = self._server.recordings.of(tenant)[-1].body
        if reply.whole and bytes(reply.body) == sent:
            return []
        return [f"{broken}: {body['model']}: {len(reply.body)} of {len(sent)} bytes"]

    def recovers(self) -> bool:
        """Whether all that waits is written once nothing raises any more."""
        self._proxy.breaking.break_(MENDED)
        try:
            self._proxy.flush(RECOVERY)
        except (AssertionError, OSError):
            return False
        return True

    def keeps(self, tenant: str) -> bool:
        """Whether the next exchange is kept."""
        fetch(self._proxy.port, asking(stream=True), tenant)
        try:
            self._proxy.database.ended(tenant, timeout=RECOVERY)
        except AssertionError:
            return False
        return True


PARTS = {
    "proxy capture": ("capture",),
    "proxy journal": ("journal", "ingest"),
    "proxy rest": (),
    "ingester ingest": ("ingest",),
    "ingester store": ("store", "journal"),
    "ingester rest": (),
}


def _marks(part: str) -> list[pytest.MarkDecorator]:
    """Those that take a minute are for `-m soak`."""
    return [] if part in ("proxy capture", "proxy rest") else [pytest.mark.soak]


def is_of(part: str, name: str) -> bool:
    """Whether a function belongs to a part of its process."""
    process, _, _ = part.partition(" ")
    folder = name.split(".", maxsplit=1)[0]
    others = {one for key, of in PARTS.items() if key.startswith(process) for one in of}
    return folder in PARTS[part] if PARTS[part] else folder not in others


@pytest.mark.timeout(600)
@pytest.mark.parametrize("where", [pytest.param(part, marks=_marks(part)) for part in PARTS])
def test_any_function_may_raise(
    breakable: Breakable, model_server: ModelServer, cut: str, tenant: str, where: str
) -> None:
    """No error of our own keeps a byte from a client, or the next exchange from the store."""
    traffic = Traffic(breakable, model_server, cut)
    names = [name for name in traffic.called(tenant) if is_of(where, name)]
    assert len(names) > 10
    wrong, missed = [], []
    for name in names:
        wrong += traffic.play(f"{tenant}-{name}", PACKAGE + name)
        if not traffic.waits_for_the_error():
            sleep(REST)  # some run only after that
            wrong += traffic.play(f"{tenant}-{name}-again", PACKAGE + name)
            if not traffic.waits_for_the_error():
                missed.append(name)
        if not (traffic.recovers() and traffic.keeps(f"{tenant}-after-{name}")):
            wrong.append(f"{name}: nothing is kept any more")
            breakable.close()
            breakable.open()
        if len(wrong) >= ENOUGH:
            break
    assert not wrong, "\n".join(wrong)
    assert len(missed) < 0.1 * len(names), missed


ENDS = {
    "proxy": (
        "capture.recorder.Recorder.stop",
        "session.Session.stop",
        "runtime.Runtime.stop",
        "ingest.supervisor.Supervisor.pump",
    ),
    "ingester": (
        "ingest.loop.Worker.leave",
        "ingest.loop.Worker._finish",
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("where", ENDS)
def test_the_end_may_raise(
    breakable: Breakable, model_server: ModelServer, tenant: str, where: str
) -> None:
    """An error of our own at the end does not keep the proxy from ending, and loses nothing."""
    for name in ENDS[where]:
        _end_while_it_raises(breakable, model_server, f"{tenant}-{name}", name)


def _end_while_it_raises(proxy: Breakable, server: ModelServer, tenant: str, name: str) -> None:
    """End a proxy with an open stream while a function raises; start it again, and look."""
    with RawClient(proxy.port) as client:
        model = server.play(halfway(Gate(), go_on=True))
        reply = client.ask(asking(model, stream=True), x_tenant=f"{tenant}-open")
        client.read_until(reply, LAST_DELTA)
        fetch(proxy.port, asking(), tenant)
        wait_until(lambda: proxy.database.exchanges(f"{tenant}-open"), "it has its row")
        proxy.breaking.break_(PACKAGE + name)
        assert proxy.terminate(30).returncode == 0, name
        wait_until(lambda: proxy.breaking.has_raised, f"{name} raises")
    proxy.breaking.break_(MENDED)
    assert_completed(proxy.database.ended(tenant), streamed=False, model="gpt-5")
    proxy.open()
    row = proxy.database.ended(f"{tenant}-open")
    assert_holds(row, {"state": "interrupted", "output_text": HALF_TEXT})
    assert row["ended_by"] in ("proxy_stopped", "client")  # who has gone with the proxy
