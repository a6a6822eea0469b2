"""`response-store show --session`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.queries import session_turns
from tests.unit.cli.conftest import Anywhere, Command
from tests.unit.queries.sessions_stored import turn
from tests.unit.queries.stored import packed


def say(*texts: str, instructions: str = "") -> bytes:
    """A stateless request: user and assistant in turn."""
    items = [
        {"role": "assistant" if at % 2 else "user", "content": text}
        for at, text in enumerate(texts)
    ]
    return packed(json.dumps({"instructions": instructions, "input": items}).encode())


def chat(name: str, minute: float, answered: str, **columns: Any) -> dict[str, Any]:
    """A turn whose answer is in its result."""
    output = [{"type": "message", "role": "assistant", "content": answered}]
    return turn(name, minute, "s-1", **columns) | {"result": json.dumps({"output": output})}


def talk(stored: Anywhere) -> None:
    """A stateless conversation, a subagent in the middle of it, and a fork at its beginning."""
    stored.exchanges(
        [
            chat("a1", 0, "Hello.", request_body=say("Hi")),
            chat("b1", 1, "Checked.", agent="review", parent_exchange_id="a1",
                 request_body=say("Check it", instructions="Be strict.")),
            chat("a2", 2, "Done.", parent_exchange_id="a1",
                 request_body=say("Hi", "Hello.", "Do it")),
            chat("a3", 3, "Gently done.", parent_exchange_id="a1", response_id="resp_3",
                 request_body=say("Hi", "Hello.", "Do it gently")),
        ]
    )  # fmt: skip
    stored.exchange("other", started_at=1.0, request_body=say("Not this"))


SHOWN = """\
=== a1	gpt-5.1	-	2026-01-01 02:00:00	completed

--- user
Hi

--- assistant
Hello.

--- 2 branches
a2 (shown)
resp_3 (shown)

=== b1	gpt-5.1	-	2026-01-01 02:01:00	completed, agent review

--- instructions
Be strict.

--- user
Check it

--- assistant
Checked.

=== a2	gpt-5.1	-	2026-01-01 02:02:00	completed

--- user
Do it

--- assistant
Done.

=== resp_3	gpt-5.1	-	2026-01-01 02:03:00	completed

--- user
Do it gently

--- assistant
Gently done.

=== 4 responses	-
"""


@pytest.mark.parametrize(
    "identifier", ["s-1", "s-", "b1", "resp_3", "last", "s-\N{HORIZONTAL ELLIPSIS}"]
)
def test_a_session_is_a_conversation(anywhere: Anywhere, run: Command, identifier: str) -> None:
    """All turns in the order of time, each with what is new in it for its agent, and forks."""
    talk(anywhere)
    result = run("show", "--session", identifier)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == SHOWN


def test_json_is_a_list_of_turns(anywhere: Anywhere, run: Command) -> None:
    """Programs get what `show --json` has of each turn."""
    talk(anywhere)
    turns = json.loads(run("show", "--session", "s-1", "--json").stdout)
    assert [one["exchange_id"] for one in turns] == ["a1", "b1", "a2", "a3"]
    assert turns[1]["agent"] == "review"
    (alone,) = json.loads(run("show", "--session", "other", "--json").stdout)
    assert alone["exchange_id"] == "other"


def test_the_newest_of_very_many(
    anywhere: Anywhere, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a very long session the newest turns are shown, and it says where they go on from."""
    monkeypatch.setattr(session_turns, "MAX_TURNS", 2)
    talk(anywhere)
    lines = run("show", "--session", "s-1").stdout.splitlines()
    assert lines[0] == "=== continues b1, which is further back than is shown"
    assert [line.split("\t")[0] for line in lines if "\t" in line] == [
        "=== a2", "=== resp_3", "=== 2 responses",
    ]  # fmt: skip


def test_wrong_usage(run: Command) -> None:
    """An id and a session exclude each other; the bytes of an answer are one exchange's."""
    for arguments in (("a", "--session", "b"), ("--session", "b", "--raw")):
        assert run("show", *arguments).exit_code == 2


CHANGES = """\
=== a1  gpt-5.1  -  2026-01-01 02:00:00  completed

=== b1  gpt-5.1  -  2026-01-01 02:01:00  completed, agent review
instructions
@@ -0,0 +1 @@
+Be strict.
items
- 1 user: Hi
+ 1 user: Check it
cache
  differs first in instructions, character 1: '' → 'Be strict.'

=== a2  gpt-5.1  -  2026-01-01 02:02:00  completed
items
  2 items the same
+ 3 user: Do it
  of the same ones, 1 item had been answered
cache
  nothing differs up to the end of the earlier one

=== resp_3  gpt-5.1  -  2026-01-01 02:03:00  completed
items
  2 items the same
+ 3 user: Do it gently
  of the same ones, 1 item had been answered
cache
  nothing differs up to the end of the earlier one

"""


def test_changes_from_turn_to_turn(anywhere: Anywhere, run: Command) -> None:
    """Each turn has what differs from its parent; programs get the same as a list."""
    talk(anywhere)
    assert run("show", "--session", "s-1", "--diff").stdout == CHANGES
    given = json.loads(run("show", "--session", "s-1", "--diff", "--json").stdout)
    pairs = [(one["before"], one["after"]) for one in given]
    assert pairs == [(None, "a1"), ("a1", "b1"), ("a1", "a2"), ("a1", "resp_3")]
    assert given[2]["same_items_from_answer"] == 1
    for arguments in (("a1", "--diff"), ("--session", "s-1", "--diff", "--html", "-")):
        assert run("show", *arguments).exit_code == 2


def test_answers_of_one_id_are_turns_of_their_own(anywhere: Anywhere, run: Command) -> None:
    """Those of this session, whatever other sessions have under that id."""
    same = {"api": "chat_completions", "response_id": "chatcmpl-1"}
    anywhere.exchanges(
        [
            chat("a1", 0, "One.", request_body=say("Hi")) | same,
            chat("a2", 1, "Two.", request_body=say("Hi", "One.", "More"), parent_exchange_id="a1")
            | same,
            chat("b1", 2, "Theirs.", request_body=say("Else")) | same | {"session_id": "s-2"},
        ]
    )
    lines = run("show", "--session", "s-1").stdout.splitlines()
    assert [line for line in lines if line and line[:3] not in ("===", "---")] == [
        "Hi", "One.", "More", "Two.",
    ]  # fmt: skip
    assert "Theirs." in run("show", "--session", "s-2").stdout
