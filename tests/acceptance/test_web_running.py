"""The page while an answer comes: what there is of it is shown before it is in the database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.fakes import bodies
from tests.fakes.answers import Gate
from tests.harness.clients import RawClient, asking
from tests.harness.proxy import DATABASE, wait_until
from tests.harness.streams import halfway
from tests.unit.web.serving import serving

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer

BEGINNING, END = bodies.TEXT.split()[0], "quote&quot;"


def test_a_running_answer_fills_in(make_proxy: MakeProxy, model_server: ModelServer) -> None:
    """Half of a stream is on the page while the other half is awaited, and then all of it."""
    gate = Gate()
    scenario = model_server.play(halfway(gate, go_on=True))
    with make_proxy() as proxy, RawClient(proxy.port) as client:
        client.send(asking(scenario, stream=True), x_tenant="default")
        assert gate.reached.wait(10)
        with serving(proxy.folder / "config.yaml", proxy.folder / DATABASE) as served:
            rows = wait_until(lambda: proxy.database.exchanges("default"), "its row")
            page, session = (f"{kind}/{rows[0]['exchange_id']}" for kind in ("exchange", "session"))
            for path in (page, session):
                wait_until(lambda at=path: BEGINNING in served.get(at), "half of the answer")
                assert 'class="running"' in served.get(path)
                assert "data-polled" in served.get(path)
            events = served.get(f"{page}/stream")
            assert events.count("response.output_text.delta") == 3
            assert re.search(r"\+\d+\.\d{3} s", events)
            gate.open()
            client.read_to_end(client.read_head())
            proxy.database.ended("default")
            whole = served.get(page)
        assert END in whole
        assert "data-polled" not in whole
