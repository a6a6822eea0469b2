"""Rows of every kind that a proxy leaves behind, odd ones included."""

from __future__ import annotations

from tests.unit.cli.conftest import Anywhere
from tests.unit.queries.stored import packed

RESPONSE_ID = "resp_68a1b2c3d4e5f607"
EXCHANGE_ID = "0e1c5a0e-8f43-5a51-9d0e-0b7f3f3c1d52"
RESPONSE = (
    '{"id" : "resp_68a1b2c3d4e5f607", "big": 1e400, "price":1.50,\n "b":1,"a":2, "emoji":"\\ud83d",'
    ' "output": ['
    '{"type":"reasoning","summary":[{"type":"summary_text","text":"Think first."}]},'
    '{"type":"reasoning","summary":[],"encrypted_content":"gAAAA"},'
    '{"type":"function_call","name":"get_weather","arguments":"{\\"city\\":\\"東京\\"}"},'
    '{"type":"web_search_call","id":"ws_1","status":"completed","action":{"query":"weather"}},'
    '{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Sunny: \\ud83d'
    ' \\u0000 [bold]x[/bold] :smile:"},{"type":"refusal","refusal":"No more."}]}]}'
)
REQUEST = (
    b'{"model":"gpt-5.1","instructions":"Be brief.","temperature":1.0e0,"input":['
    b'{"role":"user","content":[{"type":"input_text","text":"Weather?"},'
    b'{"type":"input_image","image_url":"data:image/png;base64,' + b"A" * 100 + b'"}]},'
    b'{"type":"function_call_output","call_id":"c1","output":"21 degrees"}]}'
)


def whole(stored: Anywhere) -> None:
    """An exchange of which everything is known."""
    stored.exchange(
        EXCHANGE_ID, response_id=RESPONSE_ID, previous_response_id="resp_before",
        conversation_id="conv_1", transport="sse", ended_by="terminal_event", status_code=200,
        first_event_ms=312.4, duration_ms=1834.2, requested_model="gpt-5.1",
        model="gpt-5.1-2025-11-13", input_tokens=120, cached_tokens=64, output_tokens=45,
        reasoning_tokens=20, total_tokens=165, user_agent="codex/0.169",
        upstream_request_id="req_1", question="Weather?\n21 degrees", request_body=packed(REQUEST),
        output_text="Sunny:\tand\n東京 \x1b[31mred\x1b[0m",
        raw_response=packed(b"data: {}\n\n\xff"),
    )  # fmt: skip
    stored.response(RESPONSE_ID, response_object=RESPONSE)


def refused(stored: Anywhere) -> None:
    """An exchange that the API refused."""
    stored.exchange(
        "e-refused", started_at=1767225700.0, state="refused", ended_by="body", status_code=401,
        error_code="invalid_api_key", error_message="Incorrect API key.\nSee the docs.",
        requested_model="gpt-5.1", duration_ms=88.0, request_body=packed(b'{"input":"Hello"}'),
    )  # fmt: skip


def partial(stored: Anywhere) -> None:
    """A response that was cut off: what arrived is in `result`."""
    stored.exchange(
        "e-partial", response_id="resp_cut", started_at=1767225800.0, state="interrupted",
        ended_by="client", output_text="Half an ans", duration_ms=61000.0,
        result='{"id":"resp_cut","status":"in_progress","output":[]}',
    )  # fmt: skip


def chat(stored: Anywhere) -> None:
    """A chat completion: it has no response, its object is in `result`."""
    stored.exchange(
        "e-chat", started_at=1767225900.0, api="chat_completions", path="/v1/chat/completions",
        ended_by="body", status_code=200, model="gpt-4.1", question="Wave",
        input_tokens=7, output_tokens=3, output_text="Hi there", request_body=packed(
            b'{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"},'
            b'{"role":"tool","tool_call_id":"c","content":"42"}]}'),
        result='{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":'
        '"Hi there","tool_calls":[{"id":"c","function":{"name":"wave","arguments":"{}"}}]}}]}',
    )  # fmt: skip


def bare(stored: Anywhere) -> None:
    """An exchange that is open: nothing is known but that it began."""
    stored.exchange("e-open", started_at=1767226000.0, state="open")


def all_kinds(stored: Anywhere) -> None:
    """One row of each kind."""
    for add in (whole, refused, partial, chat, bare):
        add(stored)
