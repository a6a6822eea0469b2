"""Traffic that is not captured is streamed through.

mitmproxy holds every body until its end, which a command notices: streams of other services stand
still, and a large download fills the proxy's memory. What may be captured is not touched here, but
for streams: the capturing addon watches those that are passed on already.
"""

from __future__ import annotations

from http import HTTPStatus

from mitmproxy import http

from response_store.openai_api.endpoints import Skip, classify

_SMALL = 1 << 20  # bytes that are held, so that mitmweb can show them


def pass_request(flow: http.HTTPFlow) -> None:
    """Let a large body go up while it comes."""
    if _read_size(flow.request) > _SMALL and _is_none_of_ours(flow.request):
        flow.request.stream = True


def pass_response(flow: http.HTTPFlow, *, shown: bool) -> None:
    """Let a stream, or a body that is or may be large, come down while it comes.

    With `shown` somebody looks at the traffic, and what tells no size is held to be seen.
    """
    response = flow.response
    if response is None or response.stream or response.status_code < HTTPStatus.OK:
        return
    if _is_stream(response):
        response.stream = True
    elif _is_none_of_ours(flow.request):
        size = _read_size(response)
        response.stream = size > _SMALL or (size < 0 and not shown)


def _is_stream(response: http.Response) -> bool:
    content_type: str = response.headers.get("content-type", "")
    return content_type.lower().startswith("text/event-stream")


def _is_none_of_ours(request: http.Request) -> bool:
    headers = request.headers
    found = classify(
        request.method,
        request.path,
        headers.get("content-type", ""),
        headers.get("upgrade", ""),
    )
    return isinstance(found, Skip)


def _read_size(message: http.Message) -> int:
    """Return the size that a body's header states; -1 where it states none."""
    warning = message.headers.get("content-length", "")
    return int(warning) if warning.isdecimal() else -1
