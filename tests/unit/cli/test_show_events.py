"""`show --events`: a stream event by event, each with its time."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from response_store.cli.pager import render
from response_store.cli.show_events import draw_events
from response_store.format.events import list_timed_events
from tests.unit.queries.stored import packed

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command

DELTA = '{"type":"response.output_text.delta","sequence_number":1,"delta":"Sun\\u001b[31m"}'
STREAM = (
    'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1"}}\n\n'
    f"data: {DELTA}\n\n: ping\n\ndata: [DONE]\n\n"
).encode()
TIMES = '{"ms":[412,3,[2,3456]]}'


def stream(anywhere: Anywhere, name: str = "e1", **columns: str | bytes | None) -> None:
    """An exchange that streamed."""
    kept = {"transport": "sse", "raw_response": packed(STREAM), "event_times": TIMES}
    anywhere.exchange(name, **{**kept, **columns})


def test_a_pipe_gets_milliseconds_name_and_data(anywhere: Anywhere, run: Command) -> None:
    """A line an event, to be cut at its tabs; nothing in it moves a terminal."""
    stream(anywhere)
    assert run("show", "--events").stdout == (
        '412\tresponse.created\t{"type":"response.created","response":{"id":"resp_1"}}\n'
        f"415\tresponse.output_text.delta\t{DELTA}\n"
        "3871\t\t: ping\n"
        "3871\t\t[DONE]\n"
    )


def test_json_has_a_list(anywhere: Anywhere, run: Command) -> None:
    """Data that is JSON stands in it as it came; a comment has no name."""
    stream(anywhere)
    listed = json.loads(run("show", "--events", "--json").stdout)
    assert listed == [
        {
            "ms": 412,
            "event": "response.created",
            "data": {"type": "response.created", "response": {"id": "resp_1"}},
        },
        {"ms": 415, "event": "response.output_text.delta", "data": json.loads(DELTA)},
        {"ms": 3871, "event": None, "data": ": ping"},
        {"ms": 3871, "event": None, "data": "[DONE]"},
    ]


@pytest.mark.parametrize("column", [None, "[]", '{"ms":[412,3,9]}'])
def test_times_that_are_not_known(anywhere: Anywhere, run: Command, column: str | None) -> None:
    """The events are there; no time is."""
    stream(anywhere, event_times=column)
    lines = run("show", "--events").stdout.splitlines()
    assert [line.partition("\t")[0] for line in lines] == [""] * 4
    listed = json.loads(run("show", "--events", "--json").stdout)
    assert [one["ms"] for one in listed] == [None] * 4


def test_what_has_no_events(anywhere: Anywhere, run: Command) -> None:
    """What was not kept, or did not stream, is an error that says what to do."""
    stream(anywhere, raw_response=None)
    result = run("show", "--events")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "capture.raw_bodies: always" in result.stderr
    stream(anywhere, "e2", transport="http")
    result = run("show", "e2", "--events", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "did not stream" in result.stderr


@pytest.mark.parametrize("other", ["--raw", "--answer", "--thread", "--session=last"])
def test_other_forms(anywhere: Anywhere, run: Command, other: str) -> None:
    """Events are a form of one exchange."""
    stream(anywhere)
    result = run("show", "--events", other)
    assert result.exit_code == 2
    assert "--events is of one exchange" in result.stderr


def printed(width: int, *, whole: bool = False) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    lines = draw_events(list_timed_events(STREAM, TIMES), whole=whole)
    return "".join(render(console, line) for line in lines).splitlines()


def test_a_terminal_shows_what_each_brings() -> None:
    """A line is as wide as the terminal, and without what the other events say as well."""
    assert printed(60) == [
        '   +0.412 s  response.created  {"response": {"id":"resp_1"}}',
        '   +0.415 s  response.output_text.delta  {"delta": "Sun\\u00…',
        "   +3.871 s  : ping",
        "   +3.871 s  [DONE]",
    ]
    assert max(map(len, printed(30))) == 30
    assert len(printed(30)) == 4


def test_all_of_it() -> None:
    """With `-v` nothing is left out or cut."""
    assert DELTA in "".join(printed(40, whole=True))


def test_a_long_pause_stands_out() -> None:
    """A time that comes a second or more after the one before is drawn as names are."""
    lines = [*draw_events(list_timed_events(STREAM, TIMES), whole=False)]
    styles = [str(line.spans[0].style) for line in lines]  # type: ignore[union-attr]
    assert [style == styles[2] for style in styles] == [False, False, True, False]
