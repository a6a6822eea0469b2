"""A script for mitmproxy, loaded after the addon, that does what the header of a request says."""

from mitmproxy import http

ASKED = "x-harness-after"


def does(flow: http.HTTPFlow, what: str) -> bool:
    """Whether a flow asks for that."""
    return what in flow.request.headers.get(ASKED, "").split(",")


def request(flow: http.HTTPFlow) -> None:
    """Answer."""
    for kind in ("application/json", "text/event-stream"):
        if does(flow, kind):
            body = bytes.fromhex(flow.request.headers["x-harness-answer"])
            flow.response = http.Response.make(200, body, {"content-type": kind})


def responseheaders(flow: http.HTTPFlow) -> None:
    """Choose another way for the body, as if nobody had chosen one."""
    assert flow.response is not None
    for name, stream in {"True": True, "False": False, "callable": lambda data: data}.items():
        if does(flow, f"stream={name}"):
            flow.response.stream = stream


def websocket_message(flow: http.HTTPFlow) -> None:
    """Forget the messages, all of them or all but the last."""
    assert flow.websocket is not None
    if does(flow, "clear"):
        flow.websocket.messages.clear()
    if does(flow, "trim"):
        del flow.websocket.messages[:-1]
