"""What of each response of a thread is new."""

from __future__ import annotations

from typing import Any

from response_store.format.exchange import Exchanged
from response_store.format.transcript import Transcript
from response_store.openai_api.items import read_request_items, read_response_items
from tests.harness.each import each


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": [part], **more}


def echo(text: str) -> dict[str, Any]:
    """What a client makes of an answer."""
    return {"role": "assistant", "content": text}


def call(call_id: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def result(call_id: str, output: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


THINKING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm."}],
}
CITATION = {"type": "url_citation", "title": "A", "url": "https://a"}
CITING = said("Sure")
CITING["content"][0]["annotations"] = [CITATION]
THREADS: dict[str, list[tuple[Any, list[Any], str]]] = {
    "only what is new is sent": [
        ("Hi", [said("Hello")], "Hi|Hello"),
        ([user("More")], [said("Sure")], "More|Sure"),
    ],
    "the whole is sent again": [
        ([user("Hi")], [said("Hello")], "Hi|Hello"),
        ([user("Hi"), echo("Hello"), user("More")], [said("Sure")], "More|Sure"),
        (
            [user("Hi"), echo("Hello"), user("More"), echo("Sure"), user("End")],
            [said("Bye")],
            "End|Bye",
        ),
    ],
    "the end of it is sent again": [
        ("Hi", [said("Hello")], "Hi|Hello"),
        ("More", [said("Sure")], "More|Sure"),
        ([user("More"), said("Sure"), user("End")], [said("Bye")], "End|Bye"),
    ],
    "an echo lacks phases, citations and thoughts": [
        ([user("Hi")], [said("Look", phase="commentary"), said("Hello")], "Hi|Look|Hello"),
        ([user("Hi"), echo("Look"), echo("Hello"), user("More")], [CITING], "More|Sure|A https://a"),
        ([user("More"), echo("Sure"), user("End")], [said("Bye")], "End|Bye"),
    ],
    "an echo is spelled in another way": [
        ([user("Hi")], [call("c1", arguments='{"b": 1, "a": [ ]}')], 'Hi|{"b": 1, "a": [ ]}'),
        (
            [user("Hi"), call("c1", arguments='{"b":1,"a":[]}'), result("c1", "Yes")],
            [said("Hello\n")],
            "Yes|Hello\n",
        ),
        ([user("Hi"), echo("Hello"), user("More")], [said("Sure")], "More|Sure"),
    ],
    "people say things twice": [
        ("Go on", [said("One")], "Go on|One"),
        ("Go on", [said("Two")], "Go on|Two"),
        ([user("Go on")], [said("Two")], "Go on|Two"),
    ],
    "twice, and the whole is sent again": [
        ([user("Go on")], [said("One")], "Go on|One"),
        ([user("Go on"), echo("One"), user("Go on")], [said("One")], "Go on|One"),
        (
            [user("Go on"), echo("One"), user("Go on"), echo("One"), user("Go on")],
            [said("Two")],
            "Go on|Two",
        ),
    ],
    "a warm-up is asked with the same": [
        ([user("Hi")], [], "Hi"),
        ([user("Hi")], [said("Hello")], "Hello"),
    ],
    "a warm-up with what was before": [
        ([user("Hi"), echo("Hello"), user("More")], [], "Hi|Hello|More"),
        ([user("Hi"), echo("Hello"), user("More"), user("Now")], [said("Sure")], "Now|Sure"),
    ],
    "a warm-up is not repeated": [
        ([user("Hi")], [], "Hi"),
        ([user("More")], [said("Hello")], "More|Hello"),
        ([user("More")], [said("Hello")], "More|Hello"),
    ],
    "calls and their results": [
        ("Hi", [THINKING, call("c1"), call("c2")], "Hi|Hm.|{}|{}"),
        ([result("c1", "1"), result("c2", "1")], [call("c3")], "1|1|{}"),
        (
            [user("Hi"), call("c1"), call("c2"), result("c1", "1"), result("c2", "1"), call("c3"),
             result("c3", "1")],
            [said("Done")],
            "1|Done",
        ),
        ([result("c3", "1"), user("Hi")], [said("Done")], "Hi|Done"),
    ],
    "history with something put before it": [
        ([user("Hi")], [said("Hello")], "Hi|Hello"),
        (
            [{"role": "developer", "content": "Be brief."}, user("Hi"), said("Hello"), user("Go")],
            [said("Gone")],
            "Be brief.|Go|Gone",
        ),
    ],
    "references": [
        ("Hi", [said("Hello", id="msg_7")], "Hi|Hello"),
        (
            [{"type": "item_reference", "id": "msg_7"}, {"type": "item_reference", "id": "x"}],
            [said("Sure")],
            "x|Sure",
        ),
    ],
    "a server that gives every item one id": [
        ("Hi", [said("One")], "Hi|One"),
        ("Hi", [said("Two")], "Hi|Two"),
        ([user("Hi"), said("One"), user("Hi"), said("Two"), user("So")], [], "So"),
    ],
}  # fmt: skip


@each("name", THREADS)
def test_nothing_is_shown_twice(name: str) -> None:
    """Each item is shown where it came first, and a text that is said again is new."""
    transcript = Transcript()
    for content, output, new in THREADS[name]:
        told = Exchanged(
            "", read_request_items({"input": content}), read_response_items({"output": output})
        )
        assert "|".join(turn.text for turn in transcript.add(told).turns) == new


def test_instructions_are_shown_where_they_change() -> None:
    """Requests repeat them, as they do not carry over; a request without any says nothing."""
    transcript = Transcript()
    shown = [
        [turn.text for turn in transcript.add(Exchanged(text, [], [])).turns]
        for text in ("Be brief.", "Be brief.", "", "Be brief.", "Be kind.", "Be brief.")
    ]
    assert shown == [["Be brief."], [], [], [], ["Be kind."], ["Be brief."]]
