"""The same as `empty_hooks.py`, where the ends are coroutines, as for `durability: power`."""

from mitmproxy.http import HTTPFlow


class EmptyHooks:
    def request(self, flow: HTTPFlow) -> None:
        pass

    def responseheaders(self, flow: HTTPFlow) -> None:
        assert flow.response
        if flow.response.headers.get("content-type", "").startswith("text/event-stream"):
            flow.response.stream = lambda data: data

    async def response(self, flow: HTTPFlow) -> None:
        pass

    def error(self, flow: HTTPFlow) -> None:
        pass

    async def websocket_message(self, flow: HTTPFlow) -> None:
        pass

    async def websocket_end(self, flow: HTTPFlow) -> None:
        pass


addons = [EmptyHooks()]
