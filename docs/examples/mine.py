"""A script of your own beside Response Store: it adds a team to each request.

    mitmdump -s docs/examples/mine.py -s addon/capture.py --mode reverse:https://api.openai.com

Scripts run in the order in which they are named, so changes made here are stored. With
`tenant: {header: x-team}` in the configuration each team has its own responses.
"""

from mitmproxy import http


def request(flow: http.HTTPFlow) -> None:
    """Set the team if the client does not."""
    flow.request.headers.setdefault("x-team", "research")
