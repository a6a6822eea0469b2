"""The commands that mitmproxy gains tell what was seen, kept and left out."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

from tests.harness.clients import asking, fetch
from tests.harness.outages import frozen
from tests.harness.proxy import wait_until

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.harness.proxy import Proxy


ALL_WRITTEN = "all is written"


def counters(proxy: Proxy) -> dict[str, str]:
    """The lines of `response_store.status`, by name."""
    lines = proxy.command("response_store.status").splitlines()
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def test_flush(make_proxy: MakeProxy, tenant: str) -> None:
    """`response_store.flush` says whether all is in the database; if not, the log says when."""
    with make_proxy() as proxy:
        fetch(proxy.port, asking(), tenant)
        proxy.database.ended(tenant)
        sleep(0.2)  # until the ingester has reported it
        with frozen(proxy.database.path):
            for streamed in (False, True):
                fetch(proxy.port, asking(stream=streamed), tenant)
            said = proxy.command("response_store.flush")
            assert said == "2 records wait; a line in the log will say when they are written"
            assert len(proxy.database.exchanges(tenant)) == 1
            assert ALL_WRITTEN not in proxy.output()
        wait_until(lambda: ALL_WRITTEN in proxy.output(), "the log says so")
        assert proxy.command("response_store.flush") == ALL_WRITTEN
        assert [row["state"] for row in proxy.database.exchanges(tenant)] == ["completed"] * 3


def test_status(make_proxy: MakeProxy, tenant: str) -> None:
    """`response_store.status` counts what was written and, by reason, what was left out."""
    with make_proxy() as proxy:
        for _ in range(3):
            fetch(proxy.port, asking(), tenant)
        fetch(proxy.port, asking(), tenant, method="OPTIONS")
        fetch(proxy.port, asking(), tenant, path="/v1/models")
        fetch(proxy.port, asking(), tenant, content_type="multipart/form-data; boundary=b")
        proxy.flush()
        status = counters(proxy)
        finished = proxy.terminate()
    assert "responses.db" in status["store"]
    assert status["written"] == "3"
    assert status["skipped.method"] == "1"
    assert status["skipped.content_type"] == "1"
    assert int(status["skipped.path"]) >= 1
    (summary,) = [line for line in finished.stderr.splitlines() if "written" in line]
    for words in ("3 written", "0 lost", "skipped.method 1", "skipped.content_type 1"):
        assert words in summary
