"""Marks and comments: put on flows that are looked at, and never over a user's."""

from __future__ import annotations

import gc
import io
import weakref
from dataclasses import dataclass, field
from typing import Any

import pytest
from mitmproxy.addons.view import View
from mitmproxy.flow import Flow
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.test import taddons, tflow
from mitmproxy.utils.emoji import emoji

from response_store.mitmweb.flow_marks import MARKS, Marks, build_marks
from response_store.model.records import State, WrittenRow

ROW = {
    "response_id": "resp_1", "model": "gpt-5", "input_tokens": 120, "cached_tokens": 64,
    "output_tokens": 45, "duration_ms": 1234.0,
}  # fmt: skip
COMMENT = "45 out 1.2 s · gpt-5, 120 in (64 cached), completed, resp_1"


def row(flow: Flow, **changes: Any) -> WrittenRow:
    """An exchange of a flow that is in the database."""
    usual = {"turn": 0, "line": "", "exchange_id": "e-1", "state": "completed"}
    return WrittenRow(**{"flow_id": flow.id} | usual | ROW | changes)


@dataclass
class Looked:
    """A view with one flow in it, and how often it was told that a flow has changed."""

    flow: Flow = field(default_factory=tflow.tflow)
    told: int = 0

    def __post_init__(self) -> None:
        self.flows = weakref.WeakValueDictionary({self.flow.id: self.flow})
        self.marks = Marks(self.flows.get, self._updated)

    def written(self, **changes: Any) -> None:
        """An exchange of the flow is written, or a turn of it."""
        self.marks.written(row(self.flow, **changes))

    def _updated(self, flow: Flow) -> None:
        assert flow is self.flow
        self.told += 1


@pytest.mark.parametrize("state", [state for state in State if state is not State.OPEN])
def test_every_state_has_a_mark(state: State) -> None:
    """Each way of ending has an emoji that mitmproxy knows."""
    looked = Looked()
    looked.written(state=state.value)
    assert looked.flow.marked in emoji
    assert state.value in looked.flow.comment
    assert looked.told == 1


def test_comment() -> None:
    """The comment tells tokens, time, model, state and id; the same again changes nothing."""
    looked = Looked()
    for _ in range(2):
        looked.written()
    assert (looked.flow.marked, looked.flow.comment) == (":white_check_mark:", COMMENT)
    assert looked.told == 1
    assert list(looked.marks.ids)[-1] == "resp_1"


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({"question": "Write\nsome code: " + "x" * 60}, "45 out 1.2 s · Write some code: xxxx"),
        ({"state": "incomplete"}, "incomplete 45 out 1.2 s · gpt-5"),
        ({"state": "refused", "error_code": "rate_limit", "output_tokens": None},
         "rate_limit 1.2 s · gpt-5, 120 in (64 cached), refused (rate_limit), resp_1"),
        ({"duration_ms": None, "output_tokens": None, "input_tokens": None}, "gpt-5, completed, "),
    ],
)  # fmt: skip
def test_a_comment_begins_with_what_differs(changes: dict[str, Any], beginning: str) -> None:
    """What came and how long it took, or what went wrong; then the question, shortened."""
    looked = Looked()
    looked.written(**changes)
    assert looked.flow.comment.startswith(beginning)
    assert len(looked.flow.comment) < 150


def test_open_exchanges_have_none() -> None:
    """An exchange that still goes on has no mark."""
    looked = Looked()
    looked.written(state="open")
    assert (looked.flow.marked, looked.flow.comment, looked.told) == ("", "", 0)
    assert not looked.marks.ids


def test_names_are_harmless() -> None:
    """What an upstream calls itself stays one short line without control characters."""
    looked = Looked()
    looked.written(model="\x1b[2J\n" + "x" * 5000, response_id="resp_" + "y" * 450)
    assert looked.flow.comment.isprintable()
    assert len(looked.flow.comment) < 300


def test_turns_of_a_socket() -> None:
    """A socket's comment is about the turn that ended last, and counts."""
    looked = Looked()
    looked.written(turn=1, response_id="resp_1")
    looked.written(turn=3, response_id="resp_3")
    looked.written(turn=2, response_id="resp_2", state="failed", error_code="server_error")
    assert looked.flow.marked == ":x:"
    assert looked.flow.comment.endswith("failed (server_error), resp_2 (turn 2 of 3)")


@pytest.mark.parametrize("name", ["marked", "comment"])
@pytest.mark.parametrize("value", [":grapes:", ""])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_user_did_stays(name: str, value: str, when: str) -> None:
    """A user's own mark or comment is not replaced, and what a user removed is not put back."""
    looked = Looked()
    if when == "after":
        looked.written()
    setattr(looked.flow, name, value)
    looked.written(state="failed")
    other = "comment" if name == "marked" else "marked"
    if value or when == "after":
        assert getattr(looked.flow, name) == value
    assert getattr(looked.flow, other) not in ("", COMMENT, ":white_check_mark:")


def test_flows_that_are_gone() -> None:
    """A flow that was cleared away is not kept, and its exchange does no harm."""
    looked = Looked()
    looked.written()
    gone, written = weakref.ref(looked.flow), row(looked.flow, response_id="resp_2")
    looked.flow = tflow.tflow()
    gc.collect()
    assert gone() is None
    looked.marks.written(written)
    assert looked.told == 1
    assert list(looked.marks.ids) == ["resp_1", "resp_2"]


async def test_only_where_there_is_a_view() -> None:
    """mitmweb and the console have a view, and hear of changes; mitmdump has none."""
    with taddons.context() as context:
        assert build_marks(context.master) is None
        view = View()
        context.master.addons.add(view)
        flow = tflow.tflow()
        view.add([flow])
        heard: list[Flow] = []

        def hear(flow: Flow) -> None:
            heard.append(flow)

        view.sig_view_update.connect(hear)
        marks = build_marks(context.master)
        assert marks is not None
        marks.written(row(flow))
        assert heard == [flow]
        assert flow.comment == COMMENT


def test_saved_flows() -> None:
    """A marked flow is saved with its mark, and read back."""
    looked = Looked()
    looked.written()
    file = io.BytesIO()
    FlowWriter(file).add(looked.flow)
    file.seek(0)
    (read,) = FlowReader(file).stream()
    assert (read.marked, read.comment) == (MARKS[State.COMPLETED], COMMENT)
