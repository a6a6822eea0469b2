"""Hooks that do nothing, in the places where the addon has its own: what no addon can go below."""

from mitmproxy.http import HTTPFlow


class EmptyHooks:
    def request(self, flow: HTTPFlow) -> None:
        pass

    def responseheaders(self, flow: HTTPFlow) -> None:
        assert flow.response
        if flow.response.headers.get("content-type", "").startswith("text/event-stream"):
            flow.response.stream = lambda data: data

    def response(self, flow: HTTPFlow) -> None:
        pass

    def error(self, flow: HTTPFlow) -> None:
        pass

    def websocket_message(self, flow: HTTPFlow) -> None:
        pass

    def websocket_end(self, flow: HTTPFlow) -> None:
        pass


addons = [EmptyHooks()]
