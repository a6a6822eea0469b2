"""`response-store show`."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from response_store.backends.registry import open_file
from response_store.cli.show import print_exchange
from tests.unit.cli import rows
from tests.unit.queries.stored import NAMES, Stored, packed

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command

GOLDEN = """\
response\tresp_68a1b2c3d4e5f607
exchange\t0e1c5a0e-8f43-5a51-9d0e-0b7f3f3c1d52
tenant\tdefault
state\tcompleted, ended by terminal_event
model\tgpt-5.1-2025-11-13 (asked for gpt-5.1)
tokens\t120 in (64 cached), 45 out (20 reasoning)
time\t2026-01-01 02:00:00
took\t1.8 s, first event after 312 ms
request\tPOST https://api.openai.com/v1/responses
status\t200
api\tresponses over sse
client\tcodex/0.169
previous\tresp_before
conversation\tconv_1
upstream id\treq_1

--- instructions
Be brief.

--- user
Weather?
[input_image PNG, 75 B]

--- tool result
21 degrees

--- reasoning
Think first.

--- tool call get_weather
{"city":"東京"}

--- web search call
weather

--- assistant
Sunny: \\ud83d ␀ [bold]x[/bold] :smile:
(refused) No more.
"""
GOLDEN_CHAT = """\
exchange\te-chat
tenant\tdefault
state\tcompleted, ended by body
model\tgpt-4.1
tokens\t7 in, 3 out
time\t2026-01-01 02:05:00
request\tPOST https://api.openai.com/v1/chat/completions
status\t200
api\tchat_completions over http

--- system
Be kind.

--- user
Hi

--- tool result
42

--- assistant
Hi there

--- tool call wave
{}
"""


def test_a_pipe_gets_the_conversation_as_text(anywhere: Anywhere, run: Command) -> None:
    """Piped output has the facts, then each turn under its speaker, with nothing cut to a width."""
    rows.whole(anywhere)
    result = run("show", "resp_68")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == GOLDEN


def test_a_chat_completion_is_a_conversation(stored: Stored, run: Command) -> None:
    """A chat completion is read from `result`, its tool calls included."""
    rows.chat(stored)
    assert run("show", "e-chat").stdout == GOLDEN_CHAT


def test_calls_of_every_kind_are_shown(stored: Stored, run: Command) -> None:
    """Old function calls, custom tools, spoken answers, and what a server's tool failed with."""
    stored.exchange(
        "e1", api="chat_completions",
        request_body=packed(b'{"messages":[{"role":"function","name":"f","content":"42"}]}'),
        result='{"choices":[{"message":{"role":"assistant","content":null,'
        '"audio":{"id":"a","transcript":"Spoken."},"function_call":{"name":"f","arguments":"{}"},'
        '"tool_calls":[{"type":"custom","custom":{"name":"sh","input":"ls"}}]}}]}',
    )  # fmt: skip
    stored.response(
        "resp_m",
        response_object='{"output":[{"type":"mcp_call","name":"ask","arguments":"{}",'
        '"error":{"code":7}}],"usage":{"input_tokens":3,"output_tokens":4}}',
    )
    assert run("show", "e1").stdout.partition("\n\n")[2] == (
        "--- tool result\n42\n\n--- assistant\nSpoken.\n\n--- tool call f\n{}\n"
        "\n--- tool call sh\nls\n"
    )
    shown = run("show", "resp_m").stdout
    assert "tokens\t3 in, 4 out\n" in shown
    assert shown.endswith('--- tool call ask\n{}\n\n--- tool error\n{"code": 7}\n')


def test_tokens_that_another_row_counts_are_shown(stored: Stored, run: Command) -> None:
    """The row of a response that was asked for once more counts none: the response names them."""
    stored.exchange("e1", response_id="resp_1", method="GET")
    stored.response(
        "resp_1",
        response_object='{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":8},'
        '"output_tokens":2}}',
    )
    assert "tokens\t9 in (8 cached), 2 out\n" in run("show", "resp_1").stdout


