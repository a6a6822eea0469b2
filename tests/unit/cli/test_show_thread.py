"""`response-store show --thread`."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from response_store.backends.registry import open_file
from response_store.cli.show import print_thread
from response_store.queries import threads
from tests.unit.cli import rows
from tests.unit.cli.conftest import Anywhere, Command
from tests.unit.queries.stored import NAMES, Stored, packed

BEGAN = 1767225600.0


def answer(text: str) -> str:
    """A response object that says something."""
    return json.dumps({"output": [{"type": "message", "role": "assistant", "content": text}]})


def turn(name: str, previous: str | None, asked: Any, **columns: Any) -> dict[str, Any]:
    """An exchange whose minute is in its name."""
    request = {"model": "gpt-5.1", "instructions": "Be brief.", "input": asked}
    return {
        "exchange_id": f"e-{name}",
        "response_id": name,
        "previous_response_id": previous,
        "started_at": BEGAN + 60 * int(name[-1]),
        "model": "gpt-5.1",
        "request_body": packed(json.dumps(request).encode()),
        "ended_by": "body",
    } | columns


def weather(stored: Anywhere) -> None:
    """Three responses, a warm-up among them, of which the last repeats all that was said."""
    whole = ["Weather?", "Sunny.", "And tomorrow?"]
    repeated = [
        {"role": role, "content": text}
        for role, text in zip(("user", "assistant", "user"), whole, strict=True)
    ]
    warm_up = packed(b'{"instructions":"Be brief.","input":[],"generate":false}')
    stored.exchange(**turn("resp_1", None, whole[0], input_tokens=120, output_tokens=45))
    stored.exchange(**turn("resp_2", "resp_1", None, transport="websocket", request_body=warm_up))
    stored.exchange(
        **turn(
            "resp_3", "resp_2", repeated, input_tokens=180, cached_tokens=128, output_tokens=12,
            reasoning_tokens=5,
        )
    )  # fmt: skip
    stored.response("resp_1", response_object=answer("Sunny."))
    stored.response("resp_2", response_object='{"output":[]}')
    stored.response("resp_3", response_object=answer("Rain."))


GOLDEN = """\
=== resp_1\tgpt-5.1\t120 in, 45 out\t2026-01-01 02:01:00\tcompleted

--- instructions
Be brief.

--- user
Weather?

--- assistant
Sunny.

=== resp_2\tgpt-5.1\t-\t2026-01-01 02:02:00\tcompleted, warm-up

=== resp_3\tgpt-5.1\t180 in (128 cached), 12 out (5 reasoning)\t2026-01-01 02:03:00\tcompleted

--- user
And tomorrow?

--- assistant
Rain.

=== 3 responses\t300 in (128 cached), 57 out (5 reasoning)
"""


@pytest.mark.parametrize("identifier", ["resp_1", "resp_3", "e-resp_2", "resp_3…"])
def test_a_thread_is_one_conversation(anywhere: Anywhere, run: Command, identifier: str) -> None:
    """From any of its responses, the thread is the same, and says everything once."""
    weather(anywhere)
    result = run("show", "--thread", identifier)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == GOLDEN


def test_json_is_a_list_of_what_show_gives(anywhere: Anywhere, run: Command) -> None:
    """Each response is the object that `show --json` prints for it, to the letter, in order."""
    weather(anywhere)
    rows.whole(anywhere)
    anywhere.exchange("link", response_id="resp_before", previous_response_id="resp_3")
    names = ["resp_1", "resp_2", "resp_3", "resp_before", rows.RESPONSE_ID]
    alone = [run("show", name, "--json").stdout_bytes.rstrip(b"\n") for name in names]
    listed = run("show", "--thread", "resp_2", "--json")
    assert listed.stdout_bytes == b"[" + b",\n".join(alone) + b"]\n"
    assert [one["response_id"] for one in json.loads(listed.stdout)] == names


def test_a_thread_of_one(anywhere: Anywhere, run: Command) -> None:
    """What stands alone is a thread all the same: a chat, a refusal, another program's row."""
    rows.chat(anywhere)
    rows.refused(anywhere)
    anywhere.response("resp_p", response_object=rows.RESPONSE, input='[{"content":"x"}]')
    chat = run("show", "--thread", "e-chat").stdout
    assert chat.startswith("=== e-chat\tgpt-4.1\t7 in, 3 out\t2026-01-01 02:05:00\tcompleted\n")
    assert chat.endswith("--- tool call wave\n{}\n\n=== 1 response\t7 in, 3 out\n")
    refused = run("show", "--thread", "e-refused").stdout
    assert refused.startswith(
        "=== e-refused\tgpt-5.1\t-\t2026-01-01 02:01:40\trefused, invalid_api_key\n"
    )
    foreign = run("show", "--thread", "resp_p").stdout
    assert foreign.startswith("=== resp_p\tgpt-5.1\t-\t2026-01-01 02:00:00\t-\n\n--- user\nx\n")
    assert foreign.endswith("\n=== 1 response\t-\n")


def test_a_missing_link_is_told(anywhere: Anywhere, run: Command) -> None:
    """What the oldest response continues is named; what was cut off says by whom."""
    anywhere.exchange(
        **turn("resp_2", "resp_1\x1b", "More", state="interrupted", ended_by="client")
        | {"output_text": "Half an ans"}
    )
    shown = run("show", "--thread", "resp_2").stdout
    assert shown.startswith("=== continues resp_1␛, which is not stored\n\n=== resp_2\t")
    assert "\tinterrupted, client\n" in shown
    assert "--- assistant\nHalf an ans\n" in shown


