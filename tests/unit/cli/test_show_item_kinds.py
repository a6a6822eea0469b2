"""Every kind of item, where people meet it: `show`, mitmweb's content view, `search`."""

from __future__ import annotations

import json
import typing
from typing import TYPE_CHECKING, Any

import pytest

from response_store.mitmweb.recognise import MessageKind, RecognizedMessage
from response_store.mitmweb.render import render_message
from response_store.model.records import Api
from tests.fakes.item_kinds import CODED, INPUT, OUTPUT, PDF, Case
from tests.harness.each import each
from tests.unit.queries.stored import packed

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command

_CASES = [
    (side, case)
    for side, cases in (("output", OUTPUT), ("input", INPUT))
    for case in cases.values()
]


def store(anywhere: Anywhere, name: str, side: str, item: dict[str, Any]) -> None:
    """Store an exchange that has an item in its input or its output."""
    given: list[Any] = [item] if side == "input" else []
    request = {"model": "m", "input": [{"role": "user", "content": "Look."}, *given]}
    anywhere.exchange(name, response_id=name, request_body=packed(json.dumps(request).encode()))
    answer = {"id": name, "object": "response", "output": [] if given else [item]}
    anywhere.response(name, response_object=json.dumps(answer))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("side", "cases"), [("output", OUTPUT), ("input", INPUT)])
def test_each_kind_is_shown_and_found(
    anywhere: Anywhere, run: Command, side: str, cases: dict[str, Case]
) -> None:
    """`show` has each line of it, `search` finds it by a word, and no base64 is printed."""
    for name, case in cases.items():
        store(anywhere, name, side, case.item)
    for name, case in cases.items():
        shown = run("show", name).stdout
        assert [line for line in case.shown if line not in shown] == [], name
        hits = json.loads(run("search", "--json", "--limit", "99", case.word).stdout)["hits"]
        snippets = {hit["response_id"]: hit["snippet"] for hit in hits}
        assert snippets.get(name), name
        for text in (shown, snippets[name]):
            assert not any(coded[20:60] in text for coded in (CODED, PDF))


@each(("side", "case"), _CASES)
def test_each_kind_is_in_the_content_view(side: str, case: Case) -> None:
    """The content view has each line of it, in requests and in answers."""
    if side == "input":
        body: dict[str, Any] = {"model": "m", "input": [case.item]}
        kind = MessageKind.REQUEST
    else:
        body = {"id": "r", "object": "response", "created_at": 1, "output": [case.item]}
        kind = MessageKind.ANSWER
    text = render_message(json.dumps(body).encode(), RecognizedMessage(kind, Api.RESPONSES))
    for line in case.shown:
        assert line in text
    assert not any(coded[20:60] in text for coded in (CODED, PDF))


@pytest.mark.exhaustive
def test_the_table_has_every_kind() -> None:
    """No kind that the openai package knows is missing from the table."""
    # These take half a second to import, in each worker that collects the test.
    from openai.types.beta import beta_response_input_item, beta_response_output_item
    from openai.types.responses import response_input_item, response_output_item

    unions: list[tuple[Any, dict[str, Case]]] = [
        (response_output_item.ResponseOutputItem, OUTPUT),
        (beta_response_output_item.BetaResponseOutputItem, OUTPUT),
        (response_input_item.ResponseInputItem, INPUT),
        (beta_response_input_item.BetaResponseInputItem, INPUT),
    ]
    for union, cases in unions:
        members = typing.get_args(typing.get_args(union)[0])
        literals = {repr(member.model_fields["type"].annotation) for member in members}
        kinds = {kind for text in literals for kind in text.split("'")[1::2]}
        assert kinds <= {case.item.get("type", "message") for case in cases.values()}, union
        assert len(kinds) >= 28
