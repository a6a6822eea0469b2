"""Whatever of our own code raises, the client gets every byte, and the next exchange is kept.

Each function that runs while traffic passes is made to raise in turn.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import harness
from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.expected import assert_completed
from tests.harness.proxy import Proxy
from tests.harness.streams import LAST_DELTA, halfway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.model_server import ModelServer

pytestmark = pytest.mark.one_python

BREAKING = Path(harness.__file__).with_name("breaking.py")
PACKAGE = "response_store."
MENDED = "-"
PATIENCE = 3.0
ENOUGH = 5
HURRY = 0.1  # a stream that we do not let through comes whole, and this one has no end


@pytest.fixture
def breakable(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy in which any function of the addon can be made to raise."""
    with Proxy(
        tmp_path_factory.mktemp("breakable"),
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT | {"completion_wait_ms": 100},
        options={"connection_strategy": "lazy"},
        first=[BREAKING],
    ) as proxy:
        yield proxy


@pytest.fixture
def cut(model_server: ModelServer) -> str:
    """A model whose stream stops halfway."""
    return model_server.play(halfway(Gate(), go_on=True))


class Traffic:
    """Requests of all kinds through one proxy, while one of its functions raises."""

    def __init__(self, proxy: Proxy, server: ModelServer, cut: str) -> None:
        self._proxy = proxy
        self._server = server
        self._cut = cut

    def called(self, tenant: str) -> list[str]:
        """The functions that run while such traffic passes."""
        self._proxy.command("harness.called")
        self.play(tenant, MENDED)
        self._proxy.flush()
        names = self._proxy.command("harness.called")
        return [name.removeprefix(PACKAGE) for name in names]

    def play(self, tenant: str, broken: str) -> list[str]:
        """A whole answer, a stream, a refusal, and a client that leaves; say what went wrong."""
        wrong = []
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

    def _exchange(
        self, client: RawClient, tenant: str, broken: str, body: dict[str, object]
    ) -> list[str]:
        reply = client.ask(body, x_tenant=tenant, x_harness_break=broken)
        client.read_to_end(reply)
        sent = self._server.recordings.of(tenant)[-1].body
        if reply.whole and bytes(reply.body) == sent:
            return []
        return [f"{broken}: {body['model']}: {len(reply.body)} of {len(sent)} bytes"]

    def keeps(self, tenant: str) -> bool:
        """Whether all is well again: the next exchange is kept."""
        body = asking(stream=True)
        fetch(self._proxy.port, body, tenant, x_harness_break=MENDED)
        try:
            self._proxy.database.ended(tenant, timeout=PATIENCE)
        except AssertionError:
            return False
        return True

    def loses(self, names: list[str], tenant: str) -> list[str]:
        """The first of these functions after which nothing is kept any more."""
        lost: list[str] = []
        for name in names:
            if len(lost) == ENOUGH:
                break
            self.play(f"{tenant}-{name}", PACKAGE + name)
            if not self.keeps(f"{tenant}-after-{name}"):
                lost.append(f"{name}: nothing is kept any more")
                self._proxy.close()
                self._proxy.open()
        return lost


def part_of(name: str) -> str:
    """The part of the package that a function belongs to."""
    folder = name.split(".", maxsplit=1)[0]
    return folder if folder in ("capture", "store") else "rest"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", ["capture", "store", "rest"])
def test_any_function_may_raise(
    breakable: Proxy, model_server: ModelServer, cut: str, tenant: str, part: str
) -> None:
    """No error of our own keeps a byte from a client, or the next exchange from the store."""
    traffic = Traffic(breakable, model_server, cut)
    names = [name for name in traffic.called(tenant) if part_of(name) == part]
    assert len(names) > 10
    wrong = []
    for name in names:
        wrong += traffic.play(f"{tenant}-{name}", PACKAGE + name)
    if not traffic.keeps(f"{tenant}-after"):
        breakable.close()
        breakable.open()
        wrong += traffic.loses(names, f"{tenant}-each")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["capture.recorder.Recorder.close_all", "session.Session.close"])
def test_the_end_may_raise(make_proxy: MakeProxy, tenant: str, name: str) -> None:
    """An error of our own at the end does not keep the proxy from ending."""
    with make_proxy(first=[BREAKING]) as proxy:
        fetch(proxy.port, asking(), tenant)
        fetch(proxy.port, None, "-", method="GET", path="/", x_harness_break=PACKAGE + name)
        assert proxy.terminate(10).returncode == 0
        assert_completed(proxy.database.ended(tenant), streamed=False, model="gpt-5")