def test_a_partial_answer_is_shown(anywhere: Anywhere, run: Command) -> None:
    """Where no item is whole, the text that arrived is shown."""
    rows.partial(anywhere)
    shown = run("show", "resp_cut").stdout
    assert "state\tinterrupted, ended by client\n" in shown
    assert shown.endswith("--- assistant\nHalf an ans\n")


def test_a_refusal_is_shown(anywhere: Anywhere, run: Command) -> None:
    """An error's code and message stand among the facts."""
    rows.refused(anywhere)
    shown = run("show", "e-refused").stdout
    assert "error\tinvalid_api_key: Incorrect API key. See the docs.\n" in shown
    assert "status\t401\n" in shown
    assert shown.endswith("--- user\nHello\n")


def test_a_bare_row_is_shown(anywhere: Anywhere, run: Command) -> None:
    """A row of which nothing is known is shown without empty facts."""
    rows.bare(anywhere)
    assert run("show", "e-open").stdout == (
        "exchange\te-open\ntenant\tdefault\nstate\topen\ntime\t2026-01-01 02:06:40\n"
        "request\tPOST https://api.openai.com/v1/responses\napi\tresponses over http\n"
    )


def test_a_response_without_an_exchange_is_shown(anywhere: Anywhere, run: Command) -> None:
    """What another program wrote is shown from its own row, the anywhere input included."""
    anywhere.response(
        "resp_p", response_object=rows.RESPONSE, input='[{"role":"user","content":"x"}]'
    )
    shown = run("show", "resp_p").stdout
    assert shown.startswith("response\tresp_p\ntenant\tdefault\nmodel\tgpt-5.1\ncreated\t2026-")
    assert "--- user\nx\n" in shown
    document = json.loads(run("show", "resp_p", "--json").stdout)
    assert (document["exchange_id"], document["response_id"]) == (None, "resp_p")
    assert document["input"] == [{"role": "user", "content": "x"}]


def test_json_embeds_what_came_to_the_letter(anywhere: Anywhere, run: Command) -> None:
    """Number spelling, key order, blanks and escapes of the anywhere texts are kept."""
    rows.whole(anywhere)
    data = run("show", rows.RESPONSE_ID, "--json").stdout_bytes
    assert b'"response":' + rows.RESPONSE.encode() + b"}" in data
    assert b'"request":' + rows.REQUEST + b"," in data


def test_json_has_every_column(anywhere: Anywhere, run: Command) -> None:
    """All columns but the packed bodies are there under their names, the unknown as null."""
    rows.whole(anywhere)
    document = json.loads(run("show", rows.RESPONSE_ID, "--json").stdout)
    with anywhere.open() as query:
        row = query.exchange("default", rows.EXCHANGE_ID)
    assert row is not None
    for name in set(row.__struct_fields__) - {"request_body", "raw_response", "result"}:
        assert document[name] == getattr(row, name)
    assert document["result"] is None
    assert "raw_response" not in document
    assert "request_body" not in document


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00", b"plain text", b'{"a":', b"NaN", b"[1] x", b"", b"\xef\xbb\xbf{}"]
)
def test_a_request_that_is_no_json_is_base64(stored: Stored, run: Command, body: bytes) -> None:
    """Bytes that are not JSON would break the object; they come in base64."""
    stored.exchange("e1", request_body=packed(body))
    document = json.loads(run("show", "e1", "--json").stdout)
    assert document["request"] is None
    assert base64.b64decode(document["request_base64"]) == body
    assert run("show", "e1").exit_code == 0


def test_a_damaged_frame_does_not_hide_the_row(stored: Stored, run: Command) -> None:
    """A body that can't be unpacked is given as stored; --raw says what is wrong."""
    frame = packed(b"x" * 1000)[:-4]
    stored.exchange("e1", request_body=frame, raw_response=b"no frame")
    document = json.loads(run("show", "e1", "--json").stdout)
    assert base64.b64decode(document["request_base64"]) == frame
    result = run("show", "e1", "--raw")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "damaged" in result.stderr


