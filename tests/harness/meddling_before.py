"""A script for mitmproxy, loaded before the addon, that does what the header of a request says."""

from mitmproxy import http

ASKED = "x-harness-before"


def does(flow: http.HTTPFlow, what: str) -> bool:
    """Whether a flow asks for that."""
    return what in flow.request.headers.get(ASKED, "").split(",")


def fail(flow: http.HTTPFlow, hook: str) -> None:
    """Raise where the flow asks for it: hooks of scripts that are loaded later do not come then."""
    if does(flow, hook):
        raise ValueError(f"in {hook}, as the request has asked")


def request(flow: http.HTTPFlow) -> None:
    """Raise, or answer."""
    fail(flow, "request")
    for kind in ("application/json", "text/event-stream"):
        if does(flow, kind):
            body = bytes.fromhex(flow.request.headers["x-harness-answer"])
            flow.response = http.Response.make(200, body, {"content-type": kind})


def responseheaders(flow: http.HTTPFlow) -> None:
    """Raise."""
    fail(flow, "responseheaders")


def response(flow: http.HTTPFlow) -> None:
    """Raise."""
    fail(flow, "response")


def error(flow: http.HTTPFlow) -> None:
    """Raise."""
    fail(flow, "error")


def websocket_message(flow: http.HTTPFlow) -> None:
    """Raise, or forget the messages."""
    assert flow.websocket is not None
    fail(flow, "websocket_message")
    if does(flow, "clear"):
        flow.websocket.messages.clear()


def websocket_end(flow: http.HTTPFlow) -> None:
    """Raise."""
    fail(flow, "websocket_end")
