"""Whatever the server's habits, the client gets its bytes and the store the same row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import bodies, cuts
from tests.fakes.answers import Answer, Framing, Stream
from tests.fakes.dialects import DIALECTS
from tests.harness.clients import asking, fetch
from tests.harness.expected import assert_completed, assert_holds, assert_response, response_in

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request
    from tests.harness.proxy import Proxy


def exchange(proxy: Proxy, server: ModelServer, tenant: str, stream: Stream) -> bytes:
    """Play the stream, check bytes and row, and return the bytes that the server sent."""

    def play(request: Request) -> Answer:
        return stream.answer(bodies.stream_events(request.fields))

    model = server.play(play)
    reply = fetch(proxy.port, asking(model, stream=True), tenant)
    sent = server.recordings.only(tenant).body
    assert reply.whole
    assert bytes(reply.body) == sent
    assert_completed(proxy.database.ended(tenant), streamed=True, model=model)
    return sent


@pytest.mark.parametrize("split", ["an event a write", "one write", "random sizes, 1"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialect(
    proxy: Proxy, model_server: ModelServer, tenant: str, dialect: str, split: str
) -> None:
    """Each dialect gives the row that OpenAI's own gives."""
    stream = Stream(dialect=DIALECTS[dialect], split=cuts.SPLITS[split])
    sent = exchange(proxy, model_server, tenant, stream)
    assert_response(proxy.database.response(tenant), response_in(sent))


@pytest.mark.parametrize("coding", [None, *cuts.CODINGS])
@pytest.mark.parametrize("split", cuts.SPLITS)
def test_split(
    proxy: Proxy, model_server: ModelServer, tenant: str, split: str, coding: str | None
) -> None:
    """Each split of the bytes, encoded or not, gives the same row."""
    stream = Stream(split=cuts.SPLITS[split], coding=coding)
    exchange(proxy, model_server, tenant, stream)


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CLOSE])
def test_framing(proxy: Proxy, model_server: ModelServer, tenant: str, framing: Framing) -> None:
    """A stream of known length, or one that ends with its connection, is a stream as well."""
    exchange(proxy, model_server, tenant, Stream(framing=framing))


@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream;charset=UTF-8"])
def test_content_type(
    proxy: Proxy, model_server: ModelServer, tenant: str, content_type: str
) -> None:
    """The content type is recognised in any spelling."""
    exchange(proxy, model_server, tenant, Stream(content_type=content_type))


def test_slow_stream(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A stream with pauses ends as a quick one does."""
    exchange(proxy, model_server, tenant, Stream(pause=0.02))


def test_stream_nobody_asked_for(proxy: Proxy, tenant: str) -> None:
    """What counts is how the server answers, not how the client asked."""
    fetch(proxy.port, asking("stream-unasked"), tenant)
    assert_completed(proxy.database.ended(tenant), streamed=True, model="stream-unasked")


def test_obfuscation_is_no_text(proxy: Proxy, tenant: str) -> None:
    """Padding in the deltas stays out of the text."""
    fetch(proxy.port, asking("obfuscated", stream=True), tenant)
    assert_completed(proxy.database.ended(tenant), streamed=True, model="obfuscated")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_big_response(
    proxy: Proxy, model_server: ModelServer, tenant: str, *, streamed: bool
) -> None:
    """Eight megabytes pass, and are kept."""
    reply = fetch(proxy.port, asking("big", stream=streamed), tenant)
    assert bytes(reply.body) == model_server.recordings.only(tenant).body
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed"})
    assert len(row["output_text"]) == 8 * 2**20
