"""Output items of each kind, those that have events of their own and one that has none."""

from __future__ import annotations

from typing import Any

from tests.fakes import bodies

LONG = 'Grüße 🌍, "quoted" \\ and\nlines. ' * 12
CITATION = {
    "type": "url_citation",
    "start_index": 0,
    "end_index": 5,
    "title": "A page",
    "url": "https://example.org/",
}
LOGPROB = {"token": "Gr", "bytes": [71, 114], "logprob": -0.25, "top_logprobs": []}


def cited_message() -> dict[str, Any]:
    """A message with two texts, citations and log probabilities."""
    item = bodies.message(LONG, item_id="msg_1")
    item["content"][0] |= {"annotations": [CITATION, CITATION], "logprobs": [LOGPROB]}
    item["content"].append({"type": "output_text", "text": "Bye.", "annotations": []})
    return item


OUTPUTS: dict[str, dict[str, Any]] = {
    "message": cited_message(),
    "empty message": bodies.message("", item_id="msg_2"),
    "refusal": {
        "id": "msg_3",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "refusal", "refusal": "I can't. " * 20}],
    },
    "reasoning": {
        "id": "rs_1",
        "type": "reasoning",
        "encrypted_content": "gAAA",
        "summary": [{"type": "summary_text", "text": LONG}, {"type": "summary_text", "text": ""}],
        "content": [{"type": "reasoning_text", "text": LONG}],
        "status": "completed",
    },
    "function call": bodies.function_call("get_weather", '{"city":"Köln"}', item_id="fc_1"),
    "custom tool call": {
        "id": "ctc_1",
        "type": "custom_tool_call",
        "call_id": "call_c",
        "name": "run",
        "input": LONG,
    },
    "mcp call": {
        "id": "mcp_1",
        "type": "mcp_call",
        "server_label": "dice",
        "name": "roll",
        "arguments": '{"sides": 6}',
        "output": "4",
        "error": None,
        "status": "completed",
    },
    "failed mcp call": {
        "id": "mcp_2",
        "type": "mcp_call",
        "server_label": "dice",
        "name": "roll",
        "arguments": "{}",
        "output": None,
        "error": None,
        "status": "failed",
    },
    "mcp tools": {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "dice", "tools": []},
    "web search": {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "weather"},
    },
    "file search": {
        "id": "fs_1",
        "type": "file_search_call",
        "status": "completed",
        "queries": ["weather"],
        "results": [{"file_id": "file_1", "text": "sunny"}],
    },
    "code interpreter": {
        "id": "ci_1",
        "type": "code_interpreter_call",
        "status": "completed",
        "code": "print(1)\n" * 20,
        "container_id": "cntr_1",
        "outputs": [{"type": "logs", "logs": "1"}],
    },
    "image": {
        "id": "ig_1",
        "type": "image_generation_call",
        "status": "completed",
        "result": "aGVsbG8=",
    },
    "computer call": {
        "id": "cu_1",
        "type": "computer_call",
        "call_id": "call_d",
        "action": {"type": "screenshot"},
        "pending_safety_checks": [],
        "status": "completed",
    },
}
"""One item of each kind, as it is when the response has ended."""
