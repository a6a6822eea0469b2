"""A response that runs in the background, as the server that runs it knows it."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import parse_qs

from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, End, Step, json_answer
from tests.fakes.requests import Request

ENDED = ("completed", "incomplete", "failed", "cancelled")


class Background:
    """Plays every request about one response: it is created, retrieved, resumed, cancelled.

    `statuses` are those that one retrieval after the other finds; the last one stays. Streams end
    before the event numbered `cut`, if that is given. `snapshot` returns the response in a
    state, the same whenever it is asked for: no server runs a response twice.
    """

    def __init__(self, response_id: str, *statuses: str, cut: int | None = None) -> None:
        self.id = response_id
        self.statuses = list(statuses or ("queued",))
        self.cut = cut
        self.asked: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.snapshot = cache(self._make_snapshot)

    def __call__(self, request: Request) -> Answer:
        if request.method == "POST" and request.path.endswith("/cancel"):
            self.statuses = ["cancelled"]
        elif request.method == "POST":
            return self._created(request.fields)
        if "stream=true" in request.target:
            query = parse_qs(request.target.partition("?")[2])
            return self._stream(int(query.get("starting_after", ["-1"])[0]) + 1)
        return json_answer(self.snapshot(self._status()))

    def _make_snapshot(self, status: str) -> dict[str, Any]:
        """The response object in that state; the output is there once it has ended."""
        made = bodies.whole_response if status == "completed" else bodies.response
        return made(self.asked | {"background": True}, id=self.id, status=status)

    def _status(self) -> str:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def _created(self, asked: dict[str, Any]) -> Answer:
        self.asked = asked
        self.events = self.events or bodies.stream_events(asked, id=self.id)
        return self._stream(0) if asked.get("stream") else json_answer(self.snapshot("queued"))

    def _stream(self, first: int) -> Answer:
        then: tuple[Step, ...] = () if self.cut is None else (End.FIN,)
        return PLAIN.answer(self.events[first : self.cut], *then)
