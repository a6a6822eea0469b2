"""Take the picture of mitmweb for `docs/images`: `python -m benchmarks.pictures_mitmweb`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mitmproxy import connection, http
from mitmproxy.io import FlowWriter

from benchmarks.pictures import IMAGES, run_with_browser
from tests.fakes import bodies
from tests.harness.browser import Browser
from tests.harness.ports import free_port
from tests.harness.proxy import Proxy, make_authority, wait_until

PASSWORD = "key-of-the-pages"
HOST = "api.openai.com"
QUESTION = "Is it warm enough for ice cream in Köln?"
COLUMNS = [f"--set=web_columns={name}" for name in ("path", "comment", "status")]


def write_flows(path: Path) -> None:
    """Write some exchanges as mitmproxy saves them: answers, an error, a cut, another page."""
    asked = {"model": "gpt-5", "input": QUESTION}
    call = {
        "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather",
        "arguments": '{"city":"Köln"}', "status": "completed",
    }  # fmt: skip
    thought = {
        "type": "reasoning", "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "The weather decides. I ask the tool."}],
    }  # fmt: skip
    usage = {
        "input_tokens": 212, "input_tokens_details": {"cached_tokens": 128},
        "output_tokens": 38, "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 250,
    }  # fmt: skip
    output = {"output": [thought, call], "usage": usage}
    chat = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Name a river."}]}
    stream = _sse(bodies.stream_events(asked, text="It is 24 degrees: yes, it is."))
    refused = bodies.error_body("Rate limit reached", kind="requests", code="rate_limit_exceeded")
    flows = (
        _flow("responses", asked, json.dumps(bodies.whole_response(asked, **output)), 1.9),
        _flow("responses", asked | {"stream": True}, stream, 2.4),
        _flow(
            "chat/completions", chat, json.dumps(bodies.chat_completion(chat, "The Rhine.")), 0.6
        ),
        _flow("responses", asked, json.dumps(refused), 0.12, status=429),
        _flow("responses", asked | {"stream": True}, stream[: len(stream) // 2], 3.1),
        _flow("models", None, '{"object":"list","data":[]}', 0.1),
    )
    with path.open("wb") as file:
        writer = FlowWriter(file)
        for flow in flows:
            writer.add(flow)


def _sse(events: list[dict[str, Any]]) -> str:
    return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)


def _flow(path: str, asked: Any, answer: str, took: float, status: int = 200) -> http.HTTPFlow:
    now = time.time()
    client = connection.Client(peername=("127.0.0.1", 50_000), sockname=("127.0.0.1", 8080))
    flow = http.HTTPFlow(client, connection.Server(address=(HOST, 443)), live=False)
    url = f"https://{HOST}/v1/{path}"
    kind = "text/event-stream" if answer.startswith("event:") else "application/json"
    headers = {"content-type": "application/json"}
    method = "GET" if asked is None else "POST"
    flow.request = http.Request.make(method, url, json.dumps(asked) if asked else b"", headers)
    flow.response = http.Response.make(status, answer, {"content-type": kind})
    flow.request.timestamp_start = flow.request.timestamp_end = now
    flow.response.timestamp_start, flow.response.timestamp_end = now + took / 4, now + took
    return flow


def take_picture(folder: Path, program: Path) -> None:
    """Start mitmweb on a file of flows, and look at the first of them."""
    flows = folder / "flows"
    write_flows(flows)
    port = free_port()
    proxy = Proxy(
        folder / "mitmweb",
        authority=make_authority(folder / "authority"),
        program="mitmweb",
        options={
            "web_open_browser": "false", "web_port": str(port), "web_password": PASSWORD,
            "rfile": str(flows),
        },
        arguments=COLUMNS,
    )  # fmt: skip
    with proxy, Browser(program, folder) as browser:
        browser.resize(1500, 560)
        browser.open(f"http://127.0.0.1:{port}/?token={PASSWORD}")
        wait_until(lambda: browser.text().count(" · ") >= 4, "comments are there")
        browser.value(
            "[...document.querySelectorAll('.flow-table tbody tr')]"
            ".find(row => row.innerText.includes('responses')).click()"
        )
        wait_until(lambda: "Connection" in browser.text(), "a flow is open")
        browser.value(
            "[...document.querySelectorAll('.nav-tabs a')]"
            ".find(tab => tab.innerText === 'Response').click()"
        )
        wait_until(lambda: "tool call" in browser.text(), "its answer is there")
        time.sleep(0.5)
        browser.screenshot(IMAGES / "mitmweb.png")


if __name__ == "__main__":
    run_with_browser(take_picture)
