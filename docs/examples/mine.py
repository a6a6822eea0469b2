"""A script of one's own beside Response Store's: each request says which team it is of.

    mitmdump -s docs/examples/mine.py -s addon/capture.py --mode reverse:https://api.openai.com

Scripts run in the order in which they are named: what is changed here is kept as changed. With
`tenant: {header: x-team}` in the configuration each team has its own responses.
"""

from mitmproxy import http


def request(flow: http.HTTPFlow) -> None:
    """Name the team where the client does not."""
    flow.request.headers.setdefault("x-team", "research")
