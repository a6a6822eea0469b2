"""What the model says on its way, apart from its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.openai_api.responses import read_carefully, read_plain, read_response


def message(text: str, phase: Any = None) -> dict[str, Any]:
    """A message of one phase."""
    part = {"type": "output_text", "text": text}
    return {"type": "message", "content": [part]} | ({"phase": phase} if phase else {})


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([message("Look.", "commentary"), message("Done.", "final_answer")], "Done.\n\nLook."),
        ([message("Done."), message("Look.", "commentary")], "Done.\n\nLook."),
        (
            [message("A.", "commentary"), message("B.", "commentary"), message("C.")],
            "C.\n\nA.\n\nB.",
        ),
        ([message("Look.", "commentary")], "Look."),
        ([message("", "commentary"), message("Done.", "final_answer")], "Done."),
        ([message("One. ", "final_answer"), message("Two.", "final_answer")], "One. Two."),
        ([message("One. "), message("Two.", "of tomorrow")], "One. Two."),
        ([message("One.", 7)], "One."),
        ([message("")], ""),
        ([], None),
    ],
)
def test_the_answer_stands_first(messages: list[dict[str, Any]], text: str | None) -> None:
    """The answer comes first and commentary behind it; messages of one phase are one text."""
    body = {"object": "response", "id": "r", "created_at": 1, "output": messages}
    document = json.dumps(body).encode()
    assert read_response(document).output_text == text
    assert read_carefully(document).output_text == text
    quick = read_plain(document)
    assert quick is None or quick.output_text == text