def test_a_stored_text_that_is_no_json_is_a_string(stored: Stored, run: Command) -> None:
    """A text that would break the object is embedded as a JSON string."""
    stored.exchange("e1", response_id="r1", state="interrupted", result="oops")
    stored.response("r1", response_object='{"a": tru', input="")
    document = json.loads(run("show", "r1", "--json").stdout)
    assert (document["response"], document["result"], document["input"]) == (
        '{"a": tru',
        "oops",
        "",
    )


DEEP = "[" * 100_000 + "]" * 100_000
ODD_OBJECTS = [
    '{"n":' + "9" * 5000 + "}",
    '{"output":' + DEEP + "}",
    '{"output":[{"type":"odd","x":' + "[" * 900 + "]" * 900 + "}]}",
    '{"output":[null,1,"text",[],{},{"type":null},{"type":7},{"type":"message"}]}',
    '{"output":[{"type":"message","content":[null,1,"s",{},{"type":"output_text","text":{}}]}]}',
    '{"output":[{"type":"function_call","arguments":{"a":1}},{"type":"mcp_call","output":[]}]}',
    '{"output":[{"type":"reasoning","summary":null},{"type":"a_call_output","output":7}]}',
    '{"output":{"a":1},"choices":[null,{"message":7},{"message":{"tool_calls":[1,{}]}}]}',
    '{"output":[{"type":"message","content":"\\u0000\\ud83d\\u001b[2J\\u202e"}]}',
    "null", "7", '"text"', "[]", "", "\x00", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD_OBJECTS, ids=range(len(ODD_OBJECTS)))
def test_odd_data_is_shown_somehow(stored: Stored, run: Command, text: str) -> None:
    """Whatever a server sent and the store kept, neither form of `show` crashes."""
    request = b'{"input":' + text.encode() + b',"messages":' + text.encode() + b"}"
    stored.exchange("e1", response_id="r1", result=text, request_body=packed(request))
    stored.response("r1", response_object=text, input=text)
    plain = run("show", "r1")
    assert plain.exit_code == 0
    assert not set(plain.stdout) & {"\x00", "\x1b", "\u202e", "\ud83d"}
    shown = run("show", "r1", "--json")
    assert shown.exit_code == 0
    assert text in shown.stdout or json.loads(shown.stdout)["response"] == text


@pytest.mark.parametrize(
    "text", [f'{{"n":{"9" * 5000}}}', "[1e400, -0.0]", DEEP, '"\\ud83d"', '"\x1b"', ' {"a" :1}\r\n']
)
def test_odd_json_is_still_json(stored: Stored, run: Command, text: str) -> None:
    """JSON that is hard to read is embedded to the letter, not as a string; what is none is not."""
    stored.response("r1", response_object=text)
    embedded = f'"response":{text}}}'.encode() in run("show", "r1", "--json").stdout_bytes
    assert embedded == (text != '"\x1b"')


def test_a_lone_surrogate_comes_as_json_writes_it(stored: Stored, run: Command) -> None:
    """A surrogate that another program stored as such has an escape in JSON and in text."""
    stored.response("r1")
    said = b'{"output":[{"role":"assistant","content":"\xed\xa0\xbd"}]}'
    stored.script(f"UPDATE {{responses}} SET response_object = CAST(x'{said.hex()}' AS TEXT)")
    assert '"content":"\\ud83d"' in run("show", "r1", "--json").stdout
    assert run("show", "r1").stdout.endswith("--- assistant\n\\ud83d\n")


@pytest.mark.parametrize("column", ["output_text", "model", "host", "error_message", "user_agent"])
def test_text_that_is_no_text_is_shown(stored: Stored, run: Command, column: str) -> None:
    """Lone surrogates, NUL and bytes that are no UTF-8 in a column crash no command."""
    stored.exchange("e1", response_id="r1")
    for value in ("6100edA0bd62", "ff00fe", "1b5b324a"):
        stored.script(f"UPDATE {{exchanges}} SET {column} = CAST(x'{value}' AS TEXT)")
        for arguments in (("list",), ("show", "r1")):
            plain = run(*arguments)
            assert plain.exit_code == 0
            assert "\x1b" not in plain.stdout
            assert json.loads(run(*arguments, "--json").stdout)


