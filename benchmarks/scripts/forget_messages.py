"""Keep only the last message of a socket: mitmproxy alone keeps them all, as long as it is open."""

from mitmproxy.http import HTTPFlow


def websocket_message(flow: HTTPFlow) -> None:
    assert flow.websocket
    del flow.websocket.messages[:-1]
