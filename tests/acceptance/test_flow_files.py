"""Flow files and HARs stay whole beside the addon, and a flow file fills a store."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from mitmproxy.io import FlowReader, FlowWriter

from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, asking, fetch
from tests.harness.expected import facts
from tests.harness.proxy import Proxy
from tests.harness.streams import LAST_DELTA, TERMINAL, halfway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mitmproxy.http import HTTPFlow

    from tests.fakes.model_server import ModelServer
    from tests.harness.database import Row

SAME = (
    "exchange_id tenant_id response_id previous_response_id api transport state ended_by "
    "status_code error_code error_message started_at requested_model model input_tokens "
    "cached_tokens output_tokens reasoning_tokens total_tokens method scheme host path user_agent "
    "upstream_request_id request_body result output_text raw_response"
).split()
Rows = dict[str, dict[str, Any]]
ENDS = {"whole": "usual", "streamed": "usual", "failed": "failed", "refused": "refused-400"}


@pytest.fixture(scope="module")
def recorded(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """A folder in which a proxy has kept, dumped and stored exchanges with all kinds of ends."""
    folder = tmp_path_factory.mktemp("recorded")
    cut = model_server.play(halfway(Gate(), go_on=True))
    with Proxy(
        folder,
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT,
        arguments=["-w", "flows"],
        options={"hardump": str(folder / "all.har")},
    ) as proxy:
        for tenant, model in ENDS.items():
            fetch(proxy.port, asking(model, stream=tenant != "whole"), f"recorded-{tenant}")
        for tenant, model, until in (("cut", cut, LAST_DELTA), ("left", "lingering", TERMINAL)):
            with RawClient(proxy.port) as client:
                reply = client.ask(asking(model, stream=True), x_tenant=f"recorded-{tenant}")
                client.read_until(reply, until)
            proxy.database.ended(f"recorded-{tenant}")
        proxy.terminate()
        yield Recorded(folder, model_server)


class Recorded:
    """What one proxy left behind, and what the server sent."""

    def __init__(self, folder: Path, server: ModelServer) -> None:
        self.folder = folder
        self.server = server

    @property
    def tenants(self) -> list[str]:
        return [f"recorded-{name}" for name in (*ENDS, "cut", "left")]

    def sent(self, tenant: str) -> bytes:
        return self.server.recordings.of(tenant)[-1].body

    def flows(self) -> dict[str, HTTPFlow]:
        with (self.folder / "flows").open("rb") as file:
            flows: list[Any] = list(FlowReader(file).stream())
        return {flow.request.headers["x-tenant"]: flow for flow in flows}


def test_flow_file_is_whole(recorded: Recorded) -> None:
    """A flow file written beside the addon holds every body, also of clients that left."""
    flows = recorded.flows()
    assert sorted(flows) == sorted(recorded.tenants)
    for tenant, flow in flows.items():
        assert flow.response is not None
        assert flow.response.raw_content == recorded.sent(tenant), tenant


def test_har_is_whole(recorded: Recorded) -> None:
    """A HAR written beside the addon holds every body."""
    entries = json.loads((recorded.folder / "all.har").read_text())["log"]["entries"]
    texts = {
        tenant: entry["response"]["content"].get("text", "")
        for entry in entries
        for tenant in [header_of(entry, "x-tenant")]
    }
    assert sorted(texts) == sorted(recorded.tenants)
    for tenant, text in texts.items():
        assert text.encode() == recorded.sent(tenant), tenant


def header_of(entry: dict[str, Any], name: str) -> str:
    """A request header in an entry of a HAR."""
    found = (field["value"] for field in entry["request"]["headers"] if field["name"] == name)
    return str(next(found))


def importing(make_proxy: MakeProxy, flows: Path, folder: str = "import") -> Proxy:
    """A mitmdump that reads the flow file and ends."""
    return make_proxy(folder, arguments=["-n", "-r", str(flows)], control=False)


def rows(proxy: Proxy) -> Rows:
    """What must not differ between two stores of the same exchanges, by tenant."""
    return {row["tenant_id"]: facts(row, *SAME) for row in proxy.database.exchanges()}


def differences(ours: Rows, theirs: Rows) -> list[str]:
    """Which columns of which tenants differ, and how."""
    assert sorted(ours) == sorted(theirs)
    return [
        f"{tenant}, {name}: {value!r} instead of {theirs[tenant][name]!r}"
        for tenant, row in ours.items()
        for name, value in row.items()
        if value != theirs[tenant][name]
    ]


def responses(proxy: Proxy) -> list[Row]:
    """All stored responses, in a fixed order."""
    return sorted(proxy.database.responses(), key=lambda row: row["id"])


def live(recorded: Recorded, make_proxy: MakeProxy) -> Proxy:
    """A proxy that has not been started, on a copy of what was stored live."""
    proxy = make_proxy("live")
    proxy.folder.mkdir()
    for path in recorded.folder.glob("responses.db*"):
        shutil.copy(path, proxy.folder)
    return proxy


def test_import_fills_a_store(recorded: Recorded, make_proxy: MakeProxy) -> None:
    """Reading a flow file gives the rows that capturing live gave; twice changes nothing."""
    store = live(recorded, make_proxy)
    for _ in range(2):
        reader = importing(make_proxy, recorded.folder / "flows")
        assert reader.run().returncode == 0
        assert differences(rows(reader), rows(store)) == []
        assert responses(reader) == responses(store)


@pytest.mark.parametrize("bodies", ["with bodies", "without bodies"])
def test_import_lowers_nothing(
    recorded: Recorded, make_proxy: MakeProxy, tmp_path: Path, bodies: str
) -> None:
    """Reading a flow file into the store that captured it changes nothing, bodies or not."""
    flows = recorded.folder / "flows"
    if bodies == "without bodies":
        flows = without_bodies(recorded, tmp_path / "empty")
    before = live(recorded, make_proxy)
    was = rows(before), responses(before)
    reader = importing(make_proxy, flows, "live")
    assert reader.run().returncode == 0
    assert (rows(reader), responses(reader)) == was


def without_bodies(recorded: Recorded, path: Path) -> Path:
    """The flow file as a mitmproxy without the addon would have written it: streams are empty."""
    with path.open("wb") as file, ExitStack():
        writer = FlowWriter(file)
        for flow in recorded.flows().values():
            assert flow.response is not None
            if "event-stream" in flow.response.headers.get("content-type", ""):
                flow.response.raw_content = b""
            writer.add(flow)
    return path
