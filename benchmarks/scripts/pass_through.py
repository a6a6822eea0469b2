"""Stream every body, and nothing else: what a capture of streams has to be compared with."""

from mitmproxy.http import HTTPFlow


def responseheaders(flow: HTTPFlow) -> None:
    assert flow.response
    flow.response.stream = lambda data: data
