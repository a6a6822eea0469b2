"""A conversation with something of everything that a screen shows."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.item_kinds import IMAGE_URL
from tests.unit.cli.conftest import Anywhere
from tests.unit.queries.stored import packed

RESPONSE_ID = "resp_0001aaaabbbbccccdddd"
ANSWER = """\
The weather in **Kyoto** is *fine*: see [the forecast](https://weather.example/kyoto?day=1).

## What to do
1. Visit the `Fushimi Inari` shrine early in the morning, before the crowds arrive
2. Eat

| place | temperature |
|---|---:|
| Kyoto | 21 |
| Osaka | 23 |

```python
def plan(day: int) -> str:
    return f"day {day}" if day > 1 else None
```

> Bring water.

<b>no HTML</b> ![no picture](https://evil.example/x.png)
<https://example.org>"""
LONG_URL = f"https://example.org/{'long/' * 14}page"
REQUEST: dict[str, Any] = {
    "model": "gpt-5.1",
    "instructions": "You are a guide.\n" + "Answer in Markdown, and be brief.\n" * 40,
    "temperature": 0.2,
    "reasoning": {"effort": "high", "summary": "auto"},
    "stream": True,
    "tools": [
        {"type": "function", "name": "get_weather"},
        {"type": "web_search"},
        {"type": "function", "name": "read_file"},
    ],
    "input": [
        {
            "role": "user",
            "content": [
                {
                    "type": "input_text",
                    "text": "How is the weather in Kyoto (京都) today, and what"
                    " should I see there?\x1b[2J",
                },
                {"type": "input_image", "image_url": IMAGE_URL},
            ],
        },
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "get_weather",
            "arguments": '{"city":"Kyoto","days":[1,2,3]}',
        },
        {
            "type": "function_call",
            "call_id": "c2",
            "name": "read_file",
            "arguments": '{"path":"notes/kyoto.md"}',
        },
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": '{"temperature":21.50,"sky":"clear","wind":null,"alerts":[],'
            '"source":"station 7"}',
        },
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": f"# Kyoto\n\n\told notes\nsee {LONG_URL}",
        },
    ],
}
OUTPUT: list[Any] = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "**Considering**\n\nHm."}]},
    {
        "type": "message",
        "role": "assistant",
        "content": [
            {
                "type": "output_text",
                "text": ANSWER,
                "annotations": [
                    {
                        "type": "url_citation",
                        "title": "Kyoto weather",
                        "url": "https://weather.example/kyoto",
                    },
                    {"type": "file_citation", "filename": "kyoto.md", "file_id": "file_1"},
                ],
            }
        ],
    },
]


def travel(stored: Anywhere, **columns: Any) -> None:
    """An exchange with instructions, tools, a picture, calls, thoughts, an answer that cites."""
    known: dict[str, Any] = {
        "response_id": RESPONSE_ID, "transport": "sse", "ended_by": "terminal_event",
        "status_code": 200, "duration_ms": 1834.0, "requested_model": "gpt-5.1",
        "model": "gpt-5.1-2025-11-13", "input_tokens": 1200, "cached_tokens": 1024,
        "output_tokens": 450, "request_body": packed(json.dumps(REQUEST).encode()),
    }  # fmt: skip
    stored.exchange("e-travel", **known | columns)
    answer = {"id": RESPONSE_ID, "output": OUTPUT}
    stored.response(RESPONSE_ID, response_object=json.dumps(answer))
