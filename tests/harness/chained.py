"""A script for mitmproxy that streams and changes bodies, loaded before the addon."""

from mitmproxy import http

ASKED = "x-harness-shout"


def responseheaders(flow: http.HTTPFlow) -> None:
    """Put capitals into the bodies of requests that ask for it."""
    if flow.response is not None and ASKED in flow.request.headers:
        flow.response.stream = bytes.upper
