"""Answers whose last object lacks what had streamed, as the reading commands tell them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from response_store.openai_api.items import build_accumulated_sql, slice_accumulated
from tests.unit.queries.stored import packed

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command

INPUT = '[ {"role":"user","content":"Where does the wren nest?"}\n]'
CALL = '{"type":"function_call","name":"find","arguments":"{\\"q\\":\\"quetzal\\"}","call_id":"c"}'
MESSAGE = '{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Low."}]}'
MESSAGES = f"[{INPUT[1:-1].strip()},{MESSAGE},{CALL}]"


@pytest.mark.parametrize("output", ["", '"output":[],', '"output":null,', f'"output":[{CALL}],'])
def test_what_streamed_is_told(anywhere: Anywhere, run: Command, output: str) -> None:
    """`show`, `show --thread` and `search` tell the items that had streamed."""
    request = f'{{"model":"m","input":{INPUT}}}'.encode()
    anywhere.exchange("e1", response_id="r1", output_text="Low.", request_body=packed(request))
    document = f'{{"object":"response",{output}"id":"r1"}}'
    anywhere.response("r1", response_object=document, input=INPUT, messages=MESSAGES)
    for arguments in (("show", "r1"), ("show", "--thread", "r1")):
        shown = run(*arguments).stdout
        assert "--- assistant\nLow.\n" in shown
        assert '--- tool call find\n{"q":"quetzal"}\n' in shown
    hits = json.loads(run("search", "--json", "quetzal").stdout)["hits"]
    assert [hit["where"] for hit in hits] == ["tool call"]


@pytest.mark.parametrize(
    ("input_", "messages"),
    [
        (INPUT, MESSAGES),
        ("[]", f"[{CALL}]"),
        ("[]", "[]"),
        ('["a"]', '["a"]'),
        ('["ä \\u0000 \U0001f600"]', f'["ä \\u0000 \U0001f600",{CALL}]'),
        ("[\t1\r\n]", "[1,2]"),
        ('"text"', "[1]"),
        ("", ""),
        ("[1]", "[2,3]"),
    ],
)
def test_sql_and_python_agree(anywhere: Anywhere, input_: str, messages: str) -> None:
    """The statement and the function cut the same text out of a row."""
    anywhere.response("r1", input=input_, messages=messages)
    with anywhere.open() as query:
        rows = query.reader.rows(
            f"SELECT {build_accumulated_sql('{responses}')} FROM {{responses}}"
        )
    assert rows == [(slice_accumulated(input_, messages),)]