def test_a_cut_is_told(stored: Stored, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is longer than what is followed says so at its head."""
    monkeypatch.setattr(threads, "DEPTH", 2)
    before = None
    for at in range(6):
        stored.exchange(**turn(f"resp_{at}", before, "More"))
        before = f"resp_{at}"
    shown = run("show", "--thread", "resp_4").stdout
    assert shown.startswith("=== continues resp_1, which is further back than is shown\n")
    assert shown.endswith("=== 4 responses\t-\n")


def test_branches_are_told(anywhere: Anywhere, run: Command) -> None:
    """Where a thread parts, all the ways are named; the one that is shown is marked."""
    anywhere.exchange(**turn("resp_1", None, "Hi"))
    for at in range(2, 5):
        anywhere.exchange(**turn(f"resp_{at}", "resp_1", f"Way {at}"))
    anywhere.exchange(**turn("resp_5", "resp_3", "On"))
    branches = "--- 3 branches\nresp_2\nresp_3\nresp_4 (shown)\n\n=== resp_4\t"
    shown = run("show", "--thread", "resp_1").stdout
    assert branches in shown
    assert "Way 3" not in shown
    shown = run("show", "--thread", "resp_3").stdout
    assert "--- 3 branches\nresp_2\nresp_3 (shown)\nresp_4\n\n=== resp_3\t" in shown
    assert shown.count("branches") == 1
    assert "--- user\nOn\n" in shown


def test_many_branches_are_named_in_part(stored: Stored, run: Command) -> None:
    """Of a crowd the latest are named, and how many there are."""
    stored.exchange(**turn("resp_0", None, "Hi"))
    for at in range(30):
        stored.exchange(f"e{at:02}", response_id=f"r{at:02}", previous_response_id="resp_0")
    shown = run("show", "--thread", "resp_0").stdout
    assert "--- 30 branches\n...\nr20\n" in shown
    assert "r29 (shown)\n" in shown
    assert "r19" not in shown


def test_tokens_come_from_the_response_where_the_row_has_none(
    anywhere: Anywhere, run: Command
) -> None:
    """The row of a response that was only looked at counts none; a response is counted once."""
    usage = {
        "input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 2},
        "output_tokens_details": None,
    }  # fmt: skip
    anywhere.exchange(**turn("resp_1", None, "Hi", input_tokens=7, output_tokens=3))
    anywhere.exchange("later", response_id="resp_1", started_at=BEGAN + 900)
    anywhere.response("resp_1", response_object=json.dumps({"usage": usage}))
    assert run("show", "--thread", "resp_1").stdout.endswith(
        "=== 1 response\t7 in (2 cached), 3 out\n"
    )


ODD = ["null", "7", '{"usage":{"input_tokens":true,"output_tokens":"9"}}', '{"usage":[]}', "{", ""]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_odd_data_is_shown_somehow(stored: Stored, run: Command, text: str) -> None:
    """Whatever a server sent and the store kept, neither form crashes."""
    stored.exchange("e1", response_id="r1", request_body=packed(text.encode()), result=text)
    stored.exchange("e2", response_id="r2", previous_response_id="r1", request_body=b"no frame")
    stored.response("r1", response_object=text, input=text)
    assert run("show", "--thread", "r1").stdout.endswith("=== 2 responses\t-\n")
    assert len(json.loads(run("show", "--thread", "r1", "--json").stdout)) == 2


def test_an_id_that_repeats_an_item_with_a_trick_is_harmless(stored: Stored, run: Command) -> None:
    """Captured text plays no tricks in the columns of a line."""
    stored.exchange("e1", response_id="r1\t\x1b[2J\n", model="a\tb")
    line = run("show", "--thread", "e1").stdout.splitlines()[0]
    assert line.split("\t")[:2] == ["=== r1 ␛[2J", "a b"]


def test_raw_and_thread_exclude_each_other(stored: Stored, run: Command) -> None:
    """The bytes of many answers are no use to anybody."""
    assert run("show", "x", "--raw", "--thread").exit_code == 2


def test_another_tenant_has_no_such_thread(anywhere: Anywhere, run: Command) -> None:
    """A wrong tenant looks like a wrong id."""
    weather(anywhere)
    result = run("show", "--thread", "resp_1", "--tenant", "other")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "'resp_1' is not found for tenant 'other'" in result.stderr


@pytest.mark.parametrize("width", [20, 200])
def test_a_terminal_gets_colours_and_no_tricks(stored: Stored, width: int) -> None:
    """On a terminal only our own colours are escape sequences, and ids stay in one piece."""
    rows.whole(stored)
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, markup=False, emoji=False)
    with open_file(stored.path, NAMES) as query, query.snapshot() as tables:
        print_thread(console, threads.find_thread(tables, "default", rows.RESPONSE_ID))
    shown = file.getvalue()
    words = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", shown).split())
    assert "continues resp_before, which is not stored" in words
    assert rows.RESPONSE_ID in shown
    assert re.search(r"\x1b\[1;[0-9;]+mcompleted\x1b\[0m", shown)
    assert words.endswith("1 response · 120 in (64 cached), 45 out (20 reasoning)")
    assert not set(shown) & {"\x00"}
    assert "\x1b[2J" not in shown
