"""A response that is seen again stays one row, and never goes back to an earlier state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, json_answer
from tests.harness.clients import QUESTION, asking, fetch
from tests.harness.expected import assert_holds, assert_response

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.harness.proxy import Proxy


def answers(status: str, response_id: str, *, streamed: bool) -> Answer:
    """A whole or a streamed answer with that id and status."""
    if streamed:
        return PLAIN.answer(bodies.stream_events(status=status, id=response_id))
    if status in ("queued", "in_progress"):
        return json_answer(bodies.response(id=response_id, status=status))
    return json_answer(bodies.whole_response(id=response_id, status=status))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_seen_twice(
    proxy: Proxy, model_server: ModelServer, tenant: str, *, streamed: bool
) -> None:
    """The same response, answered twice, is two exchanges and one response."""
    model = model_server.play(answers("completed", f"resp_{tenant}_{streamed}", streamed=streamed))
    for _ in range(2):
        fetch(proxy.port, asking(model), tenant)
    rows = proxy.database.all_ended(tenant, 2)
    assert len({row["exchange_id"] for row in rows}) == 2
    assert {row["response_id"] for row in rows} == {f"resp_{tenant}_{streamed}"}
    assert len(proxy.database.responses(tenant)) == 1


@pytest.mark.parametrize("late", ["queued", "in_progress"])
@pytest.mark.parametrize("final", ["completed", "incomplete", "failed", "cancelled"])
def test_late_snapshot(
    proxy: Proxy, model_server: ModelServer, tenant: str, final: str, late: str
) -> None:
    """A snapshot that comes late does not replace the final state."""
    response_id = f"resp_{tenant}"
    for status in (late, final, late):
        model = model_server.play(answers(status, response_id, streamed=False))
        fetch(proxy.port, asking(model), tenant)
        proxy.flush()
    assert [row["state"] for row in proxy.database.all_ended(tenant, 3)] == [late, final, late]
    stored = proxy.database.response(tenant)
    assert json.loads(stored["response_object"])["status"] == final
    assert QUESTION in json.dumps(json.loads(stored["messages"]), ensure_ascii=False)


def test_tenants_are_apart(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """The same id of two tenants is two responses."""
    answer = bodies.whole_response(id=f"resp_{tenant}")
    model = model_server.play(json_answer(answer))
    for one in (f"{tenant}-a", f"{tenant}-b"):
        fetch(proxy.port, asking(model), one)
        assert_holds(proxy.database.ended(one), {"tenant_id": one, "state": "completed"})
        assert_response(proxy.database.response(one), answer)