def test_raw_gives_the_bytes_of_the_answer(anywhere: Anywhere, run: Command) -> None:
    """The answer comes as it was on the wire, byte for byte."""
    rows.whole(anywhere)
    assert run("show", rows.RESPONSE_ID, "--raw").stdout_bytes == b"data: {}\n\n\xff"


def test_raw_says_where_nothing_was_kept(anywhere: Anywhere, run: Command) -> None:
    """An answer whose bytes were not kept is an error that names the setting."""
    rows.chat(anywhere)
    result = run("show", "e-chat", "--raw")
    assert result.exit_code == 1
    assert "raw_bodies" in result.stderr


def test_raw_and_json_exclude_each_other(stored: Stored, run: Command) -> None:
    """Two forms at once are wrong usage."""
    assert run("show", "x", "--raw", "--json").exit_code == 2


def test_an_ambiguous_id_lists_what_it_could_be(anywhere: Anywhere, run: Command) -> None:
    """The candidates are named, and can't play tricks on the terminal."""
    anywhere.exchange("e1\x1b[2J")
    anywhere.exchange("e2")
    result = run("show", "e")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: 'e' begins more than one id.")
    assert "  e1␛[2J\n  e2\n" in result.stderr


def test_an_id_from_a_narrow_table_is_found(anywhere: Anywhere, run: Command) -> None:
    """An id that the table cut short, copied with its ellipsis, is a beginning."""
    rows.whole(anywhere)
    assert run("show", "resp_68a1…").stdout == GOLDEN


def test_an_unknown_id_names_the_next_command(anywhere: Anywhere, run: Command) -> None:
    """Who mistyped an id is told how to see the ids."""
    result = run("show", "resp_x")
    assert result.exit_code == 1
    assert "response-store list" in result.stderr


@pytest.mark.parametrize("width", [10, 40, 200])
def test_a_terminal_gets_colours_and_no_tricks(stored: Stored, width: int) -> None:
    """On a terminal only our own colours are escape sequences; captured ones are visible."""
    rows.whole(stored)
    rows.partial(stored)
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, markup=False, emoji=False)
    with open_file(stored.path, NAMES) as query:
        for identifier in (rows.RESPONSE_ID, "resp_cut"):
            print_exchange(console, query.find("default", identifier), verbose=True)
    shown = file.getvalue()
    assert "\x1b[1m" in shown, "the names of facts are bold"
    assert "\x1b[2J" not in shown
    assert "\x00" not in shown
    assert f"\x1b[0m{rows.RESPONSE_ID}\n" in shown, "an id stays in one piece"
    assert "interrupted, ended by client" in " ".join(
        re.sub(r"\x1b\[[0-9;]*m", "", shown).split()[-4:]
    )


def test_an_id_that_was_taken(anywhere: Anywhere, run: Command) -> None:
    """An exchange shows what it received itself; by the id there is the response that keeps it."""
    anywhere.response("resp_1", response_object=_saying("real"))
    anywhere.exchange("e-first", response_id="resp_1", started_at=1.0)
    anywhere.exchange("e-other", response_id="resp_1", started_at=2.0, result=_saying("FORGED"))
    other = run("show", "e-other").stdout
    assert "FORGED" in other
    assert "real" not in other
    assert "stored\twith this exchange only: another response has its id already" in other
    for name in ("resp_1", "e-first"):
        first = run("show", name).stdout
        assert "exchange\te-first" in first
        assert "real" in first
        assert "FORGED" not in first
    given = json.loads(run("show", "--json", "e-other").stdout)
    assert (given["response"], given["result"]["output"][0]["content"]) == (None, "FORGED")


def test_a_result_that_was_completed_later(anywhere: Anywhere, run: Command) -> None:
    """A stream that broke off shows the response that another exchange completed."""
    anywhere.response("resp_1", response_object=_saying("all of it"))
    anywhere.exchange("e-cut", response_id="resp_1", state="interrupted", result=_saying("half"))
    shown = run("show", "e-cut").stdout
    assert "all of it" in shown
    assert "already" not in shown


def _saying(text: str) -> str:
    message = {"type": "message", "role": "assistant", "content": text}
    return json.dumps({"id": "resp_1", "status": "completed", "output": [message]})
