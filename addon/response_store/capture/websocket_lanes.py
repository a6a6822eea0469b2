"""Which turn a message belongs to.

A lane carries one response after the other, a socket several lanes side by side. Only some
messages carry their response, and with it its id: the first of them binds the turn that waits
longest in the lane. All others go to the lane's latest turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from response_store.capture.websocket_turn import Turn
from response_store.openai_api.websocket_event import NO_LANE, ServerMessage

_REMEMBERED = 64  # responses that have ended, whose late messages are nobody's


@dataclass(slots=True)
class Lane:
    """The turns of one lane, oldest first. `failed` has ended with an error, but may go on."""

    waiting: deque[Turn] = field(default_factory=deque)
    running: list[Turn] = field(default_factory=list)
    failed: Turn | None = None

    @property
    def empty(self) -> bool:
        return not (self.waiting or self.running or self.failed)

    @property
    def latest(self) -> Turn | None:
        """The turn that a message without an id belongs to."""
        if self.running:
            return self.running[-1]
        return self.waiting[0] if self.waiting else self.failed

    @property
    def accused(self) -> Turn | None:
        """The turn that an error is about: what was asked last and is not answered yet."""
        if self.waiting:
            return self.waiting[0]
        return self.running[-1] if self.running else None


class Lanes:
    """The lanes of one socket. A lane is there as long as it has turns."""

    def __init__(self) -> None:
        self._lanes: dict[bytes, Lane] = {}
        self._bound: dict[str, Turn] = {}
        self._ended: deque[str] = deque(maxlen=_REMEMBERED)

    @property
    def count(self) -> int:
        """How many turns there are."""
        return sum(1 for _ in self.all())

    def ask(self, turn: Turn) -> Turn | None:
        """A turn begins to wait for its response. Returns the failed one that it displaces."""
        lane = self._lanes.setdefault(turn.lane, Lane())
        lane.waiting.append(turn)
        failed, lane.failed = lane.failed, None
        if failed is not None:
            self._forget(failed)
        return failed

    def of(self, message: ServerMessage) -> Lane | None:
        """The lane of a message; one that names none may mean the only one there is."""
        lane = self._lanes.get(message.lane)
        if lane is None and message.lane == NO_LANE and len(self._lanes) == 1:
            (lane,) = self._lanes.values()
        return lane

    def bound(self, response_id: str) -> Turn | None:
        """The turn of a response."""
        return self._bound.get(response_id)

    def has_ended(self, response_id: str) -> bool:
        """Whether a response is known to have ended."""
        return response_id in self._ended

    def bind(self, turn: Turn, response_id: str) -> None:
        """The server has named the response of a turn."""
        lane = self._lanes.setdefault(turn.lane, Lane())
        if turn in lane.waiting:
            lane.waiting.remove(turn)
        if turn is not lane.failed:
            lane.running.append(turn)
        turn.response_id = response_id
        self._bound[response_id] = turn

    def rename(self, turn: Turn, response_id: str) -> None:
        """The server calls the response of a turn otherwise from here on."""
        if turn.response_id is not None:
            self._ended.append(turn.response_id)
        turn.response_id = response_id
        self._bound[response_id] = turn

    def fail(self, turn: Turn) -> Turn | None:
        """A turn ended with an error. Returns the failed one that it displaces."""
        lane = self._lanes[turn.lane]
        self._take_out(turn, lane)
        failed, lane.failed = lane.failed, turn
        if failed is not None:
            self._forget(failed)
        return failed

    def end(self, turn: Turn) -> None:
        """A turn has ended for good."""
        lane = self._lanes.get(turn.lane)
        if lane is not None:
            self._take_out(turn, lane)
            if lane.failed is turn:
                lane.failed = None
            if lane.empty:
                del self._lanes[turn.lane]
        self._forget(turn)

    def all(self) -> Iterator[Turn]:
        """Every turn that is there."""
        for lane in list(self._lanes.values()):
            yield from (*lane.running, *lane.waiting)
            if lane.failed is not None:
                yield lane.failed

    @staticmethod
    def _take_out(turn: Turn, lane: Lane) -> None:
        if turn in lane.running:
            lane.running.remove(turn)
        elif turn in lane.waiting:
            lane.waiting.remove(turn)

    def _forget(self, turn: Turn) -> None:
        if turn.response_id is not None:
            self._bound = {name: one for name, one in self._bound.items() if one is not turn}
            self._ended.append(turn.response_id)
