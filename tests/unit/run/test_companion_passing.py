"""What is none of ours is not held by the proxy."""

from __future__ import annotations

import pytest
from mitmproxy import http
from mitmproxy.test import tflow, tutils

from response_store.run.companion import pass_request, pass_response

LARGE = str(2 << 20)
STREAM = "text/event-stream; charset=utf-8"
OTHER, OURS = "/v1/messages", "/v1/responses"


def answered(path: str, status: int = 200, **headers: str) -> http.HTTPFlow:
    flow = tflow.tflow(req=tutils.treq(method=b"POST", path=path.encode()))
    flow.response = http.Response.make(status)
    flow.response.headers = http.Headers(
        [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    )
    return flow


@pytest.mark.parametrize(
    ("path", "headers", "passed", "passed_while_shown"),
    [
        (OTHER, {"content_type": STREAM}, True, True),
        (OTHER, {"content_length": LARGE}, True, True),
        (OTHER, {}, True, False),
        (OTHER, {"content_length": "many"}, True, False),
        (OTHER, {"content_length": "9"}, False, False),
        (OURS, {"content_type": STREAM}, True, True),
        (OURS, {"content_length": LARGE}, False, False),
        (OURS, {}, False, False),
    ],
)
def test_answers(
    path: str, headers: dict[str, str], passed: bool, passed_while_shown: bool
) -> None:
    """Streams always pass, large bodies where they are not captured."""
    for shown, expected in ((False, passed), (True, passed_while_shown)):
        flow = answered(path, **headers)
        pass_response(flow, shown=shown)
        assert flow.response is not None
        assert flow.response.stream is expected


def test_what_is_left_alone() -> None:
    """A change of protocols has no body, and who streams already goes on doing so."""
    flow = answered(OTHER, status=101)
    pass_response(flow, shown=False)
    assert flow.response is not None
    assert flow.response.stream is False
    flow = answered(OTHER, content_length="9")
    assert flow.response is not None
    flow.response.stream = stream = lambda data: data
    pass_response(flow, shown=False)
    assert flow.response.stream is stream


@pytest.mark.parametrize(
    ("path", "size", "passed"),
    [(OTHER, LARGE, True), (OTHER, "9", False), (OURS, LARGE, False)],
)
def test_requests(path: str, size: str, passed: bool) -> None:
    """A large upload goes up while it comes; what is captured is read whole."""
    flow = answered(path)
    flow.request.headers["content-length"] = size
    pass_request(flow)
    assert flow.request.stream is passed
